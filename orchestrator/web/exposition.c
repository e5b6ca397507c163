#include "orchestrator/web/exposition.h"

#include <inttypes.h>
#include <string.h>

#include "orchestrator/stats.h"

static int head(struct buf *out, const char *name, const char *type, const char *help)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and line feed are escaped. Names from the wire are UTF-8. */
static int value(struct buf *out, const char *text)
{
    size_t n = strlen(text);
    int rc = buf_add(out, "\"", 1);

    for (size_t i = 0; i < n && rc == OK; i++) {
        if (text[i] == '\\' || text[i] == '"')
            rc = buf_printf(out, "\\%c", text[i]);
        else if (text[i] == '\n')
            rc = buf_printf(out, "\\n");
        else
            rc = buf_add(out, &text[i], 1);
    }
    return rc == OK ? buf_add(out, "\"", 1) : rc;
}

static int labelled(
    struct buf *out, const char *name, const char *label, const char *text, uint64_t n)
{
    int rc = buf_printf(out, "%s{%s=", name, label);

    if (rc == OK)
        rc = value(out, text);
    return rc == OK ? buf_printf(out, "} %" PRIu64 "\n", n) : rc;
}

static int one(struct buf *out, const char *name, const char *type, const char *help, uint64_t n)
{
    int rc = head(out, name, type, help);

    return rc == OK ? buf_printf(out, "%s %" PRIu64 "\n", name, n) : rc;
}

static int counts(struct buf *out, const char *name, const char *type, const char *help,
    const char *label, Count *const *items, size_t n)
{
    int rc = head(out, name, type, help);

    for (size_t i = 0; i < n && rc == OK; i++)
        rc = labelled(out, name, label, items[i]->name ? items[i]->name : "", items[i]->value);
    return rc;
}

static int dispatch(struct buf *out, const Stats *s)
{
    const char *name = "jielong_dispatch_seconds";
    uint64_t so_far = 0;
    int rc = head(
        out, name, "histogram", "How long a task that could be run has waited for its worker.");

    for (size_t i = 0; i < STATS_BUCKETS && rc == OK; i++) {
        so_far += i < s->n_dispatched ? s->dispatched[i] : 0;
        rc = buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
            (double)stats_bucket_ms[i] / 1000, so_far);
    }
    so_far += s->n_dispatched > STATS_BUCKETS ? s->dispatched[STATS_BUCKETS] : 0;
    return rc == OK ? buf_printf(out,
                          "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.3f\n%s_count %" PRIu64 "\n",
                          name, so_far, name, s->waited, name, so_far)
                    : rc;
}

static int workers_by_state(struct buf *out, const Stats *s)
{
    static const char *const states[] = { "idle", "busy", "suspect", "draining" };
    const char *name = "jielong_workers";
    int rc = head(out, name, "gauge", "Workers that are connected, by state.");

    for (size_t i = 0; i < sizeof states / sizeof *states && rc == OK; i++) {
        uint64_t n = 0;
        for (size_t k = 0; k < s->n_workers; k++)
            n += s->workers[k]->state && !strcmp(s->workers[k]->state, states[i]);
        rc = labelled(out, name, "state", states[i], n);
    }
    return rc;
}

static int executor_memory(struct buf *out, const Stats *s)
{
    const char *name = "jielong_executor_memory_bytes";
    int rc = head(out, name, "gauge", "Resident memory of a worker's executor.");

    for (size_t i = 0; i < s->n_workers && rc == OK; i++) {
        const WorkerStatus *w = s->workers[i];
        rc = buf_printf(out, "%s{worker=", name);
        if (rc == OK)
            rc = value(out, w->name ? w->name : "");
        if (rc == OK)
            rc = buf_printf(out, ",host=");
        if (rc == OK)
            rc = value(out, w->host ? w->host : "");
        if (rc == OK)
            rc = buf_printf(out, "} %" PRIu64 "\n", w->executor_memory);
    }
    return rc;
}

static uint64_t losses(const Stats *s)
{
    const char *words = retry_rule(CAUSE__LOST)->words;

    for (size_t i = 0; i < s->n_failed; i++)
        if (s->failed[i]->name && !strcmp(s->failed[i]->name, words))
            return s->failed[i]->value;
    return 0;
}

/* What is one number each. */
static int numbers(struct buf *out, const Stats *s)
{
    const struct {
        const char *name, *type, *help;
        uint64_t n;
    } rows[] = {
        { "jielong_epoch", "gauge", "How often an orchestrator was started in this home.",
            s->epoch },
        { "jielong_runs", "gauge", "Runs that are not over.", s->runs },
        { "jielong_answers_total", "counter", "Tasks that were answered.", s->answers },
        { "jielong_lease_losses_total", "counter",
            "Attempts whose worker fell silent or was started anew.", losses(s) },
        { "jielong_audits_agreed_total", "counter", "Tasks that were run twice with one result.",
            s->audits_agreed },
        { "jielong_audits_disagreed_total", "counter",
            "Tasks that were run twice with two results.", s->audits_disagreed },
        { "jielong_audits_missed_total", "counter", "Second runs that were given up.",
            s->audits_missed },
        { "jielong_chunk_received_bytes_total", "counter",
            "Bytes of chunks that workers elsewhere have given.", s->received_bytes },
        { "jielong_chunk_sent_bytes_total", "counter",
            "Bytes of chunks that workers elsewhere have taken.", s->sent_bytes },
        { "jielong_store_bytes", "gauge", "Size of the store's file.", s->store_bytes },
        { "jielong_store_free_bytes", "gauge", "Of them, free to be used again.",
            s->store_free_bytes },
    };
    int rc = OK;

    for (size_t i = 0; i < sizeof rows / sizeof *rows && rc == OK; i++)
        rc = one(out, rows[i].name, rows[i].type, rows[i].help, rows[i].n);
    return rc;
}

int exposition(struct buf *out, const Stats *s)
{
    int rc = one(out, "jielong_up", "gauge", "1: an orchestrator answers.", s != NULL);

    if (rc != OK || !s)
        return rc;
    rc = counts(out, "jielong_jobs", "gauge", "Jobs of runs that are not over, by state.", "state",
        s->jobs, s->n_jobs);
    if (rc == OK)
        rc = counts(out, "jielong_tasks", "gauge", "Tasks that are not answered, by state.",
            "state", s->tasks, s->n_tasks);
    if (rc == OK)
        rc = counts(out, "jielong_attempts_failed_total", "counter",
            "Attempts that failed, by cause.", "cause", s->failed, s->n_failed);
    if (rc == OK)
        rc = dispatch(out, s);
    if (rc == OK)
        rc = workers_by_state(out, s);
    if (rc == OK)
        rc = executor_memory(out, s);
    return rc == OK ? numbers(out, s) : rc;
}
