#include "orchestrator/status.h"

#include <stdio.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/report.h"
#include "orchestrator/cli/show.h"
#include "orchestrator/cli/table.h"
#include "orchestrator/cli/view.h"
#include "proto/json.h"

#define LAST_LINES 10 /* of a failed job's log */

static int runs_json(struct buf *text, const StatusReply *all)
{
    int rc = buf_printf(text, "{\"schema\": 1, \"runs\": [");

    for (size_t i = 0; i < all->n_runs && rc == OK; i++) {
        rc = i ? buf_printf(text, ", ") : OK;
        if (rc == OK)
            rc = json_message(text, &all->runs[i]->base, false);
    }
    return rc == OK ? buf_printf(text, "]}\n") : rc;
}

static int print_runs(const struct command_line *l, struct view *v, struct err *e)
{
    struct table_style style = { stdout_columns(), l->color, l->home_option };
    StatusReply *all = NULL;
    struct buf text = { 0 };
    int rc = view_runs(&all, v, e);

    if (rc == OK && (l->json ? runs_json(&text, all) : table_runs(&text, all, &style)) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        fputs(text.p, stdout);
    buf_free(&text);
    message_free(all);
    return rc;
}

static int state_exit_code(const RunStatus *s)
{
    static const struct {
        const char *state;
        int exit_code;
    } rows[] = {
        { "done", EXIT_DONE },
        { "running", EXIT_STILL_RUNNING },
        { "waiting", EXIT_WAITING },
        { "interrupted", EXIT_INTERRUPTED },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(s->state, rows[i].state) == 0)
            return rows[i].exit_code;
    return EXIT_RUN_FAILED;
}

/* What failed and why, with the end of its log. */
static int add_failures(
    struct buf *text, const struct command_line *l, struct view *v, const RunStatus *s)
{
    int rc = OK;

    for (size_t i = 0; i < s->n_jobs && rc == OK; i++) {
        LogsRequest q = LOGS_REQUEST__INIT;
        struct err none = ERR_INIT;
        LogsReply *log = NULL;
        if (strcmp(s->jobs[i]->state, "failed") != 0)
            continue;
        q.run = s->run;
        q.job = s->jobs[i]->name;
        q.has_tail = true;
        q.tail = LAST_LINES;
        if (view_logs(&log, v, &q, &none) != OK)
            log = NULL;
        rc = buf_printf(text, "\n");
        if (rc == OK)
            rc = show_failure(text, s, s->jobs[i], log, l->home_option);
        message_free(log);
    }
    return rc;
}

static int print_run(struct command_line *l, struct view *v, bool is_home, struct err *e)
{
    struct table_style style = { stdout_columns(), l->color, l->home_option };
    struct target t = { 0 };
    struct buf text = { 0 };
    int rc = view_target(&t, v, l->n ? l->args[0] : "", e);

    if (rc == OK && is_home) {
        view_workers(t.run, v);
        rc = report_find(t.run, l->home, e);
    }
    if (rc == OK) {
        rc = l->json ? json_message(&text, &t.run->base, true) : table_run(&text, t.run, &style);
        if (rc == OK)
            rc = l->json ? buf_printf(&text, "\n") : add_failures(&text, l, v, t.run);
        if (rc != OK)
            err_set(e, rc, "out of memory");
    }
    if (rc == OK) {
        fputs(text.p, stdout);
        l->exit_code = state_exit_code(t.run);
    }
    buf_free(&text);
    message_free(t.run);
    return rc;
}

int status_command(struct command_line *l)
{
    const char *connect = NULL;
    const struct option_row rows[] = {
        { "connect", 0, OPTION_TEXT, &connect, "URL",
            "ask this orchestrator, rather than look at the home", 0, 0, NULL },
    };
    struct view *v = NULL;
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, 1, 0, 1))
        return l->exit_code;
    l->exit_code = EXIT_DONE;
    int rc = view_open(&v, l->home, connect, &e);
    if (rc == OK)
        rc = l->n && strcmp(l->args[0], "all") == 0 ? print_runs(l, v, &e)
                                                    : print_run(l, v, !connect, &e);
    view_close(v);
    if (rc == E_IO && connect) {
        complain(&e);
        return EXIT_NO_ORCHESTRATOR;
    }
    return rc == OK ? l->exit_code : complain(&e);
}
