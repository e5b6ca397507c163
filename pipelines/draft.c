#include "pipelines/draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/fields.h"
#include "proto/diag.h"
#include "proto/yaml.h"

#define AXES_MAX 8
#define VALUE_MAX 64     /* bytes of a matrix value */
#define JOB_NAME_MAX 255 /* bytes */

void drafts_free(struct drafts *d)
{
    for (size_t i = 0; i < d->n; i++) {
        message_free(d->items[i].copy);
        free(d->items[i].name);
        free(d->items[i].choice);
        free(d->items[i].refs);
    }
    free(d->items);
    d->items = NULL;
    d->n = 0;
}

/* Keys in the message → path as in an axis's name: model.width. */
static void path_of(char *path, size_t size, const struct site *at)
{
    size_t used = 0;

    path[0] = '\0';
    for (size_t i = 0; i < SITE_KEYS && at->keys[i] && used < size; i++)
        used += (size_t)snprintf(path + used, size - used, "%s%s", i ? "." : "", at->keys[i]);
}

struct site draft_site(const struct draft *one, struct site at)
{
    char path[128];

    if (at.keys[0] && strcmp(at.keys[0], one->kind->name) == 0) { /* not written in the file */
        memmove(at.keys, at.keys + 1, (SITE_KEYS - 1) * sizeof *at.keys);
        at.keys[SITE_KEYS - 1] = NULL;
    }
    path_of(path, sizeof path, &at);
    for (size_t i = 0; i < one->origin->n_matrix; i++) {
        const MatrixAxis *axis = one->origin->matrix[i];
        if (strcmp(axis->name, path) != 0)
            continue;
        at = site_key(site_of(SITE_STAGE, one->stage, "matrix"), axis->name);
        return site_item(at, one->choice[i]);
    }
    return at;
}

/* ---- one matrix ---- */

static bool value_fits(const char *value)
{
    size_t n = strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-");

    return n > 0 && n <= VALUE_MAX && value[n] == '\0';
}

static bool twice(char *const *values, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(values[k], values[i]) == 0)
            return true;
    return false;
}

/* What does not depend on the kind's fields; those are known when a value is put in. */
static bool check_axis(struct drafts *d, uint32_t stage, size_t i)
{
    const Stage *s = d->submit->pipeline->stages[stage];
    const MatrixAxis *axis = s->matrix[i];
    struct site at = site_key(site_of(SITE_STAGE, stage, "matrix"), axis->name);
    size_t before = d->mistakes->n;

    for (size_t k = 0; k < i; k++) {
        at.of_key = true;
        if (strcmp(s->matrix[k]->name, axis->name) == 0)
            mistake_add(d->mistakes, &at, NULL, "'%s' is given twice", axis->name);
    }
    if (axis->n_values == 0)
        mistake_add(d->mistakes, &at, NULL, "'%s' has no values", axis->name);
    at.of_key = false;
    for (size_t k = 0; k < axis->n_values; k++) {
        struct site here = site_item(at, k);
        if (!value_fits(axis->values[k]))
            mistake_add(d->mistakes, &here, "letters, digits, '_', '-', '+' and '.' can",
                "'%s' cannot stand in a job's name", axis->values[k]);
        else if (twice(axis->values, k))
            mistake_add(d->mistakes, &here, NULL, "'%s' is given twice", axis->values[k]);
    }
    return d->mistakes->n == before;
}

/* Combinations; 0: a mistake was told. */
static size_t count(struct drafts *d, uint32_t stage)
{
    const Stage *s = d->submit->pipeline->stages[stage];
    struct site at = site_of(SITE_STAGE, stage, "matrix");
    size_t product = 1;

    for (size_t i = 0; i < s->n_matrix; i++) {
        size_t n = s->matrix[i]->n_values;
        if (i == AXES_MAX || n > JOBS_MAX || product * n + d->n > JOBS_MAX) {
            at.of_key = true;
            mistake_add(d->mistakes, &at, NULL, "this makes more than %d jobs", JOBS_MAX);
            return 0;
        }
        if (!check_axis(d, stage, i))
            return 0;
        product *= n;
    }
    return product;
}

/* Puts one value into the job's copy of its stage. */
static int apply(struct drafts *d, struct draft *one, size_t i, struct err *e)
{
    const MatrixAxis *axis = one->origin->matrix[i];
    const char *value = axis->values[one->choice[i]];
    ProtobufCMessage *m =
        strcmp(axis->name, "seed") == 0 ? &one->copy->base : stage_config(one->copy);
    struct site at = site_key(site_of(SITE_STAGE, one->stage, "matrix"), axis->name);
    struct err why = ERR_INIT;
    const char *what, *help;
    int rc = yaml_override(m, axis->name, value, &why);

    if (rc == OK)
        return OK;
    if (rc != E_INPUT)
        return err_set(e, rc, "%s", why.msg);
    what = refusal_what(why.msg, axis->name, value, &help);
    if (strncmp(what, "unknown key", strlen("unknown key")) == 0) { /* whatever the value */
        at.of_key = true;
        if (!help)
            help = "an axis is a field of the stage's kind, or 'seed'";
    } else {
        at = site_item(at, one->choice[i]);
    }
    mistake_add(d->mistakes, &at, help, "%s", what);
    return OK;
}

/* ---- jobs ---- */

static int name_job(struct drafts *d, struct draft *one, struct err *e)
{
    const Stage *s = one->origin;
    struct site at = site_of(SITE_STAGE, one->stage, "matrix");
    struct buf b = { 0 };
    int rc = buf_printf(&b, "%s%s", s->name, s->n_matrix ? "[" : "");

    for (size_t i = 0; i < s->n_matrix && rc == OK; i++)
        rc = buf_printf(&b, "%s%s=%s%s", i ? "," : "", s->matrix[i]->name,
            s->matrix[i]->values[one->choice[i]], i + 1 == s->n_matrix ? "]" : "");
    if (rc != OK) {
        buf_free(&b);
        return err_set(e, E_NOMEM, "out of memory");
    }
    at.of_key = true;
    if (s->n_matrix && b.n > JOB_NAME_MAX)
        mistake_add(
            d->mistakes, &at, NULL, "a job's name would be longer than %d bytes", JOB_NAME_MAX);
    one->name = b.p;
    return OK;
}

/* The job of combination `number`, the last axis counting fastest. */
static int add_job(struct drafts *d, uint32_t stage, size_t number, struct err *e)
{
    const Stage *s = d->submit->pipeline->stages[stage];
    struct draft *one = &d->items[d->n];
    int rc;

    *one = (struct draft){ .stage = stage, .origin = s, .kind = kind_of(s) };
    one->choice = calloc(s->n_matrix ? s->n_matrix : 1, sizeof *one->choice);
    if (!one->choice)
        return err_set(e, E_NOMEM, "out of memory");
    d->n++; /* from here on it is freed with the others */
    for (size_t i = s->n_matrix; i-- > 0; number /= s->matrix[i]->n_values)
        one->choice[i] = (uint32_t)(number % s->matrix[i]->n_values);
    rc = message_copy((ProtobufCMessage **)&one->copy, &s->base, e);
    if (rc == OK)
        rc = name_job(d, one, e);
    for (size_t i = 0; i < s->n_matrix && rc == OK; i++)
        rc = apply(d, one, i, e);
    if (rc == OK)
        message_fill_defaults(&one->copy->base);
    return rc;
}

int drafts_make(struct drafts *d, struct err *e)
{
    const Pipeline *p = d->submit->pipeline;
    int rc = OK;

    d->items = calloc(JOBS_MAX, sizeof *d->items);
    if (!d->items)
        return err_set(e, E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < p->n_stages && rc == OK; i++) {
        struct site at = site_of(SITE_STAGE, i, NULL);
        size_t n = kind_of(p->stages[i]) ? count(d, i) : 0;
        if (n + d->n > JOBS_MAX) {
            mistake_add(d->mistakes, &at, NULL, "this makes more than %d jobs", JOBS_MAX);
            break;
        }
        for (size_t k = 0; k < n && rc == OK; k++)
            rc = add_job(d, i, k, e);
    }
    return rc;
}
