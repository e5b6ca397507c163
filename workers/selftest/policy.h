#ifndef WORKERS_SELFTEST_POLICY_H
#define WORKERS_SELFTEST_POLICY_H

#include "workers/selftest/letters.h"
#include "workers/selftest/outcomes.h"

/* Transformers over the outcomes: two layers of width 32, one prompt. Every answer has three
 * letters and no end token. */

/* The prompt as every task reads it. */
enum { POLICY_PROMPT = 2 };
extern const char policy_prompt[];
extern const int32_t policy_prompt_tokens[POLICY_PROMPT];

/* Exactly the reference: the output layer sees a constant alone. All else has its usual initial
 * weights, so that the model can learn anything. */
int policy_reference(struct model **out, const struct id *tokenizer, struct err *e);
/* Fits m to the distribution, by gradient descent on all outcomes together; takes m, and gives the
 * fitted model. */
int policy_fit(struct model **out, struct model *takes, const struct engine *en,
    const double target[OUTCOMES], struct err *e);

/* What the model says by the training forward pass. */
int policy_distribution(
    double p[OUTCOMES], const struct engine *en, const struct model *m, struct err *e);
/* What the sampler does: the shares of n draws by the generator; the rest is no outcome. */
int policy_histogram(
    double p[OUTCOMES], const struct engine *en, const struct model *m, size_t n, struct err *e);

#endif
