#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/diag.h"

static void expect_print(struct diags *d, const char *expected)
{
    struct buf b = { 0 };

    assert_int_equal(diags_print(d, &b), OK);
    assert_string_equal(b.p ? b.p : "", expected);
    buf_free(&b);
}

static struct diags *about(const char *name, const char *text)
{
    struct diags *d = diags_new();

    assert_non_null(d);
    assert_int_equal(diags_file(d, name, text, strlen(text)), OK);
    return d;
}

static void a_mistake_is_shown_in_its_line_with_a_caret(void **state)
{
    struct diags *d = about("chat.yaml", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n    stepps: 600\n");

    (void)state;
    diags_add(d, 12, 5, 6, "did you mean 'steps'?", "unknown key '%s'", "stepps");
    expect_print(d, "error: unknown key 'stepps'\n"
                    "  --> chat.yaml:12:5\n"
                    "   |\n"
                    "12 |     stepps: 600\n"
                    "   |     ^^^^^^\n"
                    "   = help: did you mean 'steps'?\n");
    diags_free(d);
}

static void the_caret_stands_below_wide_characters(void **state)
{
    struct diags *d = about("a.yaml", "名字: \t山x\n");

    (void)state;
    diags_add(d, 1, 6, 2, NULL, "no such mountain");
    expect_print(d, "error: no such mountain\n"
                    " --> a.yaml:1:6\n"
                    "  |\n"
                    "1 | 名字:  山x\n"
                    "  |        ^^\n");
    diags_free(d);
}

static void mistakes_are_sorted_by_file_and_place(void **state)
{
    struct diags *d = about("a", "x\ny\n");

    (void)state;
    diags_add(d, 2, 1, 1, NULL, "third");
    diags_add(d, 1, 1, 1, NULL, "second");
    diags_add(d, 0, 0, 1, "name one", "first");
    assert_int_equal(diags_file(d, "b", "z", 1), OK);
    diags_add(d, 1, 1, 1, NULL, "last");
    assert_int_equal(diags_count(d), 4);
    expect_print(d, "error: first\n --> a\n  = help: name one\n"
                    "\nerror: second\n --> a:1:1\n  |\n1 | x\n  | ^\n"
                    "\nerror: third\n --> a:2:1\n  |\n2 | y\n  | ^\n"
                    "\nerror: last\n --> b:1:1\n  |\n1 | z\n  | ^\n");
    diags_free(d);
}

static void places_outside_the_text_do_no_harm(void **state)
{
    struct diags *d = about("a", "ab");

    (void)state;
    diags_add(d, 1, 9, 3, NULL, "past the end");
    diags_add(d, 7, 1, 1, NULL, "below the end");
    expect_print(d, "error: past the end\n --> a:1:9\n  |\n1 | ab\n  |   ^^^\n"
                    "\nerror: below the end\n --> a:7:1\n  |\n7 | \n  | ^\n");
    diags_free(d);
}

static void a_long_line_is_cut_around_the_caret(void **state)
{
    char text[5001];
    struct buf b = { 0 };
    struct diags *d;

    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[5000] = '\0';
    memcpy(text + 3000, "HERE", 4);
    d = about("long", text);
    diags_add(d, 1, 3001, 4, NULL, "far out");
    assert_int_equal(diags_print(d, &b), OK);
    assert_non_null(strstr(b.p, "…aaaa"));
    assert_non_null(strstr(b.p, "aHEREa"));
    assert_true(b.n < 400);
    buf_free(&b);
    diags_free(d);
}

static void control_bytes_of_a_file_are_not_shown_raw(void **state)
{
    struct diags *d = about("a", "x\x1b[31m\xff");
    struct buf b = { 0 };

    (void)state;
    diags_add(d, 1, 1, 1, NULL, "bad '%s'", "\x1b[0m");
    assert_int_equal(diags_print(d, &b), OK);
    assert_null(memchr(b.p, '\x1b', b.n));
    assert_non_null(strstr(b.p, "x\\x1b[31m\\xff"));
    buf_free(&b);
    diags_free(d);
}

static void at_most_a_hundred_are_kept_and_all_are_counted(void **state)
{
    struct diags *d = about("a", "x");
    struct buf b = { 0 };

    (void)state;
    for (int i = 0; i < 120; i++)
        diags_add(d, 1, 1, 1, NULL, "number %d", i);
    assert_int_equal(diags_count(d), 120);
    assert_int_equal(diags_print(d, &b), OK);
    assert_non_null(strstr(b.p, "number 99\n"));
    assert_null(strstr(b.p, "number 100\n"));
    assert_non_null(strstr(b.p, "\nerror: 20 more not shown\n"));
    buf_free(&b);
    diags_free(d);
}

static void the_nearest_word_is_found_or_none(void **state)
{
    static const char *const words[] = { "steps", "model", "sft", "reward_model", "kl_coef" };

    (void)state;
    assert_string_equal(diag_nearest("stepps", words, 5), "steps");
    assert_string_equal(diag_nearest("sfft", words, 5), "sft");
    assert_string_equal(diag_nearest("stf", words, 5), "sft");
    assert_string_equal(diag_nearest("Model", words, 5), "model");
    assert_string_equal(diag_nearest("reward-model", words, 5), "reward_model");
    assert_string_equal(diag_nearest("rewardmodel", words, 5), "reward_model");
    assert_string_equal(diag_nearest("kl_coeff", words, 5), "kl_coef");
    assert_null(diag_nearest("banana", words, 5));
    assert_null(diag_nearest("", words, 5));
    assert_null(diag_nearest("x", words, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistake_is_shown_in_its_line_with_a_caret),
        cmocka_unit_test(the_caret_stands_below_wide_characters),
        cmocka_unit_test(mistakes_are_sorted_by_file_and_place),
        cmocka_unit_test(places_outside_the_text_do_no_harm),
        cmocka_unit_test(a_long_line_is_cut_around_the_caret),
        cmocka_unit_test(control_bytes_of_a_file_are_not_shown_raw),
        cmocka_unit_test(at_most_a_hundred_are_kept_and_all_are_counted),
        cmocka_unit_test(the_nearest_word_is_found_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
