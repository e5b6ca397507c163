#include "orchestrator/scheduler.h"

#include <assert.h>

#include "orchestrator/scheduler_int.h"

/* Who gets what: the first ready task in order goes to the best session with room. */

static bool has_tag(const struct tags *tags, uint32_t tag)
{
    for (size_t i = 0; i < tags->n; i++)
        if (tags->items[i] == tag)
            return true;
    return false;
}

/* The first thing that w lacks for t: WHY_NOT when it lacks nothing. */
static struct why lacks(const struct worker *w, const struct task *t)
{
    const struct job *j = t->waiters[0].job;

    for (size_t i = 0; i < j->labels.n; i++)
        if (!has_tag(&w->tags, j->labels.items[i]))
            return (struct why){ .what = WHY_TAG, .tag = j->labels.items[i] };
    if (t->class_tag && !has_tag(&w->tags, t->class_tag))
        return (struct why){ .what = WHY_TAG, .tag = t->class_tag };
    if (w->memory > 0 && w->memory < j->memory)
        return (struct why){ .what = WHY_MEMORY, .most = w->memory };
    return (struct why){ .what = WHY_NOT };
}

static bool has_room(const struct worker *w, const struct task *t)
{
    if (w->state != SESSION_LIVE || w->draining || w->held >= w->credit)
        return false;
    return w->held == 0 || (t->brief && w->held_long == 0);
}

bool worker_can_take(const struct worker *w, const struct task *t)
{
    return has_room(w, t) && lacks(w, t).what == WHY_NOT;
}

bool task_is_paused(const struct task *t)
{
    for (size_t i = 0; i < t->n_waiters; i++)
        if (!t->waiters[i].job->paused)
            return false;
    return true;
}

/* Not where it failed; then where its job's state may be warm; then the emptiest; then the oldest.
 */
static bool better(const struct worker *a, const struct worker *b, const struct task *t)
{
    uint64_t warm = t->waiters[0].job->last_worker;

    if ((a->serial == t->avoid) != (b->serial == t->avoid))
        return b->serial == t->avoid;
    if ((a->serial == warm) != (b->serial == warm))
        return a->serial == warm;
    return a->held != b->held ? a->held < b->held : a->serial < b->serial;
}

void dispatch(struct sched *s, int64_t now)
{
    uint32_t room = 0;

    for (const struct worker *w = s->workers; w; w = w->next)
        if (w->state == SESSION_LIVE && !w->draining && w->held < w->credit)
            room += w->credit - w->held;
    for (struct task *t = s->tasks; t && room > 0; t = t->next) {
        struct worker *best = NULL;
        if (t->state != TASK_READY || task_is_paused(t))
            continue;
        for (struct worker *w = s->workers; w; w = w->next)
            if (worker_can_take(w, t) && (!best || better(w, best, t)))
                best = w;
        if (!best)
            continue;
        struct ref ref = { t->id, t->last_attempt + 1, s->epoch };
        task_lease(s, t, best, &ref, now);
        struct action *a = sched_act(s, ACT_ASSIGN);
        a->worker = best;
        a->task = t;
        a->ref = ref;
        room--;
    }
}

/* ---- why not ---- */

static struct why why_task(const struct sched *s, const struct task *t)
{
    struct why why = { .what = WHY_NO_WORKER };

    for (const struct worker *w = s->workers; w; w = w->next) {
        struct why l = lacks(w, t);
        if (w->state == SESSION_NEW)
            continue;
        if (l.what == WHY_NOT && !w->draining)
            return (struct why){ .what = WHY_BUSY };
        if (l.what == WHY_NOT)
            l.what = WHY_DRAINING;
        /* The nearest miss says most: memory is looked at last, and the largest counts. */
        if (why.what == WHY_NO_WORKER || l.what == WHY_DRAINING ||
            (l.what == WHY_MEMORY && why.what == WHY_TAG) ||
            (l.what == WHY_MEMORY && l.most > why.most))
            why = l;
    }
    return why;
}

struct why sched_why(const struct sched *s, const struct job *job)
{
    const struct task *ready = NULL, *backing_off = NULL;

    if (job->paused)
        return (struct why){ .what = WHY_PAUSED };
    for (const struct task *t = s->tasks; t && job->open > 0; t = t->next)
        for (size_t i = 0; i < t->n_waiters; i++) {
            if (t->waiters[i].job != job)
                continue;
            if (t->state == TASK_LEASED)
                return (struct why){ .what = WHY_NOT };
            if (t->state == TASK_READY && !ready)
                ready = t;
            if (t->state == TASK_BACKING_OFF && !backing_off)
                backing_off = t;
        }
    if (ready)
        return why_task(s, ready);
    if (backing_off)
        return (struct why){ .what = WHY_BACKOFF, .cause = backing_off->cause };
    return (struct why){ .what = WHY_NOT };
}

/* ---- invariants ---- */

static void check_task(const struct sched *s, const struct task *t)
{
    size_t waits = 0;

    assert(sched_task(s, &t->id) == t); /* (3) */
    assert(t->n_waiters > 0 && t->state != TASK_DONE && t->state != TASK_FAILED);
    assert((t->state == TASK_LEASED) == (t->holder != NULL)); /* (1) */
    for (const struct worker *w = s->workers; w; w = w->next) {
        waits += w == t->holder;
        if (t->state == TASK_READY && !task_is_paused(t) && s->ticked_ms >= s->reunion_ms)
            assert(!worker_can_take(w, t)); /* (7) */
    }
    assert(!t->holder || waits == 1); /* (2) */
}

void sched_check(const struct sched *s)
{
    size_t n = 0;

    for (const struct task *t = s->tasks; t; t = t->next, n++)
        check_task(s, t);
    assert(n == s->n_tasks);
    for (const struct worker *w = s->workers; w; w = w->next) {
        uint32_t held = 0;
        for (const struct task *t = s->tasks; t; t = t->next)
            held += t->holder == w;
        assert(held == w->held && w->state != SESSION_LOST); /* (2) */
    }
    for (const struct run *r = s->runs; r; r = r->next)
        for (size_t i = 0; i < r->n_jobs; i++) {
            const struct job *j = &r->jobs[i];
            uint32_t open = 0;
            for (const struct task *t = s->tasks; t; t = t->next)
                for (size_t k = 0; k < t->n_waiters; k++)
                    open += t->waiters[k].job == j;
            assert(open == j->open);                /* (4) */
            for (size_t k = 0; k < j->n_after; k++) /* (5) */
                assert(r->jobs[j->after[k]].state == JOB_DONE || j->state == JOB_BLOCKED ||
                       job_is_over(j->state));
        }
}
