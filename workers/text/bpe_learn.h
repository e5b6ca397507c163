#ifndef WORKERS_TEXT_BPE_LEARN_H
#define WORKERS_TEXT_BPE_LEARN_H

#include "workers/text/bpe.h"
#include "workers/text/interner.h"

/* What training has found: tokens 0 … 255 are the bytes, the others products of merges. Two
 * merges may have the same product, so there are at least as many merges as new tokens. */
struct learned {
    struct interner tokens;
    struct merge *merges;
    size_t n_merges, cap_merges;
};
void learned_free(struct learned *l);

/* Merges the most frequent pair (counted over all pieces, piece i being there counts[i] times)
 * until there are n_tokens tokens or no pair is there twice. Of pairs equally frequent the one
 * with the smaller left bytes comes first, then the smaller right bytes. Frees the pieces. */
int learn_merges(struct learned *out, struct interner *pieces, const uint64_t *counts,
    uint32_t n_tokens, struct err *e);

#endif
