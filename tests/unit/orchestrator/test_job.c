#include "tests/unit/orchestrator/bench.h"

static void every_state_has_a_name(void **unused)
{
    (void)unused;
    for (int s = 0; s < JOB_STATES; s++)
        assert_true(strlen(job_state_name((enum job_state)s)) > 3);
    for (int s = 0; s < TASK_STATES; s++)
        assert_true(strlen(task_state_name((enum task_state)s)) > 3);
    assert_string_equal(job_state_name(JOB_WAITING_FOR_PEOPLE), "waiting_for_people");
    assert_string_equal(job_state_name((enum job_state)99), "unknown");
}

static void stored_numbers_of_states_never_change(void **unused)
{
    (void)unused;
    assert_int_equal(JOB_BLOCKED, 0);
    assert_int_equal(JOB_READY, 1);
    assert_int_equal(JOB_RUNNING, 2);
    assert_int_equal(JOB_WAITING_FOR_PEOPLE, 3);
    assert_int_equal(JOB_DONE, 4);
    assert_int_equal(JOB_FAILED, 5);
    assert_int_equal(JOB_CANCELLED, 6);
}

static void what_is_over_moves_no_more(void **unused)
{
    (void)unused;
    for (int from = 0; from < JOB_STATES; from++)
        for (int to = 0; to < JOB_STATES; to++)
            if (job_is_over((enum job_state)from))
                assert_false(job_may_move((enum job_state)from, (enum job_state)to));
    assert_true(job_is_over(JOB_DONE) && job_is_over(JOB_FAILED) && job_is_over(JOB_CANCELLED));
    assert_false(job_is_over(JOB_WAITING_FOR_PEOPLE));
}

static void everything_that_is_not_over_can_be_cancelled(void **unused)
{
    (void)unused;
    for (int s = 0; s < JOB_STATES; s++)
        assert_int_equal(
            job_may_move((enum job_state)s, JOB_CANCELLED), !job_is_over((enum job_state)s));
}

static void blocked_job_does_not_run(void **unused)
{
    (void)unused;
    assert_true(job_may_move(JOB_BLOCKED, JOB_READY));
    assert_false(job_may_move(JOB_BLOCKED, JOB_RUNNING));
    assert_false(job_may_move(JOB_BLOCKED, JOB_DONE));
    assert_true(job_may_move(JOB_READY, JOB_DONE)); /* cached */
}

static void task_is_leased_before_it_backs_off(void **unused)
{
    (void)unused;
    assert_true(task_may_move(TASK_LEASED, TASK_BACKING_OFF));
    assert_false(task_may_move(TASK_READY, TASK_BACKING_OFF));
    assert_false(task_may_move(TASK_DONE, TASK_LEASED));
    assert_false(task_may_move(TASK_FAILED, TASK_READY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_has_a_name),
        cmocka_unit_test(stored_numbers_of_states_never_change),
        cmocka_unit_test(what_is_over_moves_no_more),
        cmocka_unit_test(everything_that_is_not_over_can_be_cancelled),
        cmocka_unit_test(blocked_job_does_not_run),
        cmocka_unit_test(task_is_leased_before_it_backs_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
