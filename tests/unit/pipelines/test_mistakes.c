#include "given.h"

#include "pipelines/mistakes.h"
#include "proto/utf8.h"

static void the_same_of_the_same_place_is_said_once(void **state)
{
    struct mistakes m = { 0 };
    struct site a = site_of(SITE_STAGE, 1, "text"), b = site_item(a, 3);

    (void)state;
    assert_non_null(mistake_add(&m, &a, "help", "'%s' is wrong", "x"));
    assert_null(mistake_add(&m, &a, "help", "'%s' is wrong", "x"));
    assert_non_null(mistake_add(&m, &b, NULL, "'%s' is wrong", "x"));
    assert_non_null(mistake_add(&m, &a, "", "'%s' is wrong", "y"));
    a.index = 2;
    assert_non_null(mistake_add(&m, &a, NULL, "'%s' is wrong", "x"));
    assert_int_equal(m.n, 4);
    assert_string_equal(m.items[0].help, "help");
    assert_null(m.items[2].help);
    mistakes_free(&m);
}

static void not_more_than_a_bounded_number_is_kept(void **state)
{
    struct mistakes m = { 0 };

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        struct site at = site_item(site_of(SITE_PIPELINE, 0, "stages"), i);
        mistake_add(&m, &at, NULL, "wrong");
    }
    assert_true(mistakes_full(&m));
    assert_int_equal(m.n, 200);
    assert_false(m.no_memory);
    mistakes_free(&m);
}

static void long_texts_are_cut_between_characters(void **state)
{
    struct mistakes m = { 0 };
    struct site at = site_of(SITE_PIPELINE, 0, NULL);
    char name[1200] = "";

    (void)state;
    for (size_t i = 0; i < 300; i++)
        strcat(name, "山");
    mistake_add(&m, &at, NULL, "'%s' is wrong", name);
    assert_true(utf8_valid(m.items[0].what, strlen(m.items[0].what)));
    mistakes_free(&m);
}

static void a_site_is_walked_down_by_keys(void **state)
{
    struct site at = site_key(site_key(site_of(SITE_STAGE, 5, "by"), "people"), "target");

    (void)state;
    assert_string_equal(at.keys[0], "by");
    assert_string_equal(at.keys[2], "target");
    assert_null(at.keys[3]);
    assert_int_equal(at.item, -1);
    assert_int_equal(site_item(at, 4).item, 4);
}

static void refusals_of_overrides_are_taken_apart(void **state)
{
    char unknown[] = "a.b=1: unknown key 'b'; did you mean 'c'?";
    char wrong[] = "a.b=x: 'b' must be a number, not 'x'";
    char other[] = "out of memory";
    const char *help;

    (void)state;
    assert_string_equal(refusal_what(unknown, "a.b", "1", &help), "unknown key 'b'");
    assert_string_equal(help, "did you mean 'c'?");
    assert_string_equal(refusal_what(wrong, "a.b", "x", &help), "'b' must be a number, not 'x'");
    assert_null(help);
    assert_string_equal(refusal_what(other, "a.b", "x", &help), "out of memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_of_the_same_place_is_said_once),
        cmocka_unit_test(not_more_than_a_bounded_number_is_kept),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(a_site_is_walked_down_by_keys),
        cmocka_unit_test(refusals_of_overrides_are_taken_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
