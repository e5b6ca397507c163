#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"

static struct json *parse(const char *text)
{
    struct err e = ERR_INIT;
    struct json *v = NULL;

    if (json_parse(&v, text, strlen(text), &e) != OK)
        fail_msg("%s: %s", text, e.msg);
    return v;
}

static void values_of_every_kind_are_read(void **state)
{
    struct json *root = parse("{\"s\": \"山\\n\", \"n\": -1.5e3, \"i\": 12345678901234567890, "
                              "\"t\": true, \"z\": null, \"a\": [1, [], {}], \"f\": false}");
    size_t n = 99;

    (void)state;
    assert_int_equal(json_kind(root), JSON_OBJECT_);
    assert_int_equal(json_size(root), 7);
    assert_string_equal(json_text(json_get(root, "s"), &n), "山\n");
    assert_int_equal(n, 4);
    assert_true(json_number(json_get(root, "n"), 0) == -1500);
    assert_true(json_number(json_get(root, "i"), 0) == 12345678901234567890.0);
    assert_true(json_bool(json_get(root, "t"), false));
    assert_false(json_bool(json_get(root, "f"), true));
    assert_int_equal(json_kind(json_get(root, "z")), JSON_NULL_);
    assert_int_equal(json_size(json_get(root, "a")), 3);
    assert_true(json_number(json_at(json_get(root, "a"), 0), 0) == 1);
    assert_int_equal(json_kind(json_at(json_get(root, "a"), 2)), JSON_OBJECT_);
    json_free(root);
    json_free(NULL);
}

static void keys_stand_in_the_files_order(void **state)
{
    struct json *root = parse("{\"z\": 1, \"a\": 2, \"m\": 3}");

    (void)state;
    assert_string_equal(json_key(root, 0), "z");
    assert_string_equal(json_key(root, 1), "a");
    assert_true(json_number(json_value(root, 2), 0) == 3);
    assert_null(json_key(root, 3));
    assert_null(json_value(root, 3));
    json_free(root);
}

static void what_is_not_there_is_null_or_the_other(void **state)
{
    struct json *root = parse("[\"x\"]");

    (void)state;
    assert_null(json_get(root, "x"));
    assert_null(json_at(root, 1));
    assert_null(json_key(root, 0));
    assert_null(json_text(root, NULL));
    assert_true(json_number(json_at(root, 0), 7) == 7);
    assert_true(json_bool(json_at(root, 0), true));
    assert_int_equal(json_size(json_at(root, 0)), 0);
    json_free(root);
}

static void many_keys_are_found_too(void **state)
{
    struct buf b = { 0 };
    struct json *root;

    (void)state;
    assert_int_equal(buf_add(&b, "{", 1), OK);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf_printf(&b, "%s\"k%d\": %d", i ? ", " : "", i * 7919 % 5000, i), OK);
    assert_int_equal(buf_add(&b, "}", 1), OK);
    root = parse(b.p);
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i * 7919 % 5000);
        assert_true(json_number(json_get(root, key), -1) == i);
    }
    assert_null(json_get(root, "k5000"));
    assert_string_equal(json_key(root, 1), "k2919");
    json_free(root);
    buf_free(&b);
}

static void errors_have_their_place(void **state)
{
    static const struct {
        const char *text, *place;
    } rows[] = {
        { "{\"a\": 1,\n \"山\": x}", "2:" },
        { "{\"a\": 1, \"a\": 2}", "1:" },
        { "[1] 2", "1:" },
        { "", "1:" },
        { "[1", "1:" },
        { "\"\xff\"", "1:" },
        { "[1e999]", "1:" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = ERR_INIT;
        struct json *v = NULL;
        assert_int_equal(json_parse(&v, rows[i].text, strlen(rows[i].text), &e), E_INPUT);
        assert_null(v);
        assert_memory_equal(e.msg, rows[i].place, 2);
    }
}

static void nesting_is_bounded(void **state)
{
    char text[200];
    struct err e = ERR_INIT;
    struct json *v = NULL;

    (void)state;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_int_equal(json_parse(&v, text, 128, &e), OK);
    json_free(v);
    v = NULL;
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_int_equal(json_parse(&v, text, 130, &e), E_INPUT);
    assert_string_equal(e.msg, "1:65: nested more than 64 levels deep");
    assert_null(v);
    memset(text, '[', 100);
    text[0] = text[99] = '"'; /* brackets within a text do not nest */
    assert_int_equal(json_parse(&v, text, 100, &e), OK);
    json_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_kind_are_read),
        cmocka_unit_test(keys_stand_in_the_files_order),
        cmocka_unit_test(what_is_not_there_is_null_or_the_other),
        cmocka_unit_test(many_keys_are_found_too),
        cmocka_unit_test(errors_have_their_place),
        cmocka_unit_test(nesting_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
