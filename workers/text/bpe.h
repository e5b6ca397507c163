#ifndef WORKERS_TEXT_BPE_H
#define WORKERS_TEXT_BPE_H

#include "workers/text/pair_map.h"
#include "workers/text/tokenizer.h"

int ids_push(struct ids *ids, int32_t id); /* E_NOMEM */

struct merge {
    uint32_t left, right, product;
};

/* The merges of a tokenizer, best first. */
struct merges {
    struct merge *at;
    size_t n;
    struct pair_map ranks; /* (left, right) → place in `at` */
};
void merges_free(struct merges *m);

/* Room for merging pieces; grows to the longest. Zero-initialise; merger_free when done. */
struct merger {
    struct symbol *symbols;
    uint64_t *queue;
    size_t cap, n_queue;
};
void merger_free(struct merger *g);

/* Appends to out what becomes of the symbols byte_id[piece[0]], byte_id[piece[1]] … when again
 * and again the pair of lowest rank, the leftmost of its kind, is replaced by its product.
 * O(n log n). E_NOMEM. */
int merge_piece(struct merger *g, struct ids *out, const struct merges *m,
    const uint32_t byte_id[256], struct span piece);

#endif
