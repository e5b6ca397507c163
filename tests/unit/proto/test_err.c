#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "proto/err.h"
#include "proto/utf8.h"

static void an_error_has_its_code_and_message(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(err_set(&e, E_INPUT, "line %d: unknown stage '%s'", 7, "stf"), E_INPUT);
    assert_int_equal(e.code, E_INPUT);
    assert_string_equal(e.msg, "line 7: unknown stage 'stf'");
}

static void each_layer_puts_its_clause_in_front(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    err_set(&e, E_INPUT, "line 7: unknown stage");
    assert_int_equal(err_wrap(&e, "pipeline '%s'", "rlhf"), E_INPUT);
    assert_int_equal(err_wrap(&e, "submit"), E_INPUT);
    assert_string_equal(e.msg, "submit: pipeline 'rlhf': line 7: unknown stage");
}

static void a_message_may_be_made_from_itself(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    err_set(&e, E_IO, "disk full");
    err_set(&e, E_CORRUPT, "half written (%s)", e.msg);
    assert_string_equal(e.msg, "half written (disk full)");
}

static void the_operating_system_has_the_last_word(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    errno = ENOENT;
    assert_int_equal(err_errno(&e, "cannot read '%s'", "x"), E_IO);
    assert_string_equal(e.msg, "cannot read 'x': No such file or directory");
}

static void long_messages_are_cut_between_characters(void **state)
{
    char text[4096];
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "山", 4);
    err_set(&e, E_INPUT, "%s", text);
    assert_int_equal(strlen(e.msg), 2046);
    assert_true(utf8_valid(e.msg, strlen(e.msg)));
    err_wrap(&e, "ab");
    assert_memory_equal(e.msg, "ab: 山", 7);
    assert_true(strlen(e.msg) < sizeof e.msg);
    assert_true(utf8_valid(e.msg, strlen(e.msg)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_has_its_code_and_message),
        cmocka_unit_test(each_layer_puts_its_clause_in_front),
        cmocka_unit_test(a_message_may_be_made_from_itself),
        cmocka_unit_test(the_operating_system_has_the_last_word),
        cmocka_unit_test(long_messages_are_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
