#include <stdio.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/submission.h"
#include "orchestrator/cli/view.h"
#include "orchestrator/client.h"
#include "orchestrator/daemon.h"
#include "proto/json.h"
#include "store/state.h"

/* What is asked of a standing orchestrator: the home's, or the one at --connect. */

#define ANSWER_MS 10000

#define CONNECT_ROW(connect)                                                                       \
    {                                                                                              \
        "connect", 0, OPTION_TEXT, connect, "URL", "the orchestrator's (default: the home's own)", \
            0, 0, NULL                                                                             \
    }

/* E_BUSY: there is none that answers. */
static int ask(
    const struct command_line *l, const char *connect, Envelope *m, Envelope **reply, struct err *e)
{
    char url[HOME_URL];
    struct client *c = NULL;
    int rc = OK;

    if (!connect) {
        if (!state_orchestrator_alive(l->home))
            return err_set(e, E_BUSY, "no orchestrator is at work in %s", l->home);
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
    int rc = !connect && !state_orchestrator_alive(l->home)
                 ? err_set(&e, E_BUSY, "no orchestrator is at work in %s", l->home)
                 : submission_take_inputs(submit, l->home, &e);
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

/* What the home's state tells about a run that cannot be cancelled. */
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

int cancel_command(struct command_line *l)
{
    const char *connect = NULL;
    const struct option_row rows[] = { CONNECT_ROW(&connect) };
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    Cancel cancel = CANCEL__INIT;
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
        cancel.run = t.run->run;
        cancel.job = t.job ? t.job->name : NULL;
        m.kind_case = ENVELOPE__KIND_CANCEL;
        m.cancel = &cancel;
        rc = ask(l, connect, &m, &reply, &e);
    }
    if (rc == OK)
        fprintf(stderr, "%s%s%s is cancelled\n", t.run->run, t.job ? "/" : "",
            t.job ? t.job->name : "");
    message_free(reply);
    message_free(t.run);
    view_close(v);
    return rc == OK ? EXIT_DONE : refuse(&e);
}
