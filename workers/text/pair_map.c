#include "workers/text/pair_map.h"

#include <stdlib.h>

static void put(struct pair_slot *slots, size_t n_slots, uint64_t key, uint32_t value)
{
    size_t i = pair_hash(key) & (n_slots - 1);

    while (slots[i].key)
        i = (i + 1) & (n_slots - 1);
    slots[i] = (struct pair_slot){ key, value };
}

int pair_map_add(struct pair_map *m, uint32_t left, uint32_t right, uint32_t value)
{
    if (2 * (m->n + 1) > m->n_slots) {
        size_t n_slots = m->n_slots ? 2 * m->n_slots : 1024;
        struct pair_slot *slots = calloc(n_slots, sizeof *slots);
        if (!slots)
            return E_NOMEM;
        for (size_t i = 0; i < m->n_slots; i++) {
            if (m->slots[i].key)
                put(slots, n_slots, m->slots[i].key, m->slots[i].value);
        }
        free(m->slots);
        m->slots = slots;
        m->n_slots = n_slots;
    }
    put(m->slots, m->n_slots, pair_key(left, right), value);
    m->n++;
    return OK;
}

void pair_map_free(struct pair_map *m)
{
    free(m->slots);
    *m = (struct pair_map){ 0 };
}
