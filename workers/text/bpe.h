#ifndef WORKERS_TEXT_BPE_H
#define WORKERS_TEXT_BPE_H

#include "workers/text/pair_map.h"
#include "workers/text/tokenizer.h"

int ids_push(struct ids *ids, int32_t id); /* E_NOMEM */

struct merge {
    uint32_t left, right, product;
};

/* The merges of a tokenizer. */
struct merges {
    struct merge *at;
    size_t n;
    struct pair_map places; /* (left, right) → place in `at` */
    /* Of each in `at`, least is best; equal ones: the leftmost pair. NULL: its place. */
    const uint32_t *ranks;
};
void merges_free(struct merges *m);

/* Room for merging pieces; grows to the longest. Zero-initialise; merger_free when done. */
struct merger {
    struct symbol *symbols;
    uint64_t *queue;
    size_t n, cap, n_queue;
};
void merger_free(struct merger *g);

/* Begins a piece of at most so many symbols, which are then added from left to right. E_NOMEM. */
int merger_begin(struct merger *g, size_t most);
void merger_add(struct merger *g, uint32_t id);
/* Appends to out what becomes of them when again and again the pair of lowest rank, the leftmost
 * of its kind, is replaced by its product. O(n log n). E_NOMEM. */
int merger_finish(struct merger *g, struct ids *out, const struct merges *m);

#endif
