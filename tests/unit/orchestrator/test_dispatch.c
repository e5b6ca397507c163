#include "tests/unit/orchestrator/bench.h"

static void higher_priority_goes_first(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { .priority = 0 }, { .priority = 5 }, { .priority = -1 } };
    struct run *r = start_run(b, jobs, 3);
    static const uint32_t order[] = { 200, 100, 300 };

    (void)unused;
    unfold_into(b, &r->jobs[2], 300, 1);
    unfold_into(b, &r->jobs[0], 100, 1);
    unfold_into(b, &r->jobs[1], 200, 1);
    for (int i = 0; i < 3; i++) {
        join(b, NULL);
        struct id want = name_of(order[i]);
        assert_true(id_equal(&act(b, ACT_ASSIGN)->ref.task, &want));
    }
    bench_free(b);
}

static void older_run_and_earlier_place_go_first(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { 0 } };
    struct run *old = start_run(b, jobs, 1), *young = start_run(b, jobs, 1);
    static const uint32_t order[] = { 100, 101, 200, 201 };

    (void)unused;
    unfold_into(b, &young->jobs[0], 200, 2);
    unfold_into(b, &old->jobs[0], 100, 2);
    for (int i = 0; i < 4; i++) {
        join(b, NULL);
        struct id want = name_of(order[i]);
        assert_true(id_equal(&act(b, ACT_ASSIGN)->ref.task, &want));
    }
    bench_free(b);
}

static void shared_task_is_pulled_up_by_the_higher_priority(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { .priority = 1 }, { .priority = 0 }, { .priority = 9 } };
    struct run *r = start_run(b, jobs, 3);
    struct id want = name_of(200);

    (void)unused;
    unfold_into(b, &r->jobs[0], 100, 1);
    unfold_into(b, &r->jobs[1], 200, 1);
    unfold_into(b, &r->jobs[2], 200, 1);
    join(b, NULL);
    assert_true(id_equal(&act(b, ACT_ASSIGN)->ref.task, &want));
    bench_free(b);
}

static void task_goes_only_where_its_labels_class_and_memory_are(void **unused)
{
    struct bench *b = bench_new();
    uint32_t label[] = { 3 }, none[] = { 4 }, label_and_class[] = { 3, 8 };
    const struct job_spec jobs[] = { { .memory = 100, .labels = { label, 1 } } };
    const struct worker_spec unlabelled = { .memory = 200, .tags = { none, 1 }, .credit = 1 };
    const struct worker_spec classless = { .memory = 200, .tags = { label, 1 }, .credit = 1 };
    const struct worker_spec small = { .memory = 50, .tags = { label_and_class, 2 }, .credit = 1 };
    const struct worker_spec good = { .memory = 200, .tags = { label_and_class, 2 }, .credit = 1 };
    struct run *r = start_run(b, jobs, 1);
    struct task_spec spec = { .id = name_of(100), .class_tag = 8 };
    struct err e = ERR_INIT;

    (void)unused;
    assert_int_equal(sched_add_task(NULL, b->s, &r->jobs[0], 0, &spec, &e), OK);
    feed(b, (struct event){ .kind = EV_UNFOLDED, .job = &r->jobs[0] });
    assert_int_equal(sched_why(b->s, &r->jobs[0]).what, WHY_NO_WORKER);
    join(b, &unlabelled);
    assert_int_equal(sched_why(b->s, &r->jobs[0]).what, WHY_TAG);
    assert_int_equal(sched_why(b->s, &r->jobs[0]).tag, 3);
    join(b, &classless);
    join(b, &small);
    assert_int_equal(sched_why(b->s, &r->jobs[0]).what, WHY_MEMORY);
    assert_int_equal(sched_why(b->s, &r->jobs[0]).most, 50);
    struct worker *w = join(b, &good);
    assert_ptr_equal(act(b, ACT_ASSIGN)->worker, w);
    assert_int_equal(sched_why(b->s, &r->jobs[0]).what, WHY_NOT);
    bench_free(b);
}

static void task_that_asks_for_threads_goes_where_they_are(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { .memory = 100, .threads = 4 } };
    const struct worker_spec narrow = { .memory = 50, .threads = 2, .credit = 1 };
    const struct worker_spec small = { .memory = 60, .threads = 4, .credit = 1 };
    const struct worker_spec leaving = { .threads = 4, .credit = 1, .draining = true };
    const struct worker_spec good = { .memory = 100, .threads = 4, .credit = 1 };
    struct run *r = start_run(b, jobs, 1);
    struct job *j = &r->jobs[0];
    struct worker *w;

    (void)unused;
    unfold_into(b, j, 100, 1);
    w = join(b, &narrow);
    assert_int_equal(sched_why(b->s, j).what, WHY_THREADS);
    assert_int_equal(sched_why(b->s, j).most, 2);
    assert_int_equal(sched_why_not(j, w).what, WHY_THREADS);
    w = join(b, &small);
    assert_int_equal(sched_why(b->s, j).what, WHY_MEMORY);
    assert_int_equal(sched_why_not(j, w).what, WHY_MEMORY);
    assert_int_equal(sched_why_not(j, w).most, 60);
    w = join(b, &leaving);
    assert_int_equal(sched_why(b->s, j).what, WHY_DRAINING);
    assert_int_equal(sched_why_not(j, w).what, WHY_DRAINING);
    w = join(b, &good);
    assert_ptr_equal(act(b, ACT_ASSIGN)->worker, w);
    assert_int_equal(sched_why_not(j, w).what, WHY_NOT); /* nothing of it is ready */
    bench_free(b);
}

static void suspect_session_gets_nothing_new(void **unused)
{
    struct bench *b = bench_new();
    struct worker *w = join(b, NULL);
    const struct job_spec jobs[] = { { 0 } };
    struct run *r;

    (void)unused;
    wait_for(b, 6000);
    r = start_run(b, jobs, 1);
    unfold_into(b, &r->jobs[0], 100, 1);
    assert_null(act(b, ACT_ASSIGN));
    assert_int_equal(sched_why(b->s, &r->jobs[0]).what, WHY_SILENT);
    feed(b, (struct event){ .kind = EV_HEARD, .worker = w });
    assert_ptr_equal(act(b, ACT_ASSIGN)->worker, w);
    bench_free(b);
}

static void what_is_given_says_whether_it_is_run(void **unused)
{
    struct bench *b = bench_new();
    const struct worker_spec ahead = { .memory = 1 << 30, .credit = 2 };
    struct worker *w = join(b, &ahead);
    const struct job_spec jobs[] = { { 0 }, { 0 } };
    struct run *r = start_run(b, jobs, 2);
    struct why why;

    (void)unused;
    unfold_into(b, &r->jobs[0], 100, 1);
    unfold_into(b, &r->jobs[1], 200, 1);
    assert_int_equal(sched_why(b->s, &r->jobs[0]).what, WHY_NOT);
    why = sched_why(b->s, &r->jobs[1]);
    assert_int_equal(why.what, WHY_BEHIND);
    assert_ptr_equal(why.first, task_named(b, 100));
    wait_for(b, 6000);
    why = sched_why(b->s, &r->jobs[1]);
    assert_int_equal(why.what, WHY_SILENT);
    assert_ptr_equal(why.first->holder, w);
    bench_free(b);
}

static void back_off_says_until_when(void **unused)
{
    struct bench *b = bench_new();
    struct worker *w = join(b, NULL);
    const struct job_spec jobs[] = { { .retries = 3 } };
    struct run *r = start_run(b, jobs, 1);
    struct why why;

    (void)unused;
    unfold_into(b, &r->jobs[0], 100, 1);
    report(b, EV_FAILURE, w, act(b, ACT_ASSIGN)->ref, CAUSE__CRASH);
    why = sched_why(b->s, &r->jobs[0]);
    assert_int_equal(why.what, WHY_BACKOFF);
    assert_int_equal(why.cause, CAUSE__CRASH);
    assert_int_equal(why.until_ms, task_named(b, 100)->not_before);
    bench_free(b);
}

static void chain_stays_where_its_state_is_warm(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { 0 } };
    struct run *r = start_run(b, jobs, 1);
    struct worker *first, *warm;

    (void)unused;
    unfold_into(b, &r->jobs[0], 100, 1);
    first = join(b, NULL);
    warm = join(b, NULL);
    report(b, EV_GONE, first, (struct ref){ 0 }, CAUSE__STOPPED);
    assert_ptr_equal(act(b, ACT_ASSIGN)->worker, warm);
    for (uint32_t i = 0; i < 5; i++) {
        struct ref ref = act(b, ACT_ASSIGN)->ref;
        if (i == 0)
            join(b, NULL);
        report(b, EV_ANSWER, warm, ref, 0);
        unfold_into(b, &r->jobs[0], 101 + i, 1);
        assert_ptr_equal(act(b, ACT_ASSIGN)->worker, warm);
    }
    bench_free(b);
}

static void job_begins_where_what_it_needs_was_made_if_that_is_free(void **unused)
{
    const uint32_t base[] = { 0 };
    const struct job_spec jobs[] = { { .retries = 1 }, { .after = base, .n_after = 1 },
        { .after = base, .n_after = 1 } };

    (void)unused;
    for (int busy = 0; busy < 2; busy++) {
        struct bench *b = bench_new();
        struct run *r = start_run(b, jobs, 3);
        struct worker *other = join(b, NULL),
                      *maker = join(b, NULL); /* the older would be given it */
        unfold_into(b, &r->jobs[0], 100, 1);
        report(b, EV_FAILURE, other, act(b, ACT_ASSIGN)->ref, CAUSE__CRASH);
        wait_for(b, 4000);
        assert_ptr_equal(act(b, ACT_ASSIGN)->worker, maker);
        report(b, EV_ANSWER, maker, act(b, ACT_ASSIGN)->ref, 0);
        feed(b, (struct event){ .kind = EV_FINISHED, .job = &r->jobs[0] });
        if (busy) {
            unfold_into(b, &r->jobs[2], 300, 1);
            assert_ptr_equal(act(b, ACT_ASSIGN)->worker, maker);
        }
        unfold_into(b, &r->jobs[1], 200, 1);
        assert_ptr_equal(act(b, ACT_ASSIGN)->worker, busy ? other : maker);
        bench_free(b);
    }
}

/* Places 0 … n - 1, of which `l` is a long one. */
static void unfold_brief(struct bench *b, struct job *j, uint32_t first, uint32_t n, uint32_t l)
{
    struct err e = ERR_INIT;

    for (uint32_t i = 0; i < n; i++) {
        struct task_spec spec = { .id = name_of(first + i), .brief = i != l };
        assert_int_equal(sched_add_task(NULL, b->s, j, i, &spec, &e), OK);
    }
    feed(b, (struct event){ .kind = EV_UNFOLDED, .job = j });
}

static void brief_tasks_are_given_ahead_as_far_as_the_credit_goes(void **unused)
{
    struct bench *b = bench_new();
    const struct worker_spec eager = { .credit = 3 };
    const struct job_spec jobs[] = { { 0 } };
    struct run *r = start_run(b, jobs, 1);
    struct worker *w;

    (void)unused;
    unfold_brief(b, &r->jobs[0], 100, 5, 4);
    w = join(b, &eager);
    assert_int_equal(w->held, 3);
    assert_null(task_named(b, 104)->holder); /* a long one is never second */
    sched_check(b->s);
    bench_free(b);
}

static void long_task_does_not_starve_behind_brief_ones(void **unused)
{
    struct bench *b = bench_new();
    const struct worker_spec eager = { .credit = 3 };
    const struct job_spec jobs[] = { { 0 } };
    struct run *r = start_run(b, jobs, 1);
    struct worker *w = join(b, &eager), *other;

    (void)unused;
    w->credit[false] = 1;
    unfold_brief(b, &r->jobs[0], 100, 9, 2);
    assert_int_equal(w->held, 2); /* kept free, for place 2 */
    sched_check(b->s);
    other = join(b, &eager);
    assert_ptr_equal(task_named(b, 102)->holder, other);
    assert_int_equal(w->held, 3); /* nothing long waits any more */
    report(b, EV_ANSWER, w, task_named(b, 100)->lease, 0);
    assert_int_equal(w->held, 3);
    assert_int_equal(other->held, 2);
    sched_check(b->s);
    bench_free(b);
}

static void task_behind_a_long_one_is_taken_back_for_who_has_nothing_to_do(void **unused)
{
    struct bench *b = bench_new();
    const struct worker_spec spec = { .credit = 2 };
    const struct job_spec jobs[] = { { 0 } };
    struct run *r = start_run(b, jobs, 1);
    struct worker *w = join(b, &spec), *other;
    struct id second = name_of(101);

    (void)unused;
    unfold_into(b, &r->jobs[0], 100, 2);
    assert_int_equal(w->held, 2); /* it was quick until now */
    other = join(b, &spec);
    b->now += AHEAD_MS;
    assert_int_equal(feed(b, (struct event){ .kind = EV_TICK }), 0);
    b->now += AHEAD_MS;
    feed(b, (struct event){ .kind = EV_TICK });
    assert_true(id_equal(&act(b, ACT_REVOKE)->ref.task, &second));
    assert_ptr_equal(act(b, ACT_ASSIGN)->worker, other);
    assert_int_equal(act(b, ACT_ASSIGN)->ref.attempt, 2);
    assert_int_equal(w->held, 1);
    sched_check(b->s);
    b->now += 10 * AHEAD_MS;
    assert_int_equal(feed(b, (struct event){ .kind = EV_TICK }), 0);
    bench_free(b);
}

static void credit_grows_while_a_worker_is_quick_and_shrinks_when_it_is_slow(void **unused)
{
    struct bench *b = bench_new();
    const struct worker_spec spec = { .credit = 1, .credit_most = 8 };
    const struct job_spec jobs[] = { { 0 } };
    struct run *r = start_run(b, jobs, 1);
    struct worker *w = join(b, &spec);

    (void)unused;
    unfold_brief(b, &r->jobs[0], 100, 200, 200);
    assert_int_equal(w->held, 1);
    for (int i = 0; i < 50; i++) {
        b->now++;
        report(b, EV_ANSWER, w, w->held_first->lease, 0);
    }
    assert_int_equal(w->credit[true], 8);
    assert_int_equal(w->held, 8);
    for (int i = 0; i < 20; i++) {
        b->now += 1000;
        report(b, EV_INVENTORY, w, (struct ref){ 0 }, 0);
        if (w->held_first)
            report(b, EV_ANSWER, w, w->held_first->lease, 0);
    }
    assert_int_equal(w->credit[true], 1);
    sched_check(b->s);
    bench_free(b);
}

static void prefetched_tasks_are_lost_with_their_worker_and_cost_no_attempt(void **unused)
{
    struct bench *b = bench_new();
    const struct worker_spec eager = { .credit = 3 };
    const struct job_spec jobs[] = { { .retries = 0 } };
    struct run *r = start_run(b, jobs, 1);
    struct worker *w = join(b, &eager), *other;

    (void)unused;
    unfold_brief(b, &r->jobs[0], 100, 3, 3);
    assert_int_equal(w->held, 3);
    other = join(b, &eager);
    report(b, EV_GONE, w, (struct ref){ 0 }, CAUSE__LOST);
    assert_int_equal(other->held, 3);
    assert_int_equal(r->jobs[0].state, JOB_RUNNING);
    assert_int_equal(task_named(b, 102)->lease.attempt, 2);
    sched_check(b->s);
    bench_free(b);
}

static void prefetched_task_is_revoked_before_it_began(void **unused)
{
    struct bench *b = bench_new();
    const struct worker_spec eager = { .credit = 2 };
    const struct job_spec jobs[] = { { 0 }, { 0 } };
    struct run *r = start_run(b, jobs, 2);
    struct worker *w = join(b, &eager);

    (void)unused;
    unfold_brief(b, &r->jobs[0], 100, 1, 1);
    unfold_brief(b, &r->jobs[1], 200, 1, 1);
    feed(b, (struct event){ .kind = EV_CANCEL, .job = &r->jobs[1] });
    struct id second = name_of(200);
    assert_true(id_equal(&act(b, ACT_REVOKE)->ref.task, &second));
    assert_int_equal(w->held, 1);
    sched_check(b->s);
    bench_free(b);
}

static void hundreds_of_sessions_share_thousands_of_tasks(void **unused)
{
    struct bench *b = bench_new();
    const struct job_spec jobs[] = { { 0 } };
    struct run *r = start_run(b, jobs, 1);

    (void)unused;
    unfold_into(b, &r->jobs[0], 1000, 2000);
    for (int i = 0; i < 300; i++)
        join(b, NULL);
    while (sched_tasks(b->s)) {
        struct task *t = sched_tasks(b->s);
        while (t->state != TASK_LEASED)
            t = t->next;
        report(b, EV_ANSWER, t->holder, t->lease, 0);
    }
    assert_int_equal(r->jobs[0].round, 1);
    bench_free(b);
}

/* Else a worker that was quick with brief ones would get long ones ahead, which then wait. */
static void long_tasks_are_given_ahead_only_where_long_ones_were_quick(void **unused)
{
    struct bench *b = bench_new();
    const struct worker_spec spec = { .credit = 1, .credit_most = 8 };
    const struct job_spec jobs[] = { { 0 }, { 0 } };
    struct run *r = start_run(b, jobs, 2);
    struct worker *w = join(b, &spec);

    (void)unused;
    unfold_brief(b, &r->jobs[0], 100, 20, 20);
    for (int i = 0; i < 20; i++) {
        b->now++;
        report(b, EV_ANSWER, w, w->held_first->lease, 0);
    }
    assert_int_equal(w->credit[true], 8);
    unfold_into(b, &r->jobs[1], 200, 20);
    assert_int_equal(w->held, 1);
    for (int i = 0; i < 5; i++) {
        b->now++;
        report(b, EV_ANSWER, w, w->held_first->lease, 0);
    }
    assert_int_equal(w->credit[false], 6);
    assert_int_equal(w->held_long, 6);
    b->now += 1000;
    report(b, EV_ANSWER, w, w->held_first->lease, 0);
    assert_int_equal(w->credit[false], 2);
    sched_check(b->s);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(higher_priority_goes_first),
        cmocka_unit_test(older_run_and_earlier_place_go_first),
        cmocka_unit_test(shared_task_is_pulled_up_by_the_higher_priority),
        cmocka_unit_test(task_goes_only_where_its_labels_class_and_memory_are),
        cmocka_unit_test(task_that_asks_for_threads_goes_where_they_are),
        cmocka_unit_test(suspect_session_gets_nothing_new),
        cmocka_unit_test(what_is_given_says_whether_it_is_run),
        cmocka_unit_test(back_off_says_until_when),
        cmocka_unit_test(chain_stays_where_its_state_is_warm),
        cmocka_unit_test(job_begins_where_what_it_needs_was_made_if_that_is_free),
        cmocka_unit_test(brief_tasks_are_given_ahead_as_far_as_the_credit_goes),
        cmocka_unit_test(long_task_does_not_starve_behind_brief_ones),
        cmocka_unit_test(task_behind_a_long_one_is_taken_back_for_who_has_nothing_to_do),
        cmocka_unit_test(credit_grows_while_a_worker_is_quick_and_shrinks_when_it_is_slow),
        cmocka_unit_test(long_tasks_are_given_ahead_only_where_long_ones_were_quick),
        cmocka_unit_test(prefetched_tasks_are_lost_with_their_worker_and_cost_no_attempt),
        cmocka_unit_test(prefetched_task_is_revoked_before_it_began),
        cmocka_unit_test(hundreds_of_sessions_share_thousands_of_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
