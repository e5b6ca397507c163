#include "orchestrator/status.h"

#include <stdio.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "proto/clock.h"
#include "proto/json.h"

static int print_runs(const struct command_line *l, const StatusReply *r)
{
    struct buf text = { 0 };
    int rc = OK;

    if (l->json)
        rc = buf_printf(&text, "{\"schema\": 1, \"runs\": [");
    for (size_t i = 0; i < r->n_runs && rc == OK; i++) {
        const RunStatus *s = r->runs[i];
        char took[32];
        duration_text(took, sizeof took, s->seconds);
        if (l->json && i)
            rc = buf_printf(&text, ", ");
        if (rc == OK)
            rc = l->json ? json_message(&text, &s->base, false)
                         : buf_printf(&text, "%-24s %-12s %-8s %s\n", s->run, s->state, took,
                               s->submitted_at ? s->submitted_at : "");
    }
    if (rc == OK && l->json)
        rc = buf_printf(&text, "]}\n");
    if (rc == OK && text.p)
        fputs(text.p, stdout);
    buf_free(&text);
    return EXIT_DONE;
}

static int state_exit_code(const RunStatus *s)
{
    for (size_t i = 0; i < s->n_jobs; i++)
        if (strcmp(s->jobs[i]->state, "waiting_for_people") == 0)
            return EXIT_WAITING;
    if (strcmp(s->state, "done") == 0)
        return EXIT_DONE;
    return strcmp(s->state, "running") == 0 || strcmp(s->state, "waiting") == 0 ? EXIT_STILL_RUNNING
        : strcmp(s->state, "interrupted") == 0                                  ? EXIT_INTERRUPTED
                                                                                : EXIT_RUN_FAILED;
}

static int print_run(const struct command_line *l, RunStatus *s)
{
    struct buf text = { 0 };
    int rc = l->json ? json_message(&text, &s->base, true) : show_status(&text, s, l->color);

    if (rc == OK)
        printf("%s%s", text.p, l->json ? "\n" : "");
    buf_free(&text);
    return rc == OK ? state_exit_code(s) : EXIT_INTERNAL;
}

int status_command(const struct command_line *l)
{
    const char *run[1] = { "" };
    struct state *s = NULL;
    struct state_txn *t = NULL;
    RunStatus *one = NULL;
    StatusReply *all = NULL;
    struct err e = ERR_INIT;
    int exit_code = EXIT_DONE;

    if (parse_options(l, "status", NULL, 0, NULL, run, 1) < 0)
        return EXIT_USAGE;
    bool alive = state_orchestrator_alive(l->home), every = strcmp(run[0], "all") == 0;
    int rc = state_open(&s, l->home, false, &e);
    if (rc == OK)
        rc = state_begin(&t, s, false, &e);
    if (rc == OK)
        rc = every ? status_runs(&all, t, alive, clock_unix_ms(), &e)
                   : status_run(&one, t, run[0], alive, clock_unix_ms(), &e);
    if (rc == OK)
        exit_code = every ? print_runs(l, all) : print_run(l, one);
    else
        exit_code = complain(&e);
    message_free(one);
    message_free(all);
    state_abort(t);
    state_close(s);
    return exit_code;
}
