#include "tests/bench/orch.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "pipelines/pipeline.h"

/* The client: sends runs, and hears when they are over. */

#define PATIENCE_S 120

/* ---- pipelines ---- */

static int take_inputs(const struct scene *s, Submit *m, struct err *e)
{
    size_t n = m->pipeline->n_inputs;

    m->inputs = calloc(n + 1, sizeof *m->inputs);
    for (size_t i = 0; m->inputs && i < n; i++) {
        TakenInput *t = malloc(sizeof *t);
        if (!t)
            return err_set(e, E_NOMEM, "out of memory");
        taken_input__init(t);
        m->inputs[m->n_inputs++] = t;
        if (field_text(&t->name, m->pipeline->inputs[i]->name, e) != OK ||
            message_copy((ProtobufCMessage **)&t->artifact, &s->input->base, e) != OK)
            return e->code;
    }
    return m->inputs ? OK : err_set(e, E_NOMEM, "out of memory");
}

/* `text` with the number in place of each %d, as a message. */
static int read_pipeline(
    Submit **out, const struct scene *s, const char *text, int number, struct err *e)
{
    struct diags *d = diags_new();
    struct buf yaml = { 0 };
    char path[300];
    int rc = OK;

    for (const char *at = text, *next; rc == OK && *at; at = next) {
        const char *mark = strstr(at, "%d");
        rc = buf_add(&yaml, at, mark ? (size_t)(mark - at) : strlen(at));
        if (rc == OK && mark)
            rc = buf_printf(&yaml, "%d", number);
        next = mark ? mark + 2 : at + strlen(at);
    }
    snprintf(path, sizeof path, "%s/bench.yaml", s->home);
    if (rc == OK)
        rc = file_write(path, yaml.p, yaml.n, e);
    if (rc == OK)
        rc = pipeline_load(out, path, NULL, 0, d, e);
    if (rc == E_INPUT) {
        yaml.n = 0;
        diags_print(d, &yaml);
        rc = err_set(e, E_INPUT, "%s", yaml.p);
    }
    if (rc == OK)
        rc = take_inputs(s, *out, e);
    diags_free(d);
    buf_free(&yaml);
    return rc;
}

/* ---- messages ---- */

static int send(struct scene *s, Envelope *m, struct err *e)
{
    m->has_request = true;
    m->request = ++s->request;
    return socket_send(s->client, NULL, m, e);
}

static int receive(struct scene *s, Envelope **out, struct err *e)
{
    double until = seconds() + PATIENCE_S;
    int rc = OK;

    *out = NULL;
    while (rc == OK && !*out) {
        bool ready = false;
        rc = socket_receive(s->client, NULL, out, e);
        if (rc == OK && !*out)
            rc = socket_poll(&s->client, 1, NULL, 0, &ready, 1000, e);
        if (rc == OK && !*out && seconds() > until)
            rc = err_set(e, E_IO, "no answer from the orchestrator");
    }
    if (rc == OK && (*out)->kind_case == ENVELOPE__KIND_REFUSED) {
        rc = err_set(e, E_INPUT, "refused: %s", (*out)->refused->message);
        message_free(*out);
    }
    return rc;
}

static int send_submit(struct scene *s, Submit *submit, struct err *e)
{
    Envelope m = ENVELOPE__INIT;

    m.kind_case = ENVELOPE__KIND_SUBMIT;
    m.submit = submit;
    return send(s, &m, e);
}

int scene_submit(struct scene *s, const char *text, int number, struct err *e)
{
    Submit *submit = NULL;
    Envelope *reply = NULL;
    int rc = read_pipeline(&submit, s, text, number, e);

    if (rc == OK)
        rc = send_submit(s, submit, e);
    if (rc == OK)
        rc = receive(s, &reply, e);
    message_free(submit);
    message_free(reply);
    return rc;
}

/* Asks to be told when that run is over. */
static int ask_end(struct scene *s, const char *run, struct err *e)
{
    Envelope m = ENVELOPE__INIT;
    StatusRequest q = STATUS_REQUEST__INIT;

    q.run = (char *)(uintptr_t)run;
    q.has_wait = true;
    q.wait = PATIENCE_S;
    m.kind_case = ENVELOPE__KIND_STATUS_REQUEST;
    m.status_request = &q;
    return send(s, &m, e);
}

static int take_end(const RunStatus *r, size_t *tasks, struct err *e)
{
    if (strcmp(r->state, "done") != 0)
        return err_set(e, E_INVARIANT, "run %s: %s: %s", r->run, r->state,
            r->n_jobs && r->jobs[0]->why ? r->jobs[0]->why : "");
    for (size_t i = 0; i < r->n_jobs; i++)
        *tasks += r->jobs[i]->tasks_run;
    return OK;
}

/* Each run's end is asked for as soon as its name is known. */
static int follow(struct scene *s, int n, size_t *tasks, struct err *e)
{
    int rc = OK;

    for (int over = 0; over < n && rc == OK;) {
        Envelope *m = NULL;
        rc = receive(s, &m, e);
        if (rc == OK && m->kind_case == ENVELOPE__KIND_SUBMITTED)
            rc = ask_end(s, m->submitted->run, e);
        else if (rc == OK && m->kind_case == ENVELOPE__KIND_STATUS_REPLY) {
            rc = take_end(m->status_reply->runs[0], tasks, e);
            over++;
        }
        message_free(rc == OK ? m : NULL);
    }
    return rc;
}

int scene_run(
    struct scene *s, const char *text, int first, int n, double *took, size_t *tasks, struct err *e)
{
    Submit **submits = calloc((size_t)n, sizeof *submits);
    int rc = submits ? OK : err_set(e, E_NOMEM, "out of memory");

    *tasks = 0;
    for (int i = 0; i < n && rc == OK; i++)
        rc = read_pipeline(&submits[i], s, text, first + i, e);
    double began = seconds();
    for (int i = 0; i < n && rc == OK; i++)
        rc = send_submit(s, submits[i], e);
    if (rc == OK)
        rc = follow(s, n, tasks, e);
    *took = seconds() - began;
    for (int i = 0; i < n && submits; i++)
        message_free(submits[i]);
    free(submits);
    return rc;
}
