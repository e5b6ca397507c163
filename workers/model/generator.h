#ifndef WORKERS_MODEL_GENERATOR_H
#define WORKERS_MODEL_GENERATOR_H

#include "workers/model/panels.h"
#include "workers/model/sampler.h"
#include "workers/model/transformer.h"

/* Sampling with a KV cache, batched and continuous: a finished sequence leaves its slot to the
 * next one. What a sequence becomes depends only on (model, prompt, sampler, seed, item), not on
 * its neighbours. */

struct generation {
    const int32_t *prompt; /* borrowed; at least one token */
    size_t n_prompt;
    uint64_t item; /* names the sequence for the random numbers; below 2^32 */
    /* out: */
    int32_t *tokens; /* caller's, room for max_new; the stop token is included */
    /* caller's, like tokens, or NULL: each token's log probability under the sampler that drew it:
     * after rounding, temperature, cuts and bans */
    float *log_probs;
    size_t n_tokens;
    bool ended; /* by a stop token, not by a limit */
};

struct generator_options {
    struct sampler sampler;
    uint64_t seed;
    uint32_t step; /* PPO: the iteration; mixed into the random numbers */
    enum precision precision;
    /* borrowed; the model's, of this precision and this engine's kernels; NULL: made for the call
     * alone */
    const struct panels *panels;
    size_t max_new;   /* also limited by the model's context */
    size_t slots;     /* sequences at once; results do not depend on it */
    int32_t stops[4]; /* token ids that end an answer */
    size_t n_stops;
    /* Ids never sampled: padding, role marks. Their probability goes to the others. PPO's
     * log-probabilities know of no ban: there, ban only what the model never learns to say. */
    int32_t banned[8];
    size_t n_banned;
};

/* Fills the outputs of all n generations. Precision says what the sampler's products round (see
 * struct panel_kernels); log-probabilities for training come from the training forward. A prompt
 * longer than the context is E_INPUT, one that fills it has no answer. The token at `position` (the
 * prompt's first is 0) is drawn with rng_uniform(seed, RNG_SAMPLE, position, item + (step << 32)).
 * progress (may be NULL) is called now and then with the number of finished ones; a nonzero return
 * stops: E_CANCELLED. */
int generate(const struct engine *en, const struct model *m, struct generation *g, size_t n,
    const struct generator_options *o, int (*progress)(void *ctx, size_t done), void *ctx,
    struct err *e);

/* Memory that generate takes for n sequences, the longest of so many tokens with its answer; packed
 * weights are not in it. */
size_t generate_bytes(const struct engine *en, const ModelConfig *c, size_t n, size_t longest,
    const struct generator_options *o);

#endif
