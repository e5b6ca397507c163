#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/utf8.h"

static void characters_of_every_length_are_decoded(void **state)
{
    static const struct {
        const char *text;
        uint32_t code;
        size_t n;
    } known[] = {
        { "A", 0x41, 1 },
        { "\xc2\x80", 0x80, 2 },
        { "\xdf\xbf", 0x7ff, 2 },
        { "\xe0\xa0\x80", 0x800, 3 },
        { "山", 0x5c71, 3 },
        { "\xef\xbf\xbf", 0xffff, 3 },
        { "\xf0\x90\x80\x80", 0x10000, 4 },
        { "\xf4\x8f\xbf\xbf", 0x10ffff, 4 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t code = 0;
        size_t n = strlen(known[i].text);
        assert_int_equal(utf8_decode(&code, known[i].text, n), known[i].n);
        assert_int_equal(code, known[i].code);
        assert_true(utf8_valid(known[i].text, n));
        assert_int_equal(n > 1 ? utf8_decode(&code, known[i].text, n - 1) : 0, 0);
    }
}

static void malformed_bytes_are_no_character(void **state)
{
    static const char *const bad[] = {
        "\x80",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xe5\xb1",
        "\xe5\x41\x80",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint32_t code;
        assert_int_equal(utf8_decode(&code, bad[i], strlen(bad[i])), 0);
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
    }
    assert_true(utf8_valid(NULL, 0));
}

static void only_an_incomplete_end_is_cut(void **state)
{
    (void)state;
    assert_int_equal(utf8_whole("山a", 4), 4);
    assert_int_equal(utf8_whole("a山", 4), 4);
    assert_int_equal(utf8_whole("a山", 3), 1);
    assert_int_equal(utf8_whole("a山", 2), 1);
    assert_int_equal(utf8_whole("\xf0\x90\x80\x80", 3), 0);
    assert_int_equal(utf8_whole("\xf0\x8f\x80", 3), 3); /* no character begins so */
    assert_int_equal(utf8_whole("\x80\x80\x80\x80", 4), 4);
    assert_int_equal(utf8_whole("", 0), 0);
}

static void a_malformed_byte_counts_as_one(void **state)
{
    (void)state;
    assert_int_equal(utf8_count("台湾最高的山", 18), 6);
    assert_int_equal(utf8_count("a\xff\xe5\xb1", 4), 4);
}

static void columns_follow_the_width_of_characters(void **state)
{
    (void)state;
    assert_int_equal(utf8_columns("quick start"), 11);
    assert_int_equal(utf8_columns("世界,。！"), 9);
    assert_int_equal(utf8_columns("ｆｕｌｌ"), 8);
    assert_int_equal(utf8_columns("cafe\xcc\x81"), 4); /* a combining accent */
    assert_int_equal(utf8_columns("✓✗▸…·"), 5);        /* ambiguous: 1 */
    assert_int_equal(utf8_columns("한국"), 4);
    assert_int_equal(utf8_columns("𠀀"), 2);
    assert_int_equal(utf8_columns("😀"), 2);
    assert_int_equal(utf8_columns("\xe2\x80\x8b"), 0); /* zero width space */
}

static void text_is_fitted_without_cutting_a_character(void **state)
{
    (void)state;
    assert_int_equal(utf8_fit("世界地图", 5), 6);
    assert_int_equal(utf8_fit("世界地图", 4), 6);
    assert_int_equal(utf8_fit("世界地图", 1), 0);
    assert_int_equal(utf8_fit("abc", 80), 3);
    assert_int_equal(utf8_fit("e\xcc\x81x", 1), 3); /* the accent stays with its letter */
}

static void what_could_drive_a_terminal_is_escaped(void **state)
{
    static const char text[] = "a\n\t\r\x1b[2J\x7f\xc2\x9b\xffz山\xe2\x80\xae\0b";
    struct buf b = { 0 };

    (void)state;
    assert_int_equal(utf8_escape(&b, text, sizeof text - 1), OK);
    assert_string_equal(b.p, "a\\n\\t\\r\\x1b[2J\\x7f\\u009b\\xffz山\\u202e\\x00b");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_of_every_length_are_decoded),
        cmocka_unit_test(malformed_bytes_are_no_character),
        cmocka_unit_test(only_an_incomplete_end_is_cut),
        cmocka_unit_test(a_malformed_byte_counts_as_one),
        cmocka_unit_test(columns_follow_the_width_of_characters),
        cmocka_unit_test(text_is_fitted_without_cutting_a_character),
        cmocka_unit_test(what_could_drive_a_terminal_is_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
