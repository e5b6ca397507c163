#ifndef WORKERS_TASKS_EXPERIENCE_H
#define WORKERS_TASKS_EXPERIENCE_H

#include "proto/message.h"
#include "workers/tasks/task.h"

#define GROUP_MAX 1024 /* answers to one prompt */

/* The episodes of one iteration's batch, whichever shards they came in: in the order of their
 * places in the batch, groups together, and what is learned from each token. */
struct experience {
    size_t n, tokens;  /* episodes; tokens of all their answers */
    size_t group;      /* answers to each prompt: episodes [k group, (k + 1) group) */
    size_t max_tokens; /* of one episode, prompt and answer */
    Episode **episodes;
    size_t *first;              /* of each episode's answer in the arrays below; n + 1 */
    float *reward;              /* of each token, KL included where it stands in the reward */
    float *advantage, *returns; /* set by an estimator */
};

/* How advantages come of rewards: one row for each kind of practice. */
struct estimator {
    const char *name;
    /* Sets advantage, and a critic's returns, of reward. */
    void (*advantages)(struct experience *x, const RlConfig *rl);
    size_t least_group;
    bool kl_in_loss;   /* by k3; else in the reward, by k1 */
    bool critic;       /* a value network is trained beside the policy */
    bool whole_answer; /* the answer is one action: its ratio is clipped as a whole */
    /* Weight of each token in the loss of a minibatch: of one of n answers, this one of so many
     * tokens, all of them of so many. */
    double (*weight)(size_t n, size_t own, size_t all);
};
extern const struct estimator estimator_ppo, estimator_rloo, estimator_grpo;

/* Reads the spec's shards. INVARIANTS, E_INVARIANT: every place of the batch is taken once, so
 * groups are complete, and a group has one prompt; every token has its log-probabilities, and with
 * a critic its value; every score is finite. */
int experience_open(struct experience *out, const struct task_context *c, const TaskSpec *spec,
    const struct estimator *how, size_t context, struct err *e);
void experience_close(struct experience *x); /* of zeros is fine */

/* The score that counts: an answer without an end has its own only where that is asked for. */
double episode_score(const Episode *x, const RlConfig *rl);

/* Sets reward, advantage and returns. */
void experience_learn(
    struct experience *x, const struct estimator *how, const RlConfig *rl, double kl_coef);

#endif
