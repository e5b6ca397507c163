#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "workers/tasks/experience.h"

static void near(double got, double want, double eps)
{
    if (!(fabs(got - want) <= eps))
        fail_msg("got %.9f, want %.9f", got, want);
}

/* Two prompts, two answers each, of two tokens and one: everything can be worked out by hand. */
struct batch_of_four {
    struct experience x;
    Episode episodes[4], *pointers[4];
    float log_probs[4][2], ref_log_probs[4][2], values[4][2];
    size_t first[5];
    float reward[6], advantage[6], returns[6];
};

static RlConfig plain(void)
{
    RlConfig rl = RL_CONFIG__INIT;

    rl.discount = 1;
    rl.gae_lambda = 1;
    rl.missing_end_score = -1;
    return rl;
}

static void batch_start(struct batch_of_four *b)
{
    static const float scores[] = { 1, 0, 3, 5 };
    static const size_t tokens[] = { 2, 1, 1, 2 };

    *b = (struct batch_of_four){ .x = { .n = 4, .tokens = 6, .group = 2 } };
    for (size_t i = 0; i < 4; i++) {
        Episode *one = b->pointers[i] = &b->episodes[i];
        episode__init(one);
        one->n_answer = one->n_log_probs = one->n_ref_log_probs = one->n_values = tokens[i];
        one->log_probs = b->log_probs[i];
        one->ref_log_probs = b->ref_log_probs[i];
        one->values = b->values[i];
        one->score = scores[i];
        one->ended = true;
        b->log_probs[i][0] = -1;
        b->ref_log_probs[i][0] = -2; /* log-ratio 1, at each first token */
        b->first[i + 1] = b->first[i] + tokens[i];
    }
    b->x.episodes = b->pointers;
    b->x.first = b->first;
    b->x.reward = b->reward;
    b->x.advantage = b->advantage;
    b->x.returns = b->returns;
}

static void ppo_trusts_the_critic(void **state)
{
    struct batch_of_four b;
    RlConfig rl = plain();

    (void)state;
    batch_start(&b);
    b.values[0][0] = .25F;
    b.values[0][1] = .5F;
    experience_learn(&b.x, &estimator_ppo, &rl, .1);
    near(b.reward[0], -.1, 1e-7); /* KL, then the score */
    near(b.reward[1], 1, 1e-7);
    near(b.advantage[0], -.1 + 1 - .25, 1e-6);
    near(b.advantage[1], .5, 1e-6);
    near(b.returns[0], .9, 1e-6);
    near(b.advantage[2], -.1, 1e-6);
}

static void rloo_compares_rewards_with_the_kl_in_them(void **state)
{
    struct batch_of_four b;
    RlConfig rl = plain();
    const double want[] = { 1, 1, -1, -2, 2, 2 }; /* rewards .9, -.1 and 2.9, 4.9 */

    (void)state;
    batch_start(&b);
    experience_learn(&b.x, &estimator_rloo, &rl, .1);
    for (int i = 0; i < 6; i++)
        near(b.advantage[i], want[i], 1e-6);
    b.log_probs[0][0] = 9; /* log-ratio 11: the first reward is -.1 as the second is */
    experience_learn(&b.x, &estimator_rloo, &rl, .1);
    near(b.advantage[0], 0, 1e-6);
}

static void grpo_compares_scores_in_units_of_their_groups_deviation(void **state)
{
    struct batch_of_four b;
    RlConfig rl = plain();

    (void)state;
    batch_start(&b);
    rl.scale_rewards = true;
    experience_learn(&b.x, &estimator_grpo, &rl, .1);
    near(b.advantage[0], .5 / .5001, 1e-6);
    near(b.advantage[1], .5 / .5001, 1e-6);
    near(b.advantage[2], -.5 / .5001, 1e-6);
    near(b.advantage[5], 1 / 1.0001, 1e-6);
    rl.scale_rewards = false;
    experience_learn(&b.x, &estimator_grpo, &rl, .1);
    near(b.advantage[5], 1, 1e-6);
}

static void an_answer_without_an_end_keeps_its_score_only_when_asked(void **state)
{
    Episode x = EPISODE__INIT;
    RlConfig rl = plain();

    (void)state;
    x.score = 3;
    near(episode_score(&x, &rl), -1, 0);
    rl.score_unended = true;
    near(episode_score(&x, &rl), 3, 0);
    rl.score_unended = false;
    x.ended = true;
    near(episode_score(&x, &rl), 3, 0);
}

static void whitening_is_over_the_batchs_tokens(void **state)
{
    struct batch_of_four b;
    RlConfig rl = plain();
    double mean = 0, square = 0;

    (void)state;
    batch_start(&b);
    rl.whiten_advantages = true;
    experience_learn(&b.x, &estimator_ppo, &rl, .1);
    for (int i = 0; i < 6; i++) {
        mean += b.advantage[i] / 6;
        square += b.advantage[i] * b.advantage[i] / 6;
    }
    near(mean, 0, 1e-6);
    near(square, 1, 1e-5);
}

/* The switch that shows that the gate can fail. */
static void a_wrong_estimator_of_kl_gives_other_rewards(void **state)
{
    struct batch_of_four b;
    RlConfig rl = plain();

    (void)state;
    batch_start(&b);
    b.log_probs[0][0] = -4; /* log-ratio -2 */
    experience_learn(&b.x, &estimator_ppo, &rl, .1);
    near(b.reward[0], .2, 1e-7);
    rl.kl_in_reward = RL_CONFIG__KL_IN_REWARD__ABS_K1;
    experience_learn(&b.x, &estimator_ppo, &rl, .1);
    near(b.reward[0], -.2, 1e-7);
}

/* Weights of 3 answers of 2, 3 and 5 tokens. */
static void tokens_weigh_by_batch_by_answer_or_both(void **state)
{
    (void)state;
    near(estimator_ppo.weight(3, 2, 10), .1, 1e-12);
    near(estimator_rloo.weight(3, 2, 10), 1. / 3, 1e-12);
    near(estimator_grpo.weight(3, 2, 10), 1. / 6, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ppo_trusts_the_critic),
        cmocka_unit_test(rloo_compares_rewards_with_the_kl_in_them),
        cmocka_unit_test(grpo_compares_scores_in_units_of_their_groups_deviation),
        cmocka_unit_test(an_answer_without_an_end_keeps_its_score_only_when_asked),
        cmocka_unit_test(whitening_is_over_the_batchs_tokens),
        cmocka_unit_test(a_wrong_estimator_of_kl_gives_other_rewards),
        cmocka_unit_test(tokens_weigh_by_batch_by_answer_or_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
