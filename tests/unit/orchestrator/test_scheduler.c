#include "tests/unit/orchestrator/bench.h"

static const uint32_t first[] = { 0 }, both[] = { 0, 1 };

static void run_without_jobs_is_over_when_it_starts(void **unused)
{
    struct bench *b = bench_new();
    struct run *r = start_run(b, NULL, 0);

    (void)unused;
    assert_non_null(act(b, ACT_RUN_OVER));
    sched_remove_run(b->s, r);
    bench_free(b);
}

static void nothing_happens_before_the_start(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { .retries = 2 } };

    (void)unused;
    add_run(b, jobs, 1);
    assert_int_equal(wait_for(b, 60000), 0);
    bench_free(b);
}

static void job_waits_for_all_that_it_needs(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { 0 }, { 0 }, { .after = both, .n_after = 2 } };
    struct run *r = start_run(b, jobs, 3);

    (void)unused;
    assert_int_equal(r->jobs[2].state, JOB_BLOCKED);
    feed(b, (struct event){ .kind = EV_FINISHED, .job = &r->jobs[0] });
    assert_null(act(b, ACT_UNFOLD));
    feed(b, (struct event){ .kind = EV_FINISHED, .job = &r->jobs[1] });
    assert_ptr_equal(act(b, ACT_UNFOLD)->job, &r->jobs[2]);
    feed(b, (struct event){ .kind = EV_FINISHED, .job = &r->jobs[2] });
    assert_ptr_equal(act(b, ACT_RUN_OVER)->run, r);
    sched_check(b->s);
    bench_free(b);
}

static void round_that_was_all_answered_asks_for_the_next(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { 0 } };
    struct run *r = start_run(b, jobs, 1);

    (void)unused;
    for (uint32_t round = 0; round < 5; round++) {
        assert_int_equal(r->jobs[0].round, round);
        feed(b, (struct event){ .kind = EV_UNFOLDED, .job = &r->jobs[0] });
        assert_ptr_equal(act(b, ACT_UNFOLD)->job, &r->jobs[0]);
    }
    bench_free(b);
}

static void failed_job_cancels_what_needs_it_and_lets_the_others_go_on(void **unused)
{
    struct bench *b = bench_new();
    static const uint32_t third[] = { 2 };
    const struct job_spec jobs[] = { { 0 }, { 0 }, { .after = first, .n_after = 1 },
        { .after = third, .n_after = 1 } };
    struct run *r = start_run(b, jobs, 4);

    (void)unused;
    feed(b, (struct event){ .kind = EV_BROKEN, .job = &r->jobs[0] });
    assert_int_equal(r->jobs[0].state, JOB_FAILED);
    assert_int_equal(r->jobs[2].state, JOB_CANCELLED);
    assert_int_equal(r->jobs[2].blame, 0);
    assert_int_equal(r->jobs[3].state, JOB_CANCELLED);
    assert_int_equal(r->jobs[3].blame, 2);
    assert_null(act(b, ACT_RUN_OVER));
    feed(b, (struct event){ .kind = EV_FINISHED, .job = &r->jobs[1] });
    assert_non_null(act(b, ACT_RUN_OVER));
    bench_free(b);
}

static void job_that_waits_for_people_holds_no_worker_and_goes_on(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { 0 } };
    struct run *r = start_run(b, jobs, 1);

    (void)unused;
    feed(b, (struct event){ .kind = EV_PEOPLE, .job = &r->jobs[0] });
    assert_int_equal(r->jobs[0].state, JOB_WAITING_FOR_PEOPLE);
    assert_int_equal(wait_for(b, 3600000), 0);
    feed(b, (struct event){ .kind = EV_LABELLED, .job = &r->jobs[0] });
    assert_int_equal(r->jobs[0].state, JOB_READY);
    assert_non_null(act(b, ACT_UNFOLD));
    assert_int_equal(r->jobs[0].round, 1);
    bench_free(b);
}

static void cancelled_run_that_never_started_is_over(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { 0 }, { .after = first, .n_after = 1 } };
    struct run *r = add_run(b, jobs, 2);

    (void)unused;
    feed(b, (struct event){ .kind = EV_CANCEL, .run = r });
    assert_int_equal(r->jobs[0].state, JOB_CANCELLED);
    assert_int_equal(r->jobs[1].blame, -1);
    assert_non_null(act(b, ACT_RUN_OVER));
    bench_free(b);
}

static void restart_asks_again_for_the_round_that_was_under_way(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { .state = JOB_DONE },
        { .after = first, .n_after = 1, .state = JOB_RUNNING, .round = 4, .attempts = 2 },
        { .after = both, .n_after = 2 } };
    struct run *r = start_run(b, jobs, 3);

    (void)unused;
    assert_int_equal(b->n, 1);
    assert_ptr_equal(act(b, ACT_UNFOLD)->job, &r->jobs[1]);
    assert_int_equal(r->jobs[1].round, 4);
    assert_int_equal(r->jobs[1].attempts, 2);
    assert_int_equal(r->jobs[2].state, JOB_BLOCKED);
    bench_free(b);
}

static void silent_session_is_suspect_after_5_s_and_lost_after_15_s(void **unused)
{
    struct bench *b = bench_new();
    struct worker *w = join(b, NULL);

    (void)unused;
    feed(b, (struct event){ .kind = EV_TICK });
    assert_int_equal(sched_wait_ms(b->s, b->now), SUSPECT_MS);
    assert_int_equal(wait_for(b, 4999), 0);
    assert_int_equal(w->state, SESSION_LIVE);
    assert_int_equal(wait_for(b, 1), 0);
    assert_int_equal(w->state, SESSION_SUSPECT);
    assert_int_equal(wait_for(b, 9999), 0);
    wait_for(b, 1);
    assert_ptr_equal(act(b, ACT_LOST)->worker, w);
    assert_null(sched_workers(b->s));
    assert_int_equal(sched_wait_ms(b->s, b->now), -1);
    bench_free(b);
}

static void suspect_session_that_is_heard_again_is_live(void **unused)
{
    struct bench *b = bench_new();
    struct worker *w = join(b, NULL);

    (void)unused;
    wait_for(b, 6000);
    assert_int_equal(w->state, SESSION_SUSPECT);
    feed(b, (struct event){ .kind = EV_HEARD, .worker = w });
    assert_int_equal(w->state, SESSION_LIVE);
    wait_for(b, 4000);
    assert_int_equal(w->state, SESSION_LIVE);
    bench_free(b);
}

/* A daemon that was stopped for an hour could not hear anybody. */
static void own_sleep_is_counted_against_nobody(void **unused)
{
    struct bench *b = bench_new();
    struct worker *w = join(b, NULL);

    (void)unused;
    feed(b, (struct event){ .kind = EV_TICK });
    b->now += 3600000;
    feed(b, (struct event){ .kind = EV_TICK });
    assert_null(act(b, ACT_LOST));
    assert_int_equal(w->state, SESSION_LIVE);
    assert_int_equal(wait_for(b, 12000), 0);
    assert_int_equal(wait_for(b, 2000), 1);
    assert_ptr_equal(act(b, ACT_LOST)->worker, w);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_without_jobs_is_over_when_it_starts),
        cmocka_unit_test(nothing_happens_before_the_start),
        cmocka_unit_test(job_waits_for_all_that_it_needs),
        cmocka_unit_test(round_that_was_all_answered_asks_for_the_next),
        cmocka_unit_test(failed_job_cancels_what_needs_it_and_lets_the_others_go_on),
        cmocka_unit_test(job_that_waits_for_people_holds_no_worker_and_goes_on),
        cmocka_unit_test(cancelled_run_that_never_started_is_over),
        cmocka_unit_test(restart_asks_again_for_the_round_that_was_under_way),
        cmocka_unit_test(silent_session_is_suspect_after_5_s_and_lost_after_15_s),
        cmocka_unit_test(suspect_session_that_is_heard_again_is_live),
        cmocka_unit_test(own_sleep_is_counted_against_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
