#ifndef WORKERS_TASKS_ROWS_H
#define WORKERS_TASKS_ROWS_H

#include "workers/model/transformer.h"

enum row_column {
    ROW_OLD_LOG_PROB,
    ROW_REF_LOG_PROB,
    ROW_ADVANTAGE,
    ROW_RETURN,
    ROW_OLD_VALUE,
    ROW_COLUMNS
};

#define ASK_SCALAR 0 /* as a target: the scalar head is asked here, whatever comes next */

/* The sequences of one optimiser step, laid end to end, with what the loss needs to know of each
 * token. Sequences are grouped in units (an example, all answers to one prompt) that are never
 * torn apart when a step is cut into micro-batches. */
struct rows {
    size_t n_units, n_sequences, n_tokens;
    size_t max_units, max_sequences, max_tokens;
    uint32_t *unit;  /* first sequence of each unit; n_units + 1 */
    uint32_t *start; /* first token of each sequence; n_sequences + 1 */
    uint32_t *tier;  /* of each sequence: its rank (RANKING) */
    int32_t *tokens;
    int32_t *target;            /* token asked at this position, or ASK_SCALAR; -1: none */
    float *weight;              /* of the target in the loss */
    float *column[ROW_COLUMNS]; /* practice, at each target */
};

/* For training, tokens is units x the tokens of the largest unit. */
int rows_init(struct rows *r, size_t units, size_t sequences, size_t tokens, struct err *e);
void rows_free(struct rows *r);
size_t rows_bytes(const struct rows *r); /* what it takes */

void rows_clear(struct rows *r);
void rows_unit(struct rows *r);       /* what follows belongs to a new unit */
size_t rows_sequence(struct rows *r); /* a new sequence; returns the place of its first token */
/* Adds a token to the last sequence; asserts that there is room. */
void rows_token(struct rows *r, int32_t token, int32_t target, float weight);

/* A view of the units [first, returned) whose tokens fit in `budget` (at least one unit): start[]
 * is rebased into the caller's buffer of n_sequences + 1. */
size_t rows_micro(const struct rows *r, size_t first, size_t budget, uint32_t *start,
    struct batch *out, size_t *token0);

#endif
