#include "orchestrator/reply.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "orchestrator/log_lines.h"
#include "orchestrator/metric_points.h"
#include "orchestrator/parcels.h"
#include "orchestrator/run_record.h"
#include "orchestrator/status.h"
#include "proto/log.h"

/* What clients ask. A request that is wrong is refused; only what breaks the journal is an error.
 */

enum { EXIT_USAGE = 2, EXIT_BAD_DATA = 65 };

int reply_refused(struct orchestrator *o, const struct peer *to, uint64_t request, int code,
    const char *message, struct err *e)
{
    Refused *m = malloc(sizeof *m);

    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    refused__init(m);
    m->has_code = true;
    m->code = code;
    if (field_text(&m->message, message, e) != OK) {
        message_free(m);
        return e->code;
    }
    return outbox_put(&o->outbox, to, request, ENVELOPE__KIND_REFUSED, m, e);
}

int reply_done(struct orchestrator *o, const struct peer *to, uint64_t request, struct err *e)
{
    Done *m = malloc(sizeof *m);

    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    done__init(m);
    return outbox_put(&o->outbox, to, request, ENVELOPE__KIND_DONE, m, e);
}

static bool is_refusable(int code)
{
    return code == E_MISSING || code == E_INPUT;
}

/* ---- submit ---- */

static int check_inputs(const struct orchestrator *o, const Submit *s, struct err *e)
{
    struct id id;

    for (size_t i = 0; i < s->n_inputs; i++) {
        const TakenInput *in = s->inputs[i];
        if (!in->name || !in->artifact ||
            !id_from_span(&id, in->artifact->id.data, in->artifact->id.len) ||
            !store_has(o->store, &id))
            return err_set(e, E_INPUT, "input '%s' is not in the store", in->name ? in->name : "?");
    }
    return OK;
}

/* A run that is not numbered yet, and its plan, which borrows from it. */
static int draft_run(RunRecord **out, struct plan **plan, const struct orchestrator *o,
    const Submit *s, struct err *e)
{
    RunRecord *r = malloc(sizeof *r);
    int rc;

    if (!r)
        return err_set(e, E_NOMEM, "out of memory");
    run_record__init(r);
    r->has_number = r->has_state = r->has_submitted_ms = true;
    r->state = RUN_STATE__RUN_RUNNING;
    r->submitted_ms = o->now.unix_ms;
    rc = s->pipeline ? message_copy((ProtobufCMessage **)&r->submit, &s->base, e)
                     : err_set(e, E_INPUT, "there is no pipeline in it");
    if (rc == OK)
        rc = plan_make(plan, r->submit, e);
    if (rc == OK)
        rc = check_inputs(o, r->submit, e);
    if (rc != OK) {
        plan_free(*plan);
        message_free(r);
        return rc;
    }
    *out = r;
    return OK;
}

static int number_run(RunRecord *r, struct orchestrator *o, struct err *e)
{
    const Pipeline *p = r->submit->pipeline;
    int rc = runs_name(&r->name, o, p->name, e);

    if (rc == OK)
        rc = journal_new_run(o->journal, &r->number, e);
    if (rc == OK && p->numeric_class && *p->numeric_class && strcmp(p->numeric_class, "auto"))
        rc = field_text(&r->numeric_class, p->numeric_class, e);
    return rc;
}

int request_submit(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    struct plan *plan = NULL;
    RunRecord *r = NULL;
    Submitted *reply;
    int rc = draft_run(&r, &plan, o, m->submit, e);

    if (rc != OK)
        return rc == E_NOMEM ? rc : reply_refused(o, from, m->request, EXIT_BAD_DATA, e->msg, e);
    reply = malloc(sizeof *reply);
    rc = reply ? number_run(r, o, e) : err_set(e, E_NOMEM, "out of memory");
    if (rc == OK) {
        submitted__init(reply);
        rc = field_text(&reply->run, r->name, e);
    }
    if (rc != OK) {
        plan_free(plan);
        message_free(r);
        free(reply);
        return rc;
    }
    outbox_tell(
        &o->outbox, LOG_INFO, &(struct log_about){ .run = r->name }, "run %s: submitted", r->name);
    rc = runs_add(o, r, plan, e);
    if (rc == OK)
        rc = runs_start(o, e);
    if (rc == OK)
        rc = runs_pump(o, e);
    if (rc != OK) {
        message_free(reply);
        return rc;
    }
    return outbox_put(&o->outbox, from, m->request, ENVELOPE__KIND_SUBMITTED, reply, e);
}

/* ---- status ---- */

/* "run/job" of what a session holds; *out malloc'ed, NULL: nothing. */
static int held_by(char **out, const struct session *s, struct err *e)
{
    const struct task *t = s->worker->held_first;

    *out = NULL;
    if (!t)
        return OK;
    const struct job_book *b = runs_job(t->waiters[0].job);
    return field_textf(out, e, "%s/%s", b->run->record->name, b->plan->name);
}

int request_list_workers(
    WorkerStatus ***items, size_t *n, const struct orchestrator *o, struct err *e)
{
    int rc = OK;

    for (const struct session *s = fleet_first(o->fleet); s && rc == OK; s = s->next) {
        char *job = NULL;
        WorkerStatus **p = field_grow(*items, *n, sizeof *p, e);
        if (!p)
            return e->code;
        *items = p;
        rc = held_by(&job, s, e);
        if (rc == OK)
            rc = fleet_status(&p[*n], s, job, o->now.ms, e);
        *n += rc == OK;
        free(job);
    }
    return rc;
}

static int known_run(
    RunStatus **out, const struct orchestrator *o, const struct run_book *r, struct err *e)
{
    size_t n = r->plan->n_jobs;
    JobRecord **jobs = malloc((n + 1) * sizeof *jobs);
    int rc;

    if (!jobs)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        jobs[i] = r->jobs[i].record;
    rc = status_of(out, r->record, r->plan, jobs, o->now.unix_ms, e);
    free(jobs);
    return rc;
}

static int one_run(StatusReply **out, struct orchestrator *o, const char *run, struct err *e)
{
    StatusReply *reply = malloc(sizeof *reply);
    const struct run_book *known = run ? runs_find(o, run) : NULL;
    struct state_txn *t = NULL;
    int rc = OK;

    if (!reply)
        return err_set(e, E_NOMEM, "out of memory");
    status_reply__init(reply);
    reply->runs = malloc(sizeof *reply->runs);
    if (!reply->runs)
        rc = err_set(e, E_NOMEM, "out of memory");
    else if (known) /* need not be looked for */
        rc = known_run(&reply->runs[0], o, known, e);
    else if ((rc = journal_txn(o->journal, &t, e)) == OK)
        rc = status_run(&reply->runs[0], t, run, true, o->now.unix_ms, e);
    reply->n_runs = rc == OK;
    if (rc == OK)
        rc = request_list_workers(&reply->runs[0]->workers, &reply->runs[0]->n_workers, o, e);
    if (rc != OK) {
        message_free(reply);
        return rc;
    }
    *out = reply;
    return OK;
}

static int all_runs(StatusReply **out, struct orchestrator *o, struct err *e)
{
    struct state_txn *t = NULL;
    int rc = journal_txn(o->journal, &t, e);

    return rc == OK ? status_runs(out, t, true, o->now.unix_ms, e) : rc;
}

int reply_status(
    struct orchestrator *o, const struct peer *to, uint64_t request, const char *run, struct err *e)
{
    StatusReply *reply = NULL;
    int rc = run && !strcmp(run, "all") ? all_runs(&reply, o, e) : one_run(&reply, o, run, e);

    if (rc != OK)
        return is_refusable(rc) ? reply_refused(o, to, request, EXIT_USAGE, e->msg, e) : rc;
    return outbox_put(&o->outbox, to, request, ENVELOPE__KIND_STATUS_REPLY, reply, e);
}

int request_status(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    const StatusRequest *q = m->status_request;
    const struct run_book *r = q->wait > 0 && q->run ? runs_find(o, q->run) : NULL;

    if (r && watch_run(o, from, m->request, q->run, o->now.ms + (int64_t)(1000 * q->wait)))
        return OK;
    return reply_status(o, from, m->request, q->run, e);
}

int request_workers(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    WorkersReply *reply = malloc(sizeof *reply);
    int rc;

    if (!reply)
        return err_set(e, E_NOMEM, "out of memory");
    workers_reply__init(reply);
    rc = request_list_workers(&reply->workers, &reply->n_workers, o, e);
    if (rc != OK) {
        message_free(reply);
        return rc;
    }
    return outbox_put(&o->outbox, from, m->request, ENVELOPE__KIND_WORKERS_REPLY, reply, e);
}

/* ---- logs ---- */

int request_logs(struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    LogsReply *reply = NULL;
    struct state_txn *t = NULL;
    int rc = journal_txn(o->journal, &t, e);

    if (rc == OK)
        rc = log_lines_read(&reply, t, m->logs_request, e);
    if (rc != OK)
        return is_refusable(rc) ? reply_refused(o, from, m->request, EXIT_USAGE, e->msg, e) : rc;
    return outbox_put(&o->outbox, from, m->request, ENVELOPE__KIND_LOGS_REPLY, reply, e);
}

/* ---- metrics ---- */

int request_metrics(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    MetricsReply *reply = NULL;
    struct state_txn *t = NULL;
    int rc = journal_txn(o->journal, &t, e);

    if (rc == OK)
        rc = metric_points_read(&reply, t, m->metrics_request, e);
    if (rc != OK)
        return is_refusable(rc) ? reply_refused(o, from, m->request, EXIT_USAGE, e->msg, e) : rc;
    return outbox_put(&o->outbox, from, m->request, ENVELOPE__KIND_METRICS_REPLY, reply, e);
}

/* ---- control ---- */

static struct run_book *named_run(const struct orchestrator *o, const char *name)
{
    struct run_book *r = o->books;

    if (name && *name)
        return runs_find(o, name);
    while (r && r->next)
        r = r->next;
    return r;
}

static const enum event_kind control_events[] = {
    [CONTROL__VERB__CANCEL] = EV_CANCEL,
    [CONTROL__VERB__PAUSE] = EV_PAUSE,
    [CONTROL__VERB__RESUME] = EV_RESUME,
    [CONTROL__VERB__DRAIN] = EV_DRAIN,
};

/* What the request is about; NULL with *out filled in, else why there is nothing to do. */
static const char *control_event(struct event *out, const struct orchestrator *o, const Control *c)
{
    struct run_book *r = named_run(o, c->run);
    struct job_book *b = r && c->job && *c->job ? run_job(r, c->job) : NULL;

    if (!r)
        return "there is no such unfinished run";
    if (c->job && *c->job && !b)
        return "the run has no such job";
    if (b && job_is_over(b->job->state))
        return "that job is over already";
    out->run = r->run;
    out->job = b ? b->job : NULL;
    return NULL;
}

static int drain(struct orchestrator *o, const char *name, const char **why, struct err *e)
{
    struct session *s = fleet_first(o->fleet);
    struct event ev = { .kind = EV_DRAIN };
    Drain *m;

    while (s && (!name || strcmp(s->name, name)))
        s = s->next;
    if (!s) {
        *why = "there is no such worker";
        return OK;
    }
    ev.worker = s->worker;
    outbox_tell(&o->outbox, LOG_INFO, &(struct log_about){ .worker = s->name },
        "worker %s on %s: draining", s->name, s->host);
    m = malloc(sizeof *m);
    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    drain__init(m);
    int rc = outbox_put(&o->outbox, &s->peer, 0, ENVELOPE__KIND_DRAIN, m, e);
    return rc == OK ? runs_event(o, &ev, e) : rc;
}

int request_control(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    const Control *c = m->control;
    struct event ev = { .kind = EV_TICK };
    const char *why = NULL;
    int rc = OK;

    if (c->verb == CONTROL__VERB__DRAIN) {
        rc = drain(o, c->worker, &why, e);
    } else {
        why = control_event(&ev, o, c);
        ev.kind = control_events[c->verb];
        rc = why ? OK : runs_event(o, &ev, e);
    }
    if (rc == OK && !why && ev.kind != EV_TICK)
        rc = progress_sweep(o, e); /* what waits says why at once */
    if (rc != OK)
        return rc;
    return why ? reply_refused(o, from, m->request, EXIT_USAGE, why, e)
               : reply_done(o, from, m->request, e);
}

int request_labels(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    const Labels *l = m->labels;
    struct run_book *r = named_run(o, l->run);
    struct job_book *b = r && l->job ? run_job(r, l->job) : NULL;
    int rc;

    if (!b || b->job->state != JOB_WAITING_FOR_PEOPLE)
        return reply_refused(
            o, from, m->request, EXIT_USAGE, "there is no such job that waits for people", e);
    rc = people_take(o, b, l, e);
    return rc == OK ? reply_done(o, from, m->request, e) : rc;
}

/* The artifacts are in the store: whoever asks has put them there. */
int request_parcel(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    int rc = parcel_remember(o->journal, o->store, m->parcel, e);

    return rc == OK ? reply_done(o, from, m->request, e) : rc;
}

int request_shutdown(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    o->stop = true;
    return reply_done(o, from, m->request, e);
}
