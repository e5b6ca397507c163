#include "orchestrator/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/audits.h"
#include "orchestrator/field.h"
#include "proto/log.h"

/* The pump: an event goes in, each action that comes out is done, and what follows from it goes
 * in after it. Between this and the commit nothing is sent. */

/* ---- letters ---- */

#define ASSIGN_BYTES ((size_t)256 << 10) /* of one letter, about: a frame holds four times that */

AttemptRef *attempt_ref(const struct ref *ref, struct err *e)
{
    AttemptRef *a = malloc(sizeof *a);

    if (!a) {
        err_set(e, E_NOMEM, "out of memory");
        return NULL;
    }
    attempt_ref__init(a);
    a->has_task = a->has_attempt = a->has_epoch = true;
    a->attempt = ref->attempt;
    a->epoch = ref->epoch;
    if (field_bytes(&a->task, &ref->task, e) != OK) {
        message_free(a);
        return NULL;
    }
    return a;
}

static int assignment(
    Assignment **out, const struct job_book *b, const struct action *a, struct err *e)
{
    const Stage *stage = b->plan->stage;
    Assignment *m = malloc(sizeof *m);
    int rc;

    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    assignment__init(m);
    m->attempt = attempt_ref(&a->ref, e);
    rc = m->attempt ? OK : e->code;
    if (rc == OK)
        rc = message_copy((ProtobufCMessage **)&m->spec, &a->task->spec->base, e);
    if (rc == OK)
        rc = field_textf(&m->label, e, "%s/%s", b->run->record->name, b->plan->name);
    m->has_timeout = m->has_memory = m->has_threads = true;
    m->timeout = stage->timeout;
    m->memory = stage->resources ? stage->resources->memory : 0;
    m->threads = stage->resources ? stage->resources->threads : 0;
    if (rc != OK) {
        message_free(m);
        return rc;
    }
    *out = m;
    return OK;
}

/* Into the letter that this turn has for the session already, unless that is full. */
static int put_assignment(
    struct orchestrator *o, struct session *s, Assignment *takes, struct err *e)
{
    size_t bytes = assignment__get_packed_size(takes);
    Envelope *open =
        s->assign_bytes + bytes <= ASSIGN_BYTES ? outbox_open(&o->outbox, &s->assign) : NULL;
    Assign *m = open ? open->assign : malloc(sizeof *m);
    Assignment **p;

    if (m && !open)
        assign__init(m);
    p = m ? field_grow(m->assignments, m->n_assignments, sizeof *p, e) : NULL;
    if (!p) {
        message_free(takes);
        message_free(open ? NULL : m);
        return err_set(e, E_NOMEM, "out of memory");
    }
    m->assignments = p;
    p[m->n_assignments++] = takes;
    s->assign_bytes = open ? s->assign_bytes + bytes : bytes;
    if (open)
        return OK;
    int rc = outbox_put(&o->outbox, &s->peer, 0, ENVELOPE__KIND_ASSIGN, m, e);
    s->assign = outbox_last(&o->outbox);
    return rc;
}

static int on_assign(struct orchestrator *o, const struct action *a, struct err *e)
{
    struct session *s = fleet_by_worker(a->worker);
    Assignment *m = NULL;
    int rc = assignment(&m, runs_job(a->task->waiters[0].job), a, e);

    stats_dispatched(&o->stats, o->now.ms - a->task->ready_ms);
    if (rc == OK)
        rc = put_assignment(o, s, m, e);
    for (size_t i = 0; i < a->task->n_waiters && !a->task->waiters[0].audit && rc == OK; i++) {
        struct job_book *b = runs_job(a->task->waiters[i].job);
        b->touched = true;
        if (!a->task->brief)
            job_leased(o, b);
        if (!b->record->worker || strcmp(b->record->worker, s->name))
            rc = field_text(&b->record->worker, s->name, e);
    }
    return rc;
}

static int on_revoke(struct orchestrator *o, const struct action *a, struct err *e)
{
    const struct session *s = fleet_by_worker(a->worker);
    Revoke *m;

    if (!s)
        return OK; /* its session has ended in this very step */
    m = malloc(sizeof *m);
    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    revoke__init(m);
    m->attempts = malloc(sizeof *m->attempts);
    if (m->attempts)
        m->attempts[0] = attempt_ref(&a->ref, e);
    m->n_attempts = m->attempts && m->attempts[0];
    if (m->n_attempts == 0) {
        message_free(m);
        return err_set(e, E_NOMEM, "out of memory");
    }
    return outbox_put(&o->outbox, &s->peer, 0, ENVELOPE__KIND_REVOKE, m, e);
}

static int on_lost(struct orchestrator *o, const struct action *a, struct err *e)
{
    struct session *s = fleet_by_worker(a->worker);

    (void)e;
    outbox_tell(&o->outbox, LOG_WARN, &(struct log_about){ .worker = s->name },
        "worker %s on %s: silent for %d s, lost", s->name, s->host, LOST_MS / 1000);
    fleet_leave(o->fleet, s);
    return OK;
}

/* ---- jobs and runs ---- */

static int on_unfold(struct orchestrator *o, const struct action *a, struct err *e)
{
    return a->job->unfolding ? round_unfold(o, runs_job(a->job), e) : OK;
}

static int why_over(struct job_book *b, struct err *e)
{
    const struct job *j = b->job;

    if (j->state == JOB_CANCELLED && j->blame >= 0) {
        const struct job_book *need = &b->run->jobs[j->blame];
        return field_textf(&b->record->why, e, "needs %s, which %s", need->plan->name,
            need->job->state == JOB_FAILED ? "failed" : "was cancelled");
    }
    if (j->state == JOB_CANCELLED)
        return field_text(&b->record->why, "on request", e);
    return j->state == JOB_DONE ? field_text(&b->record->why, NULL, e) : OK;
}

static int on_job(struct orchestrator *o, const struct action *a, struct err *e)
{
    struct job_book *b = runs_job(a->job);
    JobRecord *r = b->record;
    int rc = OK;

    if (r->state != (uint32_t)a->job->state && !job_is_over(a->job->state))
        rc = field_text(&r->why, NULL, e);
    r->state = a->job->state;
    r->attempts = a->job->attempts;
    r->has_paused = a->job->paused;
    r->paused = a->job->paused;
    if (a->job->state != JOB_BLOCKED && a->job->state != JOB_CANCELLED && !r->has_started_ms) {
        r->has_started_ms = true;
        r->started_ms = o->now.unix_ms;
    }
    if (job_is_over(a->job->state)) {
        r->has_finished_ms = true;
        r->finished_ms = o->now.unix_ms;
        round_clear(&b->round);
        b->awaits_audits = false;
        rc = audits_drop(o, b, e);
        if (rc == OK)
            rc = why_over(b, e);
        outbox_tell(&o->outbox, a->job->state == JOB_FAILED ? LOG_WARN : LOG_INFO,
            &(struct log_about){ .run = b->run->record->name, .job = b->plan->name },
            "job %s/%s: %s%s%s%s", b->run->record->name, b->plan->name,
            job_state_name(a->job->state), r->cached ? ", cached" : "", r->why ? ": " : "",
            r->why ? r->why : "");
    }
    job_changed(o, b);
    return rc;
}

static int on_run_over(struct orchestrator *o, const struct action *a, struct err *e)
{
    (void)e;
    a->run->book->over = true;
    a->run->book->next_over = o->over;
    o->over = a->run->book;
    return OK;
}

/* ---- attempts ---- */

static int on_answered(struct orchestrator *o, const struct action *a, struct err *e)
{
    const TaskAnswer *answer = o->result->answer;
    bool audit = a->task->waiters[0].audit;
    o->stats.answers += !audit;
    int rc = audit ? OK : journal_put_answer(o->journal, &a->task->id, answer, e);

    for (size_t i = 0; i < a->task->n_waiters && rc == OK; i++) {
        struct job_book *b = runs_job(a->task->waiters[i].job);
        if (audit)
            rc = audit_answered(o, b, a, answer, e);
        else
            rc = round_answer(o, b, &a->task->waiters[i], a->task, answer, e);
        if (!audit && rc == OK)
            rc = audit_begin(o, b, a->task, answer, &a->ref, fleet_by_worker(a->worker), e);
    }
    return rc;
}

/* A second answer to a finished task must be the first again; else purity is broken somewhere. */
static int on_late(struct orchestrator *o, const struct action *a, struct err *e)
{
    TaskAnswer *first = NULL;
    char hex[ID_HEX];
    int rc = journal_answer(o->journal, &a->ref.task, &first, e);

    if (rc != OK || !first || answers_agree(first, o->result->answer)) {
        message_free(first);
        return rc;
    }
    message_free(first);
    id_hex(hex, &a->ref.task);
    outbox_tell(&o->outbox, LOG_WARN,
        &(struct log_about){ .task = hex, .worker = o->from->name, .attempt = a->ref.attempt },
        "audit: worker %s answers task %.12s differently than before", o->from->name, hex);
    for (struct run_book *r = o->books; r && rc == OK; r = r->next)
        for (size_t i = 0; i < r->plan->n_jobs && rc == OK; i++)
            for (size_t k = 0; k < r->jobs[i].round.n && rc == OK; k++)
                if (id_equal(&r->jobs[i].round.ids[k], &a->ref.task))
                    rc = progress_logf(o, &r->jobs[i], e,
                        "warning: worker %s answers task %.12s differently than before; the first "
                        "answer stands",
                        o->from->name, hex);
    return rc;
}

#define FAILURE_TEXT 2400 /* bytes: a whole message of struct err, which may name ten records */

/* "attempt 2 on w1 failed: crash: signal 11" */
static void tell_attempt(
    char out[FAILURE_TEXT], const struct orchestrator *o, const struct action *a)
{
    const struct session *s = fleet_by_worker(a->worker);
    const Failure *f =
        o->result && o->result->kind_case == RESULT__KIND_FAILURE ? o->result->failure : NULL;
    const char *message = f && f->message && a->cause == f->cause ? f->message : "";

    snprintf(out, FAILURE_TEXT, "attempt %u on %s failed: %s%s%s", a->ref.attempt,
        s ? s->name : "a worker", retry_rule(a->cause)->words, *message ? ": " : "", message);
}

static int last_words(
    struct orchestrator *o, struct job_book *b, const struct action *a, struct err *e)
{
    const Failure *f =
        o->result && o->result->kind_case == RESULT__KIND_FAILURE ? o->result->failure : NULL;
    int rc = OK;

    if (!f || (id_equal(&b->logged.task, &a->ref.task) && b->logged.attempt == a->ref.attempt &&
                  b->logged.epoch == a->ref.epoch))
        return OK; /* it has sent its lines as it went */
    for (size_t i = 0; i < f->n_log && rc == OK; i++)
        rc = progress_log(o, b, o->from ? o->from->name : "", a->ref.attempt, f->log[i], e);
    return rc;
}

static void tell_failed(
    struct orchestrator *o, const struct job_book *b, const struct action *a, const char *text)
{
    const struct session *s = fleet_by_worker(a->worker);
    char task[ID_HEX];
    const struct log_about about = { b->run->record->name, b->plan->name, task, s ? s->name : NULL,
        a->ref.attempt };

    id_hex(task, &a->ref.task);
    outbox_tell(&o->outbox, LOG_WARN, &about, "job %s/%s: %s", about.run, about.job, text);
}

static int on_retry(struct orchestrator *o, const struct action *a, struct err *e)
{
    char text[FAILURE_TEXT];
    int rc = OK;

    o->stats.failed[a->cause]++;
    tell_attempt(text, o, a);
    for (size_t i = 0; i < a->task->n_waiters && rc == OK; i++) {
        struct job_book *b = runs_job(a->task->waiters[i].job);
        rc = last_words(o, b, a, e);
        if (rc == OK)
            rc = a->wait_ms > 0 ? progress_logf(o, b, e, "%s; the next in %lld s", text,
                                      (long long)(a->wait_ms / 1000))
                                : progress_logf(o, b, e, "%s; to be given again", text);
        if (rc == OK && !a->task->waiters[0].audit)
            rc = field_text(&b->record->worker, NULL, e);
        if (i == 0)
            tell_failed(o, b, a, text);
    }
    return rc;
}

static int on_spent(struct orchestrator *o, const struct action *a, struct err *e)
{
    struct job_book *b = runs_job(a->job);
    char text[FAILURE_TEXT];
    int rc = last_words(o, b, a, e);

    o->stats.failed[a->cause]++;
    tell_attempt(text, o, a);
    if (rc == OK)
        rc = progress_logf(o, b, e, "%s; it is not tried again", text);
    tell_failed(o, b, a, text);
    return rc == OK ? field_text(&b->record->why, text, e) : rc;
}

static int on_missed(struct orchestrator *o, const struct action *a, struct err *e)
{
    char text[FAILURE_TEXT];

    o->stats.failed[a->cause]++;
    tell_attempt(text, o, a);
    return audit_missed(o, runs_job(a->job), a, text, e);
}

/* ---- the pump ---- */

static int (*const on_action[])(struct orchestrator *, const struct action *, struct err *) = {
    [ACT_UNFOLD] = on_unfold,
    [ACT_JOB] = on_job,
    [ACT_RUN_OVER] = on_run_over,
    [ACT_ASSIGN] = on_assign,
    [ACT_REVOKE] = on_revoke,
    [ACT_ANSWERED] = on_answered,
    [ACT_LATE] = on_late,
    [ACT_RETRY] = on_retry,
    [ACT_SPENT] = on_spent,
    [ACT_MISSED] = on_missed,
    [ACT_LOST] = on_lost,
};

int runs_follow(struct orchestrator *o, const struct event *ev, struct err *e)
{
    if (o->n_queue == o->cap_queue) {
        size_t cap = o->cap_queue ? 2 * o->cap_queue : 16;
        struct event *p = realloc(o->queue, cap * sizeof *p);
        if (!p)
            return err_set(e, E_NOMEM, "out of memory");
        o->queue = p;
        o->cap_queue = cap;
    }
    o->queue[o->n_queue++] = *ev;
    return OK;
}

/* Doing an action may add tasks, which moves the scheduler's own array. */
static int copy_actions(struct orchestrator *o, const struct action *a, size_t n, struct err *e)
{
    if (n > o->cap_actions) {
        struct action *p = realloc(o->actions, n * sizeof *p);
        if (!p)
            return err_set(e, E_NOMEM, "out of memory");
        o->actions = p;
        o->cap_actions = n;
    }
    if (n > 0)
        memcpy(o->actions, a, n * sizeof *a);
    return OK;
}

int runs_pump(struct orchestrator *o, struct err *e)
{
    const struct action *acts = NULL;
    int rc = OK;

    for (size_t head = 0; head < o->n_queue && rc == OK; head++) {
        struct event next = o->queue[head];
        size_t n = sched_step(o->sched, &next, o->now.ms, &acts);
        rc = copy_actions(o, acts, n, e);
        for (size_t i = 0; i < n && rc == OK; i++)
            rc = on_action[o->actions[i].kind](o, &o->actions[i], e);
    }
    o->n_queue = 0;
    return rc;
}

int runs_event(struct orchestrator *o, const struct event *ev, struct err *e)
{
    int rc = runs_follow(o, ev, e);

    return rc == OK ? runs_pump(o, e) : rc;
}
