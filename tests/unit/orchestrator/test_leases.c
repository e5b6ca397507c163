#include "tests/unit/orchestrator/bench.h"

static const struct job_spec plain[] = { { .retries = 2 }, { .retries = 2 } };

/* One job of one round of one task, leased to w. */
static struct bench *leased(struct run **r, struct worker **w, struct ref *ref)
{
    struct bench *b = bench_new();

    *w = join(b, NULL);
    *r = start_run(b, plain, 1);
    unfold_into(b, &(*r)->jobs[0], 100, 1);
    assert_non_null(act(b, ACT_ASSIGN));
    *ref = act(b, ACT_ASSIGN)->ref;
    return b;
}

static void attempt_is_fenced_by_task_number_and_epoch(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);

    (void)unused;
    assert_int_equal(ref.attempt, 1);
    assert_int_equal(ref.epoch, 7);
    assert_int_equal(r->jobs[0].state, JOB_RUNNING);
    struct ref stale = ref;
    stale.epoch = 6;
    assert_int_equal(report(b, EV_FAILURE, w, stale, CAUSE__BAD_INPUT), 0);
    stale = ref;
    stale.attempt = 2;
    assert_int_equal(report(b, EV_FAILURE, w, stale, CAUSE__BAD_INPUT), 0);
    assert_int_equal(r->jobs[0].state, JOB_RUNNING);
    sched_check(b->s);
    bench_free(b);
}

static void answer_ends_the_round(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);

    (void)unused;
    report(b, EV_ANSWER, w, ref, 0);
    assert_int_equal(b->acts[0].kind, ACT_ANSWERED); /* before what is built on it */
    assert_ptr_equal(act(b, ACT_UNFOLD)->job, &r->jobs[0]);
    assert_int_equal(w->held, 0);
    assert_null(sched_tasks(b->s));
    assert_int_equal(report(b, EV_ANSWER, w, ref, 0), 1);
    assert_non_null(act(b, ACT_LATE)); /* a second answer is compared */
    bench_free(b);
}

static void answer_counts_whoever_gives_it(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);
    struct worker *other = join(b, NULL);

    (void)unused;
    ref.epoch = 3;
    report(b, EV_ANSWER, other, ref, 0);
    assert_non_null(act(b, ACT_ANSWERED));
    assert_ptr_equal(act(b, ACT_REVOKE)->worker, w); /* it need not go on */
    assert_int_equal(w->held, 0);
    bench_free(b);
}

static void crash_backs_off_and_goes_to_another_worker(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);
    struct worker *other = join(b, NULL);

    (void)unused;
    report(b, EV_FAILURE, w, ref, CAUSE__CRASH);
    assert_int_equal(act(b, ACT_RETRY)->wait_ms, 1000);
    assert_int_equal(task_named(b, 100)->state, TASK_BACKING_OFF);
    assert_int_equal(sched_wait_ms(b->s, b->now), 1000);
    assert_int_equal(wait_for(b, 999), 0);
    report(b, EV_INVENTORY, w, ref, 0);
    report(b, EV_INVENTORY, other, ref, 0);
    wait_for(b, 1);
    assert_ptr_equal(act(b, ACT_ASSIGN)->worker, other);
    assert_int_equal(act(b, ACT_ASSIGN)->ref.attempt, 2);
    assert_int_equal(r->jobs[0].attempts, 2);
    bench_free(b);
}

static void last_attempt_fails_the_job(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);

    (void)unused;
    for (int i = 0; i < 2; i++) { /* there is no other worker: the same gets it again */
        report(b, EV_FAILURE, w, ref, CAUSE__IO);
        report(b, EV_INVENTORY, w, ref, 0);
        wait_for(b, 2000);
        assert_non_null(act(b, ACT_ASSIGN));
        ref = act(b, ACT_ASSIGN)->ref;
    }
    report(b, EV_FAILURE, w, ref, CAUSE__IO);
    assert_int_equal(act(b, ACT_SPENT)->cause, CAUSE__IO);
    assert_int_equal(act(b, ACT_SPENT)->ref.attempt, 3);
    assert_int_equal(r->jobs[0].state, JOB_FAILED);
    assert_non_null(act(b, ACT_RUN_OVER));
    bench_free(b);
}

static void bad_input_fails_the_job_at_once(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);

    (void)unused;
    report(b, EV_FAILURE, w, ref, CAUSE__INVARIANT);
    assert_int_equal(r->jobs[0].state, JOB_FAILED);
    assert_int_equal(w->held, 0);
    bench_free(b);
}

static void worker_that_leaves_costs_no_attempt(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);

    (void)unused;
    for (int i = 0; i < 10; i++) {
        struct worker *next = join(b, NULL);
        report(b, EV_GONE, w, ref, CAUSE__STOPPED);
        assert_int_equal(act(b, ACT_RETRY)->wait_ms, 0);
        assert_ptr_equal(act(b, ACT_ASSIGN)->worker, next);
        w = next;
    }
    sched_check(b->s);
    bench_free(b);
}

static void task_that_loses_twenty_workers_is_poison(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);

    (void)unused;
    for (int i = 0; i < RETRY_LOSSES; i++) {
        report(b, EV_GONE, w, ref, CAUSE__LOST);
        assert_int_equal(r->jobs[0].state, JOB_RUNNING);
        w = join(b, NULL);
    }
    report(b, EV_GONE, w, ref, CAUSE__LOST);
    assert_int_equal(r->jobs[0].state, JOB_FAILED);
    bench_free(b);
}

static void lost_session_gives_back_what_it_held(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);

    (void)unused;
    wait_for(b, 16000);
    assert_ptr_equal(act(b, ACT_LOST)->worker, w);
    assert_int_equal(act(b, ACT_RETRY)->cause, CAUSE__LOST);
    assert_int_equal(task_named(b, 100)->state, TASK_READY);
    sched_check(b->s);
    bench_free(b);
}

static void lease_that_its_holder_does_not_report_is_taken_back(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);

    (void)unused;
    for (int i = 0; i < 4; i++) {
        b->now += 1000;
        assert_int_equal(report(b, EV_INVENTORY, w, ref, 0), 0);
    }
    b->now += 1000;
    report(b, EV_INVENTORY, w, ref, 0);
    assert_int_equal(act(b, ACT_REVOKE)->ref.attempt, 1);
    assert_int_equal(act(b, ACT_ASSIGN)->ref.attempt, 2);
    bench_free(b);
}

static void lease_that_is_reported_is_kept(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);

    (void)unused;
    for (int i = 0; i < 60; i++) {
        b->now += 1000;
        assert_int_equal(report(b, EV_RUNNING, w, ref, 0), 0);
        assert_int_equal(report(b, EV_INVENTORY, w, ref, 0), 0);
        feed(b, (struct event){ .kind = EV_TICK });
    }
    assert_ptr_equal(task_named(b, 100)->holder, w);
    bench_free(b);
}

/* After a restart nothing is leased; what runs already goes on under its old number and epoch. */
static void running_attempt_of_an_older_epoch_is_adopted(void **unused)
{
    struct bench *b = bench_new();
    struct run *r = start_run(b, plain, 1);
    struct ref old = { name_of(100), 3, 6 };
    struct err e = ERR_INIT;
    struct worker *w;
    const struct worker_spec spec = { .credit = 1 };

    (void)unused;
    unfold_into(b, &r->jobs[0], 100, 1);
    assert_int_equal(sched_add_worker(&w, b->s, &spec, b->now, &e), OK);
    report(b, EV_RUNNING, w, old, 0);
    assert_null(act(b, ACT_ASSIGN));
    report(b, EV_INVENTORY, w, old, 0);
    assert_null(act(b, ACT_ASSIGN));
    assert_ptr_equal(task_named(b, 100)->holder, w);
    assert_int_equal(r->jobs[0].state, JOB_RUNNING);
    report(b, EV_ANSWER, w, old, 0);
    assert_non_null(act(b, ACT_ANSWERED));
    bench_free(b);
}

static void attempt_that_is_nobodys_lease_is_revoked(void **unused)
{
    struct run *r;
    struct worker *w;
    struct ref ref;
    struct bench *b = leased(&r, &w, &ref);
    struct worker *other = join(b, NULL);
    struct ref unknown = { name_of(999), 1, 7 };

    (void)unused;
    report(b, EV_RUNNING, other, ref, 0);
    assert_ptr_equal(act(b, ACT_REVOKE)->worker, other);
    report(b, EV_RUNNING, w, unknown, 0);
    assert_true(id_equal(&act(b, ACT_REVOKE)->ref.task, &unknown.task));
    bench_free(b);
}

static void task_of_two_jobs_runs_once_for_both(void **unused)
{
    struct bench *b = bench_new();
    struct worker *w = join(b, NULL);
    struct run *r = start_run(b, plain, 2);

    (void)unused;
    unfold_into(b, &r->jobs[0], 100, 1);
    struct ref ref = act(b, ACT_ASSIGN)->ref;
    unfold_into(b, &r->jobs[1], 100, 1);
    assert_null(act(b, ACT_ASSIGN));
    assert_int_equal(r->jobs[1].state, JOB_RUNNING);
    assert_int_equal(task_named(b, 100)->n_waiters, 2);
    sched_check(b->s);
    report(b, EV_ANSWER, w, ref, 0);
    assert_int_equal(r->jobs[0].round, 1);
    assert_int_equal(r->jobs[1].round, 1);
    bench_free(b);
}

static void shared_task_goes_on_when_one_of_its_jobs_is_cancelled(void **unused)
{
    struct bench *b = bench_new();
    struct worker *w = join(b, NULL);
    struct run *r = start_run(b, plain, 2);

    (void)unused;
    unfold_into(b, &r->jobs[0], 100, 1);
    unfold_into(b, &r->jobs[1], 100, 1);
    feed(b, (struct event){ .kind = EV_CANCEL, .job = &r->jobs[0] });
    assert_null(act(b, ACT_REVOKE));
    assert_ptr_equal(task_named(b, 100)->holder, w);
    feed(b, (struct event){ .kind = EV_CANCEL, .job = &r->jobs[1] });
    assert_ptr_equal(act(b, ACT_REVOKE)->worker, w);
    assert_null(sched_tasks(b->s));
    assert_int_equal(w->held, 0);
    bench_free(b);
}

static void same_task_twice_in_a_round_is_one(void **unused)
{
    struct bench *b = bench_new();
    struct worker *w = join(b, NULL);
    struct run *r = start_run(b, plain, 1);
    struct err e = ERR_INIT;

    (void)unused;
    for (uint32_t place = 0; place < 2; place++) {
        struct task_spec spec = { .id = name_of(100) };
        assert_int_equal(sched_add_task(NULL, b->s, &r->jobs[0], place, &spec, &e), OK);
    }
    feed(b, (struct event){ .kind = EV_UNFOLDED, .job = &r->jobs[0] });
    assert_int_equal(r->jobs[0].open, 2);
    report(b, EV_ANSWER, w, act(b, ACT_ASSIGN)->ref, 0);
    assert_int_equal(r->jobs[0].open, 0);
    assert_int_equal(r->jobs[0].round, 1);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempt_is_fenced_by_task_number_and_epoch),
        cmocka_unit_test(answer_ends_the_round),
        cmocka_unit_test(answer_counts_whoever_gives_it),
        cmocka_unit_test(crash_backs_off_and_goes_to_another_worker),
        cmocka_unit_test(last_attempt_fails_the_job),
        cmocka_unit_test(bad_input_fails_the_job_at_once),
        cmocka_unit_test(worker_that_leaves_costs_no_attempt),
        cmocka_unit_test(task_that_loses_twenty_workers_is_poison),
        cmocka_unit_test(lost_session_gives_back_what_it_held),
        cmocka_unit_test(lease_that_its_holder_does_not_report_is_taken_back),
        cmocka_unit_test(lease_that_is_reported_is_kept),
        cmocka_unit_test(running_attempt_of_an_older_epoch_is_adopted),
        cmocka_unit_test(attempt_that_is_nobodys_lease_is_revoked),
        cmocka_unit_test(task_of_two_jobs_runs_once_for_both),
        cmocka_unit_test(shared_task_goes_on_when_one_of_its_jobs_is_cancelled),
        cmocka_unit_test(same_task_twice_in_a_round_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
