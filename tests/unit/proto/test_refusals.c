#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/refusals.h"

static void one_is_named_after_a_second(void **state)
{
    struct refusals r = { 0 };
    char line[REFUSAL_LINE];

    (void)state;
    assert_int_equal(refusals_wait_ms(&r, 5000), -1);
    assert_false(refusals_line(&r, INT64_MAX, line));
    refusals_add(&r, REFUSED_FRAME, "10.0.0.1:99", 5000);
    assert_int_equal(refusals_wait_ms(&r, 5200), 800);
    assert_false(refusals_line(&r, 5999, line));
    assert_true(refusals_line(&r, 6000, line));
    assert_string_equal(
        line, "refused 10.0.0.1:99: no message came of it: a frame above the limit, or silence");
    assert_false(refusals_line(&r, 7000, line));
    assert_int_equal(refusals_wait_ms(&r, 7000), -1);
}

static void a_flood_is_one_line_with_its_number(void **state)
{
    struct refusals r = { 0 };
    char line[REFUSAL_LINE];

    (void)state;
    for (int i = 0; i < 1000; i++)
        refusals_add(&r, REFUSED_PROTOCOL, i < 999 ? "10.0.0.1:1" : "10.0.0.2:2", i);
    refusals_add(&r, REFUSED_SILENT, "10.0.0.3:3", 400); /* another cause is a line of its own */
    assert_int_equal(refusals_wait_ms(&r, 1100), 0);
    assert_true(refusals_line(&r, 1400, line));
    assert_string_equal(
        line, "refused 1000 in 1 s, the last 10.0.0.2:2: it does not speak ZMTP as it should");
    assert_true(refusals_line(&r, 1400, line));
    assert_string_equal(line, "refused 10.0.0.3:3: it left before it had said who it is, or was "
                              "silent for too long");
    assert_false(refusals_line(&r, INT64_MAX, line));
}

/* One refusal in each millisecond for so long. */
static int lines_in(struct refusals *r, int64_t from, int64_t to)
{
    char line[REFUSAL_LINE];
    int n = 0;

    for (int64_t now = from; now < to; now++) {
        refusals_add(r, REFUSED_KEY, "10.0.0.1", now);
        while (refusals_line(r, now, line))
            n++;
    }
    return n;
}

static void a_flood_that_lasts_is_told_ever_more_seldom(void **state)
{
    struct refusals r = { 0 };
    char line[REFUSAL_LINE];

    (void)state;
    /* after 1, 3, 7, 15, 31, 63, and then each 60 s */
    assert_int_equal(lines_in(&r, 0, 64000), 6);
    assert_int_equal(lines_in(&r, 64000, 664000), 10);
    assert_true(refusals_line(&r, INT64_MAX, line));
    refusals_add(&r, REFUSED_KEY, "10.0.0.9", 2000000); /* it was quiet: the next is told soon */
    assert_int_equal(refusals_wait_ms(&r, 2000000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_named_after_a_second),
        cmocka_unit_test(a_flood_is_one_line_with_its_number),
        cmocka_unit_test(a_flood_that_lasts_is_told_ever_more_seldom),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
