#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/model/generator.h"

#define V 6

/* Probabilities .4 .3 .1 .1 .06 .04, in another order. */
static const double known[V] = { 0.1, 0.4, 0.06, 0.3, 0.1, 0.04 };

static void check(struct sampler s, const double expected[V])
{
    float logits[V], probability[V];
    int32_t scratch[V];

    for (int i = 0; i < V; i++)
        logits[i] = (float)(log(known[i]) + 5);
    sampler_probabilities(probability, logits, V, &s, scratch);
    for (int i = 0; i < V; i++) {
        assert_float_equal(probability[i], expected[i], 1e-6);
        if (expected[i] == 0)
            assert_true(probability[i] == 0); /* exactly */
    }
}

static void without_cuts_it_is_the_softmax(void **state)
{
    (void)state;
    check((struct sampler){ .temperature = 1, .top_p = 1 }, known);
    check((struct sampler){ .temperature = 1, .top_p = 1, .top_k = V }, known);
}

static void temperature_raises_probabilities_to_its_inverse(void **state)
{
    (void)state;
    double squared[V], sum = 0;

    for (int i = 0; i < V; i++)
        sum += known[i] * known[i];
    for (int i = 0; i < V; i++)
        squared[i] = known[i] * known[i] / sum;
    check((struct sampler){ .temperature = 0.5, .top_p = 1 }, squared);
}

static void top_k_keeps_the_k_best_and_the_lower_id_of_a_tie(void **state)
{
    (void)state;
    check((struct sampler){ .temperature = 1, .top_p = 1, .top_k = 1 },
        (const double[V]){ 0, 1, 0, 0, 0, 0 });
    check((struct sampler){ .temperature = 1, .top_p = 1, .top_k = 3 },
        (const double[V]){ 0.125, 0.5, 0, 0.375, 0, 0 });
}

static void top_p_keeps_the_fewest_that_reach_the_share(void **state)
{
    (void)state;
    check(
        (struct sampler){ .temperature = 1, .top_p = 0.1 }, (const double[V]){ 0, 1, 0, 0, 0, 0 });
    check((struct sampler){ .temperature = 1, .top_p = 0.75 },
        (const double[V]){ 0.125, 0.5, 0, 0.375, 0, 0 });
    check((struct sampler){ .temperature = 1, .top_p = 0 }, (const double[V]){ 0, 1, 0, 0, 0, 0 });
}

static void min_p_keeps_what_has_its_share_of_the_best(void **state)
{
    (void)state;
    check((struct sampler){ .temperature = 1, .top_p = 1, .min_p = 0.2 },
        (const double[V]){ 1 / 9.0, 4 / 9.0, 0, 3 / 9.0, 1 / 9.0, 0 });
    check((struct sampler){ .temperature = 1, .top_p = 1, .min_p = 1 },
        (const double[V]){ 0, 1, 0, 0, 0, 0 });
}

static void top_p_measures_what_top_k_left(void **state)
{
    (void)state;
    /* of the best three, 4/8 + 3/8 reach .8; of all, .4 + .3 would not */
    check((struct sampler){ .temperature = 1, .top_k = 3, .top_p = 0.8 },
        (const double[V]){ 0, 4 / 7.0, 0, 3 / 7.0, 0, 0 });
}

static void greedy_takes_the_lowest_id_of_the_best(void **state)
{
    (void)state;
    const float logits[5] = { 1, 3, -2, 3, 3 };
    float probability[5];
    int32_t scratch[5];
    struct sampler s = { .temperature = 0, .top_p = 1 };

    sampler_probabilities(probability, logits, 5, &s, scratch);
    assert_true(probability[1] == 1);
    assert_int_equal(sampler_pick(probability, 5, 0), 1);
    assert_int_equal(sampler_pick(probability, 5, 0.999999), 1);
}

/* However cold it is: 1 / temperature may be beyond float, and logits are far apart long before. */
static void a_temperature_near_zero_is_greedy(void **state)
{
    static const double cold[] = { 9e-7, 1e-10, 1e-30, 5e-324 };
    static const float logits[V] = { 1, 7.25F, 0, 7.2500005F, -3, 2 };
    const struct kernels *k = kernels_get(NULL);
    float probability[V], scratch[2 * V], log_prob;
    int32_t ids[V];

    (void)state;
    for (size_t i = 0; i < sizeof cold / sizeof *cold; i++) {
        struct sampler s = { .temperature = cold[i], .top_p = 1 };
        sampler_probabilities(probability, logits, V, &s, ids);
        assert_true(probability[3] == 1);
        for (s.top_k = 0; s.top_k < 4; s.top_k += 2) {
            assert_int_equal(sampler_draw(k, &log_prob, logits, V, &s, .99, scratch), 3);
            assert_true(log_prob == 0);
        }
    }
}

static void a_quantile_picks_its_token(void **state)
{
    (void)state;
    const float probability[5] = { 0, 0.25F, 0, 0.5F, 0.25F };

    assert_int_equal(sampler_pick(probability, 5, 0), 1);
    assert_int_equal(sampler_pick(probability, 5, 0.2499), 1);
    assert_int_equal(sampler_pick(probability, 5, 0.25), 3);
    assert_int_equal(sampler_pick(probability, 5, 0.7499), 3);
    assert_int_equal(sampler_pick(probability, 5, 0.75), 4);
    assert_int_equal(sampler_pick(probability, 5, 1 - 1e-16), 4);
}

static void what_rounding_leaves_goes_to_the_last_possible_token(void **state)
{
    (void)state;
    const float probability[4] = { 0.5F, 0.25F, 0.2499F, 0 };

    assert_int_equal(sampler_pick(probability, 4, 0.99999), 2);
}

static void a_banned_token_has_no_probability(void **state)
{
    (void)state;
    const float logits[4] = { 0, -INFINITY, 0, -INFINITY };
    float probability[4];
    int32_t scratch[4];

    for (int temperature = 0; temperature <= 1; temperature++) {
        struct sampler s = { .temperature = temperature, .top_p = 1, .top_k = 3 };
        sampler_probabilities(probability, logits, 4, &s, scratch);
        assert_true(probability[1] == 0 && probability[3] == 0);
        assert_true(probability[0] == (temperature ? 0.5F : 1.0F));
    }
}

static void logits_that_are_not_numbers_give_no_token(void **state)
{
    (void)state;
    const float bad[3][3] = { { NAN, NAN, NAN }, { 1, INFINITY, 0 },
        { -INFINITY, -INFINITY, -INFINITY } };
    float probability[3];
    int32_t scratch[3];
    struct sampler s = { .temperature = 1, .top_p = 1 };

    for (int i = 0; i < 3; i++) {
        sampler_probabilities(probability, bad[i], 3, &s, scratch);
        assert_int_equal(sampler_pick(probability, 3, 0.5), -1);
    }
}

static void many_tokens_are_ordered_as_a_plain_sort_would(void **state)
{
    (void)state;
    enum { N = 1000, K = 37 };
    static float logits[N], probability[N];
    static int32_t scratch[N];
    struct sampler s = { .temperature = 1, .top_p = 1, .top_k = K };

    rng_normal(logits, N, 1, RNG_NOISE, 0);
    for (int i = 0; i < N; i++)
        logits[i] = roundf(logits[i] * 8) / 8; /* many ties */
    sampler_probabilities(probability, logits, N, &s, scratch);
    for (int i = 0; i < N; i++) {
        int before = 0;
        for (int j = 0; j < N; j++)
            before += logits[j] > logits[i] || (logits[j] == logits[i] && j < i);
        assert_int_equal(probability[i] > 0, before < K);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_cuts_it_is_the_softmax),
        cmocka_unit_test(temperature_raises_probabilities_to_its_inverse),
        cmocka_unit_test(top_k_keeps_the_k_best_and_the_lower_id_of_a_tie),
        cmocka_unit_test(top_p_keeps_the_fewest_that_reach_the_share),
        cmocka_unit_test(min_p_keeps_what_has_its_share_of_the_best),
        cmocka_unit_test(top_p_measures_what_top_k_left),
        cmocka_unit_test(greedy_takes_the_lowest_id_of_the_best),
        cmocka_unit_test(a_temperature_near_zero_is_greedy),
        cmocka_unit_test(a_quantile_picks_its_token),
        cmocka_unit_test(what_rounding_leaves_goes_to_the_last_possible_token),
        cmocka_unit_test(a_banned_token_has_no_probability),
        cmocka_unit_test(logits_that_are_not_numbers_give_no_token),
        cmocka_unit_test(many_tokens_are_ordered_as_a_plain_sort_would),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
