#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/clock.h"

static void times_are_written_in_iso_8601(void **state)
{
    char text[CLOCK_TEXT];

    (void)state;
    clock_iso(text, 0);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    clock_iso(text, 951782399999); /* the last millisecond of a leap day */
    assert_string_equal(text, "2000-02-28T23:59:59.999Z");
    clock_iso(text, 1795407129120);
    assert_string_equal(text, "2026-11-23T04:12:09.120Z");
    clock_iso(text, -1);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    clock_iso(text, INT64_MAX);
    assert_string_equal(text, "0000-00-00T00:00:00.000Z");
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    int64_t last = clock_ms();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_ms();
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_unix_ms() > 1600000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_in_iso_8601),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
