#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/show.h"
#include "orchestrator/cli/view.h"
#include "proto/json.h"

/* `jielong explain RUN/JOB`: why a job is where it is, down to what it waits for in the end. */

static const JobStatus *job_named(const RunStatus *s, const char *name)
{
    for (size_t i = 0; i < s->n_jobs; i++)
        if (strcmp(s->jobs[i]->name, name) == 0)
            return s->jobs[i];
    return NULL;
}

static bool is(const JobStatus *j, const char *state)
{
    return strcmp(j->state, state) == 0;
}

static int say_state(struct buf *out, const JobStatus *j, const char *run_state, bool color)
{
    char part[SHOW_PART];
    int rc = is(j, "waiting_for_people") ? buf_printf(out, ": waiting for people")
                                         : show_state(out, j->state, 0, color);

    show_progress(part, j);
    if (rc == OK && is(j, "running"))
        rc = buf_printf(out, ", %s", part);
    if (rc == OK && is(j, "running") && j->worker)
        rc = buf_printf(out, " on %s", j->worker);
    if (rc == OK && j->attempts > 1)
        rc = buf_printf(out, ", try %u of %u", j->attempts, j->max_attempts);
    if (rc == OK && j->cached)
        rc = buf_printf(out, ", its results were known");
    if (rc == OK && show_has_audits(j))
        rc = buf_printf(out, ", audits: ");
    if (rc == OK)
        rc = show_audits(out, j);
    if (rc == OK && j->why && *j->why) {
        rc = buf_printf(out, ": ");
        rc = rc == OK ? show_text(out, j->why) : rc;
    }
    if (rc == OK && strcmp(run_state, "interrupted") == 0 && (is(j, "ready") || is(j, "running")))
        rc = buf_printf(out, " (no orchestrator is at work)");
    return rc;
}

struct explaining {
    const RunStatus *run;
    bool color;
    bool *told; /* of each of the run's jobs: what it needs has been said */
};

/* What a job needs is said once, however many need the job. */
static int explain(struct buf *out, struct explaining *x, const JobStatus *j, int depth)
{
    bool *told = NULL, again;
    int rc = buf_printf(out, "%*s%s is ", 2 * depth, "", j->name);

    for (size_t i = 0; i < x->run->n_jobs; i++)
        if (x->run->jobs[i] == j)
            told = &x->told[i];
    again = *told;
    *told = true;
    if (rc == OK)
        rc = say_state(out, j, x->run->state, x->color);
    if (rc == OK)
        rc = buf_printf(out, "%s\n", !j->n_blocked_by ? "" : again ? ", see above" : ", it needs");
    for (size_t i = 0; i < j->n_blocked_by && rc == OK && !again; i++) {
        const JobStatus *need = job_named(x->run, j->blocked_by[i]);
        if (need)
            rc = explain(out, x, need, depth + 1);
    }
    return rc;
}

static int explain_all(struct buf *out, const struct target *t, bool color)
{
    struct explaining x = { t->run, color, calloc(t->run->n_jobs + 1, sizeof *x.told) };
    int rc = x.told ? OK : E_NOMEM;

    if (rc == OK && t->job)
        rc = explain(out, &x, t->job, 0);
    for (size_t i = 0; i < t->run->n_jobs && rc == OK && !t->job; i++)
        if (!is(t->run->jobs[i], "done"))
            rc = explain(out, &x, t->run->jobs[i], 0);
    if (rc == OK && out->n == 0)
        rc = buf_printf(out, "every job of %s is done\n", t->run->run);
    free(x.told);
    return rc;
}

int explain_command(struct command_line *l)
{
    const char *connect = NULL;
    const struct option_row rows[] = {
        { "connect", 0, OPTION_TEXT, &connect, "URL",
            "the orchestrator's (default: the home's own)", 0, 0, NULL },
    };
    struct target t = { 0 };
    struct view *v = NULL;
    struct buf text = { 0 };
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, 1, 0, 1))
        return l->exit_code;
    int rc = view_open(&v, l->home, connect, &e);
    if (rc == OK)
        rc = view_target(&t, v, l->n ? l->args[0] : "", &e);
    if (rc == OK) {
        rc = l->json ? json_message(&text, t.job ? &t.job->base : &t.run->base, true)
                     : explain_all(&text, &t, l->color);
        if (rc != OK)
            err_set(&e, E_NOMEM, "out of memory");
    }
    if (rc == OK)
        printf("%s%s", text.p, l->json ? "\n" : "");
    buf_free(&text);
    message_free(t.run);
    view_close(v);
    return rc == OK ? EXIT_DONE : complain(&e);
}
