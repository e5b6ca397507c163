#include "pipelines/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/submission.h"
#include "orchestrator/roots.h"
#include "proto/json.h"
#include "store/state.h"
#include "store/store.h"

/* `jielong plan`: what is cached is known as far as the ids of the inputs are. */

struct planning {
    const struct plan *plan;
    struct store *store;
    struct state_txn *t; /* NULL: no state yet */
    const char *class;   /* numeric class to expect; NULL: not known */
    JobAnswer **answers; /* of each job that is cached */
};

/* Why a job would run, or not. */
struct reason {
    bool cached;
    char text[160];
};

static const Output *bound(const struct planning *x, const struct binding *b)
{
    if (!b->output)
        return x->plan->submit->inputs[b->source]->artifact;
    const JobAnswer *a = x->answers[b->source];
    for (size_t i = 0; a && i < a->n_outputs; i++)
        if (strcmp(a->outputs[i]->name, b->output) == 0)
            return a->outputs[i];
    return NULL;
}

/* A job's inputs, borrowed under the names that slots have. */
struct inputs {
    Output *items, **pointers;
    char (*names)[80];
    size_t n;
};

static void inputs_free(struct inputs *in)
{
    free(in->items);
    free(in->pointers);
    free(in->names);
}

static int inputs_new(struct inputs *in, size_t n, struct err *e)
{
    in->n = n;
    in->items = calloc(n + 1, sizeof *in->items);
    in->pointers = calloc(n + 1, sizeof *in->pointers);
    in->names = calloc(n + 1, sizeof *in->names);
    return in->items && in->pointers && in->names ? OK : err_set(e, E_NOMEM, "out of memory");
}

/* The name of a job before it whose output is not known yet; NULL: all are. */
static const char *fill_inputs(
    struct inputs *in, const struct planning *x, const struct plan_job *j)
{
    for (size_t i = 0; i < j->n_bindings; i++) {
        const struct binding *b = &j->bindings[i];
        const Output *o = bound(x, b);
        size_t before = 0, total = 0;
        if (!o)
            return b->name;
        for (size_t k = 0; k < j->n_bindings; k++) {
            bool same = strcmp(j->bindings[k].port, b->port) == 0;
            before += same && k < i;
            total += same;
        }
        if (total > 1)
            snprintf(in->names[i], sizeof in->names[i], "in.%s.%zu", b->port, before);
        else
            snprintf(in->names[i], sizeof in->names[i], "in.%s", b->port);
        in->items[i] = *o;
        in->items[i].name = in->names[i];
        in->pointers[i] = &in->items[i];
    }
    return NULL;
}

static int look_up(
    struct planning *x, size_t i, const struct inputs *in, struct reason *why, struct err *e)
{
    const struct plan_job *j = &x->plan->jobs[i];
    struct slots slots = { in->pointers, in->n };
    ProtobufCMessage *m = NULL;
    struct id key;
    int rc = job_key(&key, j, &slots, x->class ? x->class : "", e);

    if (rc == OK)
        rc = state_get(x->t, STATE_JOB_ANSWER, key_id(&key), &job_answer__descriptor, &m, e);
    if (rc == OK && m &&
        outputs_stored(x->store, ((JobAnswer *)m)->outputs, ((JobAnswer *)m)->n_outputs)) {
        x->answers[i] = (JobAnswer *)m;
        m = NULL;
        why->cached = true;
        snprintf(why->text, sizeof why->text, "the same settings and inputs have been run");
    } else if (rc == OK && m) {
        snprintf(why->text, sizeof why->text, "its result is no longer in the store");
    }
    message_free(m);
    return rc;
}

static int plan_one(struct planning *x, size_t i, struct reason *why, struct err *e)
{
    const struct plan_job *j = &x->plan->jobs[i];
    struct inputs in = { 0 };
    const char *before;
    int rc = inputs_new(&in, j->n_bindings, e);

    why->cached = false;
    snprintf(why->text, sizeof why->text, "nothing with these settings and inputs has run here");
    if (rc == OK) {
        before = fill_inputs(&in, x, j);
        if (before)
            snprintf(why->text, sizeof why->text, "%.64s comes before it, and runs", before);
        else if (x->t && (x->class || !j->numeric))
            rc = look_up(x, i, &in, why, e);
    }
    inputs_free(&in);
    return rc;
}

static int last_class(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    const RunRecord *r = (const RunRecord *)m;
    char **class = ctx;
    int rc = OK;

    (void)key;
    if (r->numeric_class && *r->numeric_class) {
        *class = strdup(r->numeric_class);
        rc = *class ? 1 : err_set(e, E_NOMEM, "out of memory");
    }
    message_free(m);
    return rc;
}

/* The class a run would get: as pinned, else that of the last run here. */
static int expect_class(char **out, const Submit *m, struct state_txn *t, struct err *e)
{
    const char *pinned = m->pipeline->numeric_class;
    int rc = OK;

    if (pinned && *pinned && strcmp(pinned, "auto") != 0) {
        *out = strdup(pinned);
        return *out ? OK : err_set(e, E_NOMEM, "out of memory");
    }
    if (t)
        rc = state_each(t, STATE_RUN, (struct state_key){ .n = 0 }, true, &run_record__descriptor,
            last_class, out, e);
    return rc < OK ? rc : OK;
}

/* ---- showing ---- */

static int json_pair(struct buf *out, const char *before, const char *key, const char *value)
{
    int rc = buf_printf(out, "%s\"%s\": ", before, key);

    return rc == OK ? json_string(out, value, strlen(value)) : rc;
}

static int add_row(struct buf *out, bool json, const struct plan_job *j, const struct reason *why)
{
    int rc;

    if (!json)
        return buf_printf(out, "%-16s  %-13s %-6s  %s\n", j->name, j->kind,
            why->cached ? "cached" : "runs", why->text);
    rc = json_pair(out, out->p[out->n - 1] == '[' ? "{" : ", {", "name", j->name);
    if (rc == OK)
        rc = json_pair(out, ", ", "kind", j->kind);
    if (rc == OK)
        rc = buf_printf(out, ", \"cached\": %s", why->cached ? "true" : "false");
    if (rc == OK)
        rc = json_pair(out, ", ", "why", why->text);
    return rc == OK ? buf_printf(out, "}") : rc;
}

static int plan_all(struct buf *out, struct planning *x, bool json, struct err *e)
{
    int rc = OK;

    if (json)
        rc = json_pair(out, "{\"schema\": 1, ", "pipeline", x->plan->submit->pipeline->name);
    if (rc == OK && json)
        rc = buf_printf(out, ", \"jobs\": [");
    for (size_t i = 0; rc == OK && i < x->plan->n_jobs; i++) {
        struct reason why;
        rc = plan_one(x, i, &why, e);
        if (rc == OK && (rc = add_row(out, json, &x->plan->jobs[i], &why)) != OK)
            err_set(e, rc, "out of memory");
    }
    return rc == OK && json ? buf_printf(out, "]}\n") : rc;
}

static int plan(struct buf *out, const struct command_line *l, Submit *m, struct err *e)
{
    struct planning x = { 0 };
    struct plan *plan = NULL;
    struct state *state = NULL;
    struct err none = ERR_INIT;
    char *class = NULL;
    int rc = submission_take_inputs(m, l->home, e);

    if (rc == OK)
        rc = store_open(&x.store, l->home, true, e);
    if (rc == OK)
        rc = plan_make(&plan, m, e);
    if (rc == OK && state_open(&state, l->home, false, &none) == OK)
        rc = state_begin(&x.t, state, false, e);
    if (rc == OK)
        rc = expect_class(&class, m, x.t, e);
    if (rc == OK && !(x.answers = calloc(plan->n_jobs + 1, sizeof *x.answers)))
        rc = err_set(e, E_NOMEM, "out of memory");
    x.plan = plan;
    x.class = class;
    if (rc == OK)
        rc = plan_all(out, &x, l->json, e);
    for (size_t i = 0; x.answers && i < plan->n_jobs; i++)
        message_free(x.answers[i]);
    free(x.answers);
    free(class);
    state_abort(x.t);
    state_close(state);
    plan_free(plan);
    store_close(x.store);
    return rc;
}

int plan_command(struct command_line *l)
{
    struct option_texts settings = { .n = 0 };
    const struct option_row rows[] = { SUBMISSION_SET(&settings) };
    Submit *m = NULL;
    struct buf text = { 0 };
    struct err e = ERR_INIT;
    int exit_code = EXIT_DONE;

    if (!command_begin(l, rows, 1, 1, 1))
        return l->exit_code;
    if (submission_load(&m, l->args[0], &settings, NULL, &exit_code) != OK)
        return exit_code;
    int rc = plan(&text, l, m, &e);
    if (rc == OK)
        fputs(text.p, stdout);
    buf_free(&text);
    message_free(m);
    return rc == OK ? EXIT_DONE : complain(&e);
}
