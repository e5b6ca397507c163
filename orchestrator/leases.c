#include "orchestrator/scheduler.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/scheduler_int.h"

/* Open tasks: who waits for them, who holds them, what becomes of an attempt. */

bool ref_equal(const struct ref *a, const struct ref *b)
{
    return id_equal(&a->task, &b->task) && a->attempt == b->attempt && a->epoch == b->epoch;
}

static void task_move(struct task *t, enum task_state to)
{
    assert(task_may_move(t->state, to));
    t->state = to;
}

void task_free(struct task *t)
{
    message_free(t->spec);
    if (t->waiters != &t->one)
        free(t->waiters);
    free(t);
}

bool task_is_sooner(const struct ranked *a, const struct ranked *b)
{
    return ((const struct task *)a)->not_before < ((const struct task *)b)->not_before;
}

/* ---- the table by id, and the list of all ---- */

static struct task **bucket(const struct sched *s, const struct id *id)
{
    uint64_t h;

    memcpy(&h, id->b, sizeof h); /* an id is a hash already */
    return &s->buckets[h & (s->n_buckets - 1)];
}

struct task *sched_task(const struct sched *s, const struct id *id)
{
    struct task *t = s->n_buckets ? *bucket(s, id) : NULL;

    while (t && !id_equal(&t->id, id))
        t = t->chain;
    return t;
}

static int grow_table(struct sched *s, struct err *e)
{
    size_t n = s->n_buckets ? 2 * s->n_buckets : 64;
    struct task **p;

    if (s->n_tasks < s->n_buckets)
        return OK;
    p = calloc(n, sizeof *p);
    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    free(s->buckets);
    s->buckets = p;
    s->n_buckets = n;
    for (struct task *t = s->tasks; t; t = t->next) {
        struct task **b = bucket(s, &t->id);
        t->chain = *b;
        *b = t;
    }
    return OK;
}

static void list_add(struct sched *s, struct task *t)
{
    t->prev = s->tail;
    t->next = NULL;
    *(t->prev ? &t->prev->next : &s->tasks) = t;
    s->tail = t;
}

static void list_remove(struct sched *s, struct task *t)
{
    *(t->prev ? &t->prev->next : &s->tasks) = t->next;
    *(t->next ? &t->next->prev : &s->tail) = t->prev;
}

/* No longer open; its memory lasts until the next step. */
static void close_task(struct sched *s, struct task *t)
{
    struct task **at = bucket(s, &t->id);

    while (*at != t)
        at = &(*at)->chain;
    *at = t->chain;
    list_remove(s, t);
    lane_leave(s, t);
    s->n_tasks--;
    t->next = s->dead_tasks;
    s->dead_tasks = t;
}

/* ---- waiters ---- */

/* The highest priority of those who wait; of the first, the rest. */
static void set_rank(struct task *t)
{
    const struct waiter *first = &t->waiters[0];

    t->rank = (struct rank){ first->job->priority, first->job->run->number, first->audit,
        first->job->index, first->place };
    for (size_t i = 1; i < t->n_waiters; i++)
        if (t->waiters[i].job->priority > t->rank.priority)
            t->rank.priority = t->waiters[i].job->priority;
}

static int grow_waiters(struct task *t, struct err *e)
{
    size_t cap = t->cap_waiters ? 2 * t->cap_waiters : 1;
    struct waiter *p;

    if (t->n_waiters < t->cap_waiters)
        return OK;
    if (cap == 1) {
        t->waiters = &t->one;
    } else {
        p = realloc(t->waiters == &t->one ? NULL : t->waiters, cap * sizeof *p);
        if (!p)
            return err_set(e, E_NOMEM, "out of memory");
        if (t->waiters == &t->one)
            p[0] = t->one;
        t->waiters = p;
    }
    t->cap_waiters = cap;
    return OK;
}

static int add_waiter(struct task *t, struct job *j, uint32_t place, bool audit, struct err *e)
{
    uint32_t n = j->open + j->audits;
    int rc = grow_waiters(t, e);

    if (rc == OK && n == j->cap_tasks) {
        size_t cap = j->cap_tasks ? 2 * j->cap_tasks : 1;
        struct task **p = realloc(j->tasks, cap * sizeof *p);
        if (!p)
            return err_set(e, E_NOMEM, "out of memory");
        j->tasks = p;
        j->cap_tasks = cap;
    }
    if (rc != OK)
        return rc;
    t->waiters[t->n_waiters++] = (struct waiter){ j, place, audit, n };
    j->tasks[n] = t;
    j->audits += audit;
    j->open += !audit;
    j->places += !audit;
    j->leased += !audit && t->state == TASK_LEASED;
    set_rank(t);
    return OK;
}

/* The job no longer waits for t by this waiter, which is still there. */
static void job_forget(struct task *t, struct waiter *w)
{
    struct job *j = w->job;
    uint32_t n = j->open + j->audits - 1;
    struct task *last = j->tasks[n];
    size_t i = 0;

    assert(j->tasks[w->index] == t);
    while (last->waiters[i].job != j || last->waiters[i].index != n)
        i++;
    last->waiters[i].index = w->index;
    j->tasks[w->index] = last;
    w->index = UINT32_MAX;
    j->audits -= w->audit;
    j->open -= !w->audit;
    j->leased -= !w->audit && t->state == TASK_LEASED;
}

static int new_task(struct task **out, struct sched *s, struct job *job, uint32_t place,
    const struct task_spec *spec, struct err *e)
{
    struct task *t = calloc(1, sizeof *t);
    int rc =
        t ? heap_reserve(&s->backing_off, s->n_tasks + 1, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = add_waiter(t, job, place, spec->audit, e);
    if (rc == OK && (rc = lane_join(s, t, spec, e)) != OK) {
        job_forget(t, &t->waiters[0]);
        job->places -= !spec->audit;
    }
    if (rc != OK) {
        free(t);
        return rc;
    }
    t->id = spec->id;
    t->spec = spec->spec;
    t->brief = spec->brief;
    t->awaited = spec->awaited;
    t->ready_ms = spec->from_ms;
    *out = t;
    return OK;
}

int sched_add_task(struct task **out, struct sched *s, struct job *job, uint32_t place,
    const struct task_spec *spec, struct err *e)
{
    struct task *t = sched_task(s, &spec->id);
    int rc = OK;

    assert(spec->audit ? !job_is_over(job->state) : job->unfolding);
    if (t) { /* shared: what it needs was said by who came first, a higher priority pulls it up */
        rc = add_waiter(t, job, place, spec->audit, e);
        if (rc != OK)
            return rc;
        message_free(spec->spec);
    } else {
        rc = sched_reserve(s, 0, 0, 1, 0, e);
        if (rc == OK)
            rc = grow_table(s, e);
        if (rc == OK)
            rc = new_task(&t, s, job, place, spec, e);
        if (rc != OK)
            return rc;
        t->chain = *bucket(s, &t->id);
        *bucket(s, &t->id) = t;
        list_add(s, t);
        s->n_tasks++;
    }
    task_place(s, t);
    if (out)
        *out = t;
    return OK;
}

/* ---- leases ---- */

static void hold(struct sched *s, struct worker *w, struct task *t)
{
    s->n_behind -= is_behind(w);
    t->holder = w;
    t->held_prev = w->held_last;
    t->held_next = NULL;
    *(w->held_last ? &w->held_last->held_next : &w->held_first) = t;
    w->held_last = t;
    w->held++;
    w->held_long += !t->lane->brief;
    s->n_behind += is_behind(w);
}

static void release(struct sched *s, struct task *t)
{
    struct worker *w = t->holder;

    assert(t->state == TASK_LEASED && w->held > 0);
    s->n_behind -= is_behind(w);
    *(t->held_prev ? &t->held_prev->held_next : &w->held_first) = t->held_next;
    *(t->held_next ? &t->held_next->held_prev : &w->held_last) = t->held_prev;
    w->held--;
    w->held_long -= !t->lane->brief;
    s->n_behind += is_behind(w);
    t->holder = NULL;
    for (size_t i = 0; i < t->n_waiters; i++)
        t->waiters[i].job->leased -= !t->waiters[i].audit;
    worker_place(s, w);
    s->due = true;
}

#define REST_MS 1000

/* So much ahead that it need not wait for the next one, and no more: what it holds, others cannot
 * take. */
static void adapt_credit(struct worker *w, const struct task *t, int64_t now)
{
    uint32_t *credit = &w->credit[t->lane->brief];
    int64_t took = now - t->given_ms;

    w->answered_ms = now;
    if (took < AHEAD_MS / 2 && w->held >= *credit && *credit < w->credit_most)
        ++*credit;
    else if (took > AHEAD_MS && *credit > 1 && w->credit_most >= *credit)
        *credit = took > 4 * AHEAD_MS ? (*credit + 3) / 4 : *credit - 1;
}

void task_lease(
    struct sched *s, struct task *t, struct worker *w, const struct ref *ref, int64_t now)
{
    if (t->ranked.at > 0)
        heap_take(t->state == TASK_BACKING_OFF ? &s->backing_off : &t->lane->ready, &t->ranked);
    task_move(t, TASK_LEASED);
    t->awaited = false;
    if (w->held == 0 && now - w->answered_ms > REST_MS)
        credit_reset(w); /* what comes now may be of another kind */
    hold(s, w, t);
    worker_place(s, w);
    t->lease = *ref;
    t->given_ms = t->reported_ms = now;
    t->reported = 0;
    if (ref->epoch == s->epoch && ref->attempt > t->last_attempt)
        t->last_attempt = ref->attempt;
    for (size_t i = 0; i < t->n_waiters; i++) {
        struct job *j = t->waiters[i].job;
        uint32_t attempts = t->last_attempt ? t->last_attempt : 1;
        if (t->waiters[i].audit)
            continue;
        j->leased++;
        if (j->places == 1)
            j->warm = w;
        if (j->state == JOB_READY)
            job_move(s, j, JOB_RUNNING);
        if (attempts > j->attempts) {
            j->attempts = attempts;
            job_tell(s, j);
        }
    }
}

static void revoke(struct sched *s, struct task *t)
{
    struct action *a = sched_act(s, ACT_REVOKE);

    a->worker = t->holder;
    a->ref = t->lease;
}

void task_answered(
    struct sched *s, struct task *t, struct worker *w, const struct ref *ref, int64_t now)
{
    struct action *a = sched_act(s, ACT_ANSWERED);

    a->task = t;
    a->worker = w;
    a->ref = *ref;
    if (t->state == TASK_LEASED) {
        if (t->holder != w || !ref_equal(&t->lease, ref))
            revoke(s, t);
        else
            adapt_credit(w, t, now);
        release(s, t);
    }
    close_task(s, t);
    task_move(t, TASK_DONE);
    for (size_t i = 0; i < t->n_waiters; i++) {
        struct job *j = t->waiters[i].job;
        job_forget(t, &t->waiters[i]);
        if (j->open == 0 && !j->unfolding && !t->waiters[i].audit)
            job_round_over(s, j);
    }
}

static uint32_t retries(const struct task *t)
{
    uint32_t most = 0;

    for (size_t i = 0; i < t->n_waiters; i++)
        if (t->waiters[i].job->retries > most)
            most = t->waiters[i].job->retries;
    return most;
}

static void tell_failure(struct sched *s, enum action_kind kind, struct task *t, struct worker *w,
    struct job *j, int64_t wait)
{
    struct action *a = sched_act(s, kind);

    a->task = t;
    a->worker = w;
    a->job = j;
    a->ref = t->lease;
    a->cause = t->cause;
    a->wait_ms = wait;
}

static void leave(struct sched *s, struct task *t, const struct job *j);

void task_failed(struct sched *s, struct task *t, Cause cause, int64_t now)
{
    const struct retry_rule *rule = retry_rule(cause);
    struct worker *w = t->holder;
    int64_t wait;

    release(s, t);
    t->cause = cause;
    t->failures += rule->counted;
    t->losses += cause == CAUSE__LOST;
    if (rule->elsewhere)
        t->avoid = w->serial;
    if (rule->fatal || t->failures > retries(t) || t->losses > RETRY_LOSSES) {
        task_move(t, TASK_FAILED);
        while (t->n_waiters > 0) {
            struct job *j = t->waiters[0].job;
            bool audit = t->waiters[0].audit;
            tell_failure(s, audit ? ACT_MISSED : ACT_SPENT, t, w, j, 0);
            if (audit)
                leave(s, t, j);
            else
                job_fail(s, j); /* leaves t, and the last one closes it */
        }
        return;
    }
    wait = rule->backs_off ? retry_wait_ms(t->failures) : 0;
    t->not_before = t->ready_ms = now + wait;
    task_move(t, wait > 0 ? TASK_BACKING_OFF : TASK_READY);
    if (wait > 0)
        heap_put(&s->backing_off, &t->ranked);
    task_place(s, t);
    tell_failure(s, ACT_RETRY, t, w, NULL, wait);
}

void task_give_back(struct sched *s, struct task *t)
{
    release(s, t);
    task_move(t, TASK_READY);
    task_place(s, t);
}

void task_wake(struct sched *s, struct task *t)
{
    heap_take(&s->backing_off, &t->ranked);
    task_move(t, TASK_READY);
    task_place(s, t);
}

/* The job leaves t. */
static void leave(struct sched *s, struct task *t, const struct job *j)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->n_waiters; i++) {
        if (t->waiters[i].job == j)
            job_forget(t, &t->waiters[i]);
        else
            t->waiters[kept++] = t->waiters[i];
    }
    t->n_waiters = kept;
    if (kept > 0) {
        set_rank(t);
        task_place(s, t); /* perhaps only paused ones are left */
        return;
    }
    if (t->state == TASK_LEASED) {
        revoke(s, t);
        release(s, t);
        task_move(t, TASK_READY);
    }
    close_task(s, t);
}

void task_leave(struct sched *s, struct job *j)
{
    while (j->open + j->audits > 0)
        leave(s, j->tasks[j->open + j->audits - 1], j);
}
