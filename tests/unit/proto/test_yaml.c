#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/yaml.h"

static struct diags *diagnostics;

static int fresh_diags(void **state)
{
    (void)state;
    diagnostics = diags_new();
    return diagnostics ? 0 : -1;
}

static int free_diags(void **state)
{
    (void)state;
    diags_free(diagnostics);
    return 0;
}

static struct yaml *parse(const char *text)
{
    struct yaml *y = NULL;

    assert_int_equal(diags_file(diagnostics, "a.yaml", text, strlen(text)), OK);
    yaml_parse(&y, text, strlen(text), diagnostics);
    return y;
}

/* The text is refused, and the first lines of what is told are these. */
static void expect_refused(const char *text, const char *told)
{
    struct buf b = { 0 };

    assert_null(parse(text));
    assert_int_equal(diags_print(diagnostics, &b), OK);
    if (strncmp(b.p, told, strlen(told)) != 0)
        fail_msg("expected\n%sgot\n%s", told, b.p);
    buf_free(&b);
    free_diags(NULL);
    fresh_diags(NULL);
}

static void expect_place(const struct yaml_node *node, bool of_key, int line, int column, int width)
{
    int l, c, w;

    assert_non_null(node);
    yaml_place(node, of_key, &l, &c, &w);
    assert_int_equal(l, line);
    assert_int_equal(c, column);
    assert_int_equal(w, width);
}

static void nodes_are_found_by_key_and_index_with_their_places(void **state)
{
    struct yaml *y = parse("name: quickstart\n"
                           "种子: {a: [1, 'two 山', three]}\n"
                           "list:\n"
                           "  - x: 1\n"
                           "    y:\n"
                           "  - z\n");
    const struct yaml_node *root, *list;

    (void)state;
    assert_non_null(y);
    assert_int_equal(diags_count(diagnostics), 0);
    root = yaml_root(y);
    expect_place(root, false, 1, 1, 1);
    expect_place(yaml_child(root, "name"), true, 1, 1, 4);
    expect_place(yaml_child(root, "name"), false, 1, 7, 10);
    expect_place(yaml_child(root, "种子"), true, 2, 1, 4);
    list = yaml_child(yaml_child(root, "种子"), "a");
    expect_place(yaml_child(list, "1"), false, 2, 13, 8);
    expect_place(yaml_child(list, "2"), true, 2, 22, 5); /* has no key: its own place */
    list = yaml_child(root, "list");
    expect_place(yaml_child(yaml_child(list, "0"), "y"), true, 5, 5, 1);
    expect_place(yaml_child(list, "1"), false, 6, 5, 1);
    assert_null(yaml_child(list, "2"));
    assert_null(yaml_child(list, "-1"));
    assert_null(yaml_child(list, "1x"));
    assert_null(yaml_child(root, "nothing"));
    assert_null(yaml_child(yaml_child(root, "name"), "x"));
    yaml_free(y);
    yaml_free(NULL);
}

static void a_byte_order_mark_is_passed_over(void **state)
{
    struct yaml *y = parse("\xef\xbb\xbfname: x\n");

    (void)state;
    assert_non_null(y);
    expect_place(yaml_child(yaml_root(y), "name"), true, 1, 1, 4);
    yaml_free(y);
}

static void syntax_errors_are_told_in_our_words_with_their_place(void **state)
{
    static const char *const told[][2] = {
        { "a: b: c\n", "error: a ':' is not allowed here\n --> a.yaml:1:5\n" },
        { "a: 'open\n", "error: the quotes are never closed\n --> a.yaml:1:4\n" },
        { "a: [1, 2\nb: 3\n", "error: a ',' or ']' is missing\n --> a.yaml:2:" },
        { "a: {b: 1\n", "error: a ',' or '}' is missing\n --> a.yaml:2:1\n" },
        { "a: 1\n\tb: 2\n", "error: a tab cannot indent\n --> a.yaml:2:1\n" },
        { "a:\n\tb: 2\n", "error: a value cannot begin with this character\n --> a.yaml:2:1\n" },
        { "a: 1\nbc\nd: 2\n", "error: a ':' is missing after this key\n --> a.yaml:2:1\n" },
        { "a:\n  b: 1\n c: 2\n", "error: expected a key\n --> a.yaml:3:2\n" },
        { "a: \"\\q\"\n", "error: unknown escape after '\\'\n --> a.yaml:1:" },
        { "a: @x\n", "error: a value cannot begin with this character\n --> a.yaml:1:4\n" },
        { "{a: 1} b\n", "error: expected the end of the file\n" },
        { "a: 1\n---\nb: 2\n", "error: a file holds one document only\n --> a.yaml:2:1\n" },
        { "", "error: the file is empty\n --> a.yaml\n" },
        { "# only this\n", "error: the file is empty\n --> a.yaml\n" },
        { "? [a]\n: 1\n", "error: a key must be one word\n --> a.yaml:1:3\n" },
        { "a: 山\xff\n", "error: this is not UTF-8 text\n --> a.yaml:1:5\n" },
        { "a: \x01\n", "error: character U+0001 is not allowed\n --> a.yaml:1:4\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        expect_refused(told[i][0], told[i][1]);
}

static void duplicate_keys_are_told_and_the_first_stays(void **state)
{
    struct yaml *y = parse("a: 1\nb: 2\na: 3\nc: {d: 1, d: 2}\nb: 4\n");
    struct buf b = { 0 };

    (void)state;
    assert_non_null(y);
    assert_int_equal(diags_count(diagnostics), 3);
    expect_place(yaml_child(yaml_root(y), "a"), false, 1, 4, 1);
    assert_int_equal(diags_print(diagnostics, &b), OK);
    assert_memory_equal(b.p,
        "error: key 'a' is given twice\n --> a.yaml:3:1\n  |\n3 | a: 3\n  | ^\n"
        "  = help: it was first given in line 1\n",
        104);
    buf_free(&b);
    yaml_free(y);
}

static void aliases_anchors_and_tags_are_refused_with_their_place(void **state)
{
    struct yaml *y = parse("a: &x 1\nb: *x\nc: !!int 3\n");
    struct buf b = { 0 };

    (void)state;
    assert_non_null(y);
    assert_int_equal(diags_count(diagnostics), 3);
    assert_int_equal(diags_print(diagnostics, &b), OK);
    assert_non_null(strstr(b.p, "error: anchors are not supported\n --> a.yaml:1:4\n"));
    assert_non_null(strstr(b.p, "error: aliases are not supported\n --> a.yaml:2:4\n"));
    assert_non_null(strstr(b.p, "error: tags are not supported\n --> a.yaml:3:4\n"));
    buf_free(&b);
    yaml_free(y);
}

static void nesting_is_bounded(void **state)
{
    char deep[200];
    struct yaml *y;

    (void)state;
    memset(deep, '[', 64);
    memset(deep + 64, ']', 64);
    deep[128] = '\0';
    y = parse(deep);
    assert_non_null(y);
    yaml_free(y);
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    deep[130] = '\0';
    expect_refused(deep, "error: nested more than 64 levels deep\n --> a.yaml:1:65\n");
}

static void the_number_of_values_is_bounded(void **state)
{
    size_t n = 1000001;
    char *text = malloc(2 * n + 3);

    (void)state;
    assert_non_null(text);
    text[0] = '[';
    for (size_t i = 0; i < n; i++)
        memcpy(text + 1 + 2 * i, "1,", 2);
    memcpy(text + 1 + 2 * n, "]", 2);
    expect_refused(text, "error: the file has more than 1000000 values\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            nodes_are_found_by_key_and_index_with_their_places, fresh_diags, free_diags),
        cmocka_unit_test_setup_teardown(a_byte_order_mark_is_passed_over, fresh_diags, free_diags),
        cmocka_unit_test_setup_teardown(
            syntax_errors_are_told_in_our_words_with_their_place, fresh_diags, free_diags),
        cmocka_unit_test_setup_teardown(
            duplicate_keys_are_told_and_the_first_stays, fresh_diags, free_diags),
        cmocka_unit_test_setup_teardown(
            aliases_anchors_and_tags_are_refused_with_their_place, fresh_diags, free_diags),
        cmocka_unit_test_setup_teardown(nesting_is_bounded, fresh_diags, free_diags),
        cmocka_unit_test_setup_teardown(the_number_of_values_is_bounded, fresh_diags, free_diags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
