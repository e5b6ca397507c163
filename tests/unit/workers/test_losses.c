#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "workers/tasks/losses.h"

static void near(double got, double want, double eps)
{
    if (!(fabs(got - want) <= eps))
        fail_msg("got %.9f, want %.9f", got, want);
}

static void ranking_loss_of_four_answers_is_the_known_one(void **state)
{
    (void)state;
    float s[] = { 1.5f, .5f, -.5f, -1.5f }, g[4];
    uint32_t tier[] = { 0, 1, 2, 3 };
    size_t pairs, right;

    near(ranking_loss(g, s, tier, 4, &pairs, &right), .207038, 1e-6);
    assert_int_equal(pairs, 6);
    assert_int_equal(right, 6);
    near(g[0], -.072595, 1e-6);
    near(g[1], -.019867, 1e-6);
    near(g[2], .019867, 1e-6);
    near(g[3], .072595, 1e-6);
}

static void adding_a_constant_to_the_scores_changes_nothing(void **state)
{
    (void)state;
    float s[] = { 8.5f, 7.5f, 6.5f, 5.5f };
    uint32_t tier[] = { 0, 1, 2, 3 };
    size_t pairs, right;

    near(ranking_loss(NULL, s, tier, 4, &pairs, &right), .207038, 1e-6);
}

static void ties_drop_out_of_the_ranking_loss(void **state)
{
    (void)state;
    float s[] = { 1, 0, 0 }, g[3];
    uint32_t all_tied[] = { 0, 0, 0 }, two_tied[] = { 0, 1, 1 };
    size_t pairs, right;

    near(ranking_loss(g, s, all_tied, 3, &pairs, &right), 0, 0);
    assert_int_equal(pairs, 0);
    near(g[0], 0, 0);
    near(ranking_loss(g, s, two_tied, 3, &pairs, &right), log1p(exp(-1)), 1e-9);
    assert_int_equal(pairs, 2);
}

/* Gradient descent on the scores of A, B, C with the wins A>B 7:3, A>C 9:1, B>C 6:4. */
static void bradley_terry_fit_recovers_the_known_scores(void **state)
{
    (void)state;
    static const struct {
        uint32_t better, worse;
        int wins;
    } games[] = { { 0, 1, 7 }, { 1, 0, 3 }, { 0, 2, 9 }, { 2, 0, 1 }, { 1, 2, 6 }, { 2, 1, 4 } };
    float s[3] = { 0 };
    double loss = 0;

    for (int step = 0; step < 20000; step++) {
        double g[3] = { 0 };
        loss = 0;
        for (size_t k = 0; k < 6; k++) {
            uint32_t tier[2] = { 0, 1 };
            float pair[2] = { s[games[k].better], s[games[k].worse] }, grad[2];
            size_t pairs, right;
            loss += games[k].wins * ranking_loss(grad, pair, tier, 2, &pairs, &right) / 30;
            g[games[k].better] += games[k].wins * grad[0] / 30.0;
            g[games[k].worse] += games[k].wins * grad[1] / 30.0;
        }
        for (int i = 0; i < 3; i++)
            s[i] -= (float)g[i];
    }
    near(s[0], .943606, 1e-4);
    near(s[1], -.160161, 1e-4);
    near(s[2], -.783445, 1e-4);
    near(loss, .544166, 1e-6);
}

static void advantages_and_returns_are_the_known_ones(void **state)
{
    (void)state;
    float r[] = { -.1f, -.1f, -.1f, .9f }, v[] = { .2f, .3f, .4f, .5f }, a[4], ret[4];
    double want_a[] = { .342950, .361, .38, .4 }, want_r[] = { .542950, .661, .78, .9 };
    double want_w[] = { -1.318466, -.469663, .423814, 1.364316 };

    gae(a, ret, r, v, 4, 1, .95);
    for (int i = 0; i < 4; i++) {
        near(a[i], want_a[i], 1e-6);
        near(ret[i], want_r[i], 1e-6);
    }
    whiten(a, 4, false);
    for (int i = 0; i < 4; i++)
        near(a[i], want_w[i], 1e-4);
}

/* Two tokens, by hand: delta_1 = 2 - .5, delta_0 = 1 + .8 x .5 - .25, and .8 x .5 of the former. */
static void a_discount_counts_for_values_and_for_what_comes_later(void **state)
{
    (void)state;
    float r[] = { 1, 2 }, v[] = { .25f, .5f }, a[2], ret[2];

    gae(a, ret, r, v, 2, .8, .5);
    near(a[1], 1.5, 1e-6);
    near(a[0], 1.15 + .4 * 1.5, 1e-6);
    near(ret[0], 2, 1e-6);
}

static void whitening_rewards_can_keep_their_mean(void **state)
{
    (void)state;
    float x[] = { 1, 2, 3, 6 };

    whiten(x, 4, true);
    near((x[0] + x[1] + x[2] + x[3]) / 4, 3, 1e-6);
}

static void the_kl_reward_is_signed_and_the_score_lands_on_the_last_token(void **state)
{
    (void)state;
    float lp[] = { -1, -2, -3 }, ref[] = { -1.5f, -1, -3 }, r[3];

    kl_rewards(r, lp, ref, 3, .1, KL_K1, 2);
    near(r[0], -.05, 1e-7);
    near(r[1], .1, 1e-7);
    near(r[2], 2, 1e-7);
}

/* Hand-computed at beta .5, d 1.2: sigma(.6) = .645656. */
static void losses_of_a_pair_are_the_known_ones(void **state)
{
    (void)state;
    double g;
    struct preference p = { PREFERENCE_SIGMOID, .5, .1 };

    near(preference_pair_loss(&g, 1.2, &p), .437488, 1e-6);
    near(g, -.5 * .354344, 1e-6);
    p.kind = PREFERENCE_IPO; /* (1.2 - 1)^2 */
    near(preference_pair_loss(&g, 1.2, &p), .04, 1e-12);
    near(g, .4, 1e-12);
    p.kind = PREFERENCE_CONSERVATIVE; /* .9 x .437488 + .1 x 1.037488 */
    near(preference_pair_loss(&g, 1.2, &p), .497488, 1e-6);
    near(g, -.9 * .177172 + .1 * .322828, 1e-6);
    p.kind = PREFERENCE_SIGMOID;
    near(preference_pair_loss(&g, 0, &p), log(2), 1e-12);
}

static void every_pair_losss_gradient_is_its_finite_difference(void **state)
{
    (void)state;
    for (int kind = PREFERENCE_SIGMOID; kind <= PREFERENCE_CONSERVATIVE; kind++)
        for (double d = -6; d < 6; d += .7) {
            struct preference p = { (enum preference_kind)kind, .3, .2 };
            double g, unused, h = 1e-5;
            preference_pair_loss(&g, d, &p);
            double up = preference_pair_loss(&unused, d + h, &p);
            near(g, (up - preference_pair_loss(&unused, d - h, &p)) / (2 * h), 1e-7);
        }
}

/* With labels wrong one time in ten the best that can be is what says so: sigma(beta d) = .9. */
static void a_conservative_loss_is_least_where_it_believes_its_labels(void **state)
{
    (void)state;
    struct preference p = { PREFERENCE_CONSERVATIVE, .5, .1 };
    double g;

    preference_pair_loss(&g, log(9) / .5, &p);
    near(g, 0, 1e-9);
}

static void a_prompts_pairs_are_averaged_and_told(void **state)
{
    (void)state;
    const struct preference p = { PREFERENCE_IPO, .5, 0 };
    double x[] = { 2, 1, 1 }, g[3];
    uint32_t tier[] = { 0, 1, 1 };
    struct pairs pairs;

    near(preference_loss(g, &pairs, x, tier, 3, &p), 0, 1e-12); /* each is ahead by 1 / (2 beta) */
    x[0] = 4;
    near(preference_loss(g, &pairs, x, tier, 3, &p), 4, 1e-12);
    assert_int_equal(pairs.n, 2);
    assert_int_equal(pairs.right, 2);
    near(pairs.chosen - pairs.rejected, 6, 1e-12);
    near(g[0], 4, 1e-12);
    near(g[1], -2, 1e-12);
    near(g[2], -2, 1e-12);
}

static void estimators_of_kl_are_the_known_ones(void **state)
{
    (void)state;
    near(kl_estimate(KL_K1, -.5), -.5, 0);
    near(kl_estimate(KL_ABS_K1, -.5), .5, 0);
    near(kl_estimate(KL_K2, -.5), .125, 1e-12);
    near(kl_estimate(KL_K3, -.5), .148721, 1e-6); /* e^.5 - 1 - .5 */
    near(kl_estimate(KL_K3, 0), 0, 0);
}

/* Over all outcomes of p = (.5, .3, .2) against q = (.4, .4, .2), k1 and k3 are KL(p, q) and k2 is
 * near it; |k1| is not. */
static void k1_and_k3_are_kl_on_average_and_its_absolute_value_is_not(void **state)
{
    (void)state;
    const double p[] = { .5, .3, .2 }, q[] = { .4, .4, .2 };
    double mean[KL_ESTIMATORS] = { 0 };

    for (int k = 0; k < KL_ESTIMATORS; k++)
        for (int i = 0; i < 3; i++)
            mean[k] += p[i] * kl_estimate((enum kl_estimator)k, log(p[i] / q[i]));
    near(mean[KL_K1], .025267, 1e-6);
    near(mean[KL_K3], .025267, 1e-6);
    near(mean[KL_K2], .024863, 1e-4);
    near(mean[KL_ABS_K1], .197876, 1e-6);
}

static void the_kl_losss_gradient_is_its_finite_difference(void **state)
{
    (void)state;
    for (double lp = -3; lp < 0; lp += .3) {
        double g, left, right, h = 1e-5;
        kl_loss(&g, lp, -1);
        near(g, (kl_loss(&right, lp + h, -1) - kl_loss(&left, lp - h, -1)) / (2 * h), 1e-7);
    }
}

static void an_answer_is_compared_with_the_mean_of_the_others(void **state)
{
    (void)state;
    double a[4], r[] = { 1, 2, 3, 6 };

    leave_one_out(a, r, 4);
    near(a[0], 1 - 11. / 3, 1e-12);
    near(a[1], 2 - 10. / 3, 1e-12);
    near(a[2], 0, 1e-12);
    near(a[3], 4, 1e-12);
    leave_one_out(r, r, 2); /* in place */
    near(r[0], -1, 1e-12);
    near(r[1], 1, 1e-12);
}

static void a_group_is_normalised_by_its_deviation_or_only_centred(void **state)
{
    (void)state;
    double a[4], r[] = { 1, 2, 3, 6 }, same[] = { 5, 5 };

    group_normalise(a, r, 4, true); /* mean 3, deviation sqrt(14 / 4) */
    near(a[0], -2 / (sqrt(3.5) + 1e-4), 1e-12);
    near(a[3], 3 / (sqrt(3.5) + 1e-4), 1e-12);
    group_normalise(a, r, 4, false);
    near(a[0], -2, 1e-12);
    near(a[3], 3, 1e-12);
    group_normalise(same, same, 2, true);
    near(same[0], 0, 0);
    near(same[1], 0, 0);
}

static void the_adaptive_coefficient_moves_as_known(void **state)
{
    (void)state;
    near(adaptive_kl(.15, 12, 6, 512, 10000), .151536, 1e-9);
    near(adaptive_kl(.15, 0, 6, 512, 10000), .15 * (1 - .2 * .0512), 1e-12);
}

static void best_of_n_kl_is_the_known_one(void **state)
{
    (void)state;
    near(best_of_n_kl(2), .193147, 1e-6);
    near(best_of_n_kl(4), .636294, 1e-6);
    near(best_of_n_kl(16), 1.835089, 1e-6);
    near(best_of_n_kl(64), 3.174508, 1e-6);
}

static double policy_at(double lp, double advantage)
{
    double g;
    bool c;
    return ppo_policy_loss(&g, lp, -1, advantage, .2, &c);
}

static double value_at(double v, double old, double ret)
{
    double g;
    bool c;
    return ppo_value_loss(&g, v, old, ret, .2, &c);
}

static void the_policy_losss_gradient_is_its_finite_difference(void **state)
{
    (void)state;
    for (double lp = -1.6; lp < -.4; lp += .0937)
        for (int sign = -1; sign <= 1; sign += 2) {
            double g, h = 1e-6;
            bool c;
            ppo_policy_loss(&g, lp, -1, sign * .7, .2, &c);
            near(g, (policy_at(lp + h, sign * .7) - policy_at(lp - h, sign * .7)) / (2 * h), 1e-6);
        }
}

static void the_value_losss_gradient_is_its_finite_difference(void **state)
{
    (void)state;
    for (double v = -1; v < 1; v += .0613)
        for (double ret = -.9; ret < 1; ret += .37) {
            double g, h = 1e-6;
            bool c;
            ppo_value_loss(&g, v, .1, ret, .2, &c);
            near(g, (value_at(v + h, .1, ret) - value_at(v - h, .1, ret)) / (2 * h), 1e-5);
        }
}

/* Ratios .7 and 1.3 at clip .2: a good action gains nothing above 1.2, a bad one nothing below .8;
 * the other way round they count in full. */
static void the_policy_loss_is_the_worse_of_free_and_clipped(void **state)
{
    (void)state;
    near(policy_at(-1 + log(1.3), .5), -.5 * 1.2, 1e-12);
    near(policy_at(-1 + log(1.3), -.5), .5 * 1.3, 1e-12);
    near(policy_at(-1 + log(.7), .5), -.5 * .7, 1e-12);
    near(policy_at(-1 + log(.7), -.5), .5 * .8, 1e-12);
}

/* From .1, a value may move by .2. At 1 it stands for .3: towards a return of 2 that is farther
 * off, towards one of 0 nearer, and the worse of the two counts. */
static void the_value_loss_is_the_worse_of_free_and_clipped(void **state)
{
    (void)state;
    near(value_at(1, .1, 2), .5 * 1.7 * 1.7, 1e-12);
    near(value_at(1, .1, 0), .5, 1e-12);
    near(value_at(.2, .1, 2), .5 * 1.8 * 1.8, 1e-12);
}

static void a_ratio_of_one_is_never_clipped(void **state)
{
    (void)state;
    double g;
    bool c;
    near(ppo_policy_loss(&g, -1, -1, .5, .2, &c), -.5, 0);
    assert_false(c);
    near(g, -.5, 0);
}

static void the_confidence_interval_is_1_96_standard_errors(void **state)
{
    (void)state;
    double x[] = { 1, 2, 3, 4 }, mean, half;

    mean_ci95(&mean, &half, x, 4);
    near(mean, 2.5, 1e-12);
    near(half, 1.96 * sqrt(5.0 / 3 / 4), 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranking_loss_of_four_answers_is_the_known_one),
        cmocka_unit_test(adding_a_constant_to_the_scores_changes_nothing),
        cmocka_unit_test(ties_drop_out_of_the_ranking_loss),
        cmocka_unit_test(bradley_terry_fit_recovers_the_known_scores),
        cmocka_unit_test(advantages_and_returns_are_the_known_ones),
        cmocka_unit_test(a_discount_counts_for_values_and_for_what_comes_later),
        cmocka_unit_test(whitening_rewards_can_keep_their_mean),
        cmocka_unit_test(the_kl_reward_is_signed_and_the_score_lands_on_the_last_token),
        cmocka_unit_test(losses_of_a_pair_are_the_known_ones),
        cmocka_unit_test(every_pair_losss_gradient_is_its_finite_difference),
        cmocka_unit_test(a_conservative_loss_is_least_where_it_believes_its_labels),
        cmocka_unit_test(a_prompts_pairs_are_averaged_and_told),
        cmocka_unit_test(estimators_of_kl_are_the_known_ones),
        cmocka_unit_test(k1_and_k3_are_kl_on_average_and_its_absolute_value_is_not),
        cmocka_unit_test(the_kl_losss_gradient_is_its_finite_difference),
        cmocka_unit_test(an_answer_is_compared_with_the_mean_of_the_others),
        cmocka_unit_test(a_group_is_normalised_by_its_deviation_or_only_centred),
        cmocka_unit_test(the_adaptive_coefficient_moves_as_known),
        cmocka_unit_test(best_of_n_kl_is_the_known_one),
        cmocka_unit_test(the_policy_losss_gradient_is_its_finite_difference),
        cmocka_unit_test(the_value_losss_gradient_is_its_finite_difference),
        cmocka_unit_test(the_policy_loss_is_the_worse_of_free_and_clipped),
        cmocka_unit_test(the_value_loss_is_the_worse_of_free_and_clipped),
        cmocka_unit_test(a_ratio_of_one_is_never_clipped),
        cmocka_unit_test(the_confidence_interval_is_1_96_standard_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
