#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "workers/formats/alphabet.h"

static void a_space_and_a_newline_are_the_known_letters(void **state)
{
    struct buf b = { 0 };

    (void)state;
    assert_int_equal(alphabet_write(&b, " a\n\x80\xad", 5), OK);
    assert_string_equal(b.p, "\u0120a\u010a\u0122\u0143");
    buf_free(&b);
}

static void every_byte_reads_back(void **state)
{
    struct buf text = { 0 }, back = { 0 };
    uint8_t all[256];
    int rc;

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    assert_int_equal(alphabet_write(&text, all, 256), OK);
    assert_true(alphabet_read(&back, text.p, text.n, &rc));
    assert_int_equal(rc, OK);
    assert_int_equal(back.n, 256);
    assert_memory_equal(back.p, all, 256);
    buf_free(&text);
    buf_free(&back);
}

static void what_stands_for_no_byte_is_refused(void **state)
{
    static const char *const bad[] = { "a b", "\u0144", "a\n", "\xff", "\u4e2d" };
    struct buf b = { 0 };
    int rc;

    (void)state;
    assert_int_equal(buf_add(&b, "x", 1), OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(alphabet_read(&b, bad[i], strlen(bad[i]), &rc));
        assert_int_equal(b.n, 1);
    }
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_space_and_a_newline_are_the_known_letters),
        cmocka_unit_test(every_byte_reads_back),
        cmocka_unit_test(what_stands_for_no_byte_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
