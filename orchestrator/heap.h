#ifndef ORCHESTRATOR_HEAP_H
#define ORCHESTRATOR_HEAP_H

#include "proto/bytes.h"

/* A binary heap of things that know where in it they stand, so that any of them can leave. What
 * is ranked has a struct ranked as its first member, and stands in one heap at most. */
struct ranked {
    size_t at; /* place + 1; 0: in no heap */
};

struct heap {
    struct ranked **items; /* the first goes before all others */
    size_t n, cap;
    bool (*before)(const struct ranked *a, const struct ranked *b);
};

int heap_reserve(struct heap *h, size_t n, struct err *e); /* room for n in all */
void heap_free(struct heap *h);
struct ranked *heap_first(const struct heap *h);   /* NULL: empty */
struct ranked *heap_second(const struct heap *h);  /* NULL: there are fewer than two */
void heap_put(struct heap *h, struct ranked *r);   /* there is room */
void heap_take(struct heap *h, struct ranked *r);  /* it is in h */
void heap_moved(struct heap *h, struct ranked *r); /* its rank has changed */

#endif
