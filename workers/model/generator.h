#ifndef WORKERS_MODEL_GENERATOR_H
#define WORKERS_MODEL_GENERATOR_H

#include "workers/model/transformer.h"

/* Sampling with a KV cache, batched and continuous: a finished sequence leaves its slot to the
 * next one. What a sequence becomes depends only on (model, prompt, sampler, seed, item), not on
 * its neighbours. */

/* In this order: temperature, top-k, top-p, min-p; of equals the lower id is the better one.
 * temperature 0 is greedy. */
struct sampler {
    double temperature; /* 1 */
    uint32_t top_k;     /* 0: off */
    double top_p;       /* 1: off */
    double min_p;       /* 0: off */
};

struct generation {
    const int32_t *prompt; /* borrowed; at least one token */
    size_t n_prompt;
    uint64_t item; /* names the sequence for the random numbers; below 2^32 */
    /* out: */
    int32_t *tokens; /* caller's, room for max_new; the stop token is included */
    size_t n_tokens;
    bool ended; /* by a stop token, not by a limit */
};

struct generator_options {
    struct sampler sampler;
    uint64_t seed;
    uint32_t step;    /* PPO: the iteration; mixed into the random numbers */
    size_t max_new;   /* also limited by the model's context */
    size_t slots;     /* sequences at once; results do not depend on it */
    int32_t stops[4]; /* token ids that end an answer */
    size_t n_stops;
    /* Ids never sampled: padding, role marks. Their probability goes to the others. PPO's
     * log-probabilities know of no ban: there, ban only what the model never learns to say. */
    int32_t banned[8];
    size_t n_banned;
};

/* Fills the outputs of all n generations. A prompt longer than the context is E_INPUT, one that
 * fills it has no answer. The token at `position` (the prompt's first is 0) is drawn with
 * rng_uniform(seed, RNG_SAMPLE, position, item + (step << 32)). progress (may be NULL) is called
 * now and then with the number of finished ones; a nonzero return stops: E_CANCELLED. */
int generate(const struct engine *en, const struct model *m, struct generation *g, size_t n,
    const struct generator_options *o, int (*progress)(void *ctx, size_t done), void *ctx,
    struct err *e);

/* What a sampler makes of logits: probability[v] after temperature, top-k, top-p, min-p,
 * normalised; cut tokens are 0. All are 0 when no logit is finite or one is infinite: then
 * sampler_pick gives -1. scratch: v ints. */
void sampler_probabilities(
    float *probability, const float *logits, size_t v, const struct sampler *s, int32_t *scratch);

/* The token at quantile u of [0, 1). */
int32_t sampler_pick(const float *probability, size_t v, double u);

#endif
