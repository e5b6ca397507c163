#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "pipelines/plan.h"
#include "proto/json.h"
#include "store/records.h"
#include "store/state.h"

int load_pipeline(Submit **out, const struct submission *s, int *exit_code)
{
    struct diags *d = diags_new();
    struct buf text = { 0 };
    struct err e = ERR_INIT;
    int rc = d ? pipeline_load(out, s->file, s->settings, s->n_settings, d, &e)
               : err_set(&e, E_NOMEM, "no memory");

    if (d && diags_count(d) > 0) {
        diags_print(d, &text);
        fputs(text.p ? text.p : "", stderr);
        fprintf(stderr, "error: %s: %zu mistake%s\n", s->file, diags_count(d), diags_count(d) == 1 ? "" : "s");
        *exit_code = EXIT_BAD_DATA;
    } else if (rc != OK) {
        *exit_code = complain(&e);
    }
    buf_free(&text);
    diags_free(d);
    return rc;
}

int take_inputs(Submit *m, const char *home, struct err *e)
{
    const Pipeline *p = m->pipeline;
    struct store *s = NULL;
    int rc = store_open(&s, home, true, e);

    m->inputs = rc == OK ? calloc(p->n_inputs + 1, sizeof *m->inputs) : NULL;
    if (rc == OK && !m->inputs)
        rc = err_set(e, E_NOMEM, "no memory");
    for (size_t i = 0; i < p->n_inputs && rc == OK; i++) {
        TakenInput *t = malloc(sizeof *t);
        if (!t) {
            rc = err_set(e, E_NOMEM, "no memory");
            break;
        }
        taken_input__init(t);
        t->name = strdup(p->inputs[i]->name);
        m->inputs[m->n_inputs++] = t;
        rc = files_take(&t->artifact, s, p->inputs[i]->path, (int)p->inputs[i]->split, e);
        if (rc != OK)
            err_wrap(e, "input '%s'", p->inputs[i]->name);
    }
    store_close(s);
    return rc;
}

static const struct option_rule file_rules[] = { { "set", true, take_setting } };

static int load_from_line(Submit **out, const struct command_line *l, const char *command, int *exit_code)
{
    static struct submission s;
    const char *file[1];

    if (parse_options(l, command, file_rules, 1, &s, file, 1) != 1) {
        *exit_code = l->n ? EXIT_USAGE : usage(command, "which pipeline file?");
        return E_INPUT;
    }
    s.file = file[0];
    return load_pipeline(out, &s, exit_code);
}

int validate_command(const struct command_line *l)
{
    Submit *m = NULL;
    int exit_code = EXIT_DONE;

    if (load_from_line(&m, l, "validate", &exit_code) != OK) {
        if (l->json)
            printf("{\"schema\": 1, \"valid\": false}\n");
        return exit_code;
    }
    if (l->json)
        printf("{\"schema\": 1, \"valid\": true, \"pipeline\": \"%s\", \"stages\": %zu}\n",
            m->pipeline->name, m->pipeline->n_stages);
    else
        printf("%s: %zu stages, %zu inputs: right\n", m->pipeline->name, m->pipeline->n_stages,
            m->pipeline->n_inputs);
    message_free(m);
    return EXIT_DONE;
}

/* ---- plan: what is cached is known as far as the inputs' ids are ---- */

struct planned {
    JobAnswer *answer; /* when the job is cached */
};

struct planning {
    const struct plan *plan;
    struct store *store;
    struct state_txn *t;  /* NULL: no state yet */
    const char *class;    /* of the last run, else NULL: not known */
    struct planned *jobs;
};

static const Output *bound(const struct planning *x, const struct binding *b)
{
    if (!b->output)
        return x->plan->submit->inputs[b->source]->artifact;
    const JobAnswer *a = x->jobs[b->source].answer;
    for (size_t i = 0; a && i < a->n_outputs; i++)
        if (strcmp(a->outputs[i]->name, b->output) == 0)
            return a->outputs[i];
    return NULL;
}

/* The job's inputs as slots; false: some are not known yet. Borrowed outputs under new names. */
static bool input_slots(const struct planning *x, const struct plan_job *j, Output *items,
    Output **pointers, char (*names)[80])
{
    for (size_t i = 0; i < j->n_bindings; i++) {
        const Output *o = bound(x, &j->bindings[i]);
        size_t same = 0, total = 0;
        if (!o)
            return false;
        for (size_t k = 0; k < j->n_bindings; k++) {
            bool equal = strcmp(j->bindings[k].port, j->bindings[i].port) == 0;
            same += equal && k < i;
            total += equal;
        }
        if (total > 1)
            snprintf(names[i], 80, "in.%s.%zu", j->bindings[i].port, same);
        else
            snprintf(names[i], 80, "in.%s", j->bindings[i].port);
        items[i] = *o;
        items[i].name = names[i];
        pointers[i] = &items[i];
    }
    return true;
}

static bool outputs_there(struct store *s, const JobAnswer *a)
{
    for (size_t i = 0; i < a->n_outputs; i++) {
        struct id id;
        if (!id_from_span(&id, a->outputs[i]->id.data, a->outputs[i]->id.len) || !store_has(s, &id))
            return false;
    }
    return true;
}

static int plan_one(struct planning *x, size_t i, const char **why, struct err *e)
{
    const struct plan_job *j = &x->plan->jobs[i];
    Output *items = calloc(j->n_bindings + 1, sizeof *items);
    Output **pointers = calloc(j->n_bindings + 1, sizeof *pointers);
    char (*names)[80] = calloc(j->n_bindings + 1, sizeof *names);
    ProtobufCMessage *m = NULL;
    struct id key;
    int rc = items && pointers && names ? OK : err_set(e, E_NOMEM, "no memory");

    *why = "runs: nothing like it has run here";
    if (rc == OK && !input_slots(x, j, items, pointers, names)) {
        *why = "runs: something before it runs";
    } else if (rc == OK && x->t && (x->class || !j->numeric)) {
        struct slots slots = { pointers, j->n_bindings };
        rc = job_key(&key, j, &slots, x->class ? x->class : "", e);
        if (rc == OK)
            rc = state_get(x->t, STATE_JOB_ANSWER, key_id(&key), &job_answer__descriptor, &m, e);
        if (rc == OK && m && outputs_there(x->store, (JobAnswer *)m)) {
            x->jobs[i].answer = (JobAnswer *)m;
            *why = "cached: the same configuration and inputs have run";
            m = NULL;
        } else if (rc == OK && m) {
            *why = "runs: its result is no longer in the store";
        }
    }
    message_free(m);
    free(items);
    free(pointers);
    free(names);
    return rc;
}

static int last_class(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    (void)key;
    (void)e;
    const RunRecord *r = (const RunRecord *)m;
    if (r->numeric_class && *r->numeric_class)
        *(char **)ctx = strdup(r->numeric_class);
    message_free(m);
    return *(char **)ctx ? 1 : 0;
}

static void print_row(const struct command_line *l, const struct plan_job *j, const char *why, bool first)
{
    bool cached = strncmp(why, "cached", 6) == 0;

    if (l->json)
        printf("%s{\"name\": \"%s\", \"kind\": \"%s\", \"cached\": %s, \"why\": \"%s\"}",
            first ? "" : ", ", j->name, j->kind, cached ? "true" : "false", strchr(why, ':') + 2);
    else
        printf("%-16s %-13s %-7s %s\n", j->name, j->kind, cached ? "cached" : "runs", strchr(why, ':') + 2);
}

static int plan_all(const struct command_line *l, Submit *m, struct err *e)
{
    struct planning x = { 0 };
    struct plan *plan = NULL;
    struct state *state = NULL;
    struct err none = ERR_INIT;
    char *class = NULL;
    int rc = take_inputs(m, l->home, e);

    if (rc == OK)
        rc = store_open(&x.store, l->home, true, e);
    if (rc == OK)
        rc = plan_make(&plan, m, e);
    if (rc == OK && state_open(&state, l->home, false, &none) == OK
        && state_begin(&x.t, state, false, &none) == OK)
        rc = state_each(x.t, STATE_RUN, (struct state_key){ .n = 0 }, true, &run_record__descriptor,
            last_class, &class, e);
    x.plan = plan;
    x.class = class;
    if (rc == OK && !(x.jobs = calloc(plan->n_jobs + 1, sizeof *x.jobs)))
        rc = err_set(e, E_NOMEM, "no memory");
    if (rc == OK && l->json)
        printf("{\"schema\": 1, \"pipeline\": \"%s\", \"jobs\": [", m->pipeline->name);
    for (size_t i = 0; rc == OK && i < plan->n_jobs; i++) {
        const char *why;
        rc = plan_one(&x, i, &why, e);
        if (rc == OK)
            print_row(l, &plan->jobs[i], why, i == 0);
    }
    if (rc == OK && l->json)
        printf("]}\n");
    for (size_t i = 0; x.jobs && i < plan->n_jobs; i++)
        message_free(x.jobs[i].answer);
    free(x.jobs);
    free(class);
    state_abort(x.t);
    state_close(state);
    plan_free(plan);
    store_close(x.store);
    return rc;
}

int plan_command(const struct command_line *l)
{
    Submit *m = NULL;
    struct err e = ERR_INIT;
    int exit_code = EXIT_DONE;

    if (load_from_line(&m, l, "plan", &exit_code) != OK)
        return exit_code;
    int rc = plan_all(l, m, &e);
    message_free(m);
    return rc == OK ? EXIT_DONE : complain(&e);
}
