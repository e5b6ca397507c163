#ifndef WORKERS_TEXT_INTERNER_H
#define WORKERS_TEXT_INTERNER_H

#include "proto/bytes.h"

/* Distinct byte strings, numbered 0, 1, 2 … in the order they first came. Zero-initialise;
 * interner_free when done. */
struct interner {
    char *bytes;
    size_t n_bytes, cap_bytes;
    struct interned *at;
    size_t n, cap;
    uint32_t *slots; /* number + 1; 0: free */
    size_t n_slots;  /* a power of two */
};

/* Copies p[0..n) unless it is known; *out is its number either way. E_NOMEM. */
int interner_add(struct interner *t, const void *p, size_t n, uint32_t *out);
bool interner_find(const struct interner *t, const void *p, size_t n, uint32_t *out);
/* Borrows: valid until the next interner_add. */
struct span interner_at(const struct interner *t, uint32_t number);
void interner_free(struct interner *t);

#endif
