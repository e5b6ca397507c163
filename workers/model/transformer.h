#ifndef WORKERS_MODEL_TRANSFORMER_H
#define WORKERS_MODEL_TRANSFORMER_H

#include "workers/model/model.h"

/* Sequences laid end to end: no padding anywhere. Positions count from 0 in each sequence and
 * attention never crosses into another. Borrows. */
struct batch {
    size_t n_sequences, n_tokens;
    const uint32_t *start; /* n_sequences + 1 offsets */
    const int32_t *tokens; /* n_tokens */
};

/* Room for the activations of up to max_tokens tokens in any number of sequences; with gradients
 * when `training`. Made for a model with an LM head it serves one with a scalar head and the same
 * body as well. All memory is taken here; nothing below allocates. */
struct workspace;
size_t workspace_bytes(const ModelConfig *c, size_t max_tokens, bool training);
int workspace_new(
    struct workspace **out, const ModelConfig *c, size_t max_tokens, bool training, struct err *e);
void workspace_free(struct workspace *w);

/* Runs the body; afterwards the heads below may be asked. INVARIANT: what is computed for a
 * sequence has the same bits in any batch. Borrows b until the next forward. */
void transformer_forward(
    struct workspace *w, const struct engine *en, const struct model *m, const struct batch *b);

/* LM head. target[i]: the token whose probability is asked at position i, -1: none. log_prob[i]
 * (and entropy[i] unless NULL) of softmax(logits / temperature). Logits are made in chunks, never
 * whole. */
void transformer_log_probs(struct workspace *w, const struct engine *en, const struct model *m,
    const int32_t *target, float temperature, float *log_prob, float *entropy);

/* The logits at the position of token i: vocab_size floats. */
void transformer_logits(
    struct workspace *w, const struct engine *en, const struct model *m, size_t i, float *logits);

/* Scalar head at every position: value[n_tokens], raw (no bias, no scale of the reward). */
void transformer_values(
    struct workspace *w, const struct engine *en, const struct model *m, float *value);

/* With a workspace for training. Adds to grad (laid out as m->params) the gradient of L, given
 * g[i] = dL/dlog_prob[i]; also gives log_prob[i]. One forward of the head: language modelling
 * (g = -1/tokens) needs no transformer_log_probs before it. */
void transformer_backward_log_probs(struct workspace *w, const struct engine *en,
    const struct model *m, float *grad, const int32_t *target, const float *g, float temperature,
    float *log_prob);

/* The same for the scalar head: g[i] = dL/dvalue[i]. */
void transformer_backward_values(struct workspace *w, const struct engine *en,
    const struct model *m, float *grad, const float *g);

#endif
