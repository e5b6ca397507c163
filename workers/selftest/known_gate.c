#include <math.h>
#include <stdio.h>

#include "workers/selftest/known.h"
#include "workers/selftest/practice.h"

/* The gate: practice must bring a real transformer to an optimum that is known exactly. */

enum { DRAWS = 100000 };

static const double betas[] = { 1, .5, .2 };

static const struct practice *const practices[] = { &practice_ppo, &practice_rloo, &practice_grpo };

struct aim {
    double p[OUTCOMES];
    double optimum; /* the best value there is */
    bool exact;     /* p is the optimum */
};

static void aim_at(struct aim *x, const struct practice *how, double beta)
{
    x->optimum = outcomes_optimum(x->p, beta);
    x->exact = how->objective != TRAIN_TASK__OBJECTIVE__GRPO;
    if (!x->exact)
        outcomes_grpo(x->p, beta, (int)how->group);
}

static int starts(
    struct id *init, struct id *reference, struct testbed *t, const double *beta, struct err *e)
{
    struct model *m = NULL;
    double unused[OUTCOMES];
    int rc = policy_start(&m, unused, t, NULL, e);

    if (rc == OK)
        rc = letters_save(reference, t, m, e);
    model_free(m);
    m = NULL;
    *init = *reference;
    if (rc == OK && beta) {
        rc = policy_start(&m, unused, t, beta, e);
        if (rc == OK)
            rc = letters_save(init, t, m, e);
        model_free(m);
    }
    return rc;
}

/* GRPO's advantages are in units of their group's deviation and its KL stands in the loss: it goes
 * to a place of its own, which is computed as well, and so is how far that is from the optimum. */
static void judge(struct verdict *v, const struct aim *aim, const double p[OUTCOMES], double beta)
{
    double distance = outcomes_distance(p, aim->p), value = outcomes_value(p, beta), best[OUTCOMES];

    v->holds = distance < .02 && (!aim->exact || value > aim->optimum - .005);
    outcomes_optimum(best, beta);
    if (aim->exact) {
        snprintf(v->expected, sizeof v->expected, "TV < .02, J > %.4f", aim->optimum - .005);
        snprintf(v->got, sizeof v->got, "TV %.4f, J %.4f", distance, value);
    } else {
        snprintf(v->expected, sizeof v->expected, "TV < .02, to π* %.4f",
            outcomes_distance(aim->p, best));
        snprintf(
            v->got, sizeof v->got, "TV %.4f, to π* %.4f", distance, outcomes_distance(p, best));
    }
}

/* variant: practice, beta, and whether it starts from the optimum, as GATE numbers them. */
static int gate(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    const struct practice *how = practices[k->variant / 6];
    double beta = betas[k->variant / 2 % 3], p[OUTCOMES];
    struct id init, reference;
    struct practised done;
    struct model *m = NULL;
    struct aim aim;
    int rc = starts(&init, &reference, t, k->variant % 2 ? &beta : NULL, e);

    aim_at(&aim, how, beta);
    if (rc == OK)
        rc = practise(&done, t, how, beta, &init, &reference, e);
    if (rc == OK)
        rc = model_load(&m, t->store, &done.checkpoint, "", e);
    if (rc == OK)
        rc = policy_histogram(p, &t->engine, m, DRAWS, e);
    if (rc == OK)
        judge(v, &aim, p, beta);
    model_free(m);
    return rc;
}

/* ---- what must hold of the first update ---- */

/* variant 0: the KL to the reference; 1: the approximate KL of the policy to itself. */
static int first(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    struct practice once = practice_ppo;
    struct id init, reference;
    struct practised done = { .first_kl = NAN };
    int rc = starts(&init, &reference, t, NULL, e);

    once.iterations = 1;
    once.minibatch = once.batch;
    if (rc == OK)
        rc = practise(&done, t, &once, .5, &init, &reference, e);
    double got = k->variant ? done.first_ratio : done.first_kl;
    if (rc == OK)
        verdict_say(v, got == 0, "0", "%g", got);
    return rc;
}

#define AT(practice, beta, n)                                                            \
    { "gate/" practice "/" beta "/ref", practice " at β " beta " from π_ref", gate, n }, \
    {                                                                                    \
        "gate/" practice "/" beta "/opt", practice " at β " beta " from π*", gate, n + 1 \
    }
#define GATE(practice, n) \
    AT(practice, "1", n), AT(practice, "0.5", n + 2), AT(practice, "0.2", n + 4)

static const struct known rows[] = {
    { "gate/first-kl", "KL to the reference in iteration 0", first, 0 },
    { "gate/first-ratio", "approximate KL of the first minibatch to its own rollout", first, 1 },
    GATE("ppo", 0),
    GATE("rloo", 6),
    GATE("grpo", 12),
};
#undef GATE
#undef AT
const struct known_table known_gate = { rows, sizeof rows / sizeof *rows };
