#ifndef WORKERS_MODEL_TRANSFORMER_H
#define WORKERS_MODEL_TRANSFORMER_H

#include "workers/model/model.h"

/* Residual dropout (Srivastava et al. 2014; Radford et al. 2018, sec. 4.1): of what a layer adds
 * to the residual stream each number is 0 with chance `rate`, else 1 / (1 - rate) times as large.
 * Which ones depends on (seed, step, number of the token in its step) alone. */
struct dropout {
    double rate; /* 0 <= rate < 1 */
    uint64_t seed;
    uint32_t step;
    uint64_t first; /* number of the batch's first token in its step */
};

/* Sequences laid end to end: no padding anywhere. Positions count from 0 in each sequence and
 * attention never crosses into another. Borrows. */
struct batch {
    size_t n_sequences, n_tokens;
    const uint32_t *start;         /* n_sequences + 1 offsets */
    const int32_t *tokens;         /* n_tokens */
    const struct dropout *dropout; /* NULL: none; a workspace for training */
    /* n_tokens numbers, or NULL: the heads will be asked at tokens where it is not negative, and
     * what the last layer computes for others alone is left out (targets can stand here). */
    const int32_t *asked;
};

/* What a workspace is for: the sum of these, or 0: forward alone. */
enum workspace_mode {
    WORKSPACE_TRAINING = 1, /* with gradients */
    /* With TRAINING: of each layer only its input is kept, and the backward pass computes the rest
     * again (Chen et al. 2016, "Training deep nets with sublinear memory cost"): the same bits. */
    WORKSPACE_CHECKPOINTING = 2,
    /* Products with weights round what they multiply to bfloat16, forward and backward; sums, and
     * all else, are float32. */
    WORKSPACE_BF16 = 4,
};
unsigned workspace_precision(Precision p); /* the mode that gives it */

/* Room for the activations of up to max_tokens tokens in any number of sequences. Made for a
 * model with an LM head it serves one with a scalar head and the same body as well. All memory is
 * taken here, and touched once; nothing below allocates. */
struct workspace;
size_t workspace_bytes(const ModelConfig *c, size_t max_tokens, unsigned mode);
int workspace_new(
    struct workspace **out, const ModelConfig *c, size_t max_tokens, unsigned mode, struct err *e);
void workspace_free(struct workspace *w);
/* Whether what was made for one configuration serves another: the same body, and no LM head where
 * there was none. */
bool workspace_serves(const ModelConfig *made_for, const ModelConfig *c);

/* Runs the body; afterwards the heads below may be asked. INVARIANT: what is computed for a
 * sequence has the same bits in any batch. Borrows b until the next forward. */
void transformer_forward(
    struct workspace *w, const struct engine *en, const struct model *m, const struct batch *b);

/* LM head, at tokens that were to be asked. target[i]: the token whose probability is asked at
 * position i, -1: none. log_prob[i] (and entropy[i] unless NULL) of softmax(logits / temperature).
 * Logits are made in chunks, never whole. */
void transformer_log_probs(struct workspace *w, const struct engine *en, const struct model *m,
    const int32_t *target, float temperature, float *log_prob, float *entropy);

/* The logits at the position of token i: vocab_size floats. */
void transformer_logits(
    struct workspace *w, const struct engine *en, const struct model *m, size_t i, float *logits);

/* Scalar or value head: value[n_tokens], raw (without a reward's bias, scale), 0 where it was not
 * to be asked. */
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

/* The same for a policy that is its own critic: of an L of both, in one pass through the body. */
struct head_gradients {
    const float *log_prob, *value;
};
void transformer_backward_both(struct workspace *w, const struct engine *en, const struct model *m,
    float *grad, const int32_t *target, const struct head_gradients *g, float temperature,
    float *log_prob);

#endif
