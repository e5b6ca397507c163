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
    free(t->waiters);
    free(t);
}

/* ---- the table by id, and the list in the order of dispatch ---- */

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

static int32_t priority(const struct task *t)
{
    int32_t most = t->waiters[0].job->priority;

    for (size_t i = 1; i < t->n_waiters; i++)
        if (t->waiters[i].job->priority > most)
            most = t->waiters[i].job->priority;
    return most;
}

/* Higher priority first, then older runs, then earlier jobs, then places of a round. */
static bool goes_before(const struct task *a, const struct task *b)
{
    const struct waiter *x = a->waiters, *y = b->waiters;

    if (priority(a) != priority(b))
        return priority(a) > priority(b);
    if (x->job->run->number != y->job->run->number)
        return x->job->run->number < y->job->run->number;
    if (x->job->index != y->job->index)
        return x->job->index < y->job->index;
    return x->place < y->place;
}

static void list_add(struct sched *s, struct task *t)
{
    struct task *after = s->tail;

    while (after && goes_before(t, after))
        after = after->prev;
    t->prev = after;
    t->next = after ? after->next : s->tasks;
    *(after ? &after->next : &s->tasks) = t;
    *(t->next ? &t->next->prev : &s->tail) = t;
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
    s->n_tasks--;
    t->next = s->dead_tasks;
    s->dead_tasks = t;
}

/* ---- waiters ---- */

static int add_waiter(struct task *t, struct job *j, uint32_t place, struct err *e)
{
    if (t->n_waiters == t->cap_waiters) {
        size_t cap = t->cap_waiters ? 2 * t->cap_waiters : 1;
        struct waiter *p = realloc(t->waiters, cap * sizeof *p);
        if (!p)
            return err_set(e, E_NOMEM, "out of memory");
        t->waiters = p;
        t->cap_waiters = cap;
    }
    t->waiters[t->n_waiters++] = (struct waiter){ j, place };
    j->open++;
    j->places++;
    return OK;
}

int sched_add_task(struct task **out, struct sched *s, struct job *job, uint32_t place,
    const struct task_spec *spec, struct err *e)
{
    struct task *t = sched_task(s, &spec->id);
    int rc = OK;

    assert(job->unfolding);
    if (t) { /* shared: what it needs was said by who came first, a higher priority pulls it up */
        rc = add_waiter(t, job, place, e);
        if (rc != OK)
            return rc;
        list_remove(s, t);
        list_add(s, t);
        message_free(spec->spec);
    } else {
        rc = sched_reserve(s, 0, 0, 1, 0, e);
        if (rc == OK)
            rc = grow_table(s, e);
        t = rc == OK ? calloc(1, sizeof *t) : NULL;
        if (!t)
            return err_set(e, E_NOMEM, "out of memory");
        rc = add_waiter(t, job, place, e);
        if (rc != OK) {
            free(t);
            return rc;
        }
        t->id = spec->id;
        t->spec = spec->spec;
        t->brief = spec->brief;
        t->class_tag = spec->class_tag;
        t->chain = *bucket(s, &t->id);
        *bucket(s, &t->id) = t;
        list_add(s, t);
        s->n_tasks++;
    }
    if (out)
        *out = t;
    return OK;
}

/* ---- leases ---- */

static void release(struct sched *s, struct task *t)
{
    assert(t->state == TASK_LEASED && t->holder->held > 0);
    t->holder->held--;
    t->holder->held_long -= !t->brief;
    t->holder = NULL;
    s->due = true;
}

void task_lease(
    struct sched *s, struct task *t, struct worker *w, const struct ref *ref, int64_t now)
{
    task_move(t, TASK_LEASED);
    t->holder = w;
    t->lease = *ref;
    t->reported_ms = now;
    t->reported = 0;
    if (ref->epoch == s->epoch && ref->attempt > t->last_attempt)
        t->last_attempt = ref->attempt;
    w->held++;
    w->held_long += !t->brief;
    for (size_t i = 0; i < t->n_waiters; i++) {
        struct job *j = t->waiters[i].job;
        uint32_t attempts = t->last_attempt ? t->last_attempt : 1;
        if (j->places == 1)
            j->last_worker = w->serial;
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

void task_answered(struct sched *s, struct task *t, struct worker *w, const struct ref *ref)
{
    struct action *a = sched_act(s, ACT_ANSWERED);

    a->task = t;
    a->worker = w;
    a->ref = *ref;
    if (t->state == TASK_LEASED) {
        if (t->holder != w || !ref_equal(&t->lease, ref))
            revoke(s, t);
        release(s, t);
    }
    task_move(t, TASK_DONE);
    close_task(s, t);
    for (size_t i = 0; i < t->n_waiters; i++) {
        struct job *j = t->waiters[i].job;
        assert(j->open > 0);
        j->open--;
        if (j->open == 0 && !j->unfolding)
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
            tell_failure(s, ACT_SPENT, t, w, j, 0);
            job_fail(s, j); /* leaves t, and the last one closes it */
        }
        return;
    }
    wait = rule->backs_off ? retry_wait_ms(t->failures) : 0;
    t->not_before = now + wait;
    task_move(t, wait > 0 ? TASK_BACKING_OFF : TASK_READY);
    tell_failure(s, ACT_RETRY, t, w, NULL, wait);
}

void task_wake(struct sched *s, struct task *t)
{
    task_move(t, TASK_READY);
    s->due = true;
}

void task_leave(struct sched *s, struct job *j)
{
    for (struct task *t = s->tasks, *next; t && j->open > 0; t = next) {
        size_t kept = 0;
        next = t->next;
        for (size_t i = 0; i < t->n_waiters; i++)
            if (t->waiters[i].job != j)
                t->waiters[kept++] = t->waiters[i];
        j->open -= (uint32_t)(t->n_waiters - kept);
        t->n_waiters = kept;
        if (kept > 0)
            continue;
        if (t->state == TASK_LEASED) {
            revoke(s, t);
            release(s, t);
            task_move(t, TASK_READY);
        }
        close_task(s, t);
    }
    assert(j->open == 0);
}
