#ifndef WORKERS_MODEL_SAMPLER_H
#define WORKERS_MODEL_SAMPLER_H

#include <stdbool.h>

#include "workers/math/kernels.h"

/* In this order: temperature, top-k, top-p, min-p; of equals the lower id is the better one.
 * temperature 0 is greedy. */
struct sampler {
    double temperature; /* 1 */
    uint32_t top_k;     /* 0: off */
    double top_p;       /* 1: off */
    double min_p;       /* 0: off */
};

/* Below a temperature of 1e-6, too, nothing but the best token has a chance; but divided by less
 * than about 1e-8, logits differ by more than float can tell from a rounding error. */
bool sampler_is_greedy(double temperature);

/* What a sampler makes of logits: probability[v] after temperature, top-k, top-p, min-p,
 * normalised; cut tokens are 0. All are 0 when no logit is finite or one is infinite: then
 * sampler_pick gives -1. scratch: v ints. */
void sampler_probabilities(
    float *probability, const float *logits, size_t v, const struct sampler *s, int32_t *scratch);

/* The token at quantile u of [0, 1). */
int32_t sampler_pick(const float *probability, size_t v, double u);

/* Both at once, for the next token: -1 or the token, and its log probability under the sampler
 * (greedy: 0). A sampler that cuts nothing neither sorts nor writes probabilities. scratch:
 * sampler_scratch numbers. */
int32_t sampler_draw(const struct kernels *k, float *log_prob, const float *logits, size_t v,
    const struct sampler *s, double u, float *scratch);
size_t sampler_scratch(const struct sampler *s, size_t v);

#endif
