#include "orchestrator/cli/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/client.h"
#include "orchestrator/daemon.h"
#include "orchestrator/log_lines.h"
#include "orchestrator/metric_points.h"
#include "orchestrator/status.h"
#include "proto/clock.h"
#include "proto/diag.h"

#define ANSWER_MS 10000
#define WORKERS_MS 1000 /* who works is worth a short wait, no more */
#define NAMES_MAX 1000
#define AWAY_MS 2000

struct view {
    const char *home;
    struct state *state;   /* NULL: `client` is asked */
    struct client *client; /* NULL: nobody has been asked yet */
    int64_t away;          /* since when no orchestrator is at work; 0: one is */
};

int view_open(struct view **out, const char *home, const char *connect, struct err *e)
{
    struct view *v = calloc(1, sizeof *v);
    int rc = v ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        v->home = home;
        rc = connect ? client_open(&v->client, connect, e) : state_open(&v->state, home, false, e);
        if (rc == E_MISSING)
            err_set(e, E_MISSING,
                "nothing has run in %s yet\n  = help: `jielong run FILE` runs a "
                "pipeline there; --home names another folder",
                home);
    }
    if (rc != OK) {
        view_close(v);
        return rc;
    }
    *out = v;
    return OK;
}

void view_close(struct view *v)
{
    if (!v)
        return;
    state_close(v->state);
    client_close(v->client);
    free(v);
}

/* *reply is freed by message_free; NULL unless it is of that kind. */
static int ask(
    Envelope **reply, struct view *v, Envelope *m, Envelope__KindCase wanted, struct err *e)
{
    int rc = client_ask(v->client, m, reply, ANSWER_MS, e);

    if (rc != OK || (*reply)->kind_case == wanted)
        return rc;
    rc = err_set(
        e, E_PROTOCOL, "the orchestrator answers with a '%s'", message_kind(&(*reply)->base));
    message_free(*reply);
    *reply = NULL;
    return rc;
}

static int ask_status(StatusReply **out, struct view *v, const char *run, struct err *e)
{
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    StatusRequest q = STATUS_REQUEST__INIT;

    q.run = (char *)(uintptr_t)run;
    m.kind_case = ENVELOPE__KIND_STATUS_REQUEST;
    m.status_request = &q;
    if (ask(&reply, v, &m, ENVELOPE__KIND_STATUS_REPLY, e) != OK)
        return e->code;
    *out = reply->status_reply;
    reply->kind_case = ENVELOPE__KIND__NOT_SET; /* moved */
    message_free(reply);
    return OK;
}

int view_runs(StatusReply **out, struct view *v, struct err *e)
{
    struct state_txn *t = NULL;
    int rc;

    if (!v->state)
        return ask_status(out, v, "all", e);
    rc = state_begin(&t, v->state, false, e);
    if (rc == OK)
        rc = status_runs(out, t, state_orchestrator_alive(v->home), clock_unix_ms(), e);
    state_abort(t);
    return rc;
}

/* Adds the nearest name to the error, which has said what there is. */
static void suggest_run(struct view *v, const char *run, struct err *e)
{
    const char *names[NAMES_MAX], *near;
    struct err none = ERR_INIT;
    StatusReply *all = NULL;
    size_t n = 0;

    if (view_runs(&all, v, &none) != OK)
        return;
    while (n < all->n_runs && n < NAMES_MAX) {
        names[n] = all->runs[n]->run;
        n++;
    }
    near = diag_nearest(run, names, n);
    if (near) {
        size_t n_msg = strlen(e->msg);
        snprintf(e->msg + n_msg, sizeof e->msg - n_msg, "\n  = help: did you mean '%s'?", near);
    }
    message_free(all);
}

static int read_run(RunStatus **out, struct view *v, const char *run, struct err *e)
{
    struct state_txn *t = NULL;
    int rc = state_begin(&t, v->state, false, e);

    if (rc == OK)
        rc = status_run(out, t, run, state_orchestrator_alive(v->home), clock_unix_ms(), e);
    state_abort(t);
    return rc;
}

static int ask_run(RunStatus **out, struct view *v, const char *run, struct err *e)
{
    StatusReply *reply = NULL;
    int rc = ask_status(&reply, v, run, e);

    if (rc == OK && reply->n_runs != 1)
        rc = err_set(e, E_PROTOCOL, "the orchestrator answers with %zu runs", reply->n_runs);
    if (rc == OK) {
        *out = reply->runs[0];
        reply->n_runs = 0; /* moved */
    }
    message_free(reply);
    return rc;
}

int view_run(RunStatus **out, struct view *v, const char *run, struct err *e)
{
    const char *name = run && strcmp(run, "last") != 0 ? run : "";
    int rc = v->state ? read_run(out, v, name, e) : ask_run(out, v, name, e);

    if (rc == E_MISSING && *name)
        suggest_run(v, name, e);
    return rc;
}

void view_workers(RunStatus *s, struct view *v)
{
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    WorkersRequest q = WORKERS_REQUEST__INIT;
    struct err e = ERR_INIT;
    char url[HOME_URL];

    if (!v->state || !state_orchestrator_alive(v->home))
        return;
    if (!v->client && (home_url(url, v->home, &e) != OK || client_open(&v->client, url, &e) != OK))
        return;
    m.kind_case = ENVELOPE__KIND_WORKERS_REQUEST;
    m.workers_request = &q;
    if (client_ask(v->client, &m, &reply, WORKERS_MS, &e) == OK &&
        reply->kind_case == ENVELOPE__KIND_WORKERS_REPLY && s->n_workers == 0) {
        free(s->workers);
        s->workers = reply->workers_reply->workers;
        s->n_workers = reply->workers_reply->n_workers;
        reply->workers_reply->workers = NULL; /* moved */
        reply->workers_reply->n_workers = 0;
    }
    message_free(reply);
}

bool view_deserted(struct view *v, int64_t now_ms)
{
    if (!v->state || state_orchestrator_alive(v->home))
        v->away = 0;
    else if (v->away == 0)
        v->away = now_ms;
    return v->away != 0 && now_ms - v->away >= AWAY_MS;
}

static int ask_logs(LogsReply **out, struct view *v, const LogsRequest *q, struct err *e)
{
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    LogsRequest copy = *q;

    m.kind_case = ENVELOPE__KIND_LOGS_REQUEST;
    m.logs_request = &copy;
    if (ask(&reply, v, &m, ENVELOPE__KIND_LOGS_REPLY, e) != OK)
        return e->code;
    *out = reply->logs_reply;
    reply->kind_case = ENVELOPE__KIND__NOT_SET; /* moved */
    message_free(reply);
    return OK;
}

int view_logs(LogsReply **out, struct view *v, const LogsRequest *q, struct err *e)
{
    struct state_txn *t = NULL;
    int rc;

    if (!v->state)
        return ask_logs(out, v, q, e);
    rc = state_begin(&t, v->state, false, e);
    if (rc == OK)
        rc = log_lines_read(out, t, q, e);
    state_abort(t);
    return rc;
}

static int ask_metrics(MetricsReply **out, struct view *v, const MetricsRequest *q, struct err *e)
{
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    MetricsRequest copy = *q;

    m.kind_case = ENVELOPE__KIND_METRICS_REQUEST;
    m.metrics_request = &copy;
    if (ask(&reply, v, &m, ENVELOPE__KIND_METRICS_REPLY, e) != OK)
        return e->code;
    *out = reply->metrics_reply;
    reply->kind_case = ENVELOPE__KIND__NOT_SET; /* moved */
    message_free(reply);
    return OK;
}

int view_metrics(MetricsReply **out, struct view *v, const MetricsRequest *q, struct err *e)
{
    struct state_txn *t = NULL;
    int rc;

    if (!v->state)
        return ask_metrics(out, v, q, e);
    rc = state_begin(&t, v->state, false, e);
    if (rc == OK)
        rc = metric_points_read(out, t, q, e);
    state_abort(t);
    return rc;
}

/* ---- what a person names ---- */

static const JobStatus *find_job(const RunStatus *s, const char *job)
{
    for (size_t i = 0; i < s->n_jobs; i++)
        if (strcmp(s->jobs[i]->name, job) == 0)
            return s->jobs[i];
    return NULL;
}

static int no_such_job(const RunStatus *s, const char *job, struct err *e)
{
    const char *names[NAMES_MAX], *near;
    size_t n = 0;

    while (n < s->n_jobs && n < NAMES_MAX) {
        names[n] = s->jobs[n]->name;
        n++;
    }
    near = diag_nearest(job, names, n);
    if (near)
        return err_set(
            e, E_MISSING, "%s has no job '%s'\n  = help: did you mean '%s'?", s->run, job, near);
    return err_set(e, E_MISSING, "%s has no job '%s'\n  = help: `jielong status %s` shows its jobs",
        s->run, job, s->run);
}

int view_target(struct target *out, struct view *v, const char *what, struct err *e)
{
    const char *slash = strchr(what, '/');
    char *run = strndup(what, slash ? (size_t)(slash - what) : strlen(what));
    struct err other = ERR_INIT;
    struct target t = { 0 };
    int rc = run ? view_run(&t.run, v, run, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == E_MISSING && !slash && view_run(&t.run, v, "", &other) == OK) {
        t.job = find_job(t.run, what);
        rc = t.job ? OK : rc;
    } else if (rc == OK && slash) {
        t.job = find_job(t.run, slash + 1);
        rc = t.job ? OK : no_such_job(t.run, slash + 1, e);
    }
    free(run);
    if (rc != OK) {
        message_free(t.run);
        return rc;
    }
    *out = t;
    return OK;
}
