#include "orchestrator/scheduler.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/scheduler_int.h"

/* ---- memory ---- */

int sched_new(struct sched **out, uint64_t epoch, struct err *e)
{
    struct sched *s = calloc(1, sizeof *s);
    int rc = s ? sched_reserve(s, 0, 0, 0, 0, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc != OK) {
        free(s);
        return rc;
    }
    s->epoch = epoch;
    s->backing_off.before = task_is_sooner;
    *out = s;
    return OK;
}

static void run_free(struct run *r)
{
    for (size_t i = 0; i < r->n_jobs; i++) {
        free(r->jobs[i].after);
        free(r->jobs[i].labels.items);
        free(r->jobs[i].tasks);
    }
    free(r->jobs);
    free(r);
}

static void bury(struct sched *s)
{
    while (s->dead_tasks) {
        struct task *t = s->dead_tasks;
        s->dead_tasks = t->next;
        task_free(t);
    }
    while (s->dead_workers) {
        struct worker *w = s->dead_workers;
        s->dead_workers = w->next;
        free(w);
    }
}

void sched_free(struct sched *s)
{
    if (!s)
        return;
    bury(s);
    while (s->tasks) {
        struct task *t = s->tasks;
        s->tasks = t->next;
        lane_leave(s, t);
        task_free(t);
    }
    while (s->workers.first) {
        struct worker *w = s->workers.first;
        s->workers.first = w->next;
        kin_leave(s, w);
        free(w);
    }
    while (s->runs) {
        struct run *r = s->runs;
        s->runs = r->next;
        run_free(r);
    }
    heap_free(&s->backing_off);
    free(s->buckets);
    free(s->actions);
    free(s);
}

/* Room for all actions of one step: for each job ACT_UNFOLD, ACT_JOB and ACT_SPENT; for each run
 * ACT_RUN_OVER; for each task ACT_REVOKE, ACT_RETRY and ACT_ASSIGN; for each session ACT_LOST;
 * and two about the event itself. */
int sched_reserve(
    struct sched *s, size_t jobs, size_t runs, size_t tasks, size_t workers, struct err *e)
{
    size_t need = 3 * (s->n_jobs + jobs) + s->n_runs + runs + 3 * (s->n_tasks + tasks) +
                  s->n_workers + workers + 2;

    if (need <= s->cap_actions)
        return OK;
    struct action *p = realloc(s->actions, 2 * need * sizeof *p);
    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    s->actions = p;
    s->cap_actions = 2 * need;
    return OK;
}

struct action *sched_act(struct sched *s, enum action_kind kind)
{
    assert(s->n_actions < s->cap_actions);
    struct action *a = &s->actions[s->n_actions++];
    *a = (struct action){ .kind = kind };
    return a;
}

int tags_copy(struct tags *out, const struct tags *from, struct err *e)
{
    out->n = from->n;
    out->items = from->n ? malloc(from->n * sizeof *from->items) : NULL;
    if (from->n == 0)
        return OK;
    if (!out->items)
        return err_set(e, E_NOMEM, "out of memory");
    memcpy(out->items, from->items, from->n * sizeof *from->items);
    return OK;
}

bool tags_equal(const struct tags *a, const struct tags *b)
{
    return a->n == b->n && (a->n == 0 || !memcmp(a->items, b->items, a->n * sizeof *a->items));
}

static int job_init(
    struct job *j, struct run *r, uint32_t index, const struct job_spec *spec, struct err *e)
{
    j->run = r;
    j->index = index;
    j->priority = spec->priority;
    j->retries = spec->retries;
    j->memory = spec->memory;
    j->threads = spec->threads;
    j->state = spec->state;
    j->round = spec->round;
    j->attempts = spec->attempts;
    j->paused = spec->paused;
    j->blame = -1;
    if (spec->n_after > 0) {
        j->after = malloc(spec->n_after * sizeof *j->after);
        if (!j->after)
            return err_set(e, E_NOMEM, "out of memory");
        memcpy(j->after, spec->after, spec->n_after * sizeof *j->after);
    }
    j->n_after = spec->n_after;
    for (size_t i = 0; i < j->n_after; i++)
        assert(j->after[i] < index);
    return tags_copy(&j->labels, &spec->labels, e);
}

int sched_add_run(struct run **out, struct sched *s, uint64_t number, const struct job_spec *jobs,
    size_t n, struct err *e)
{
    int rc = sched_reserve(s, n, 1, 0, 0, e);
    struct run *r = rc == OK ? calloc(1, sizeof *r) : NULL;

    if (!r)
        return err_set(e, E_NOMEM, "out of memory");
    r->number = number;
    r->jobs = calloc(n ? n : 1, sizeof *r->jobs);
    if (!r->jobs)
        rc = err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < n && rc == OK; i++) {
        r->n_jobs = i + 1;
        rc = job_init(&r->jobs[i], r, (uint32_t)i, &jobs[i], e);
    }
    if (rc != OK) {
        run_free(r);
        return rc;
    }
    r->next = s->runs;
    s->runs = r;
    s->n_runs++;
    s->n_jobs += n;
    *out = r;
    return OK;
}

void sched_remove_run(struct sched *s, struct run *r)
{
    struct run **at = &s->runs;

    while (*at != r)
        at = &(*at)->next;
    for (size_t i = 0; i < r->n_jobs; i++)
        assert(r->jobs[i].open == 0 && r->jobs[i].audits == 0);
    *at = r->next;
    s->n_runs--;
    s->n_jobs -= r->n_jobs;
    for (size_t i = 0; i < s->n_actions; i++) /* the last step's actions may still name its jobs */
        if (s->actions[i].job && s->actions[i].job->run == r)
            s->actions[i].job = NULL;
    run_free(r);
}

struct task *sched_tasks(const struct sched *s)
{
    return s->tasks;
}

struct worker *sched_workers(const struct sched *s)
{
    return s->workers.first;
}

/* ---- jobs ---- */

void job_tell(struct sched *s, struct job *j)
{
    if (j->told)
        return;
    j->told = true;
    sched_act(s, ACT_JOB)->job = j;
}

void job_move(struct sched *s, struct job *j, enum job_state to)
{
    assert(job_may_move(j->state, to));
    j->state = to;
    job_tell(s, j);
}

static void ask_unfold(struct sched *s, struct job *j)
{
    assert(!j->unfolding && j->open == 0);
    j->unfolding = true;
    j->places = 0;
    sched_act(s, ACT_UNFOLD)->job = j;
}

void job_round_over(struct sched *s, struct job *j)
{
    j->round++;
    ask_unfold(s, j);
}

static bool all_done(const struct job *j)
{
    for (size_t i = 0; i < j->n_after; i++)
        if (j->run->jobs[j->after[i]].state != JOB_DONE)
            return false;
    return true;
}

/* What a job's end means for the others of its run. */
static void follow(struct sched *s, struct run *r)
{
    bool over = true;

    for (size_t i = 0; i < r->n_jobs; i++) {
        struct job *j = &r->jobs[i];
        for (size_t k = 0; k < j->n_after && j->state == JOB_BLOCKED; k++) {
            enum job_state need = r->jobs[j->after[k]].state;
            if (need == JOB_FAILED || need == JOB_CANCELLED) {
                j->blame = (int32_t)j->after[k];
                job_move(s, j, JOB_CANCELLED);
            }
        }
        if (j->state == JOB_BLOCKED && r->started && all_done(j)) {
            job_move(s, j, JOB_READY);
            ask_unfold(s, j);
        }
        over = over && job_is_over(j->state);
    }
    if (over && !r->over) {
        r->over = true;
        sched_act(s, ACT_RUN_OVER)->run = r;
    }
}

static void job_end(struct sched *s, struct job *j, enum job_state state)
{
    job_move(s, j, state);
    j->unfolding = false;
    task_leave(s, j);
    follow(s, j->run);
}

void job_fail(struct sched *s, struct job *j)
{
    job_end(s, j, JOB_FAILED);
}

/* ---- events about runs and jobs ---- */

static void on_start(struct sched *s, const struct event *ev, int64_t now)
{
    struct run *r = ev->run;

    assert(!r->started);
    r->started = true;
    for (size_t i = 0; i < r->n_jobs; i++) {
        struct job *j = &r->jobs[i];
        if (j->state == JOB_BLOCKED || job_is_over(j->state))
            continue;
        s->reunion_ms = now + REUNION_MS;
        ask_unfold(s, j);
    }
    follow(s, r);
}

static void on_unfolded(struct sched *s, const struct event *ev, int64_t now)
{
    struct job *j = ev->job;

    (void)now;
    if (!j->unfolding)
        return;
    j->unfolding = false;
    if (j->leased > 0 && j->state == JOB_READY)
        job_move(s, j, JOB_RUNNING); /* shares a task that runs already */
    if (j->open == 0)
        job_round_over(s, j);
    s->due = true;
}

static void on_finished(struct sched *s, const struct event *ev, int64_t now)
{
    (void)now;
    if (ev->job->unfolding)
        job_end(s, ev->job, JOB_DONE);
}

static void on_people(struct sched *s, const struct event *ev, int64_t now)
{
    struct job *j = ev->job;

    (void)now;
    if (!j->unfolding)
        return;
    j->unfolding = false;
    if (j->state != JOB_WAITING_FOR_PEOPLE)
        job_move(s, j, JOB_WAITING_FOR_PEOPLE);
}

static void on_labelled(struct sched *s, const struct event *ev, int64_t now)
{
    (void)now;
    if (ev->job->state != JOB_WAITING_FOR_PEOPLE || ev->job->unfolding)
        return;
    job_move(s, ev->job, JOB_READY);
    job_round_over(s, ev->job);
}

static void on_broken(struct sched *s, const struct event *ev, int64_t now)
{
    (void)now;
    if (ev->job->unfolding)
        job_fail(s, ev->job);
}

static void on_disagree(struct sched *s, const struct event *ev, int64_t now)
{
    (void)now;
    if (!job_is_over(ev->job->state))
        job_fail(s, ev->job);
}

static void on_cancel(struct sched *s, const struct event *ev, int64_t now)
{
    struct run *r = ev->job ? ev->job->run : ev->run;

    (void)now;
    for (size_t i = r->n_jobs; i-- > 0;) { /* last first: none is told that a need of it fell */
        struct job *j = &r->jobs[i];
        if ((ev->job && ev->job != j) || job_is_over(j->state))
            continue;
        job_move(s, j, JOB_CANCELLED);
        j->unfolding = false;
        task_leave(s, j);
    }
    follow(s, r);
}

/* ---- events about attempts ---- */

static void on_answer(struct sched *s, const struct event *ev, int64_t now)
{
    struct task *t = sched_task(s, &ev->ref.task);

    session_hear(s, ev->worker, now);
    if (t)
        task_answered(s, t, ev->worker, &ev->ref, now);
    else
        sched_act(s, ACT_LATE)->ref = ev->ref;
}

static void on_failure(struct sched *s, const struct event *ev, int64_t now)
{
    struct task *t = sched_task(s, &ev->ref.task);

    session_hear(s, ev->worker, now);
    if (t && t->state == TASK_LEASED && t->holder == ev->worker && ref_equal(&t->lease, &ev->ref))
        task_failed(s, t, ev->cause, now);
}

/* ---- the step ---- */

static void (*const on_event[])(struct sched *, const struct event *, int64_t) = {
    [EV_TICK] = on_tick,
    [EV_START] = on_start,
    [EV_UNFOLDED] = on_unfolded,
    [EV_FINISHED] = on_finished,
    [EV_PEOPLE] = on_people,
    [EV_LABELLED] = on_labelled,
    [EV_BROKEN] = on_broken,
    [EV_DISAGREE] = on_disagree,
    [EV_CANCEL] = on_cancel,
    [EV_PAUSE] = on_pause,
    [EV_RESUME] = on_resume,
    [EV_DRAIN] = on_drain,
    [EV_HEARD] = on_heard,
    [EV_RUNNING] = on_running,
    [EV_INVENTORY] = on_inventory,
    [EV_ANSWER] = on_answer,
    [EV_FAILURE] = on_failure,
    [EV_GONE] = on_gone,
    [EV_FREED] = on_freed,
};
_Static_assert(sizeof on_event / sizeof *on_event == EV_KINDS, "one row for each event");

size_t sched_step(struct sched *s, const struct event *ev, int64_t now, const struct action **out)
{
    bury(s);
    for (size_t i = 0; i < s->n_actions; i++)
        if (s->actions[i].job)
            s->actions[i].job->told = false;
    s->n_actions = 0;
    on_event[ev->kind](s, ev, now);
    if (s->due)
        dispatch(s, now);
    s->due = false;
    *out = s->actions;
    return s->n_actions;
}

static int64_t sooner(int64_t wait, int64_t at, int64_t now)
{
    int64_t w = at > now ? at - now : 0;
    return wait < 0 || w < wait ? w : wait;
}

int64_t sched_wait_ms(const struct sched *s, int64_t now)
{
    const struct task *t = (const struct task *)heap_first(&s->backing_off);
    int64_t wait = s->reunion_ms > now ? s->reunion_ms - now : -1;

    if (s->heard[0].first)
        wait = sooner(wait, s->heard[0].first->heard_ms + SUSPECT_MS, now);
    if (s->heard[1].first)
        wait = sooner(wait, s->heard[1].first->heard_ms + LOST_MS, now);
    return t ? sooner(wait, t->not_before, now) : wait;
}
