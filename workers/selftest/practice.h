#ifndef WORKERS_SELFTEST_PRACTICE_H
#define WORKERS_SELFTEST_PRACTICE_H

#include "workers/selftest/policy.h"

/* Practice in the world of outcomes through the real tasks: rollout, update, rollout, … */
struct practice {
    const char *name;
    TrainTask__Objective objective;
    uint32_t iterations, batch, minibatch, group;
    double learning_rate, beta2;
    uint32_t warmup; /* iterations */
    bool shared;     /* the critic is a head of the policy */
};
extern const struct practice practice_ppo, practice_shared, practice_rloo, practice_grpo;

struct practised {
    struct id checkpoint;
    double first_kl, first_ratio; /* iteration 0: KL to the reference; approximate KL to itself */
};

/* init: a checkpoint of the policy it starts from; reference: of the one that KL is held to. On a
 * testbed with the wrong KL, rewards are charged by |log pi - log ref|. */
int practise(struct practised *out, struct testbed *t, const struct practice *how, double beta,
    const struct id *init, const struct id *reference, struct err *e);

#endif
