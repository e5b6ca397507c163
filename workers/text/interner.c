#include "workers/text/interner.h"

#include <stdlib.h>
#include <string.h>

struct interned {
    uint64_t offset;
    uint32_t n, hash;
};

/* FNV-1a, folded. */
static uint32_t hash_bytes(const void *p, size_t n)
{
    const uint8_t *s = p;
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ s[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ h >> 32);
}

/* The slot that holds the string, or the free one where it would go. */
static size_t find_slot(const struct interner *t, const void *p, size_t n, uint32_t hash)
{
    size_t mask = t->n_slots - 1, i = hash & mask;

    while (t->slots[i]) {
        const struct interned *s = &t->at[t->slots[i] - 1];
        if (s->hash == hash && s->n == n && memcmp(t->bytes + s->offset, p, n) == 0)
            break;
        i = (i + 1) & mask;
    }
    return i;
}

static int grow_slots(struct interner *t)
{
    size_t n_slots = t->n_slots ? 2 * t->n_slots : 1024;
    uint32_t *slots = calloc(n_slots, sizeof *slots);

    if (!slots)
        return E_NOMEM;
    for (size_t k = 0; k < t->n; k++) {
        size_t i = t->at[k].hash & (n_slots - 1);
        while (slots[i])
            i = (i + 1) & (n_slots - 1);
        slots[i] = (uint32_t)k + 1;
    }
    free(t->slots);
    t->slots = slots;
    t->n_slots = n_slots;
    return OK;
}

static int make_room(struct interner *t, size_t n)
{
    if (2 * (t->n + 1) > t->n_slots && grow_slots(t) != OK)
        return E_NOMEM;
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 512;
        struct interned *at = realloc(t->at, cap * sizeof *at);
        if (!at)
            return E_NOMEM;
        t->at = at;
        t->cap = cap;
    }
    if (t->n_bytes + n > t->cap_bytes) {
        size_t cap = 2 * t->cap_bytes + n + 4096;
        char *bytes = realloc(t->bytes, cap);
        if (!bytes)
            return E_NOMEM;
        t->bytes = bytes;
        t->cap_bytes = cap;
    }
    return OK;
}

int interner_add(struct interner *t, const void *p, size_t n, uint32_t *out)
{
    uint32_t hash = hash_bytes(p, n);
    size_t slot;

    if (interner_find(t, p, n, out))
        return OK;
    if (n > UINT32_MAX || t->n >= UINT32_MAX - 1 || make_room(t, n) != OK)
        return E_NOMEM;
    slot = find_slot(t, p, n, hash);
    t->at[t->n] = (struct interned){ t->n_bytes, (uint32_t)n, hash };
    if (n)
        memcpy(t->bytes + t->n_bytes, p, n);
    t->n_bytes += n;
    *out = (uint32_t)t->n++;
    t->slots[slot] = *out + 1;
    return OK;
}

bool interner_find(const struct interner *t, const void *p, size_t n, uint32_t *out)
{
    size_t slot;

    if (t->n == 0)
        return false;
    slot = find_slot(t, p, n, hash_bytes(p, n));
    if (t->slots[slot] == 0)
        return false;
    *out = t->slots[slot] - 1;
    return true;
}

struct span interner_at(const struct interner *t, uint32_t number)
{
    return (struct span){ t->bytes + t->at[number].offset, t->at[number].n };
}

void interner_free(struct interner *t)
{
    free(t->bytes);
    free(t->at);
    free(t->slots);
    *t = (struct interner){ 0 };
}
