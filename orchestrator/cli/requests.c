#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/client.h"
#include "orchestrator/daemon.h"
#include "store/state.h"

#define ANSWER_MS 10000

struct request_options {
    struct submission s;
    const char *connect;
};

static void take_set(void *ctx, const char *value)
{
    take_setting(&((struct request_options *)ctx)->s, value);
}

static void take_connect(void *ctx, const char *value)
{
    ((struct request_options *)ctx)->connect = value;
}

static const struct option_rule rules[] = { { "set", true, take_set }, { "connect", true, take_connect } };

/* One request to the home's orchestrator, or to the one at --connect. */
static int ask(const struct command_line *l, const char *connect, Envelope *m, Envelope **reply, struct err *e)
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
    if (rc == OK)
        rc = client_ask(c, m, reply, ANSWER_MS, e);
    client_close(c);
    return rc;
}

static int refuse(const struct err *e)
{
    if (e->code != E_BUSY && e->code != E_IO)
        return complain(e);
    complain(e);
    fprintf(stderr, "  = help: `jielong orchestrator` starts one, `jielong run FILE` needs none\n");
    return EXIT_NO_ORCHESTRATOR;
}

int submit_command(const struct command_line *l)
{
    static struct request_options o;
    const char *file[1];
    Submit *submit = NULL;
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    struct err e = ERR_INIT;
    int exit_code = EXIT_DONE;

    if (parse_options(l, "submit", rules, 2, &o, file, 1) != 1)
        return l->n ? EXIT_USAGE : usage("submit", "which pipeline file?");
    o.s.file = file[0];
    if (load_pipeline(&submit, &o.s, &exit_code) != OK)
        return exit_code;
    m.kind_case = ENVELOPE__KIND_SUBMIT;
    m.submit = submit;
    int rc = take_inputs(submit, l->home, &e);
    if (rc == OK)
        rc = ask(l, o.connect, &m, &reply, &e);
    if (rc == OK && reply->kind_case == ENVELOPE__KIND_SUBMITTED)
        printf(l->json ? "{\"schema\": 1, \"run\": \"%s\"}\n" : "%s\n", reply->submitted->run);
    message_free(reply);
    message_free(submit);
    return rc == OK ? EXIT_DONE : refuse(&e);
}

int cancel_command(const struct command_line *l)
{
    static struct request_options o;
    const char *what[1];
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    Cancel cancel = CANCEL__INIT;
    struct err e = ERR_INIT;

    if (parse_options(l, "cancel", rules, 2, &o, what, 1) != 1)
        return l->n ? EXIT_USAGE : usage("cancel", "which run?");
    char *run = strdup(what[0]);
    char *slash = run ? strchr(run, '/') : NULL;
    if (slash) {
        *slash = '\0';
        cancel.job = slash + 1;
    }
    cancel.run = run;
    m.kind_case = ENVELOPE__KIND_CANCEL;
    m.cancel = &cancel;
    int rc = ask(l, o.connect, &m, &reply, &e);
    if (rc == OK)
        fprintf(stderr, "cancelled %s\n", what[0]);
    message_free(reply);
    free(run);
    return rc == OK ? EXIT_DONE : refuse(&e);
}
