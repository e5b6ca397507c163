#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/message.h"
#include "tests/simulation/sim.h"

/* The orchestrator under virtual time. Each test can be read aloud. SIM_TRACE=1 tells them. */

#define TEST(name) static void name(void **unused)
#define CHECK_STATE(s, job, state) \
    assert_string_equal(job_state_name(sim_state(s, job)), job_state_name(state))

static void check_text(char *text, const char *want)
{
    assert_string_equal(text, want);
    free(text);
}

static void check_says(char *text, const char *part)
{
    if (!strstr(text, part))
        print_message("'%s' does not say '%s'\n", text, part);
    assert_non_null(strstr(text, part));
    free(text);
}

static char *undisturbed(void)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 1, .seed = 1 });

    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    char *results = sim_results(s);
    sim_end(s);
    return results;
}

TEST(chain_runs_to_its_end)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 3 });

    (void)unused;
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    CHECK_STATE(s, "report", JOB_DONE);
    assert_int_equal(sim_attempts(s, "base"), 1);
    assert_int_equal(sim_executions(s, "base"), (int)sim_tasks_run(s, "base"));
    assert_int_equal(sim_tasks_run(s, "chat"), 4 * (3 + 1));
    assert_int_equal(sim_tasks(s, "chat"), 3 + 4 * (3 + 1)); /* the text is encoded already */
    sim_run(s, SECOND);
    assert_int_equal(sim_unacknowledged(s), 0);
    assert_true(sim_log_lines(s) > 50);
    sim_end(s);
}

TEST(worker_dies_while_training)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 7 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "sft", 10 * MINUTE));
    sim_kill_holder_of(s, "sft");
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    assert_int_equal(sim_attempts(s, "sft"), 2);
    sim_end(s);
}

/* Its successor has the same name on the same host: there is no need to wait for silence. */
TEST(worker_that_is_started_anew_gives_back_its_task_at_once)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 1, .seed = 7 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "vocabulary", 10 * MINUTE));
    sim_kill_holder_of(s, "vocabulary");
    assert_true(sim_run_until_state(s, "vocabulary", JOB_DONE, 5 * SECOND));
    assert_int_equal(sim_attempts(s, "vocabulary"), 2);
    sim_end(s);
}

TEST(orchestrator_dies_while_training_and_the_attempt_is_adopted)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 11 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "chat", 10 * MINUTE));
    int before = sim_executions(s, "base") + sim_executions(s, "sft");
    sim_kill_orchestrator(s, 300);
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    assert_int_equal(sim_executions(s, "base") + sim_executions(s, "sft"), before);
    assert_int_equal(sim_executions(s, "chat"), (int)sim_tasks_run(s, "chat"));
    sim_end(s);
}

TEST(worker_that_is_cut_off_for_a_moment_keeps_its_lease)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 1, .seed = 13 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "vocabulary", MINUTE));
    sim_cut_off_holder_of(s, "vocabulary", 700);
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    assert_int_equal(sim_attempts(s, "vocabulary"), 1);
    sim_end(s);
}

TEST(worker_that_is_cut_off_for_long_loses_its_lease)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 13 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "vocabulary", MINUTE));
    sim_cut_off_holder_of(s, "vocabulary", MINUTE);
    assert_true(sim_run_until_state(s, "vocabulary", JOB_DONE, 30 * SECOND));
    assert_int_equal(sim_attempts(s, "vocabulary"), 2);
    sim_end(s);
}

TEST(crash_is_tried_again_after_a_second_and_then_after_two)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 1, .seed = 17 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "vocabulary", MINUTE));
    sim_fail_attempt_of(s, "vocabulary", CAUSE__CRASH);
    int64_t failed = sim_now(s);
    assert_true(sim_run_until_leased(s, "vocabulary", MINUTE));
    assert_in_range(sim_now(s) - failed, 1000, 1200);
    sim_fail_attempt_of(s, "vocabulary", CAUSE__OUT_OF_MEMORY);
    failed = sim_now(s);
    assert_true(sim_run_until_leased(s, "vocabulary", MINUTE));
    assert_in_range(sim_now(s) - failed, 2000, 2200);
    assert_true(sim_run_until_state(s, "vocabulary", JOB_DONE, MINUTE));
    assert_int_equal(sim_attempts(s, "vocabulary"), 3);
    sim_end(s);
}

TEST(job_that_crashes_too_often_fails_and_what_needs_it_is_cancelled)
{
    struct sim *s = sim_start(
        "tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 19, .set = { "teacher.retries=1" } });

    (void)unused;
    for (int i = 0; i < 2; i++) {
        assert_true(sim_run_until_leased(s, "teacher", 10 * MINUTE));
        sim_fail_attempt_of(s, "teacher", CAUSE__CRASH);
    }
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "failed");
    CHECK_STATE(s, "teacher", JOB_FAILED);
    check_says(sim_why(s, "teacher"), "failed: crash: as the simulation would have it");
    CHECK_STATE(s, "chat", JOB_CANCELLED);
    check_text(sim_why(s, "chat"), "needs teacher, which failed");
    CHECK_STATE(s, "sft", JOB_DONE);
    sim_end(s);
}

TEST(bad_input_is_never_tried_again)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 23 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "sft", 10 * MINUTE));
    sim_fail_attempt_of(s, "sft", CAUSE__BAD_INPUT);
    assert_true(sim_run_until_done(s, MINUTE));
    CHECK_STATE(s, "sft", JOB_FAILED);
    check_says(sim_why(s, "sft"), "bad input");
    assert_int_equal(sim_attempts(s, "sft"), 1);
    sim_end(s);
}

TEST(same_pipeline_again_runs_nothing)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 29 });

    (void)unused;
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    int executed = sim_executions(s, "chat") + sim_executions(s, "base");
    sim_submit_again(s);
    assert_true(sim_run_until_done(s, 10 * SECOND));
    check_text(sim_run_state(s, 2), "done");
    assert_int_equal(sim_executions(s, "chat") + sim_executions(s, "base"), executed);
    sim_end(s);
}

TEST(stage_whose_artifact_is_lost_is_run_again)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 30 });

    (void)unused;
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    int base = sim_executions(s, "base"), teacher = sim_executions(s, "teacher");
    sim_lose_artifact(s, "teacher", "checkpoint");
    sim_submit_again(s);
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 2), "done");
    assert_int_equal(sim_executions(s, "base"), base);
    assert_int_equal(sim_executions(s, "teacher"), teacher + 1); /* its last task */
    sim_end(s);
}

TEST(answer_that_is_not_in_the_store_is_a_failed_attempt)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 1, .seed = 33 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "vocabulary", MINUTE));
    sim_lose_result_of(s, "vocabulary");
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    assert_int_equal(sim_attempts(s, "vocabulary"), 2);
    assert_true(sim_was_told(s, "i/o error: its result is not in the store"));
    sim_end(s);
}

TEST(second_answer_that_differs_is_told_and_ignored)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 35 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "vocabulary", MINUTE));
    sim_answer_twice(s, "vocabulary", "something else");
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    assert_true(sim_was_told(s, "audit: worker w"));
    assert_int_equal(sim_executions(s, "vocabulary"), 1);
    sim_end(s);
}

TEST(job_that_waits_for_people_goes_on_when_all_rankings_are_in)
{
    struct sim *s = sim_start(
        "tiny.yaml", (struct sim_opts){
                         .workers = 2, .seed = 36, .set = { "ranking.by={people: {target: 5}}" } });

    (void)unused;
    assert_true(sim_run_until_state(s, "ranking", JOB_WAITING_FOR_PEOPLE, 10 * MINUTE));
    sim_label(s, "ranking", 3);
    sim_run(s, 2 * SECOND);
    check_text(sim_why(s, "ranking"), "3 of 5 rankings are in");
    sim_kill_orchestrator(s, 500); /* who has said thanks must not forget */
    sim_run(s, 3 * SECOND);
    CHECK_STATE(s, "ranking", JOB_WAITING_FOR_PEOPLE);
    sim_label(s, "ranking", 2);
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    sim_end(s);
}

TEST(two_runs_at_once_share_their_tasks)
{
    struct sim *s =
        sim_start("tiny.yaml", (struct sim_opts){ .workers = 3, .seed = 31, .runs = 2 });

    (void)unused;
    assert_true(sim_run_until_done(s, 20 * MINUTE));
    check_text(sim_run_state(s, 2), "done");
    assert_int_equal(sim_executions(s, "chat"), (int)sim_tasks_run(s, "chat"));
    sim_end(s);
}

TEST(cancelled_run_ends_and_its_attempts_stop)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 64; seed++) {
        struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = seed });
        assert_true(sim_run_until_leased(s, "base", MINUTE));
        sim_cancel(s, NULL);
        assert_true(sim_run_until_done(s, SECOND));
        check_text(sim_run_state(s, 1), "cancelled");
        CHECK_STATE(s, "vocabulary", JOB_DONE);
        CHECK_STATE(s, "report", JOB_CANCELLED);
        /* An assignment that comes after its revocation is revoked at the next heartbeat. */
        sim_run(s, 2 * SECOND);
        assert_int_equal(sim_holder_of(s, "base"), 0);
        assert_false(sim_run_until_leased(s, "base", 10 * SECOND));
        sim_end(s);
    }
}

TEST(cancelled_job_takes_along_only_what_needs_it)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 41 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "answers", 10 * MINUTE));
    sim_cancel(s, "answers");
    assert_true(sim_run_until_done(s, MINUTE));
    CHECK_STATE(s, "answers", JOB_CANCELLED);
    check_text(sim_why(s, "ranking"), "needs answers, which was cancelled");
    CHECK_STATE(s, "sft", JOB_DONE);
    sim_end(s);
}

TEST(paused_job_begins_nothing_new_until_it_is_resumed)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 43 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "base", MINUTE));
    sim_pause(s, "base");
    sim_run(s, 30 * SECOND);
    int begun = sim_executions(s, "base");
    check_says(sim_why(s, "base"), "paused: `jielong resume tiny-1/base`");
    sim_kill_orchestrator(s, 300); /* it stays so */
    sim_run(s, MINUTE);
    assert_int_equal(sim_executions(s, "base"), begun);
    CHECK_STATE(s, "report", JOB_BLOCKED);
    sim_resume(s, "base");
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    sim_end(s);
}

TEST(paused_run_goes_on_where_it_was)
{
    char *want = undisturbed();
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 2, .seed = 47 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "sft", 10 * MINUTE));
    sim_pause(s, NULL);
    sim_run(s, MINUTE);
    assert_false(sim_run_until_done(s, MINUTE));
    sim_resume(s, NULL);
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_results(s), want);
    free(want);
    sim_end(s);
}

TEST(draining_worker_finishes_what_it_has_and_gets_nothing_new)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 1, .seed = 53 });

    (void)unused;
    assert_true(sim_run_until_leased(s, "base", MINUTE));
    int begun = sim_executions(s, "base");
    sim_drain(s, "w1");
    sim_run(s, MINUTE);
    assert_int_equal(sim_executions(s, "base"), begun);
    check_text(sim_why(s, "base"), "every worker that could take it is draining");
    sim_end(s);
}

TEST(job_that_asks_for_a_label_runs_where_it_is)
{
    struct sim *s = sim_start(
        "tiny.yaml", (struct sim_opts){ .workers = 3,
                         .seed = 59,
                         .label = "big",
                         .set = { "base.resources={labels: [big], threads: 2, memory: 8G}" } });

    (void)unused;
    assert_true(sim_run_until_leased(s, "base", MINUTE));
    assert_int_equal(sim_holder_of(s, "base"), 3);
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    sim_end(s);
}

TEST(job_that_fits_nowhere_says_what_each_worker_lacks)
{
    struct sim *s =
        sim_start("tiny.yaml", (struct sim_opts){ .workers = 2,
                                   .seed = 61,
                                   .label = "big",
                                   .set = { "base.resources={labels: [big], threads: 3}" } });

    (void)unused;
    sim_run(s, MINUTE);
    assert_int_equal(sim_executions(s, "base"), 0);
    check_says(sim_why(s, "base"), "no suitable worker: ");
    check_says(sim_why(s, "base"), "w1 has no label big");
    check_says(sim_why(s, "base"), "w2 gives 2 of 3 threads");
    sim_end(s);
}

TEST(audited_tasks_are_run_twice_and_change_nothing)
{
    char *want = undisturbed();
    struct sim *s =
        sim_start("tiny.yaml", (struct sim_opts){ .workers = 3, .seed = 67, .set = { "audit=1" } });

    (void)unused;
    assert_true(sim_run_until_done(s, 20 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    check_text(sim_results(s), want);
    assert_int_equal(sim_audits(s, "base"), sim_tasks_run(s, "base"));
    assert_int_equal(sim_executions(s, "base"), 2 * (int)sim_tasks_run(s, "base"));
    assert_int_equal(sim_attempts(s, "base"), 1);
    free(want);
    sim_end(s);
}

TEST(audit_share_of_one_stage_is_its_own)
{
    struct sim *s = sim_start("tiny.yaml",
        (struct sim_opts){ .workers = 2, .seed = 68, .set = { "audit=1", "base.audit=0" } });

    (void)unused;
    assert_true(sim_run_until_done(s, 20 * MINUTE));
    assert_int_equal(sim_audits(s, "base"), 0);
    assert_int_equal(sim_audits(s, "vocabulary"), 1);
    sim_end(s);
}

TEST(audit_on_the_only_worker_is_run_by_it)
{
    struct sim *s =
        sim_start("tiny.yaml", (struct sim_opts){ .workers = 1, .seed = 69, .set = { "audit=1" } });

    (void)unused;
    assert_true(sim_run_until_done(s, 20 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    assert_int_equal(sim_audits(s, "base"), sim_tasks_run(s, "base"));
    sim_end(s);
}

/* Its two results would agree with each other: so they are not asked for. */
TEST(worker_that_computes_wrongly_is_caught_and_both_are_named)
{
    struct sim *s = sim_start("tiny.yaml",
        (struct sim_opts){ .workers = 2, .seed = 70, .liar = 2, .set = { "base.audit=1" } });

    (void)unused;
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "failed");
    CHECK_STATE(s, "base", JOB_FAILED);
    check_says(sim_why(s, "base"), "audit: two runs of task ");
    check_says(sim_why(s, "base"), "attempt 1 on w1");
    check_says(sim_why(s, "base"), "attempt 1 on w2");
    assert_true(sim_was_told(s, "job tiny-1/base: failed: audit: two runs of task"));
    int begun = sim_executions(s, "base");
    sim_submit_again(s); /* what they disagree about was forgotten: it is computed again */
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    assert_true(sim_executions(s, "base") > begun);
    sim_end(s);
}

TEST(audit_goes_on_after_a_restart)
{
    struct sim *s = sim_start("tiny.yaml",
        (struct sim_opts){ .workers = 2, .seed = 71, .liar = 2, .set = { "base.audit=1" } });

    (void)unused;
    assert_true(sim_run_until_leased(s, "base", MINUTE));
    sim_kill_orchestrator(s, 500);
    sim_run(s, SECOND);
    sim_kill_orchestrator(s, 500);
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "failed");
    check_says(sim_why(s, "base"), "audit: two runs of task ");
    sim_end(s);
}

TEST(audit_that_fails_by_itself_is_given_up_and_the_job_is_done)
{
    struct sim *s = sim_start("tiny.yaml",
        (struct sim_opts){
            .workers = 2, .seed = 72, .set = { "vocabulary.audit=1", "vocabulary.retries=0" } });

    (void)unused;
    assert_true(sim_run_until_leased(s, "vocabulary", MINUTE));
    assert_true(sim_run_until_executions(s, "vocabulary", 2, MINUTE));
    sim_fail_attempt_of(s, "vocabulary", CAUSE__CRASH);
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "done");
    assert_int_equal(sim_audits(s, "vocabulary"), 0);
    assert_true(sim_was_told(s, "an audit is given up: attempt 1 on w"));
    sim_end(s);
}

/* It takes answers that are known, but not on trust. */
TEST(run_that_takes_a_doubted_answer_waits_for_the_audit_and_fails_with_it)
{
    struct sim *s = sim_start("tiny.yaml",
        (struct sim_opts){ .workers = 2, .seed = 73, .liar = 2, .set = { "vocabulary.audit=1" } });

    (void)unused;
    assert_true(sim_run_until_executions(s, "vocabulary", 2, MINUTE));
    sim_submit_again(s);
    assert_true(sim_run_until_done(s, 10 * MINUTE));
    check_text(sim_run_state(s, 1), "failed");
    check_text(sim_run_state(s, 2), "failed");
    assert_int_equal(sim_executions(s, "vocabulary"), 2);
    sim_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_runs_to_its_end),
        cmocka_unit_test(worker_dies_while_training),
        cmocka_unit_test(worker_that_is_started_anew_gives_back_its_task_at_once),
        cmocka_unit_test(orchestrator_dies_while_training_and_the_attempt_is_adopted),
        cmocka_unit_test(worker_that_is_cut_off_for_a_moment_keeps_its_lease),
        cmocka_unit_test(worker_that_is_cut_off_for_long_loses_its_lease),
        cmocka_unit_test(crash_is_tried_again_after_a_second_and_then_after_two),
        cmocka_unit_test(job_that_asks_for_a_label_runs_where_it_is),
        cmocka_unit_test(job_that_fits_nowhere_says_what_each_worker_lacks),
        cmocka_unit_test(job_that_crashes_too_often_fails_and_what_needs_it_is_cancelled),
        cmocka_unit_test(bad_input_is_never_tried_again),
        cmocka_unit_test(same_pipeline_again_runs_nothing),
        cmocka_unit_test(stage_whose_artifact_is_lost_is_run_again),
        cmocka_unit_test(answer_that_is_not_in_the_store_is_a_failed_attempt),
        cmocka_unit_test(second_answer_that_differs_is_told_and_ignored),
        cmocka_unit_test(job_that_waits_for_people_goes_on_when_all_rankings_are_in),
        cmocka_unit_test(two_runs_at_once_share_their_tasks),
        cmocka_unit_test(cancelled_run_ends_and_its_attempts_stop),
        cmocka_unit_test(cancelled_job_takes_along_only_what_needs_it),
        cmocka_unit_test(paused_job_begins_nothing_new_until_it_is_resumed),
        cmocka_unit_test(paused_run_goes_on_where_it_was),
        cmocka_unit_test(draining_worker_finishes_what_it_has_and_gets_nothing_new),
        cmocka_unit_test(audited_tasks_are_run_twice_and_change_nothing),
        cmocka_unit_test(audit_share_of_one_stage_is_its_own),
        cmocka_unit_test(audit_on_the_only_worker_is_run_by_it),
        cmocka_unit_test(worker_that_computes_wrongly_is_caught_and_both_are_named),
        cmocka_unit_test(audit_goes_on_after_a_restart),
        cmocka_unit_test(run_that_takes_a_doubted_answer_waits_for_the_audit_and_fails_with_it),
        cmocka_unit_test(audit_that_fails_by_itself_is_given_up_and_the_job_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
