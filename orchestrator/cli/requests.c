#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/show.h"
#include "orchestrator/cli/submission.h"
#include "orchestrator/cli/view.h"
#include "orchestrator/client.h"
#include "orchestrator/daemon.h"
#include "orchestrator/run_record.h"
#include "proto/json.h"
#include "store/state.h"

/* What is asked of a standing orchestrator: the home's, or the one at --connect. */

#define ANSWER_MS 10000

#define CONNECT_ROW(connect)                                                                       \
    {                                                                                              \
        "connect", 0, OPTION_TEXT, connect, "URL", "the orchestrator's (default: the home's own)", \
            0, 0, NULL                                                                             \
    }

/* E_BUSY: none is at work there; E_IO: the home cannot be looked into. */
static int find_orchestrator(const struct command_line *l, struct err *e)
{
    if (state_orchestrator_alive(l->home))
        return OK;
    if (access(l->home, R_OK | X_OK) != 0 && errno == EACCES)
        return err_errno(e, "'%s'", l->home);
    return err_set(e, E_BUSY, "no orchestrator is at work in %s", l->home);
}

/* E_BUSY: there is none that answers. */
static int ask(
    const struct command_line *l, const char *connect, Envelope *m, Envelope **reply, struct err *e)
{
    char url[HOME_URL];
    struct client *c = NULL;
    int rc = OK;

    if (!connect) {
        rc = find_orchestrator(l, e);
        if (rc == OK)
            rc = home_url(url, l->home, e);
        connect = url;
    }
    if (rc == OK)
        rc = client_open(&c, connect, e);
    if (rc == OK) {
        rc = client_ask(c, m, reply, ANSWER_MS, e);
        if (rc == E_IO)
            rc = e->code = E_BUSY;
    }
    client_close(c);
    return rc;
}

static int refuse(const struct err *e)
{
    if (e->code != E_BUSY)
        return complain(e);
    complain(e);
    fprintf(stderr, "  = help: `jielong orchestrator` starts one, `jielong run FILE` needs none\n");
    return EXIT_NO_ORCHESTRATOR;
}

static int print_run_name(const struct command_line *l, const char *run)
{
    struct buf text = { 0 };
    int rc =
        l->json ? buf_printf(&text, "{\"schema\": 1, \"run\": ") : buf_printf(&text, "%s\n", run);

    if (rc == OK && l->json)
        rc = json_string(&text, run, strlen(run));
    if (rc == OK && l->json)
        rc = buf_printf(&text, "}\n");
    if (rc == OK)
        fputs(text.p, stdout);
    buf_free(&text);
    return rc == OK ? EXIT_DONE : EXIT_INTERNAL;
}

int submit_command(struct command_line *l)
{
    struct option_texts settings = { .n = 0 };
    const char *connect = NULL;
    const struct option_row rows[] = { SUBMISSION_SET(&settings), CONNECT_ROW(&connect) };
    Submit *submit = NULL;
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    struct err e = ERR_INIT;
    int exit_code = EXIT_DONE;

    if (!command_begin(l, rows, 2, 1, 1))
        return l->exit_code;
    if (submission_load(&submit, l->args[0], &settings, NULL, &exit_code) != OK)
        return exit_code;
    m.kind_case = ENVELOPE__KIND_SUBMIT;
    m.submit = submit;
    int rc = connect ? OK : find_orchestrator(l, &e);
    if (rc == OK)
        rc = submission_take_inputs(submit, l->home, &e);
    if (rc == OK)
        rc = ask(l, connect, &m, &reply, &e);
    if (rc == OK && reply->kind_case != ENVELOPE__KIND_SUBMITTED)
        rc = err_set(
            &e, E_PROTOCOL, "the orchestrator answers with a '%s'", message_kind(&reply->base));
    exit_code = rc == OK ? print_run_name(l, reply->submitted->run) : refuse(&e);
    message_free(reply);
    message_free(submit);
    return exit_code;
}

/* What the home's state tells about a run that nothing can be asked of. */
static int check_target(const struct target *t, struct err *e)
{
    static const char *const over[] = { "done", "failed", "cancelled" };
    const char *state = t->job ? t->job->state : t->run->state;

    for (size_t i = 0; i < sizeof over / sizeof *over; i++)
        if (strcmp(state, over[i]) == 0)
            return err_set(e, E_MISSING, "%s%s%s is %s already", t->run->run, t->job ? "/" : "",
                t->job ? t->job->name : "", state);
    return OK;
}

/* Asks for something that is done to a run, or to one of its jobs. */
static int control(struct command_line *l, Control__Verb verb, const char *done)
{
    const char *connect = NULL;
    const struct option_row rows[] = { CONNECT_ROW(&connect) };
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    Control c = CONTROL__INIT;
    struct target t = { 0 };
    struct view *v = NULL;
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, 1, 1, 1))
        return l->exit_code;
    int rc = view_open(&v, l->home, connect, &e);
    if (rc == OK)
        rc = view_target(&t, v, l->args[0], &e);
    if (rc == OK)
        rc = check_target(&t, &e);
    if (rc == OK) {
        c.has_verb = true;
        c.verb = verb;
        c.run = t.run->run;
        c.job = t.job ? t.job->name : NULL;
        m.kind_case = ENVELOPE__KIND_CONTROL;
        m.control = &c;
        rc = ask(l, connect, &m, &reply, &e);
    }
    if (rc == OK)
        fprintf(
            stderr, "%s%s%s %s\n", t.run->run, t.job ? "/" : "", t.job ? t.job->name : "", done);
    message_free(reply);
    message_free(t.run);
    view_close(v);
    return rc == OK ? EXIT_DONE : refuse(&e);
}

int cancel_command(struct command_line *l)
{
    return control(l, CONTROL__VERB__CANCEL, "is cancelled");
}

int pause_command(struct command_line *l)
{
    return control(
        l, CONTROL__VERB__PAUSE, "is paused: what runs is let finish, nothing new begins");
}

int resume_command(struct command_line *l)
{
    return control(l, CONTROL__VERB__RESUME, "goes on");
}

int drain_command(struct command_line *l)
{
    const char *connect = NULL;
    const struct option_row rows[] = { CONNECT_ROW(&connect) };
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    Control c = CONTROL__INIT;
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, 1, 1, 1))
        return l->exit_code;
    c.has_verb = true;
    c.verb = CONTROL__VERB__DRAIN;
    c.worker = l->args[0];
    m.kind_case = ENVELOPE__KIND_CONTROL;
    m.control = &c;
    int rc = ask(l, connect, &m, &reply, &e);
    if (rc == OK)
        fprintf(stderr, "%s finishes what it has, and leaves\n", l->args[0]);
    message_free(reply);
    return rc == OK ? EXIT_DONE : refuse(&e);
}

/* The same submission once more: what was computed is not computed again. */
int retry_command(struct command_line *l)
{
    const char *connect = NULL;
    const struct option_row rows[] = { CONNECT_ROW(&connect) };
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    RunRecord *r = NULL;
    struct state *s = NULL;
    struct state_txn *t = NULL;
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, 1, 1, 1))
        return l->exit_code;
    int rc = state_open(&s, l->home, false, &e);
    if (rc == E_MISSING)
        rc = err_set(&e, E_MISSING, "nothing has run in %s yet", l->home);
    if (rc == OK)
        rc = state_begin(&t, s, false, &e);
    if (rc == OK)
        rc = run_record_find(&r, t, l->args[0], &e);
    state_abort(t);
    if (rc == OK && r->state == RUN_STATE__RUN_RUNNING)
        rc = err_set(&e, E_MISSING, "%s is not over", r->name);
    if (rc == OK) {
        m.kind_case = ENVELOPE__KIND_SUBMIT;
        m.submit = r->submit;
        rc = ask(l, connect, &m, &reply, &e);
    }
    int exit_code = rc == OK && reply->kind_case == ENVELOPE__KIND_SUBMITTED
                        ? print_run_name(l, reply->submitted->run)
                        : refuse(&e);
    message_free(reply);
    message_free(r);
    state_close(s);
    return exit_code;
}

/* ---- workers ---- */

static int workers_table(struct buf *out, const WorkersReply *r)
{
    int rc = buf_printf(out, "%-12s  %-9s  %-16s  %5s  %9s  %s\n", "WORKER", "STATE", "HOST",
        "CORES", "MEMORY", "JOB, LABELS, BEST NUMERIC CLASS");

    for (size_t i = 0; i < r->n_workers && rc == OK; i++) {
        const WorkerStatus *w = r->workers[i];
        char memory[SHOW_PART];
        show_size(memory, w->memory);
        rc = buf_printf(out, "%-12s  %-9s  %-16s  %5u  %9s  %s", w->name, w->state, w->host,
            w->cores, memory, w->job ? w->job : "-");
        for (size_t k = 0; k < w->n_labels && rc == OK; k++)
            rc = buf_printf(out, "  %s", w->labels[k]);
        if (rc == OK)
            rc = buf_printf(out, "  %s\n", w->n_numeric_classes ? w->numeric_classes[0] : "-");
    }
    return rc;
}

int workers_command(struct command_line *l)
{
    const char *connect = NULL;
    const struct option_row rows[] = { CONNECT_ROW(&connect) };
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    WorkersRequest q = WORKERS_REQUEST__INIT;
    struct buf text = { 0 };
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, 1, 0, 0))
        return l->exit_code;
    m.kind_case = ENVELOPE__KIND_WORKERS_REQUEST;
    m.workers_request = &q;
    int rc = ask(l, connect, &m, &reply, &e);
    if (rc == OK && reply->kind_case != ENVELOPE__KIND_WORKERS_REPLY)
        rc = err_set(
            &e, E_PROTOCOL, "the orchestrator answers with a '%s'", message_kind(&reply->base));
    if (rc == OK) {
        rc = l->json ? buf_printf(&text, "{\"schema\": 1, \"workers\": [")
                     : workers_table(&text, reply->workers_reply);
        for (size_t i = 0; l->json && i < reply->workers_reply->n_workers && rc == OK; i++) {
            rc = i ? buf_printf(&text, ", ") : OK;
            if (rc == OK)
                rc = json_message(&text, &reply->workers_reply->workers[i]->base, false);
        }
        if (rc == OK && l->json)
            rc = buf_printf(&text, "]}\n");
        if (rc != OK)
            err_set(&e, E_NOMEM, "out of memory");
    }
    if (rc == OK)
        fputs(text.p, stdout);
    buf_free(&text);
    message_free(reply);
    return rc == OK ? EXIT_DONE : refuse(&e);
}
