#include "workers/tasks/calibration.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "workers/math/elementary.h"
#include "workers/math/rng.h"

static void near(double x, double expected)
{
    if (!(fabs(x - expected) < 1e-9))
        fail_msg("%.12g is not %.12g", x, expected);
}

static RewardReport *report_of(const struct calibration *c)
{
    RewardReport *r = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(calibration_report(&r, c, &e), OK);
    return r;
}

/* Two answers to a prompt, the first ranked better. */
static void add_pair(struct calibration *c, float d, uint32_t better, uint32_t worse)
{
    float score[] = { d, 0 };
    uint32_t tier[] = { 0, 1 }, length[] = { better, worse };
    double gold[] = { 1, 0 };
    struct ranked r = { score, tier, length, gold, 2 };

    calibration_add(c, &r);
}

/* 3 of 4 pairs, each of its own prompt: p (1 - p) / (n - 1) is the variance of the mean. */
static void pairs_of_their_own_prompts_have_the_plain_interval(void **state)
{
    struct pair_share s = { 0 };
    double mean, ci95;

    (void)state;
    for (int i = 0; i < 4; i++)
        pair_share_add(&s, i > 0, 1);
    assert_true(pair_share_end(&mean, &ci95, &s));
    near(mean, .75);
    near(ci95, 1.96 * sqrt(.75 * .25 / 3));
}

/* The same pairs, ten times each within the prompt: they say no more than one. */
static void pairs_of_one_prompt_count_as_one(void **state)
{
    struct pair_share s = { 0 };
    double mean, ci95;

    (void)state;
    for (int i = 0; i < 4; i++)
        pair_share_add(&s, 10 * (i > 0), 10);
    pair_share_add(&s, 0, 0);
    assert_true(pair_share_end(&mean, &ci95, &s));
    near(mean, .75);
    near(ci95, 1.96 * sqrt(.75 * .25 / 3));
}

static void no_pairs_have_no_accuracy_and_one_prompt_no_interval(void **state)
{
    struct pair_share s = { 0 };
    double mean, ci95;

    (void)state;
    assert_false(pair_share_end(&mean, &ci95, &s));
    pair_share_add(&s, 2, 3);
    assert_true(pair_share_end(&mean, &ci95, &s));
    near(mean, 2. / 3);
    near(ci95, 0);
}

/* Scores with sigmoid(d) = .8 that are right in 6 of 10: predicted .8, observed .6. */
static void calibration_compares_predicted_and_observed(void **state)
{
    struct calibration c = { 0 };
    float d = (float)elementary_log(4);

    (void)state;
    for (int i = 0; i < 10; i++)
        add_pair(&c, i < 6 ? d * 1.0001f : -d * 1.0001f, 5, 5);
    RewardReport *r = report_of(&c);
    assert_int_equal(r->n_calibration, 1);
    near(r->calibration[0]->least, .8);
    assert_int_equal(r->calibration[0]->pairs, 10);
    assert_true(fabs(r->calibration[0]->predicted - .8) < 1e-4);
    near(r->calibration[0]->observed, .6);
    assert_true(fabs(r->calibration_error - .2) < 1e-4);
    near(r->accuracy->mean, .6);
    message_free(r);
}

/* A pair with equal scores is not right: a model that says nothing has accuracy 0, not 1. */
static void equal_scores_are_not_right(void **state)
{
    struct calibration c = { 0 };

    (void)state;
    for (int i = 0; i < 3; i++)
        add_pair(&c, i == 0 ? 1 : 0, 5, 5);
    RewardReport *r = report_of(&c);
    near(r->accuracy->mean, 1. / 3);
    message_free(r);
}

/* Scores drawn so that the chance of being right is sigmoid(|d|): the error goes to 0. */
static void scores_that_are_right_as_often_as_they_say_have_no_error(void **state)
{
    struct calibration c = { 0 };

    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        double d = 4 * rng_uniform(1, RNG_NOISE, 0, i);
        bool right = rng_uniform(1, RNG_NOISE, 1, i) < 1 / (1 + elementary_exp(-d));
        add_pair(&c, (float)(right ? d : -d), 5, 5);
    }
    RewardReport *r = report_of(&c);
    assert_int_equal(r->n_calibration, PROBABILITY_BINS);
    assert_true(r->calibration_error < .01);
    message_free(r);
}

static void accuracy_is_told_by_length_and_by_answers(void **state)
{
    static const uint32_t better[] = { 1, 10, 20, 24, 40 };
    struct calibration c = { 0 };

    (void)state;
    for (int i = 0; i < 5; i++)
        add_pair(&c, i % 2 ? 1 : -1, better[i], 20); /* -19, -10, 0, 4, 20 tokens */
    RewardReport *r = report_of(&c);
    assert_int_equal(r->n_by_length, LENGTH_BINS);
    for (int i = 0; i < 5; i++)
        near(r->by_length[i]->accuracy->mean, i % 2);
    assert_false(r->by_length[0]->has_least);
    assert_int_equal(r->by_length[0]->most, -16);
    assert_int_equal(r->by_length[2]->least, -3);
    assert_int_equal(r->by_length[2]->most, 3);
    assert_false(r->by_length[4]->has_most);
    assert_int_equal(r->n_by_answers, 1);
    assert_int_equal(r->by_answers[0]->least, 2);
    assert_int_equal(r->by_answers[0]->pairs, 5);
    message_free(r);
}

/* Score = length within each prompt, whatever the prompt adds to both. */
static void length_bias_is_a_correlation_within_prompts(void **state)
{
    struct calibration c = { 0 };

    (void)state;
    for (int i = 0; i < 3; i++) {
        float score[] = { 1, 2, 3 };
        uint32_t tier[] = { 0, 0, 1 }, length[3];
        for (uint32_t k = 0; k < 3; k++) {
            length[k] = (uint32_t)(100 * (3 - i)) + k;
            score[k] += (float)(10 * i);
        }
        struct ranked r = { score, tier, length, NULL, 3 };
        calibration_add(&c, &r);
    }
    RewardReport *r = report_of(&c);
    near(r->length_bias, 1);
    assert_null(r->ceiling);
    message_free(r);
}

/* A rubric's slip changes two neighbours of two with chance .1: it agrees with .9 of the pairs. */
static void the_ceiling_is_the_rubric_without_its_slips(void **state)
{
    struct calibration c = { 0 };

    (void)state;
    for (uint32_t i = 0; i < 4000; i++) {
        bool slip = rng_uniform(7, RNG_NOISE, 0, i) < .1;
        float score[] = { 1, 0 };
        uint32_t tier[] = { slip, !slip }, length[] = { 3, 3 };
        double gold[] = { 2, 1 };
        struct ranked r = { score, tier, length, gold, 2 };
        calibration_add(&c, &r);
    }
    RewardReport *r = report_of(&c);
    assert_true(fabs(r->ceiling->mean - .9) < r->ceiling->ci95 * 1.5);
    near(r->accuracy->mean, r->ceiling->mean); /* these scores are the rubric's order */
    message_free(r);
}

static void nothing_held_out_is_an_empty_report(void **state)
{
    struct calibration c = { 0 };

    (void)state;
    RewardReport *r = report_of(&c);
    assert_null(r->accuracy);
    assert_false(r->has_calibration_error);
    message_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_of_their_own_prompts_have_the_plain_interval),
        cmocka_unit_test(pairs_of_one_prompt_count_as_one),
        cmocka_unit_test(no_pairs_have_no_accuracy_and_one_prompt_no_interval),
        cmocka_unit_test(calibration_compares_predicted_and_observed),
        cmocka_unit_test(equal_scores_are_not_right),
        cmocka_unit_test(scores_that_are_right_as_often_as_they_say_have_no_error),
        cmocka_unit_test(accuracy_is_told_by_length_and_by_answers),
        cmocka_unit_test(length_bias_is_a_correlation_within_prompts),
        cmocka_unit_test(the_ceiling_is_the_rubric_without_its_slips),
        cmocka_unit_test(nothing_held_out_is_an_empty_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
