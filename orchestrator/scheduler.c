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
    *out = s;
    return OK;
}

static void worker_free(struct worker *w)
{
    free(w->tags.items);
    free(w);
}

static void run_free(struct run *r)
{
    for (size_t i = 0; i < r->n_jobs; i++) {
        free(r->jobs[i].after);
        free(r->jobs[i].labels.items);
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
        worker_free(w);
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
        task_free(t);
    }
    while (s->workers) {
        struct worker *w = s->workers;
        s->workers = w->next;
        worker_free(w);
    }
    while (s->runs) {
        struct run *r = s->runs;
        s->runs = r->next;
        run_free(r);
    }
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

static int tags_copy(struct tags *out, const struct tags *from, struct err *e)
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

static int job_init(
    struct job *j, struct run *r, uint32_t index, const struct job_spec *spec, struct err *e)
{
    j->run = r;
    j->index = index;
    j->priority = spec->priority;
    j->retries = spec->retries;
    j->memory = spec->memory;
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
        assert(r->jobs[i].open == 0);
    *at = r->next;
    s->n_runs--;
    s->n_jobs -= r->n_jobs;
    for (size_t i = 0; i < s->n_actions; i++) /* the last step's actions may still name its jobs */
        if (s->actions[i].job && s->actions[i].job->run == r)
            s->actions[i].job = NULL;
    run_free(r);
}

int sched_add_worker(struct worker **out, struct sched *s, const struct worker_spec *spec,
    int64_t now, struct err *e)
{
    int rc = sched_reserve(s, 0, 0, 0, 1, e);
    struct worker *w = rc == OK ? calloc(1, sizeof *w) : NULL;
    struct worker **at = &s->workers;

    if (!w)
        return err_set(e, E_NOMEM, "out of memory");
    rc = tags_copy(&w->tags, &spec->tags, e);
    if (rc != OK) {
        free(w);
        return rc;
    }
    w->serial = ++s->last_serial;
    w->memory = spec->memory;
    w->credit = spec->credit;
    w->draining = spec->draining;
    w->heard_ms = now;
    w->inventory = 1;
    while (*at)
        at = &(*at)->next;
    *at = w;
    s->n_workers++;
    *out = w;
    return OK;
}

struct task *sched_tasks(const struct sched *s)
{
    return s->tasks;
}

struct worker *sched_workers(const struct sched *s)
{
    return s->workers;
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
    for (const struct task *t = s->tasks; t && j->state == JOB_READY; t = t->next)
        for (size_t i = 0; i < t->n_waiters && t->state == TASK_LEASED; i++)
            if (t->waiters[i].job == j && j->state == JOB_READY)
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

/* ---- events about sessions ---- */

static void hear(struct sched *s, struct worker *w, int64_t now)
{
    w->heard_ms = now;
    if (w->state == SESSION_SUSPECT) {
        w->state = SESSION_LIVE;
        s->due = true;
    }
}

static void session_over(struct sched *s, struct worker *w, Cause cause, int64_t now)
{
    struct worker **at = &s->workers;

    w->state = SESSION_LOST;
    while (w->held > 0) { /* from the first each time: a failure may close other tasks too */
        struct task *t = s->tasks;
        while (t->state != TASK_LEASED || t->holder != w)
            t = t->next;
        task_failed(s, t, cause, now);
    }
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    s->n_workers--;
    w->next = s->dead_workers;
    s->dead_workers = w;
}

static void on_tick(struct sched *s, const struct event *ev, int64_t now)
{
    int64_t slept = now - s->ticked_ms - 2 * HEARTBEAT_MS;

    (void)ev;
    for (struct worker *w = s->workers, *next; w; w = next) {
        next = w->next;
        /* Who did not listen cannot say that the others were silent. */
        if (s->ticked_ms > 0 && slept > 0 && w->heard_ms < now)
            w->heard_ms = w->heard_ms + slept < now ? w->heard_ms + slept : now;
        if (now - w->heard_ms >= LOST_MS) {
            session_over(s, w, CAUSE__LOST, now);
            sched_act(s, ACT_LOST)->worker = w;
        } else if (now - w->heard_ms >= SUSPECT_MS && w->state == SESSION_LIVE) {
            w->state = SESSION_SUSPECT;
        }
    }
    for (struct task *t = s->tasks; t; t = t->next)
        if (t->state == TASK_BACKING_OFF && t->not_before <= now)
            task_wake(s, t);
    s->due = s->due || (s->ticked_ms < s->reunion_ms && s->reunion_ms <= now);
    s->ticked_ms = now;
}

static void on_heard(struct sched *s, const struct event *ev, int64_t now)
{
    hear(s, ev->worker, now);
}

static void on_running(struct sched *s, const struct event *ev, int64_t now)
{
    struct worker *w = ev->worker;
    struct task *t = sched_task(s, &ev->ref.task);

    hear(s, w, now);
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

static void on_inventory(struct sched *s, const struct event *ev, int64_t now)
{
    struct worker *w = ev->worker;

    hear(s, w, now);
    for (struct task *t = s->tasks, *next; t; t = next) {
        next = t->next;
        if (t->state != TASK_LEASED || t->holder != w || t->reported == w->inventory ||
            now - t->reported_ms < FORGOTTEN_MS)
            continue;
        struct action *a = sched_act(s, ACT_REVOKE);
        a->worker = w;
        a->ref = t->lease;
        task_failed(s, t, CAUSE__STOPPED, now); /* never the last attempt: closes no task */
    }
    w->inventory++;
    if (w->state == SESSION_NEW)
        w->state = SESSION_LIVE;
    s->due = true;
}

static void on_answer(struct sched *s, const struct event *ev, int64_t now)
{
    struct task *t = sched_task(s, &ev->ref.task);

    hear(s, ev->worker, now);
    if (t)
        task_answered(s, t, ev->worker, &ev->ref);
    else
        sched_act(s, ACT_LATE)->ref = ev->ref;
}

static void on_failure(struct sched *s, const struct event *ev, int64_t now)
{
    struct task *t = sched_task(s, &ev->ref.task);

    hear(s, ev->worker, now);
    if (t && t->state == TASK_LEASED && t->holder == ev->worker && ref_equal(&t->lease, &ev->ref))
        task_failed(s, t, ev->cause, now);
}

static void on_gone(struct sched *s, const struct event *ev, int64_t now)
{
    session_over(s, ev->worker, ev->cause, now);
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
    if (s->due && now >= s->reunion_ms)
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
    int64_t wait = s->reunion_ms > now ? s->reunion_ms - now : -1;

    for (const struct worker *w = s->workers; w; w = w->next)
        wait = sooner(wait, w->heard_ms + (w->state == SESSION_LIVE ? SUSPECT_MS : LOST_MS), now);
    for (const struct task *t = s->tasks; t; t = t->next)
        if (t->state == TASK_BACKING_OFF)
            wait = sooner(wait, t->not_before, now);
    return wait;
}
