#include "orchestrator/scheduler.h"

#include <assert.h>
#include <stdlib.h>

#include "orchestrator/scheduler_int.h"

/* Workers' sessions: who was heard when, what each says that it runs, what their end means. */

/* ---- by heard_ms: whoever is heard goes to the end ---- */

static void heard_remove(struct sched *s, struct worker *w)
{
    struct worker_list *l = &s->heard[w->silent];

    *(w->heard_prev ? &w->heard_prev->heard_next : &l->first) = w->heard_next;
    *(w->heard_next ? &w->heard_next->heard_prev : &l->last) = w->heard_prev;
}

static void heard_append(struct sched *s, struct worker *w, bool silent)
{
    struct worker_list *l = &s->heard[silent];

    w->silent = silent;
    w->heard_prev = l->last;
    w->heard_next = NULL;
    *(l->last ? &l->last->heard_next : &l->first) = w;
    l->last = w;
}

int sched_add_worker(struct worker **out, struct sched *s, const struct worker_spec *spec,
    int64_t now, struct err *e)
{
    int rc = sched_reserve(s, 0, 0, 0, 1, e);
    struct worker *w = rc == OK ? calloc(1, sizeof *w) : NULL;

    if (!w)
        return err_set(e, E_NOMEM, "out of memory");
    rc = kin_join(s, w, spec, e);
    if (rc != OK) {
        free(w);
        return rc;
    }
    w->serial = ++s->last_serial;
    w->who = spec->who;
    w->credit[false] = w->credit[true] = spec->credit;
    w->credit_most = spec->credit_most;
    w->draining = spec->draining;
    w->heard_ms = now;
    w->inventory = 1;
    w->prev = s->workers.last;
    *(w->prev ? &w->prev->next : &s->workers.first) = w;
    s->workers.last = w;
    heard_append(s, w, false);
    s->n_workers++;
    *out = w;
    return OK;
}

void session_hear(struct sched *s, struct worker *w, int64_t now)
{
    heard_remove(s, w);
    heard_append(s, w, false);
    w->heard_ms = now;
    if (w->state != SESSION_SUSPECT)
        return;
    w->state = SESSION_LIVE;
    worker_place(s, w);
    s->due = true;
}

static void forget_warm(struct sched *s, const struct worker *w)
{
    for (struct run *r = s->runs; r; r = r->next)
        for (size_t i = 0; i < r->n_jobs; i++)
            if (r->jobs[i].warm == w)
                r->jobs[i].warm = NULL;
}

static void session_over(struct sched *s, struct worker *w, Cause cause, int64_t now)
{
    struct worker **kept = &s->kept;

    w->state = SESSION_LOST;
    worker_place(s, w);
    while (w->held > 0) /* from the first each time: a failure may close other tasks too */
        task_failed(s, w->held_first, cause, now);
    while (*kept && *kept != w)
        kept = &(*kept)->kept_next;
    if (*kept)
        *kept = w->kept_next;
    forget_warm(s, w);
    heard_remove(s, w);
    kin_leave(s, w);
    *(w->prev ? &w->prev->next : &s->workers.first) = w->next;
    *(w->next ? &w->next->prev : &s->workers.last) = w->prev;
    s->n_workers--;
    s->due = true; /* an audit may have waited for it */
    w->next = s->dead_workers;
    s->dead_workers = w;
}

/* ---- time ---- */

/* Who did not listen cannot say that the others were silent. */
static void forgive(struct sched *s, int64_t slept, int64_t now)
{
    for (struct worker *w = s->workers.first; w; w = w->next)
        if (w->heard_ms < now)
            w->heard_ms = w->heard_ms + slept < now ? w->heard_ms + slept : now;
}

static void reunion_ends(struct sched *s)
{
    for (struct task *t = s->tasks; t; t = t->next)
        if (t->awaited) {
            t->awaited = false;
            task_place(s, t);
        }
}

void on_tick(struct sched *s, const struct event *ev, int64_t now)
{
    int64_t slept = now - s->ticked_ms - 2 * HEARTBEAT_MS;
    struct worker *w;
    struct task *t;

    (void)ev;
    if (s->ticked_ms > 0 && slept > 0)
        forgive(s, slept, now);
    while ((w = s->heard[1].first) && now - w->heard_ms >= LOST_MS) {
        session_over(s, w, CAUSE__LOST, now);
        sched_act(s, ACT_LOST)->worker = w;
    }
    while ((w = s->heard[0].first) && now - w->heard_ms >= SUSPECT_MS) {
        heard_remove(s, w);
        heard_append(s, w, true);
        if (w->state == SESSION_LIVE)
            w->state = SESSION_SUSPECT;
        worker_place(s, w);
        if (now - w->heard_ms >= LOST_MS) { /* both at once: the loop stood still */
            session_over(s, w, CAUSE__LOST, now);
            sched_act(s, ACT_LOST)->worker = w;
        }
    }
    while ((t = (struct task *)heap_first(&s->backing_off)) && t->not_before <= now)
        task_wake(s, t);
    if (s->ticked_ms < s->reunion_ms && s->reunion_ms <= now)
        reunion_ends(s);
    take_back(s, now);
    s->ticked_ms = now;
}

/* ---- events ---- */

void on_heard(struct sched *s, const struct event *ev, int64_t now)
{
    session_hear(s, ev->worker, now);
}

void on_running(struct sched *s, const struct event *ev, int64_t now)
{
    struct worker *w = ev->worker;
    struct task *t = sched_task(s, &ev->ref.task);

    session_hear(s, w, now);
    if (t && t->state == TASK_LEASED && t->holder == w && ref_equal(&t->lease, &ev->ref)) {
        t->reported_ms = now;
        t->reported = w->inventory;
    } else if (t && t->state != TASK_LEASED && ev->ref.epoch <= s->epoch) {
        task_lease(s, t, w, &ev->ref, now); /* adopted: it runs already, nothing is begun anew */
        t->reported = w->inventory;
    } else {
        struct action *a = sched_act(s, ACT_REVOKE);
        a->worker = w;
        a->ref = ev->ref;
    }
}

void on_inventory(struct sched *s, const struct event *ev, int64_t now)
{
    struct worker *w = ev->worker;

    session_hear(s, w, now);
    for (struct task *t = w->held_first, *next; t; t = next) {
        next = t->held_next;
        if (t->reported == w->inventory || now - t->reported_ms < FORGOTTEN_MS)
            continue;
        struct action *a = sched_act(s, ACT_REVOKE);
        a->worker = w;
        a->ref = t->lease;
        task_failed(s, t, CAUSE__STOPPED, now); /* never the last attempt: closes no task */
    }
    w->inventory++;
    if (w->state == SESSION_NEW)
        w->state = SESSION_LIVE;
    worker_place(s, w);
    s->due = true;
}

void on_freed(struct sched *s, const struct event *ev, int64_t now)
{
    struct task *t = sched_task(s, &ev->ref.task);

    (void)now;
    if (!t || !t->awaited)
        return;
    t->awaited = false;
    task_place(s, t);
}

void on_gone(struct sched *s, const struct event *ev, int64_t now)
{
    session_over(s, ev->worker, ev->cause, now);
}
