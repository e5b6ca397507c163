#include "workers/tasks/experience.h"

#include "workers/tasks/losses.h"

/*              advantage of              KL in        the ratio of    loss averaged over
 *   ppo        a token, by a critic      the reward   a token         tokens
 *   rloo       an answer, of its group   the reward   an answer       answers
 *   grpo       an answer, of its group   the loss     a token         answers, each over its tokens
 */

/* ---- ppo: Ouyang et al. 2022, Schulman et al. 2016 ---- */

static void by_critic(struct experience *x, const RlConfig *rl)
{
    if (rl->whiten_rewards)
        whiten(x->reward, x->tokens, true);
    for (size_t i = 0; i < x->n; i++) {
        size_t at = x->first[i];
        gae(x->advantage + at, x->returns + at, x->reward + at, x->episodes[i]->values,
            x->episodes[i]->n_answer, rl->discount, rl->gae_lambda);
    }
    if (rl->whiten_advantages)
        whiten(x->advantage, x->tokens, false);
}

static double over_tokens(size_t n, size_t own, size_t all)
{
    (void)n;
    (void)own;
    return 1 / (double)all;
}

/* ---- an answer as a whole, against the others of its group ---- */

/* Rewards of one group's answers → their advantages. */
static void each_group(struct experience *x, const RlConfig *rl,
    void (*compare)(double *answers, size_t n, const RlConfig *rl))
{
    for (size_t from = 0; from < x->n; from += x->group) {
        double answers[GROUP_MAX] = { 0 };
        const size_t *first = x->first + from;
        for (size_t i = 0; i < x->group; i++)
            for (size_t k = first[i]; k < first[i + 1]; k++)
                answers[i] += x->reward[k];
        compare(answers, x->group, rl);
        for (size_t i = 0; i < x->group; i++)
            for (size_t k = first[i]; k < first[i + 1]; k++)
                x->advantage[k] = (float)answers[i];
    }
}

static void with_the_others(double *answers, size_t n, const RlConfig *rl)
{
    (void)rl;
    leave_one_out(answers, answers, n);
}

static void with_the_group(double *answers, size_t n, const RlConfig *rl)
{
    group_normalise(answers, answers, n, rl->scale_rewards);
}

static void by_the_others(struct experience *x, const RlConfig *rl)
{
    each_group(x, rl, with_the_others);
}

static void by_the_group(struct experience *x, const RlConfig *rl)
{
    each_group(x, rl, with_the_group);
}

static double over_answers(size_t n, size_t own, size_t all)
{
    (void)own;
    (void)all;
    return 1 / (double)n;
}

static double over_each_answers_tokens(size_t n, size_t own, size_t all)
{
    (void)all;
    return 1 / ((double)n * (double)own);
}

const struct estimator estimator_ppo = { "ppo", by_critic, .least_group = 1, .critic = true,
    .weight = over_tokens };
const struct estimator estimator_rloo = { "rloo", by_the_others, .least_group = 2,
    .whole_answer = true, .weight = over_answers };
const struct estimator estimator_grpo = { "grpo", by_the_group, .least_group = 2,
    .kl_in_loss = true, .weight = over_each_answers_tokens };

double episode_score(const Episode *x, const RlConfig *rl)
{
    return x->ended || rl->score_unended ? x->score : rl->missing_end_score;
}

void experience_learn(
    struct experience *x, const struct estimator *how, const RlConfig *rl, double kl_coef)
{
    static const enum kl_estimator estimators[] = {
        [RL_CONFIG__KL_IN_REWARD__K1] = KL_K1,
        [RL_CONFIG__KL_IN_REWARD__ABS_K1] = KL_ABS_K1,
        [RL_CONFIG__KL_IN_REWARD__K2] = KL_K2,
        [RL_CONFIG__KL_IN_REWARD__K3] = KL_K3,
    };

    for (size_t i = 0; i < x->n; i++) {
        const Episode *one = x->episodes[i];
        kl_rewards(x->reward + x->first[i], one->log_probs, one->ref_log_probs, one->n_answer,
            how->kl_in_loss ? 0 : kl_coef, estimators[rl->kl_in_reward], episode_score(one, rl));
    }
    how->advantages(x, rl);
}
