#ifndef WORKERS_MATH_ARENA_H
#define WORKERS_MATH_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

/* One allocation for each lifetime: sized up front, given out in 64-byte aligned pieces. */
struct arena {
    char *p;
    size_t n, used;
};

int arena_init(struct arena *a, size_t bytes, struct err *e); /* zeroed; E_NOMEM says how much */
void arena_free(struct arena *a);
float *arena_floats(struct arena *a, size_t count); /* asserts that it fits */
int32_t *arena_ints(struct arena *a, size_t count);
size_t arena_size(size_t count); /* bytes that arena_floats(count) takes */

#endif
