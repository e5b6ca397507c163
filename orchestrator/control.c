#include "orchestrator/scheduler_int.h"

/* What people ask of the scheduler while it works. */

static void set_paused(struct sched *s, const struct event *ev, bool paused)
{
    struct run *r = ev->job ? ev->job->run : ev->run;

    for (size_t i = 0; i < r->n_jobs; i++) {
        struct job *j = &r->jobs[i];
        if ((ev->job && ev->job != j) || job_is_over(j->state) || j->paused == paused)
            continue;
        j->paused = paused;
        job_tell(s, j);
        for (uint32_t k = 0; k < j->open + j->audits; k++)
            task_place(s, j->tasks[k]);
    }
    s->due = true;
}

void on_pause(struct sched *s, const struct event *ev, int64_t now)
{
    (void)now;
    set_paused(s, ev, true);
}

void on_resume(struct sched *s, const struct event *ev, int64_t now)
{
    (void)now;
    set_paused(s, ev, false);
}

void on_drain(struct sched *s, const struct event *ev, int64_t now)
{
    (void)now;
    ev->worker->draining = true;
    worker_place(s, ev->worker);
    s->due = true; /* an audit may have waited for it */
}
