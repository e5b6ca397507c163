#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/status.h"
#include "proto/clock.h"
#include "proto/json.h"

struct logging {
    unsigned tail;
    const char *job;  /* NULL: all */
    LogLine **lines;  /* newest first */
    size_t n;
};

static void take_tail(void *ctx, const char *value)
{
    ((struct logging *)ctx)->tail = (unsigned)atoi(value);
}

static const struct option_rule rules[] = { { "tail", true, take_tail } };

static int take_line(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct logging *g = ctx;
    LogLine *line = (LogLine *)m;

    (void)key;
    if (g->job && (!line->job || strcmp(line->job, g->job) != 0)) {
        message_free(m);
        return 0;
    }
    LogLine **more = realloc(g->lines, (g->n + 1) * sizeof *more);
    if (!more) {
        message_free(m);
        return err_set(e, E_NOMEM, "no memory for log lines");
    }
    g->lines = more;
    g->lines[g->n++] = line;
    return g->n >= g->tail;
}

/* Without a name: the failed job, else the running one, else all of the run. */
static const char *interesting_job(const RunStatus *s)
{
    static const char *const states[] = { "failed", "running" };

    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < s->n_jobs; i++)
            if (strcmp(s->jobs[i]->state, states[k]) == 0)
                return s->jobs[i]->name;
    return NULL;
}

static int known_job(const RunStatus *s, const char *job, struct err *e)
{
    const char *names[256];
    size_t n = 0;

    for (size_t i = 0; i < s->n_jobs; i++) {
        if (strcmp(s->jobs[i]->name, job) == 0)
            return OK;
        if (n < 256)
            names[n++] = s->jobs[i]->name;
    }
    const char *near = diag_nearest(job, names, n);
    return err_set(e, E_MISSING, "%s has no job '%s'%s%s%s", s->run, job, near ? "; did you mean '" : "",
        near ? near : "", near ? "'?" : "");
}

static void print_lines(const struct command_line *l, const struct logging *g)
{
    for (size_t i = g->n; i-- > 0;) {
        const LogLine *line = g->lines[i];
        struct buf text = { 0 };
        if (l->json && json_message(&text, &line->base, false) == OK)
            printf("%s\n", text.p);
        else
            printf("%s/%s %s\n", line->job ? line->job : "-", line->worker ? line->worker : "-",
                line->text ? line->text : "");
        buf_free(&text);
    }
}

static int show_logs(const struct command_line *l, struct logging *g, struct state_txn *t, char *what,
    struct err *e)
{
    char *slash = strchr(what, '/');
    RunStatus *s = NULL;
    ProtobufCMessage *m = NULL;
    uint64_t number = 0;

    if (slash)
        *slash = '\0';
    int rc = status_run(&s, t, what, state_orchestrator_alive(l->home), clock_unix_ms(), e);
    if (rc != OK)
        return rc;
    g->job = slash ? slash + 1 : *what ? NULL : interesting_job(s);
    if (slash)
        rc = known_job(s, g->job, e);
    for (uint64_t k = 1; rc == OK && !number; k++) {
        rc = state_get(t, STATE_RUN, key_numbers(1, k, 0, 0), &run_record__descriptor, &m, e);
        if (rc == OK && m && strcmp(((RunRecord *)m)->name, s->run) == 0)
            number = k;
        else if (rc == OK && !m && k > 1000000)
            rc = err_set(e, E_MISSING, "no record of %s", s->run);
        message_free(m);
    }
    if (rc == OK)
        rc = state_each(t, STATE_LOG, key_numbers(1, number, 0, 0), true, &log_line__descriptor,
            take_line, g, e);
    if (rc == OK)
        print_lines(l, g);
    message_free(s);
    return rc;
}

int logs_command(const struct command_line *l)
{
    struct logging g = { .tail = 200 };
    const char *what[1] = { "" };
    struct state *s = NULL;
    struct state_txn *t = NULL;
    struct err e = ERR_INIT;

    if (parse_options(l, "logs", rules, 1, &g, what, 1) < 0)
        return EXIT_USAGE;
    char *copy = strdup(what[0]);
    int rc = copy ? state_open(&s, l->home, false, &e) : err_set(&e, E_NOMEM, "no memory");
    if (rc == OK)
        rc = state_begin(&t, s, false, &e);
    if (rc == OK)
        rc = show_logs(l, &g, t, copy, &e);
    state_abort(t);
    state_close(s);
    for (size_t i = 0; i < g.n; i++)
        message_free(g.lines[i]);
    free(g.lines);
    free(copy);
    return rc == OK ? EXIT_DONE : complain(&e);
}
