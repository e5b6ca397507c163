#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/show.h"
#include "orchestrator/cli/view.h"
#include "orchestrator/field.h"
#include "proto/diag.h"
#include "proto/json.h"
#include "proto/utf8.h"

/* `jielong metrics RUN/JOB`: a row for each step of which something was told. */

#define COLUMNS_MAX 256
#define CELL 32

struct measuring {
    const struct command_line *l;
    const struct option_texts *wanted; /* n == 0: every metric */
    uint32_t tail;                     /* 0: all rows */
    bool tsv;
    MetricsReply *all;
    const char *names[COLUMNS_MAX]; /* of the columns, as they first came or were asked for */
    size_t n_names;
};

/* ---- reading ---- */

/* Moves the rows of a part behind those there are. */
static int append(MetricsReply *all, MetricsReply *part, struct err *e)
{
    for (size_t i = 0; i < part->n_points; i++) {
        MetricRow **p = field_grow(all->points, all->n_points, sizeof *p, e);
        if (!p) {
            memmove(part->points, part->points + i, (part->n_points - i) * sizeof *p);
            part->n_points -= i;
            return e->code;
        }
        all->points = p;
        p[all->n_points++] = part->points[i];
    }
    part->n_points = 0;
    return OK;
}

static int read_all(
    MetricsReply **out, struct view *v, const char *run, const char *job, struct err *e)
{
    MetricsRequest q = METRICS_REQUEST__INIT;
    MetricsReply *part = NULL;
    bool more = true;
    int rc = OK;

    q.run = (char *)(uintptr_t)run;
    q.job = (char *)(uintptr_t)job;
    q.has_after = true;
    while (rc == OK && more) {
        rc = view_metrics(&part, v, &q, e);
        if (rc != OK)
            break;
        more = part->n_points > 0;
        q.after = part->next;
        if (!*out) {
            *out = part;
            part = NULL;
        } else {
            rc = append(*out, part, e);
        }
        message_free(part);
        part = NULL;
    }
    return rc;
}

/* ---- one row for a step ---- */

static int by_step(const void *a, const void *b)
{
    const MetricRow *x = *(MetricRow *const *)a, *y = *(MetricRow *const *)b;

    if (x->step != y->step)
        return x->step < y->step ? -1 : 1;
    return strcmp(x->time, y->time); /* ISO-8601 */
}

/* A step may be told of twice: of its progress and at a segment's end, or again after a crash. */
static int merge_steps(MetricsReply *r, struct err *e)
{
    size_t n = 0;
    int rc = OK;

    if (r->n_points > 0)
        qsort(r->points, r->n_points, sizeof *r->points, by_step);
    for (size_t i = 0; i < r->n_points; i++) {
        MetricRow *row = r->points[i], *last = n > 0 ? r->points[n - 1] : NULL;
        if (!last || last->step != row->step) {
            r->points[n++] = row;
            continue;
        }
        if (rc == OK)
            rc = field_metrics(&last->metrics, &last->n_metrics, row->metrics, row->n_metrics, e);
        message_free(row);
    }
    r->n_points = n;
    return rc;
}

static const Metric *metric_of(const MetricRow *row, const char *name)
{
    for (size_t i = 0; i < row->n_metrics; i++)
        if (strcmp(row->metrics[i]->name, name) == 0)
            return row->metrics[i];
    return NULL;
}

static void collect_names(struct measuring *m)
{
    for (size_t i = 0; i < m->all->n_points; i++)
        for (size_t k = 0; k < m->all->points[i]->n_metrics; k++) {
            const char *name = m->all->points[i]->metrics[k]->name;
            size_t at = 0;
            while (at < m->n_names && strcmp(m->names[at], name) != 0)
                at++;
            if (at == m->n_names && at < COLUMNS_MAX)
                m->names[m->n_names++] = name;
        }
}

static int no_such_metric(const struct measuring *m, const char *name, struct err *e)
{
    const char *near = diag_nearest(name, m->names, m->n_names);

    if (near)
        return err_set(e, E_MISSING, "%s/%s has no metric '%s'\n  = help: did you mean '%s'?",
            m->all->run, m->all->job, name, near);
    return err_set(e, E_MISSING,
        "%s/%s has no metric '%s'\n  = help: without --metric all are shown", m->all->run,
        m->all->job, name);
}

/* Leaves of each row what is wanted, and of the rows those that have any. */
static void keep_wanted(struct measuring *m)
{
    MetricsReply *r = m->all;
    size_t rows = 0;

    for (size_t i = 0; i < r->n_points; i++) {
        MetricRow *row = r->points[i];
        size_t n = 0;
        for (size_t k = 0; k < row->n_metrics; k++) {
            Metric *x = row->metrics[k];
            size_t at = 0;
            while (at < m->wanted->n && strcmp(m->wanted->items[at], x->name) != 0)
                at++;
            if (at < m->wanted->n)
                row->metrics[n++] = x;
            else
                message_free(x);
        }
        row->n_metrics = n;
        if (n > 0)
            r->points[rows++] = row;
        else
            message_free(row);
    }
    r->n_points = rows;
}

static int choose(struct measuring *m, struct err *e)
{
    collect_names(m);
    if (m->wanted->n == 0 || m->n_names == 0)
        return OK;
    for (size_t i = 0; i < m->wanted->n; i++) {
        size_t at = 0;
        while (at < m->n_names && strcmp(m->names[at], m->wanted->items[i]) != 0)
            at++;
        if (at == m->n_names)
            return no_such_metric(m, m->wanted->items[i], e);
    }
    keep_wanted(m);
    memcpy(m->names, m->wanted->items, m->wanted->n * sizeof *m->names);
    m->n_names = m->wanted->n;
    return OK;
}

static void cut(struct measuring *m)
{
    MetricsReply *r = m->all;
    size_t gone = m->tail > 0 && r->n_points > m->tail ? r->n_points - m->tail : 0;

    for (size_t i = 0; i < gone; i++)
        message_free(r->points[i]);
    if (gone > 0)
        memmove(r->points, r->points + gone, (r->n_points - gone) * sizeof *r->points);
    r->n_points -= gone;
}

/* ---- what is printed ---- */

static int tsv(struct buf *out, const struct measuring *m)
{
    int rc = buf_printf(out, "step\ttime");

    for (size_t k = 0; k < m->n_names && rc == OK; k++) {
        rc = buf_printf(out, "\t");
        rc = rc == OK ? show_text(out, m->names[k]) : rc;
    }
    for (size_t i = 0; i < m->all->n_points && rc == OK; i++) {
        const MetricRow *row = m->all->points[i];
        rc = buf_printf(out, "\n%llu\t%s", (unsigned long long)row->step, row->time);
        for (size_t k = 0; k < m->n_names && rc == OK; k++) {
            const Metric *x = metric_of(row, m->names[k]);
            rc = x ? buf_printf(out, "\t%.10g", x->value) : buf_printf(out, "\t");
        }
    }
    return rc == OK ? buf_printf(out, "\n") : rc;
}

static void cell(char out[CELL], const MetricRow *row, const char *name)
{
    const Metric *x = metric_of(row, name);

    if (x)
        snprintf(out, CELL, "%.4g", x->value);
    else
        snprintf(out, CELL, "-");
}

static int width_of(const struct measuring *m, const char *name)
{
    int width = utf8_columns(name);
    char text[CELL];

    for (size_t i = 0; i < m->all->n_points; i++) {
        cell(text, m->all->points[i], name);
        width = (int)strlen(text) > width ? (int)strlen(text) : width;
    }
    return width;
}

static int step_width(const struct measuring *m)
{
    const MetricsReply *r = m->all; /* the last step is the greatest */
    int n = r->n_points > 0
                ? snprintf(NULL, 0, "%llu", (unsigned long long)r->points[r->n_points - 1]->step)
                : 0;

    return n > 4 ? n : 4;
}

/* As many columns as there is room for, at least one. */
static int table(struct buf *out, struct measuring *m, int columns)
{
    int widths[COLUMNS_MAX], used = step_width(m);
    size_t n = 0;
    int rc = buf_printf(out, "%*s", used, "STEP");

    while (n < m->n_names && rc == OK) {
        widths[n] = width_of(m, m->names[n]);
        used += 2 + widths[n];
        if (columns > 0 && used > columns && n > 0)
            break;
        rc = buf_printf(out, "%*s", 2 + widths[n] - utf8_columns(m->names[n]), "");
        rc = rc == OK ? show_text(out, m->names[n]) : rc;
        n++;
    }
    for (size_t i = 0; i < m->all->n_points && rc == OK; i++) {
        const MetricRow *row = m->all->points[i];
        rc = buf_printf(out, "\n%*llu", step_width(m), (unsigned long long)row->step);
        for (size_t k = 0; k < n && rc == OK; k++) {
            char text[CELL];
            cell(text, row, m->names[k]);
            rc = buf_printf(out, "  %*s", widths[k], text);
        }
    }
    m->n_names -= n;
    memmove(m->names, m->names + n, m->n_names * sizeof *m->names); /* what was left out */
    return rc == OK ? buf_printf(out, "\n") : rc;
}

static void tell_left_out(const struct measuring *m)
{
    if (m->n_names == 0)
        return;
    fprintf(stderr, "%zu more (--metric chooses, --tsv has all):", m->n_names);
    for (size_t i = 0; i < m->n_names; i++)
        fprintf(stderr, " %s", m->names[i]);
    fprintf(stderr, "\n");
}

static void tell_nothing(const struct measuring *m, const JobStatus *j)
{
    const char *why = strcmp(j->state, "done") != 0 ? " yet"
                      : j->cached                   ? ": its results were known, and the run that "
                                                      "computed them has them"
                                                    : "";

    fprintf(stderr, "%s/%s has no metrics%s\n", m->all->run, m->all->job, why);
}

static int print(struct measuring *m, const JobStatus *j, struct err *e)
{
    struct buf text = { 0 };
    int rc = OK;

    m->all->has_next = false;
    if (m->l->json)
        rc = json_message(&text, &m->all->base, true);
    else if (m->tsv)
        rc = tsv(&text, m);
    else if (m->all->n_points > 0)
        rc = table(&text, m, stdout_columns());
    if (rc != OK)
        err_set(e, rc, "out of memory");
    else if (text.n > 0 && printf("%s%s", text.p, m->l->json ? "\n" : "") < 0)
        rc = err_errno(e, "writing the metrics");
    if (rc == OK && m->all->n_points == 0)
        tell_nothing(m, j);
    else if (rc == OK && !m->l->json && !m->tsv)
        tell_left_out(m);
    buf_free(&text);
    return rc;
}

static int show_metrics(struct measuring *m, struct view *v, struct err *e)
{
    struct target t = { 0 };
    int rc = view_target(&t, v, m->l->args[0], e);

    if (rc == OK && !t.job)
        rc = err_set(e, E_MISSING,
            "%s is a run: which of its jobs?\n  = help: `jielong status %s%s` shows them",
            t.run->run, t.run->run, m->l->home_option);
    if (rc == OK)
        rc = read_all(&m->all, v, t.run->run, t.job->name, e);
    if (rc == OK)
        rc = merge_steps(m->all, e);
    if (rc == OK)
        rc = choose(m, e);
    if (rc == OK) {
        cut(m);
        rc = print(m, t.job, e);
    }
    message_free(m->all);
    message_free(t.run);
    return rc;
}

int metrics_command(struct command_line *l)
{
    struct option_texts wanted = { .n = 0 };
    struct measuring m = { .l = l, .wanted = &wanted };
    const char *connect = NULL;
    const struct option_row rows[] = {
        { "metric", 'm', OPTION_TEXTS, &wanted, "NAME", "this one only; may be repeated", 0, 0,
            NULL },
        { "tail", 'n', OPTION_COUNT, &m.tail, "N", "the last N rows (default: all)", 1, 1e9, NULL },
        { "tsv", 0, OPTION_FLAG, &m.tsv, NULL, "all columns, with tabs between them", 0, 0, NULL },
        { "connect", 0, OPTION_TEXT, &connect, "URL",
            "ask this orchestrator, rather than look at the home", 0, 0, NULL },
    };
    struct view *v = NULL;
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, sizeof rows / sizeof *rows, 1, 1))
        return l->exit_code;
    int rc = view_open(&v, l->home, connect, &e);
    if (rc == OK)
        rc = show_metrics(&m, v, &e);
    view_close(v);
    if (rc == E_IO && connect) {
        complain(&e);
        return EXIT_NO_ORCHESTRATOR;
    }
    return rc == OK ? EXIT_DONE : complain(&e);
}
