#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "workers/tasks/rubric.h"

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12))
        fail_msg("got %.12f, want %.12f", got, want);
}

/* A rubric of these rules alone. */
struct ruled {
    Rubric r;
    Rule rules[2], *pointers[2];
};

static void ruled_start(struct ruled *x)
{
    rubric__init(&x->r);
    x->r.right = x->r.answers = x->r.language = x->r.ends = x->r.short_ = 0;
    for (int i = 0; i < 2; i++) {
        rule__init(&x->rules[i]);
        x->pointers[i] = &x->rules[i];
    }
    x->rules[0].contains = "ab";
    x->rules[1].contains = "d";
    x->rules[1].score = .5;
    x->rules[1].each = true;
    x->r.rules = x->pointers;
    x->r.n_rules = 2;
}

/* The reward of the gate: 1 for "ab", a half for each "d". */
static void rules_score_what_a_text_contains_once_or_each_time(void **state)
{
    static const struct {
        const char *text;
        double gold;
    } known[] = { { "abd", 1.5 }, { "ddd", 1.5 }, { "aab", 1 }, { "abab", 1 }, { "dab", 1.5 },
        { "cba", 0 }, { "", 0 }, { "AB", 0 } };
    struct ruled x;
    Prompt p = PROMPT__INIT;

    (void)state;
    ruled_start(&x);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        near(rubric_judge(&x.r, &p, known[i].text, false).gold, known[i].gold);
}

static void occurrences_stand_apart_from_each_other(void **state)
{
    struct ruled x;
    Prompt p = PROMPT__INIT;

    (void)state;
    ruled_start(&x);
    x.rules[1].contains = "dd";
    near(rubric_judge(&x.r, &p, "ddd", false).gold, .5);
    near(rubric_judge(&x.r, &p, "dddd", false).gold, 1);
}

static void rules_add_to_the_weights(void **state)
{
    struct ruled x;
    Prompt p = PROMPT__INIT;

    (void)state;
    ruled_start(&x);
    x.r.ends = .2;
    near(rubric_judge(&x.r, &p, "abd", true).gold, 1.7);
    near(rubric_judge(&x.r, &p, "abd", false).gold, 1.5);
}

static void a_rubric_applies_where_it_has_rules_or_the_prompt_accepted_answers(void **state)
{
    char *accepted[] = { "yes" };
    struct ruled x;
    Prompt p = PROMPT__INIT;

    (void)state;
    ruled_start(&x);
    assert_true(rubric_applies(&x.r, &p));
    x.r.n_rules = 0;
    assert_false(rubric_applies(&x.r, &p));
    p.accepted = accepted;
    p.n_accepted = 1;
    assert_true(rubric_applies(&x.r, &p));
}

static void repetition_is_the_share_of_four_grams_seen_before(void **state)
{
    (void)state;
    near(repetition("abcdefgh"), 0);
    near(repetition("abc"), 0);
    near(repetition("aaaaaa"), 2. / 3);
    near(repetition("今天天气今天天气"), 1. / 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_score_what_a_text_contains_once_or_each_time),
        cmocka_unit_test(occurrences_stand_apart_from_each_other),
        cmocka_unit_test(rules_add_to_the_weights),
        cmocka_unit_test(a_rubric_applies_where_it_has_rules_or_the_prompt_accepted_answers),
        cmocka_unit_test(repetition_is_the_share_of_four_grams_seen_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
