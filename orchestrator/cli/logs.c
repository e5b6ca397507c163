#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/show.h"
#include "orchestrator/cli/view.h"
#include "proto/clock.h"
#include "proto/json.h"

#define POLL_MS 300
#define LINES_MAX 2000 /* that one request gives */

struct logging {
    struct command_line *l;
    struct view *v;
    uint32_t tail, attempt;
    const char *grep, *connect;
    bool follow, brief;
    struct target t;
    const char *job; /* "": all of the run */
    uint64_t after;  /* number of the last line seen */
};

/* Without a name: the failed job, else the running one, else all of the run. */
static const char *interesting_job(const RunStatus *s)
{
    static const char *const states[] = { "failed", "running" };

    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < s->n_jobs; i++)
            if (strcmp(s->jobs[i]->state, states[k]) == 0)
                return s->jobs[i]->name;
    return "";
}

static bool is_wanted(const struct logging *g, const LogLine *line)
{
    return (!g->attempt || line->attempt == g->attempt) &&
           (!g->grep || (line->text && strstr(line->text, g->grep)));
}

static int print_line(const struct logging *g, const LogLine *line, struct err *e)
{
    struct buf text = { 0 };
    int rc =
        g->l->json ? json_message(&text, &line->base, false) : show_log_line(&text, line, g->brief);

    if (rc != OK)
        err_set(e, rc, "out of memory");
    else if (printf("%s\n", text.p) < 0)
        rc = err_errno(e, "writing the log");
    buf_free(&text);
    return rc;
}

/* The last `tail` lines that are wanted of those after the last look. */
static int print_new(struct logging *g, uint32_t tail, struct err *e)
{
    LogsRequest q = LOGS_REQUEST__INIT;
    LogsReply *reply = NULL;
    size_t wanted = 0;

    q.run = g->t.run->run;
    q.job = (char *)(uintptr_t)g->job;
    q.has_tail = q.has_after = true;
    q.tail = g->attempt || g->grep ? LINES_MAX : tail;
    q.after = g->after;
    int rc = view_logs(&reply, g->v, &q, e);
    if (rc != OK)
        return rc;
    for (size_t i = 0; i < reply->n_lines; i++)
        wanted += is_wanted(g, reply->lines[i]);
    for (size_t i = 0; i < reply->n_lines && rc == OK; i++)
        if (is_wanted(g, reply->lines[i]) && wanted-- <= tail)
            rc = print_line(g, reply->lines[i], e);
    g->after = reply->next;
    message_free(reply);
    fflush(stdout);
    return rc;
}

static bool is_over(const struct logging *g, const RunStatus *s)
{
    const char *state = s->state;

    for (size_t i = 0; i < s->n_jobs; i++)
        if (strcmp(s->jobs[i]->name, g->job) == 0)
            state = s->jobs[i]->state;
    return strcmp(state, "done") == 0 || strcmp(state, "failed") == 0 ||
           strcmp(state, "cancelled") == 0;
}

/* Until the job, or the run, is over. Its state is read before the lines: none is missed. */
static int follow_lines(struct logging *g, struct err *e)
{
    bool over = false;
    int rc = OK;

    while (rc == OK && !over) {
        RunStatus *s = NULL;
        poll(NULL, 0, POLL_MS);
        rc = view_run(&s, g->v, g->t.run->run, e);
        if (rc == OK) {
            over = is_over(g, s) || view_deserted(g->v, clock_ms());
            rc = print_new(g, LINES_MAX, e);
        }
        message_free(s);
    }
    return rc;
}

static int show_logs(struct logging *g, struct err *e)
{
    const char *what = g->l->n ? g->l->args[0] : "";
    int rc = view_target(&g->t, g->v, what, e);

    if (rc != OK)
        return rc;
    g->job = g->t.job ? g->t.job->name : *what ? "" : interesting_job(g->t.run);
    rc = print_new(g, g->tail, e);
    if (rc == OK && g->after == 0 && !g->follow)
        fprintf(stderr, "%s%s%s has no log lines\n", g->t.run->run, *g->job ? "/" : "", g->job);
    return rc == OK && g->follow ? follow_lines(g, e) : rc;
}

int logs_command(struct command_line *l)
{
    struct logging g = { .l = l, .tail = 200 };
    const struct option_row rows[] = {
        { "follow", 'f', OPTION_FLAG, &g.follow, NULL, "go on with new lines until it is over", 0,
            0, NULL },
        { "tail", 'n', OPTION_COUNT, &g.tail, "N", "the last N lines (default 200)", 0, LINES_MAX,
            NULL },
        { "try", 0, OPTION_COUNT, &g.attempt, "N", "of this attempt only", 1, 1e6, NULL },
        { "grep", 0, OPTION_TEXT, &g.grep, "TEXT", "lines that hold TEXT only", 0, 0, NULL },
        { "connect", 0, OPTION_TEXT, &g.connect, "URL",
            "ask this orchestrator, rather than look at the home", 0, 0, NULL },
    };
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, sizeof rows / sizeof *rows, 0, 1))
        return l->exit_code;
    g.brief = isatty(STDOUT_FILENO);
    int rc = view_open(&g.v, l->home, g.connect, &e);
    if (rc == OK)
        rc = show_logs(&g, &e);
    message_free(g.t.run);
    view_close(g.v);
    if (rc == E_IO && g.connect) {
        complain(&e);
        return EXIT_NO_ORCHESTRATOR;
    }
    return rc == OK ? EXIT_DONE : complain(&e);
}
