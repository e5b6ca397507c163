#include "pipelines/expand.h"

#include <stdlib.h>
#include <string.h>

#include "pipelines/draft.h"
#include "proto/utf8.h"

/* Drafts, when nothing is wrong with them, → plan. */
struct build {
    struct drafts *d;
    const uint32_t *order; /* position in the plan → draft */
    uint32_t *position;    /* draft → position in the plan */
    struct plan *plan;
};

/* What each job's model goes back to. */
static void follow(struct drafts *d, const uint32_t *order)
{
    for (size_t i = 0; i < d->n; i++) {
        struct draft *one = &d->items[order[i]];
        const struct reference *init = draft_reference(one, "init");
        one->init = init ? &d->items[init->source] : NULL;
        if (one->kind->number == STAGE__KIND_PRETRAIN)
            one->base = one;
        else if (one->init)
            one->base = one->init->base;
    }
}

/* ---- bindings ---- */

static int bind(struct build *b, struct plan_job *job, const char *port, const struct reference *r,
    struct err *e)
{
    struct binding *more = realloc(job->bindings, (job->n_bindings + 1) * sizeof *more);

    if (!more)
        return err_set(e, E_NOMEM, "out of memory");
    job->bindings = more;
    more[job->n_bindings++] = (struct binding){ .port = port,
        .output = r->is_job ? r->output->name : NULL,
        .source = r->is_job ? b->position[r->source] : r->source,
        .name = r->is_job ? b->d->items[r->source].name
                          : b->d->submit->pipeline->inputs[r->source]->name };
    return OK;
}

static int bind_tokenizer(
    struct build *b, struct plan_job *job, const struct draft *one, const char *port, struct err *e)
{
    struct reference r = *draft_reference(one, "init");

    r.output = output_giving(b->d->items[r.source].kind, CONTENT_TOKENIZER);
    return bind(b, job, port, &r, e);
}

static int bind_port(struct build *b, struct plan_job *job, const struct draft *one,
    const struct port *port, struct err *e)
{
    int rc = OK;

    if (!port_used(one->copy, port))
        return OK;
    if (!port->field)
        return bind_tokenizer(b, job, one, port->name, e);
    while (one && port->inherits && !draft_reference(one, port->name))
        one = one->init;
    for (size_t i = 0; one && i < one->n_refs && rc == OK; i++)
        if (one->refs[i].port && strcmp(one->refs[i].port->name, port->name) == 0)
            rc = bind(b, job, port->name, &one->refs[i], e);
    return rc;
}

/* ---- jobs ---- */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static int wait_for(struct build *b, struct plan_job *job, const struct draft *one, struct err *e)
{
    size_t n = 0, kept = 0;
    uint32_t *after = calloc(one->n_refs + 1, sizeof *after);

    if (!after)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < one->n_refs; i++)
        if (one->refs[i].used && one->refs[i].is_job)
            after[n++] = b->position[one->refs[i].source];
    qsort(after, n, sizeof *after, by_number);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || after[kept - 1] != after[i])
            after[kept++] = after[i];
    job->after = after;
    job->n_after = kept;
    return OK;
}

static const Rubric *rubric_of(const Submit *s, const Stage *stage)
{
    const char *path = stage_rubric(stage);

    for (size_t i = 0; path && i < s->n_rubrics; i++)
        if (s->rubrics[i]->path && strcmp(s->rubrics[i]->path, path) == 0)
            return s->rubrics[i]->rubric;
    return NULL;
}

/* The text is encoded as the pretrain stage did: the very same tasks, answered already. A model
 * from elsewhere has had none: then as such a stage would by default. */
static void set_text(struct plan_job *job, const struct draft *one)
{
    const PretrainStage plain = PRETRAIN_STAGE__INIT, *base = NULL;
    const struct draft *root = one;

    while (root->init)
        root = root->init;
    if (one->base)
        base = one->base->copy->pretrain;
    else if (root->kind->number == STAGE__KIND_IMPORT)
        base = &plain;

    for (size_t i = 0; base && i < job->n_bindings; i++) {
        if (strcmp(job->bindings[i].port, "text") != 0)
            continue;
        job->text_shards = base->encode_shards;
        job->text_held_out = base->held_out;
    }
}

static int build_job(struct build *b, size_t position, struct err *e)
{
    const Submit *s = b->d->submit;
    struct plan_job *job = &b->plan->jobs[position];
    struct draft *one = &b->d->items[b->order[position]];
    const struct kind *k = one->kind;
    int rc = OK;

    *job = (struct plan_job){ .kind = k->name,
        .numeric = k->numeric,
        .seed = one->copy->has_seed ? one->copy->seed : s->pipeline->seed,
        .audit = one->copy->has_audit ? one->copy->audit : s->pipeline->audit,
        .rubric = rubric_of(s, one->copy) };
    b->plan->n_jobs++;
    for (const struct port *p = k->ports; p < k->ports + PORTS_MAX && p->name && rc == OK; p++)
        rc = bind_port(b, job, one, p, e);
    if (rc == OK)
        rc = wait_for(b, job, one, e);
    set_text(job, one);
    return rc;
}

/* Names and stages change hands last: until then drafts are read. */
static void take_drafts(struct build *b)
{
    for (size_t i = 0; i < b->d->n; i++) {
        struct draft *one = &b->d->items[b->order[i]];
        b->plan->jobs[i].name = one->name;
        b->plan->jobs[i].stage = one->copy;
        one->name = NULL;
        one->copy = NULL;
    }
}

static int build_plan(struct plan **out, struct drafts *d, const uint32_t *order, struct err *e)
{
    struct build b = { .d = d, .order = order };
    int rc = OK;

    b.position = calloc(d->n, sizeof *b.position);
    b.plan = calloc(1, sizeof *b.plan);
    if (b.plan)
        b.plan->jobs = calloc(d->n, sizeof *b.plan->jobs);
    if (!b.position || !b.plan || !b.plan->jobs)
        rc = err_set(e, E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < d->n && rc == OK; i++)
        b.position[order[i]] = i;
    for (size_t i = 0; i < d->n && rc == OK; i++)
        rc = build_job(&b, i, e);
    if (rc == OK) {
        b.plan->submit = d->submit;
        take_drafts(&b);
        *out = b.plan;
        b.plan = NULL;
    }
    plan_free(b.plan);
    free(b.position);
    return rc;
}

static int expand(struct plan **out, struct drafts *d, struct err *e)
{
    uint32_t *order = NULL;
    int rc = drafts_make(d, e);

    for (size_t i = 0; i < d->n && rc == OK; i++) {
        check_draft(d, &d->items[i]);
        rc = draft_resolve(d, &d->items[i], e);
    }
    if (rc == OK) {
        order = calloc(d->n + 1, sizeof *order);
        rc = order ? drafts_order(d, order, e) : err_set(e, E_NOMEM, "out of memory");
    }
    if (rc == OK)
        follow(d, order);
    for (size_t i = 0; i < d->n && rc == OK; i++)
        check_agreement(d, &d->items[i]);
    if (rc == OK && d->mistakes->n == 0 && !d->mistakes->no_memory)
        rc = build_plan(out, d, order, e);
    free(order);
    return rc;
}

int plan_expand(struct plan **out, const Submit *submit, struct mistakes *m, struct err *e)
{
    struct drafts d = { .submit = submit, .mistakes = m };
    int rc = OK;

    *out = NULL;
    if (check_pipeline(submit, m))
        rc = expand(out, &d, e);
    if (rc == OK && m->no_memory)
        rc = err_set(e, E_NOMEM, "out of memory");
    drafts_free(&d);
    return rc;
}

/* "stage 'chat': 'kl_coef' must be at least 0, not -1; below 0 …" */
static int refuse(const Submit *s, const struct mistake *one, struct err *e)
{
    const char *name = "", *what = "pipeline";

    switch (one->at.list) {
    case SITE_PIPELINE:
        name = s->pipeline ? s->pipeline->name : "";
        break;
    case SITE_INPUT:
        what = "input";
        name = s->pipeline->inputs[one->at.index]->name;
        break;
    case SITE_STAGE:
        what = "stage";
        name = s->pipeline->stages[one->at.index]->name;
        break;
    }
    return err_set(e, E_INPUT, "%s '%.*s': %s%s%s", what, (int)utf8_fit(name, 64), name, one->what,
        one->help ? "; " : "", one->help ? one->help : "");
}

int plan_make(struct plan **out, const Submit *submit, struct err *e)
{
    struct mistakes m = { 0 };
    struct plan *p = NULL;
    int rc = plan_expand(&p, submit, &m, e);

    if (rc == OK && !p)
        rc = refuse(submit, &m.items[0], e);
    if (rc == OK)
        *out = p;
    mistakes_free(&m);
    return rc;
}

void plan_free(struct plan *p)
{
    for (size_t i = 0; p && i < p->n_jobs; i++) {
        struct plan_job *job = &p->jobs[i];
        message_free((void *)(uintptr_t)job->stage);
        free((void *)(uintptr_t)job->name);
        free(job->bindings);
        free(job->after);
    }
    if (p)
        free(p->jobs);
    free(p);
}
