#include <math.h>
#include <stdio.h>

#include "workers/selftest/known.h"
#include "workers/selftest/practice.h"
#include "workers/selftest/preferences.h"

/* The gate: practice must bring a real transformer to an optimum that is known exactly. */

enum { DRAWS = 100000 };

static const double betas[] = { 1, .5, .2 };

static const struct practice *const practices[] = { &practice_ppo, &practice_rloo, &practice_grpo,
    &practice_shared };

/* How near GRPO must come at each beta, in so many samples: practice.c. */
static const double grpo_within[] = { .03, .05, .07 };

struct aim {
    double p[OUTCOMES];
    double within;  /* total variation */
    double optimum; /* the best value there is */
    double away;    /* of p from where that is */
    bool exact;     /* p is the optimum */
};

/* GRPO's advantages are in units of their group's deviation and its KL stands in the loss: it goes
 * to a place of its own, which is computed as well, and so is how far that is from the optimum. */
static void aim_at(struct aim *x, const struct practice *how, int i)
{
    double best[OUTCOMES];

    x->exact = how->objective != TRAIN_TASK__OBJECTIVE__GRPO;
    x->within = x->exact ? .02 : grpo_within[i];
    x->optimum = outcomes_optimum(x->p, betas[i]);
    outcomes_optimum(best, betas[i]);
    if (!x->exact)
        outcomes_grpo(x->p, betas[i], (int)how->group);
    x->away = outcomes_distance(x->p, best);
}

/* The checkpoints of the reference, and (there: NULL or) of a model that is at the aim. */
static int starts(
    struct id *reference, struct id *there, struct testbed *t, const double *aim, struct err *e)
{
    struct model *m = NULL, *fitted = NULL;
    struct id tokenizer;
    int rc = letters_tokenizer(&tokenizer, t, "", e);

    if (rc == OK)
        rc = policy_reference(&m, &tokenizer, e);
    if (rc == OK)
        rc = letters_save(reference, t, m, e);
    if (rc == OK && there) {
        rc = policy_fit(&fitted, m, &t->engine, aim, e);
        m = NULL;
    }
    if (rc == OK && there)
        rc = letters_save(there, t, fitted, e);
    model_free(m);
    model_free(fitted);
    return rc;
}

static void judge(struct verdict *v, const struct aim *aim, const double p[OUTCOMES], double beta)
{
    double distance = outcomes_distance(p, aim->p), value = outcomes_value(p, beta);

    v->holds = distance < aim->within && (!aim->exact || value > aim->optimum - .005);
    if (aim->exact) {
        snprintf(v->expected, sizeof v->expected, "TV < .02, J > %.4f", aim->optimum - .005);
        snprintf(v->got, sizeof v->got, "TV %.4f, J %.4f", distance, value);
    } else {
        double best[OUTCOMES];
        outcomes_optimum(best, beta);
        snprintf(v->expected, sizeof v->expected, "TV < %.2g, π* at %.3f", aim->within, aim->away);
        snprintf(
            v->got, sizeof v->got, "TV %.4f, π* at %.3f", distance, outcomes_distance(p, best));
    }
}

static int judge_checkpoint(struct verdict *v, struct testbed *t, const struct id *checkpoint,
    const struct aim *aim, double beta, struct err *e)
{
    struct model *m = NULL;
    double p[OUTCOMES];
    int rc = model_load(&m, t->store, checkpoint, "", e);

    if (rc == OK)
        rc = policy_histogram(p, &t->engine, m, DRAWS, e);
    if (rc == OK)
        judge(v, aim, p, beta);
    model_free(m);
    return rc;
}

/* variant: practice, beta, and whether it starts from where it should end, as GATE numbers them.
 * From there, half of the way is enough to drift. */
static int gate(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    struct practice how = *practices[k->variant / 6];
    int i = k->variant / 2 % 3;
    bool there = k->variant % 2;
    struct id reference, init;
    struct practised done;
    struct aim aim;

    aim_at(&aim, &how, i);
    if (there)
        how.iterations /= 2;
    int rc = starts(&reference, there ? &init : NULL, t, aim.p, e);
    if (rc == OK)
        rc = practise(&done, t, &how, betas[i], there ? &init : &reference, &reference, e);
    return rc == OK ? judge_checkpoint(v, t, &done.checkpoint, &aim, betas[i], e) : rc;
}

/* The same optimum from rankings. variant: beta, and where it starts, as in `gate`. */
static int preferred(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    int i = k->variant / 2 % 3;
    bool there = k->variant % 2;
    struct id reference, init, checkpoint;
    struct aim aim;

    aim_at(&aim, &practice_ppo, i);
    int rc = starts(&reference, there ? &init : NULL, t, aim.p, e);
    if (rc == OK)
        rc = prefer(&checkpoint, t, betas[i], there ? &init : &reference, &reference, e);
    return rc == OK ? judge_checkpoint(v, t, &checkpoint, &aim, betas[i], e) : rc;
}

/* ---- what must hold of the first update ---- */

/* variant 0: the KL to the reference; 1: the approximate KL of the policy to itself. */
static int first(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    struct practice once = practice_ppo;
    struct id reference;
    struct practised done = { .first_kl = NAN };
    int rc = starts(&reference, NULL, t, NULL, e);

    once.iterations = 1;
    once.minibatch = once.batch;
    if (rc == OK)
        rc = practise(&done, t, &once, .5, &reference, &reference, e);
    double got = k->variant ? done.first_ratio : done.first_kl;
    if (rc == OK)
        verdict_say(v, got == 0, "0", "%g", got);
    return rc;
}

#define AT(test, practice, beta, n)                                                             \
    { "gate/" practice "/" beta "/ref", practice " at β " beta " from π_ref", test, n },        \
    {                                                                                           \
        "gate/" practice "/" beta "/there", practice " at β " beta " from its aim", test, n + 1 \
    }
#define GATE(test, practice, n) \
    AT(test, practice, "1", n), AT(test, practice, "0.5", n + 2), AT(test, practice, "0.2", n + 4)

static const struct known rows[] = {
    { "gate/first-kl", "KL to the reference in iteration 0", first, 0 },
    { "gate/first-ratio", "approximate KL of the first minibatch to its own rollout", first, 1 },
    GATE(gate, "ppo", 0),
    GATE(gate, "rloo", 6),
    GATE(gate, "grpo", 12),
    { "gate/shared", "PPO at β 0.5 from π_ref, its critic a head of the policy", gate, 20 },
    GATE(preferred, "dpo", 0),
};
#undef GATE
#undef AT
const struct known_table known_gate = { rows, sizeof rows / sizeof *rows };
