#include "orchestrator/stats.h"

#include <stdlib.h>

#include "orchestrator/field.h"
#include "orchestrator/reply.h"
#include "orchestrator/runs.h"

const int64_t stats_bucket_ms[STATS_BUCKETS] = { 1, 5, 25, 100, 500, 2500, 10000, 60000, 600000 };

void stats_dispatched(struct stats *s, int64_t waited_ms)
{
    size_t i = 0;

    while (i < STATS_BUCKETS && waited_ms > stats_bucket_ms[i])
        i++;
    s->dispatched[i]++;
    s->waited_ms += waited_ms > 0 ? (uint64_t)waited_ms : 0;
}

/* ---- the reply ---- */

static int add_count(Count ***items, size_t *n, const char *name, uint64_t value, struct err *e)
{
    Count **p = field_grow(*items, *n, sizeof *p, e), *c = p ? malloc(sizeof *c) : NULL;

    if (p)
        *items = p;
    if (!c)
        return err_set(e, E_NOMEM, "out of memory");
    count__init(c);
    p[(*n)++] = c;
    c->has_value = true;
    c->value = value;
    return field_text(&c->name, name, e);
}

static int count_jobs(Stats *m, const struct orchestrator *o, struct err *e)
{
    uint64_t jobs[JOB_STATES] = { 0 };
    int rc = OK;

    m->has_runs = true;
    for (const struct run_book *r = o->books; r; r = r->next) {
        m->runs++;
        for (size_t i = 0; i < r->plan->n_jobs; i++)
            jobs[r->jobs[i].job->state]++;
    }
    for (int i = 0; i < JOB_STATES && rc == OK; i++)
        rc = add_count(&m->jobs, &m->n_jobs, job_state_name((enum job_state)i), jobs[i], e);
    return rc;
}

static int count_tasks(Stats *m, const struct orchestrator *o, struct err *e)
{
    static const enum task_state open[] = { TASK_READY, TASK_LEASED, TASK_BACKING_OFF };
    uint64_t tasks[TASK_STATES] = { 0 };
    int rc = OK;

    for (const struct task *t = sched_tasks(o->sched); t; t = t->next)
        tasks[t->state]++;
    for (size_t i = 0; i < sizeof open / sizeof *open && rc == OK; i++)
        rc = add_count(&m->tasks, &m->n_tasks, task_state_name(open[i]), tasks[open[i]], e);
    return rc;
}

static int count_failures(Stats *m, const struct stats *s, struct err *e)
{
    int rc = OK;

    for (int c = CAUSE__BAD_INPUT; c <= CAUSE__TOO_LARGE && rc == OK; c++)
        rc = add_count(&m->failed, &m->n_failed, retry_rule((Cause)c)->words, s->failed[c], e);
    return rc;
}

static int copy_dispatch(Stats *m, const struct stats *s, struct err *e)
{
    m->dispatched = malloc(sizeof s->dispatched);
    if (!m->dispatched)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i <= STATS_BUCKETS; i++)
        m->dispatched[m->n_dispatched++] = s->dispatched[i];
    m->has_waited = true;
    m->waited = (double)s->waited_ms / 1000;
    return OK;
}

static void copy_numbers(Stats *m, const struct orchestrator *o)
{
    const struct stats *s = &o->stats;

    m->has_answers = m->has_epoch = true;
    m->answers = s->answers;
    m->epoch = journal_epoch(o->journal);
    m->has_audits_agreed = m->has_audits_disagreed = m->has_audits_missed = true;
    m->audits_agreed = s->audits_agreed;
    m->audits_disagreed = s->audits_disagreed;
    m->audits_missed = s->audits_missed;
    m->has_received_bytes = m->has_sent_bytes = o->traffic != NULL;
    if (o->traffic) {
        m->received_bytes = atomic_load(&o->traffic->received);
        m->sent_bytes = atomic_load(&o->traffic->sent);
    }
}

static int fill(Stats *m, struct orchestrator *o, struct err *e)
{
    int rc = count_jobs(m, o, e);

    if (rc == OK)
        rc = count_tasks(m, o, e);
    if (rc == OK)
        rc = count_failures(m, &o->stats, e);
    if (rc == OK)
        rc = copy_dispatch(m, &o->stats, e);
    if (rc == OK)
        rc = store_size(o->store, &m->store_bytes, &m->store_free_bytes, e);
    m->has_store_bytes = m->has_store_free_bytes = rc == OK;
    copy_numbers(m, o);
    return rc == OK ? request_list_workers(&m->workers, &m->n_workers, o, e) : rc;
}

int request_stats(struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    Stats *reply = malloc(sizeof *reply);
    int rc;

    if (!reply)
        return err_set(e, E_NOMEM, "out of memory");
    stats__init(reply);
    rc = fill(reply, o, e);
    if (rc != OK) {
        message_free(reply);
        return rc;
    }
    return outbox_put(&o->outbox, from, m->request, ENVELOPE__KIND_STATS, reply, e);
}
