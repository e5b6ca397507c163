#include "tests/unit/orchestrator/bench.h"

static void wait_doubles_from_a_second_to_a_minute(void **unused)
{
    static const int64_t seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60 };

    (void)unused;
    for (uint32_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        assert_int_equal(retry_wait_ms(i + 1), 1000 * seconds[i]);
    assert_int_equal(retry_wait_ms(1000000), 60000);
}

static void every_cause_has_words(void **unused)
{
    (void)unused;
    for (Cause c = CAUSE__BAD_INPUT; c <= CAUSE__TOO_LARGE; c++)
        assert_non_null(retry_rule(c)->words);
}

static void what_no_other_attempt_can_mend_is_fatal(void **unused)
{
    (void)unused;
    for (Cause c = CAUSE__BAD_INPUT; c <= CAUSE__TOO_LARGE; c++)
        assert_int_equal(retry_rule(c)->fatal,
            c == CAUSE__BAD_INPUT || c == CAUSE__INVARIANT || c == CAUSE__TOO_LARGE);
}

static void what_is_no_fault_of_the_task_is_not_counted(void **unused)
{
    (void)unused;
    assert_false(retry_rule(CAUSE__STOPPED)->counted || retry_rule(CAUSE__LOST)->counted);
    assert_false(retry_rule(CAUSE__STOPPED)->backs_off || retry_rule(CAUSE__LOST)->backs_off);
    assert_true(retry_rule(CAUSE__CRASH)->counted && retry_rule(CAUSE__CRASH)->backs_off);
    assert_true(retry_rule(CAUSE__TIMEOUT)->counted && retry_rule(CAUSE__IO)->elsewhere);
}

static void a_worker_cannot_say_that_it_is_lost(void **unused)
{
    (void)unused;
    assert_false(retry_workers_cause(CAUSE__LOST) || retry_workers_cause(0));
    assert_false(retry_workers_cause(CAUSE__TOO_LARGE + 1));
    assert_true(retry_workers_cause(CAUSE__TOO_LARGE) && retry_workers_cause(CAUSE__STOPPED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_doubles_from_a_second_to_a_minute),
        cmocka_unit_test(every_cause_has_words),
        cmocka_unit_test(what_no_other_attempt_can_mend_is_fatal),
        cmocka_unit_test(a_worker_cannot_say_that_it_is_lost),
        cmocka_unit_test(what_is_no_fault_of_the_task_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
