#include "orchestrator/scheduler.h"

#include <assert.h>

#include "orchestrator/scheduler_int.h"

/* The invariants of scheduler.h, for tests. */

static void check_task(const struct sched *s, const struct task *t)
{
    bool placed = t->state == TASK_BACKING_OFF || (t->state == TASK_READY && !task_waits(t));
    size_t waits = 0;

    assert(sched_task(s, &t->id) == t); /* (3) */
    assert(t->n_waiters > 0 && t->state != TASK_DONE && t->state != TASK_FAILED);
    assert((t->state == TASK_LEASED) == (t->holder != NULL)); /* (1) */
    assert((t->ranked.at > 0) == placed);
    for (const struct worker *w = s->workers.first; w; w = w->next) {
        waits += w == t->holder;
        if (t->state == TASK_READY && !task_waits(t))
            assert(!worker_can_take(s, w, t)); /* (7) */
    }
    assert(!t->holder || waits == 1); /* (2) */
    for (size_t i = 0; i < t->n_waiters; i++)
        assert(t->waiters[i].job->tasks[t->waiters[i].index] == t);
}

static void check_worker(const struct worker *w)
{
    uint32_t held = 0, held_long = 0;

    for (const struct task *t = w->held_first; t; t = t->held_next) {
        assert(t->holder == w && t->state == TASK_LEASED);
        held++;
        held_long += !t->lane->brief;
    }
    assert(held == w->held && held_long == w->held_long && w->state != SESSION_LOST); /* (2) */
    for (int brief = 0; brief < 2; brief++)
        assert(!w->seats[brief].ranked.at || (w->held < w->credit[brief] && !w->draining));
}

static void check_job(const struct sched *s, const struct job *j)
{
    uint32_t open = 0, audits = 0, leased = 0;

    for (const struct task *t = s->tasks; t; t = t->next)
        for (size_t k = 0; k < t->n_waiters; k++) {
            if (t->waiters[k].job != j)
                continue;
            audits += t->waiters[k].audit;
            open += !t->waiters[k].audit;
            leased += !t->waiters[k].audit && t->state == TASK_LEASED;
        }
    assert(open == j->open && audits == j->audits && leased == j->leased); /* (4) */
    for (size_t k = 0; k < j->n_after; k++)                                /* (5) */
        assert(j->run->jobs[j->after[k]].state == JOB_DONE || j->state == JOB_BLOCKED ||
               job_is_over(j->state));
}

void sched_check(const struct sched *s)
{
    size_t n = 0;

    for (const struct task *t = s->tasks; t; t = t->next, n++)
        check_task(s, t);
    assert(n == s->n_tasks);
    for (const struct worker *w = s->workers.first; w; w = w->next)
        check_worker(w);
    for (const struct run *r = s->runs; r; r = r->next)
        for (size_t i = 0; i < r->n_jobs; i++)
            check_job(s, &r->jobs[i]);
}
