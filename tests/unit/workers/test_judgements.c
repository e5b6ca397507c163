#include "workers/tasks/judgements.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void near(double x, double expected)
{
    if (!(fabs(x - expected) < 1e-9))
        fail_msg("%.12g is not %.12g", x, expected);
}

static void add(struct judgements *j, uint32_t prompt, double gold, double reward)
{
    Scored x = SCORED__INIT;
    struct err e = ERR_INIT;

    x.prompt_index = prompt;
    x.has_gold = x.has_reward = 1;
    x.gold = gold;
    x.reward = reward;
    assert_int_equal(judgements_add(j, &x, &e), OK);
}

static void sort(struct judgements *j)
{
    struct err e = ERR_INIT;

    assert_int_equal(judgements_sort(j, &e), OK);
}

static void answers_to_one_prompt_are_one_draw(void **state)
{
    struct judgements j = { 0 };
    double mean, ci95;

    (void)state;
    for (int i = 0; i < 8; i++) { /* prompt means 1, 2, 3, 4; they come shard by shard */
        add(&j, (uint32_t)i % 4, i % 4 + 1 + (i < 4 ? .5 : -.5), 0);
    }
    sort(&j);
    assert_int_equal(judgements_prompts(&j), 4);
    assert_true(judgements_mean(&mean, &ci95, &j, MEASURE_GOLD));
    near(mean, 2.5);
    near(ci95, 1.96 * sqrt(5. / 3 / 4));
    assert_false(judgements_mean(&mean, &ci95, &j, MEASURE_KL));
    judgements_free(&j);
}

/* Prompt 0: 1 beats 0, ties with 1; prompt 1: loses twice; prompt 2: only one side answered. */
static void a_tie_is_half_a_win(void **state)
{
    struct judgements a = { 0 }, b = { 0 };
    double mean, ci95;

    (void)state;
    add(&a, 0, 1, 0);
    add(&b, 0, 0, 0);
    add(&b, 0, 1, 0);
    add(&a, 1, 1, 0);
    add(&b, 1, 2, 0);
    add(&b, 1, 3, 0);
    add(&a, 2, 9, 0);
    sort(&a);
    sort(&b);
    assert_true(judgements_win(&mean, &ci95, &a, &b, MEASURE_GOLD));
    near(mean, (.75 + 0) / 2);
    assert_true(judgements_win(&mean, &ci95, &b, &a, MEASURE_GOLD));
    near(mean, (.25 + 1) / 2);
    assert_true(judgements_win(&mean, &ci95, &a, &a, MEASURE_GOLD));
    near(mean, .5);
    near(ci95, 0);
    assert_false(judgements_win(&mean, &ci95, &a, &b, MEASURE_KL));
    judgements_free(&a);
    judgements_free(&b);
}

/* Best of 2 among three: the pairs' bests have golds g(2), g(3), g(3) by reward. */
static void best_of_k_is_the_mean_over_all_choices(void **state)
{
    struct judgements j = { 0 };
    double mean, ci95;

    (void)state;
    add(&j, 0, 10, .3); /* best reward */
    add(&j, 0, 1, .1);
    add(&j, 0, 4, .2);
    sort(&j);
    assert_true(judgements_best(&mean, &ci95, &j, MEASURE_GOLD, 1));
    near(mean, 5);
    assert_true(judgements_best(&mean, &ci95, &j, MEASURE_GOLD, 2));
    near(mean, (4 + 10 + 10) / 3.);
    assert_true(judgements_best(&mean, &ci95, &j, MEASURE_GOLD, 3));
    near(mean, 10);
    assert_true(judgements_best(&mean, &ci95, &j, MEASURE_REWARD, 2));
    near(mean, (.2 + .3 + .3) / 3);
    assert_false(judgements_best(&mean, &ci95, &j, MEASURE_GOLD, 4));
    judgements_free(&j);
}

/* The largest of k uniform numbers has mean k / (k + 1); of the ranks 1 … n, k (n + 1) / (k + 1).
 */
static void best_of_k_of_ranks_is_known(void **state)
{
    struct judgements j = { 0 };
    double mean, ci95;

    (void)state;
    for (int i = 0; i < 1000; i++)
        add(&j, 0, 0, (i * 7) % 1000 + 1);
    sort(&j);
    for (size_t k = 1; k <= 64; k *= 2) {
        assert_true(judgements_best(&mean, &ci95, &j, MEASURE_REWARD, k));
        near(mean / 1001, (double)k / (double)(k + 1));
    }
    judgements_free(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_to_one_prompt_are_one_draw),
        cmocka_unit_test(a_tie_is_half_a_win),
        cmocka_unit_test(best_of_k_is_the_mean_over_all_choices),
        cmocka_unit_test(best_of_k_of_ranks_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
