#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/bytes.h"

static void a_buffer_grows_and_ends_with_nul(void **state)
{
    struct buf b = { 0 };

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_printf(&b, "%d,", i % 10), OK);
    assert_int_equal(buf_add(&b, "a\0b", 3), OK);
    assert_int_equal(b.n, 2003);
    assert_memory_equal(b.p + 1998, "9,a\0b", 6);
    buf_free(&b);
    assert_null(b.p);
    assert_int_equal(b.n + b.cap, 0);
}

static void adding_nothing_still_gives_a_string(void **state)
{
    struct buf b = { 0 };

    (void)state;
    assert_int_equal(buf_add(&b, NULL, 0), OK);
    assert_string_equal(b.p, "");
    buf_free(&b);
}

static void a_buffer_refuses_what_cannot_be_held_and_stays_as_it_is(void **state)
{
    struct buf b = { 0 };

    (void)state;
    assert_int_equal(buf_add(&b, "abc", 3), OK);
    assert_int_equal(buf_add(&b, "x", SIZE_MAX - 1), E_NOMEM);
    assert_string_equal(b.p, "abc");
    buf_free(&b);
}

static void an_id_reads_back_from_its_hex(void **state)
{
    struct id a, b;
    char hex[ID_HEX];

    (void)state;
    for (int i = 0; i < 32; i++)
        a.b[i] = (uint8_t)(i * 37 + 5);
    id_hex(hex, &a);
    assert_int_equal(strlen(hex), 64);
    assert_true(id_parse(&b, hex));
    assert_true(id_equal(&a, &b));
    b.b[31] ^= 1;
    assert_false(id_equal(&a, &b));
}

static void only_64_lower_case_hex_digits_are_an_id(void **state)
{
    char hex[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    struct id id;

    (void)state;
    assert_true(id_parse(&id, hex));
    hex[10] = 'F';
    assert_false(id_parse(&id, hex));
    hex[10] = 'g';
    assert_false(id_parse(&id, hex));
    hex[10] = '0';
    hex[63] = '\0';
    assert_false(id_parse(&id, hex));
    assert_false(id_parse(&id, ""));
    assert_true(id_from_span(&id, "0123456789abcdef0123456789abcdef", 32));
    assert_false(id_from_span(&id, "0123456789abcdef0123456789abcdef", 31));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_grows_and_ends_with_nul),
        cmocka_unit_test(adding_nothing_still_gives_a_string),
        cmocka_unit_test(a_buffer_refuses_what_cannot_be_held_and_stays_as_it_is),
        cmocka_unit_test(an_id_reads_back_from_its_hex),
        cmocka_unit_test(only_64_lower_case_hex_digits_are_an_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
