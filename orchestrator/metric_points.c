#include "orchestrator/metric_points.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "orchestrator/run_record.h"
#include "pipelines/plan.h"
#include "proto/clock.h"

#define REPLY_POINTS 2000
#define REPLY_BYTES (700u << 10)

static int job_index(uint64_t *out, const RunRecord *run, const char *job, struct err *e)
{
    struct plan *p = NULL;
    int rc = plan_make(&p, run->submit, e);
    size_t i = 0;

    while (rc == OK && i < p->n_jobs && strcmp(p->jobs[i].name, job ? job : "") != 0)
        i++;
    if (rc == OK && i == p->n_jobs)
        rc = err_set(e, E_MISSING, "run '%s' has no job '%s'", run->name, job ? job : "");
    plan_free(p);
    *out = i;
    return rc;
}

/* Takes the point's metrics. */
static int add_row(MetricsReply *r, MetricPoint *point, struct err *e)
{
    MetricRow **p = field_grow(r->points, r->n_points, sizeof *p, e), *row;
    char time[CLOCK_TEXT];

    if (!p)
        return e->code;
    r->points = p;
    row = malloc(sizeof *row);
    if (!row)
        return err_set(e, E_NOMEM, "out of memory");
    metric_row__init(row);
    p[r->n_points++] = row;
    row->has_step = true;
    row->step = point->step;
    row->n_metrics = point->n_metrics;
    row->metrics = point->metrics;
    point->n_metrics = 0;
    point->metrics = NULL;
    clock_iso(time, point->time_ms);
    return field_text(&row->time, time, e);
}

static size_t size_of(const MetricPoint *point)
{
    size_t n = 64;

    for (size_t i = 0; i < point->n_metrics; i++)
        n += 16 + strlen(point->metrics[i]->name);
    return n;
}

/* ---- which stay ---- */

uint64_t metric_stride(uint64_t n)
{
    uint64_t stride = 1;

    while ((n + stride - 1) / stride > METRIC_POINTS_MAX)
        stride *= 2;
    return stride;
}

int metric_points_thin(uint64_t number, int (*drop)(void *ctx, uint64_t number, struct err *e),
    void *ctx, struct err *e)
{
    uint64_t before = metric_stride(number), stride = metric_stride(number + 1);
    uint64_t last = number - 1;
    int rc = OK;

    if (number == 0)
        return OK;
    for (uint64_t i = before; before < stride && i < last && rc == OK; i += 2 * before)
        rc = drop(ctx, i, e);
    return rc == OK && last % stride > 0 ? drop(ctx, last, e) : rc;
}

/* ---- reading ---- */

static int take_number(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    uint64_t *n = ctx, number = 0;

    (void)e;
    for (int i = 16; i < 24 && i < key.n; i++)
        number = number << 8 | key.b[i];
    *n = number + 1;
    message_free(m);
    return 1;
}

int metric_points_told(uint64_t *n, struct state_txn *t, uint64_t run, uint64_t job, struct err *e)
{
    *n = 0;
    return state_each(t, STATE_METRIC, key_numbers(2, run, job, 0), true, &metric_point__descriptor,
        take_number, n, e);
}

/* The one from number `at` on. */
static uint64_t next_kept(uint64_t at, uint64_t n, uint64_t stride)
{
    uint64_t next = (at + stride - 1) / stride * stride;

    return next < n ? next : n - 1;
}

static int read_points(
    MetricsReply *r, struct state_txn *t, uint64_t run, uint64_t job, struct err *e)
{
    size_t bytes = 0;
    uint64_t n = 0;
    int rc = metric_points_told(&n, t, run, job, e);
    uint64_t stride = metric_stride(n);

    while (rc == OK && r->next < n && r->n_points < REPLY_POINTS && bytes < REPLY_BYTES) {
        uint64_t at = next_kept(r->next, n, stride);
        ProtobufCMessage *m = NULL;
        rc = state_get(
            t, STATE_METRIC, key_numbers(3, run, job, at), &metric_point__descriptor, &m, e);
        r->next = at + 1;
        if (rc != OK || !m) /* missing: from a time when another one was kept */
            continue;
        bytes += size_of((MetricPoint *)m);
        rc = add_row(r, (MetricPoint *)m, e);
        message_free(m);
    }
    return rc;
}

int metric_points_read(
    MetricsReply **out, struct state_txn *t, const MetricsRequest *q, struct err *e)
{
    MetricsReply *r = malloc(sizeof *r);
    RunRecord *run = NULL;
    uint64_t job = 0;
    int rc;

    if (!r)
        return err_set(e, E_NOMEM, "out of memory");
    metrics_reply__init(r);
    r->has_schema = r->has_next = true;
    r->next = q->after;
    rc = run_record_find(&run, t, q->run, e);
    if (rc == OK)
        rc = job_index(&job, run, q->job, e);
    if (rc == OK)
        rc = field_text(&r->run, run->name, e);
    if (rc == OK)
        rc = field_text(&r->job, q->job, e);
    if (rc == OK)
        rc = read_points(r, t, run->number, job, e);
    message_free(run);
    if (rc != OK) {
        message_free(r);
        return rc;
    }
    *out = r;
    return OK;
}
