#include <math.h>

#include "workers/selftest/known.h"
#include "workers/selftest/policy.h"

/* The world of the gate: its enumeration, the policies that practice starts from, the sampler. */

enum { DRAWS = 100000 };

static const double betas[] = { 1, .5, .2 };

static const struct {
    double value, reward, kl, first[OUTCOME_LETTERS], abd, ddd;
} fixture[] = {
    { .498746, .612843, .114097, { .458887, .244158, .162772, .134183 }, .032660, .002722 },
    { .612767, .835706, .445878, { .515085, .188480, .125653, .170781 }, .070766, .005897 },
    { .887223, 1.245760, 1.792682, { .548769, .078783, .052522, .319926 }, .256926, .021411 },
};

static int enumeration(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    double p[OUTCOMES], reference[OUTCOMES], first[OUTCOME_LETTERS];
    double worst = fabs(outcomes_optimum(p, betas[k->variant]) - fixture[k->variant].value);

    (void)t, (void)e;
    outcomes_reference(reference);
    outcomes_first(first, p);
    worst = fmax(worst, fabs(outcomes_mean_reward(reference) - .39));
    worst = fmax(worst, fabs(outcomes_mean_reward(p) - fixture[k->variant].reward));
    worst = fmax(worst, fabs(outcomes_kl(p, reference) - fixture[k->variant].kl));
    for (int i = 0; i < OUTCOME_LETTERS; i++)
        worst = fmax(worst, fabs(first[i] - fixture[k->variant].first[i]));
    worst = fmax(worst, fabs(p[7] - fixture[k->variant].abd)); /* a, b, d: 0 1 3 */
    worst = fmax(worst, fabs(p[63] - fixture[k->variant].ddd));
    verdict_at_most(v, worst, 6e-7);
    return OK;
}

/* The reference, or a model fitted to the optimum of *beta; aim: the distribution it shall have. */
static int start_model(
    struct model **out, double aim[OUTCOMES], struct testbed *t, const double *beta, struct err *e)
{
    struct model *m = NULL;
    struct id tokenizer;
    int rc = letters_tokenizer(&tokenizer, t, "", e);

    if (rc == OK)
        rc = policy_reference(&m, &tokenizer, e);
    outcomes_reference(aim);
    if (beta)
        outcomes_optimum(aim, *beta);
    if (rc == OK)
        rc = beta ? policy_fit(out, m, &t->engine, aim, e) : OK;
    if (rc == OK && !beta)
        *out = m;
    return rc;
}

/* variant 0: the reference; 1 + i: the optimum of beta i. */
static int start(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    struct model *m = NULL;
    double aim[OUTCOMES], p[OUTCOMES], worst = 0;
    int rc = start_model(&m, aim, t, k->variant ? &betas[k->variant - 1] : NULL, e);

    if (rc == OK)
        rc = policy_distribution(p, &t->engine, m, e);
    for (int y = 0; y < OUTCOMES && rc == OK; y++)
        worst = fmax(worst, fabs(log(p[y] / aim[y])));
    if (rc == OK)
        verdict_at_most(v, worst, k->variant ? 1e-2 : 1e-5);
    model_free(m);
    return rc;
}

static int sampler(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    struct model *m = NULL;
    double aim[OUTCOMES], p[OUTCOMES];
    int rc = start_model(&m, aim, t, NULL, e);

    (void)k;
    if (rc == OK)
        rc = policy_histogram(p, &t->engine, m, DRAWS, e);
    if (rc == OK)
        verdict_at_most(v, outcomes_distance(p, aim), .013);
    model_free(m);
    return rc;
}

static const struct known rows[] = {
    { "gate/fixture/1", "J*, E r, KL, P(first), π*(abd), π*(ddd) at β 1: error", enumeration, 0 },
    { "gate/fixture/0.5", "the same at β 0.5", enumeration, 1 },
    { "gate/fixture/0.2", "the same at β 0.2", enumeration, 2 },
    { "gate/start/reference", "a transformer that is π_ref: |log p - log π_ref|", start, 0 },
    { "gate/start/1", "a transformer fitted to π* of β 1: the same", start, 1 },
    { "gate/start/0.5", "… of β 0.5", start, 2 },
    { "gate/start/0.2", "… of β 0.2", start, 3 },
    { "gate/sampler", "100,000 draws of π_ref by the generator: total variation", sampler, 0 },
};
const struct known_table known_outcomes = { rows, sizeof rows / sizeof *rows };
