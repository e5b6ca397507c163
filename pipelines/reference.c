#include "pipelines/draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/diag.h"

/* Names → indices. What a field may say:
 *
 *   corpus                   an input
 *   base                     a stage: its first output of what the field wants
 *   base.tokenizer           that output
 *   chat[kl_coef=0.01]       one job of a stage with a matrix; .output may follow
 *   chat                     all of its jobs, in a list only
 */

#define NAME_BYTES 512
#define HELP_BYTES 256
#define LISTED_MAX 8
#define REFERENCES_MAX 4096 /* in a whole pipeline */

/* One name that is being resolved. */
struct lookup {
    struct drafts *d;
    struct draft *one;
    const struct port *port; /* NULL: needs */
    const char *key;         /* of the field */
    bool list;               /* the field takes several */
    struct site at;
    char plain[NAME_BYTES]; /* without matrix values and output */
    char job[NAME_BYTES];   /* without the output */
    const char *output;     /* NULL: none is said */
};

static void take_apart(struct lookup *l, const char *text)
{
    size_t plain = strcspn(text, ".["), job = plain;
    const char *close = text[plain] == '[' ? strrchr(text, ']') : NULL;

    if (close)
        job = (size_t)(close - text) + 1;
    else if (text[plain] == '[')
        job = strlen(text);
    l->output = text[job] == '.' ? text + job + 1 : NULL;
    snprintf(l->job, NAME_BYTES, "%.*s", (int)(job < NAME_BYTES ? job : NAME_BYTES), text);
    snprintf(l->plain, NAME_BYTES, "%.*s", (int)(plain < NAME_BYTES ? plain : NAME_BYTES), text);
}

/* ---- what could have been meant ---- */

struct words {
    const char *items[2 * JOBS_MAX];
    size_t n;
};

/* All names that would do here. */
static void add_fitting(struct words *w, const struct lookup *l)
{
    const Pipeline *p = l->d->submit->pipeline;

    for (size_t i = 0; i < p->n_inputs && l->port && l->port->takes == CONTENT_FILES; i++)
        w->items[w->n++] = p->inputs[i]->name;
    for (size_t i = 0; i < l->d->n; i++) {
        const struct draft *job = &l->d->items[i];
        if (job->stage != l->one->stage && (!l->port || output_giving(job->kind, l->port->takes)))
            w->items[w->n++] = job->name;
    }
}

static void add_outputs(struct words *w, const struct kind *k)
{
    for (size_t i = 0; i < OUTPUTS_MAX && k->outputs[i].name; i++)
        w->items[w->n++] = k->outputs[i].name;
}

/* "did you mean 'x'?", or what there is, or "". */
static void suggest(char help[HELP_BYTES], const char *text, const struct words *w)
{
    const char *nearest = diag_nearest(text, w->items, w->n);
    size_t used = 0;

    help[0] = '\0';
    if (nearest) {
        snprintf(help, HELP_BYTES, "did you mean '%s'?", nearest);
        return;
    }
    for (size_t i = 0; i < w->n && i < LISTED_MAX && used < HELP_BYTES; i++)
        used += (size_t)snprintf(
            help + used, HELP_BYTES - used, "%s%s", i ? ", " : "one of: ", w->items[i]);
    if (w->n > LISTED_MAX && used < HELP_BYTES)
        snprintf(help + used, HELP_BYTES - used, ", …");
}

static void tell_fitting(const struct lookup *l, const char *what)
{
    struct words w = { .n = 0 };
    char help[HELP_BYTES];

    add_fitting(&w, l);
    suggest(help, l->job, &w);
    if (w.n == 0 && l->port)
        snprintf(help, HELP_BYTES, "no stage here gives %s", content_words(l->port->takes));
    mistake_add(l->d->mistakes, &l->at, help, "%s", what);
}

static void tell_unfit(const struct lookup *l, const char *name, enum content is)
{
    char what[2 * NAME_BYTES];

    snprintf(what, sizeof what, "'%s' is %s, but '%s' takes %s", name, content_words(is), l->key,
        content_words(l->port->takes));
    tell_fitting(l, what);
}

/* ---- resolving ---- */

static int add(const struct lookup *l, bool is_job, uint32_t source, const struct output *output,
    struct err *e)
{
    struct draft *one = l->one;
    struct reference *more;

    if (++l->d->n_refs > REFERENCES_MAX) {
        mistake_add(l->d->mistakes, &l->at, NULL, "more than %d names", REFERENCES_MAX);
        return OK;
    }
    if ((one->n_refs & (one->n_refs - 1)) == 0) { /* full at every power of two */
        more = realloc(one->refs, (one->n_refs ? 2 * one->n_refs : 1) * sizeof *more);
        if (!more)
            return err_set(e, E_NOMEM, "out of memory");
        one->refs = more;
    }
    one->refs[one->n_refs++] = (struct reference){ .port = l->port,
        .at = l->at,
        .is_job = is_job,
        .source = source,
        .output = output,
        .used = !l->port || port_used(one->copy, l->port) };
    return OK;
}

static int resolve_input(const struct lookup *l, uint32_t input, struct err *e)
{
    if (l->output)
        mistake_add(l->d->mistakes, &l->at, NULL, "'%s' is an input: it has no outputs", l->plain);
    else if (!l->port)
        mistake_add(
            l->d->mistakes, &l->at, NULL, "'%s' is an input: 'needs' names stages", l->plain);
    else if (l->port->takes != CONTENT_FILES)
        tell_unfit(l, l->plain, CONTENT_FILES);
    else
        return add(l, false, input, NULL, e);
    return OK;
}

static int resolve_job(const struct lookup *l, uint32_t job, struct err *e)
{
    const struct draft *source = &l->d->items[job];
    const struct output *o;
    struct words w = { .n = 0 };
    char help[HELP_BYTES], name[2 * NAME_BYTES];

    if (!l->port)
        return add(l, true, job, NULL, e);
    if (!l->output) {
        o = output_giving(source->kind, l->port->takes);
        if (o)
            return add(l, true, job, o, e);
        tell_unfit(l, source->name, source->kind->outputs[0].gives);
        return OK;
    }
    o = output_named(source->kind, l->output);
    snprintf(name, sizeof name, "%s.%s", source->name, l->output);
    if (o && o->gives == l->port->takes)
        return add(l, true, job, o, e);
    if (o) {
        tell_unfit(l, name, o->gives);
        return OK;
    }
    add_outputs(&w, source->kind);
    suggest(help, l->output, &w);
    mistake_add(l->d->mistakes, &l->at, help, "'%s' has no output '%s'", source->name, l->output);
    return OK;
}

/* The job of a stage with a matrix that is named, or all of them. */
static int resolve_matrix(const struct lookup *l, uint32_t stage, struct err *e)
{
    bool named = strchr(l->job, '[') != NULL, all = !named && (l->list || !l->port);
    struct words w = { .n = 0 };
    char help[HELP_BYTES];
    int rc = OK;

    for (uint32_t i = 0; i < l->d->n && rc == OK; i++) {
        if (l->d->items[i].stage != stage)
            continue;
        w.items[w.n++] = l->d->items[i].name;
        if (all)
            rc = resolve_job(l, i, e);
        else if (named && strcmp(l->d->items[i].name, l->job) == 0)
            return resolve_job(l, i, e);
    }
    if (all || w.n == 0 || rc != OK)
        return rc; /* a broken matrix makes no jobs, and was told */
    if (named) {
        suggest(help, l->job, &w);
        mistake_add(l->d->mistakes, &l->at, help, "stage '%s' has no job '%s'", l->plain, l->job);
    } else {
        snprintf(help, sizeof help, "name one of them: %s", w.items[0]);
        mistake_add(l->d->mistakes, &l->at, help, "'%s' is %zu jobs, by its matrix", l->plain, w.n);
    }
    return OK;
}

static int resolve_stage(const struct lookup *l, uint32_t stage, struct err *e)
{
    const Stage *s = l->d->submit->pipeline->stages[stage];

    if (l->output && !l->port) {
        mistake_add(l->d->mistakes, &l->at, NULL, "'needs' names stages, not their outputs");
        return OK;
    }
    if (stage == l->one->stage) {
        mistake_add(l->d->mistakes, &l->at, NULL, "'%s' cannot wait for itself", l->plain);
        return OK;
    }
    if (s->n_matrix > 0)
        return resolve_matrix(l, stage, e);
    if (strchr(l->job, '[')) {
        mistake_add(l->d->mistakes, &l->at, NULL, "stage '%s' has no matrix", l->plain);
        return OK;
    }
    for (uint32_t i = 0; i < l->d->n; i++)
        if (l->d->items[i].stage == stage)
            return resolve_job(l, i, e);
    return OK; /* of no kind, which was told */
}

static int resolve(struct lookup *l, const char *text, struct err *e)
{
    const Pipeline *p = l->d->submit->pipeline;
    char what[NAME_BYTES + 64];

    take_apart(l, text);
    for (uint32_t i = 0; i < p->n_inputs && l->plain[0]; i++)
        if (strcmp(p->inputs[i]->name, l->plain) == 0)
            return resolve_input(l, i, e);
    for (uint32_t i = 0; i < p->n_stages && l->plain[0]; i++)
        if (strcmp(p->stages[i]->name, l->plain) == 0)
            return resolve_stage(l, i, e);
    snprintf(what, sizeof what, "there is no %s '%s'",
        l->port && l->port->takes == CONTENT_FILES ? "input" : "stage", l->job);
    tell_fitting(l, what);
    return OK;
}

/* A stranger's message may name without end. */
static bool more_wanted(const struct drafts *d)
{
    return d->n_refs <= REFERENCES_MAX && !mistakes_full(d->mistakes);
}

static void tell_none(const struct lookup *l, struct site at)
{
    struct mistake *one;

    at.of_key = true;
    one = mistake_add(l->d->mistakes, &at, NULL, "'%s' must name at least one %s", l->key,
        l->port->takes == CONTENT_FILES ? "input" : "stage");
    if (one)
        one->reader = READER_TELLS_WRONG;
}

static int resolve_port(struct drafts *d, struct draft *one, const struct port *p, struct err *e)
{
    struct lookup l = { .d = d, .one = one, .port = p };
    struct site at = draft_site(one, site_key(site_of(SITE_STAGE, one->stage, p->field), p->inner));
    bool single;
    size_t n;
    char *const *names = port_names(&n, &single, stage_config(one->copy), p);
    int rc = OK;

    l.key = p->inner ? p->inner : p->field;
    l.list = !single;
    if (!single && n == 0 && !p->optional && port_used(one->copy, p))
        tell_none(&l, at);
    for (size_t i = 0; i < n && rc == OK && more_wanted(d); i++) {
        l.at = single || at.item >= 0 ? at : site_item(at, i);
        if (names[i][0] != '\0')
            rc = resolve(&l, names[i], e);
        else if (!single)
            mistake_add(d->mistakes, &l.at, NULL, "'%s' has an empty name", l.key);
        else if (!p->optional)
            mistake_empty(d->mistakes, &at, l.key);
    }
    return rc;
}

int draft_resolve(struct drafts *d, struct draft *one, struct err *e)
{
    struct lookup l = { .d = d, .one = one, .key = "needs", .list = true };
    const struct kind *k = one->kind;
    int rc = OK;

    for (const struct port *p = k->ports; p < k->ports + PORTS_MAX && p->name && rc == OK; p++)
        if (p->field)
            rc = resolve_port(d, one, p, e);
    for (size_t i = 0; i < one->copy->n_needs && rc == OK && more_wanted(d); i++) {
        l.at = site_item(site_of(SITE_STAGE, one->stage, "needs"), i);
        rc = resolve(&l, one->copy->needs[i], e);
    }
    return rc;
}

const struct reference *draft_reference(const struct draft *one, const char *port)
{
    for (size_t i = 0; i < one->n_refs; i++)
        if (one->refs[i].port && strcmp(one->refs[i].port->name, port) == 0)
            return &one->refs[i];
    return NULL;
}
