#ifndef WORKERS_TEXT_PAIR_MAP_H
#define WORKERS_TEXT_PAIR_MAP_H

#include "proto/bytes.h"

struct pair_slot {
    uint64_t key; /* left and right, plus one: 0 is a free slot */
    uint32_t value;
};

/* (left id, right id) → number. Zero-initialise; pair_map_free when done. */
struct pair_map {
    struct pair_slot *slots;
    size_t n, n_slots; /* n_slots: a power of two */
};

#define PAIR_NONE UINT32_MAX

/* left, right and value below PAIR_NONE. The pair must be new. E_NOMEM. */
int pair_map_add(struct pair_map *m, uint32_t left, uint32_t right, uint32_t value);
void pair_map_free(struct pair_map *m);

/* In the header, because encoding lives in it. */
static inline uint64_t pair_key(uint32_t left, uint32_t right)
{
    return ((uint64_t)left << 32 | right) + 1;
}

static inline size_t pair_hash(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15u;
    return (size_t)(key ^ key >> 32);
}

static inline uint32_t pair_map_find(const struct pair_map *m, uint32_t left, uint32_t right)
{
    uint64_t key = pair_key(left, right);

    if (m->n == 0)
        return PAIR_NONE;
    for (size_t i = pair_hash(key);; i++) {
        const struct pair_slot *s = &m->slots[i & (m->n_slots - 1)];
        if (s->key == key)
            return s->value;
        if (s->key == 0)
            return PAIR_NONE;
    }
}

#endif
