#include "orchestrator/orchestrator.h"

#include <stdlib.h>

#include "orchestrator/runs.h"
#include "proto/log.h"

#define SWEEP_MS 1000

int orchestrator_open(struct orchestrator **out, const char *home, struct now now, struct err *e)
{
    struct orchestrator *o = calloc(1, sizeof *o);
    int rc = o ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = journal_open(&o->journal, home, e);
    if (rc == OK)
        rc = store_open(&o->store, home, true, e);
    if (rc == OK)
        rc = sweeper_new(&o->sweeper, o->store, e);
    if (rc == OK)
        rc = sched_new(&o->sched, journal_epoch(o->journal), e);
    if (rc == OK)
        rc = fleet_new(&o->fleet, e);
    if (rc == OK) {
        o->now = now;
        rc = runs_load(o, e);
    }
    if (rc == OK)
        rc = runs_pump(o, e);
    if (rc != OK) {
        orchestrator_close(o);
        return rc;
    }
    *out = o;
    return OK;
}

void orchestrator_close(struct orchestrator *o)
{
    if (!o)
        return;
    watchers_free(o);
    runs_free(o);
    fleet_free(o->fleet);
    sched_free(o->sched);
    sweeper_free(o->sweeper);
    store_close(o->store);
    journal_close(o->journal);
    outbox_free(&o->outbox);
    free(o->queue);
    free(o->actions);
    id_set_free(&o->left);
    free(o);
}

static receiver *const receivers[] = {
    [ENVELOPE__KIND_SUBMIT] = request_submit,
    [ENVELOPE__KIND_STATUS_REQUEST] = request_status,
    [ENVELOPE__KIND_LOGS_REQUEST] = request_logs,
    [ENVELOPE__KIND_METRICS_REQUEST] = request_metrics,
    [ENVELOPE__KIND_CONTROL] = request_control,
    [ENVELOPE__KIND_WORKERS_REQUEST] = request_workers,
    [ENVELOPE__KIND_LABELS] = request_labels,
    [ENVELOPE__KIND_PARCEL] = request_parcel,
    [ENVELOPE__KIND_SHUTDOWN] = request_shutdown,
    [ENVELOPE__KIND_STATS_REQUEST] = request_stats,
    [ENVELOPE__KIND_HELLO] = report_hello,
    [ENVELOPE__KIND_HEARTBEAT] = report_heartbeat,
    [ENVELOPE__KIND_PROGRESS] = report_progress,
    [ENVELOPE__KIND_LOG_LINES] = report_log_lines,
    [ENVELOPE__KIND_RESULT] = report_result,
    [ENVELOPE__KIND_GOODBYE] = report_goodbye,
};

int orchestrator_receive(struct orchestrator *o, const struct peer *from, const Envelope *m,
    struct now now, struct err *e)
{
    size_t kind = (size_t)m->kind_case;

    o->now = now;
    if (kind < sizeof receivers / sizeof *receivers && receivers[kind])
        return receivers[kind](o, from, m, e);
    outbox_notice(&o->outbox, LOG_WARN, "ignored a message that nobody sends to an orchestrator");
    return OK;
}

int orchestrator_tick(struct orchestrator *o, struct now now, struct err *e)
{
    struct event ev = { .kind = EV_TICK };
    int rc;

    o->now = now;
    rc = runs_event(o, &ev, e);
    if (rc == OK)
        rc = watchers_tick(o, e);
    if (rc != OK || (o->swept_ms > 0 && now.ms - o->swept_ms < SWEEP_MS))
        return rc;
    o->swept_ms = now.ms;
    return progress_sweep(o, e);
}

int orchestrator_commit(struct orchestrator *o, struct err *e)
{
    int rc = runs_flush(o, e);

    if (rc == OK)
        rc = journal_commit(o->journal, o->now.ms, e);
    if (rc == OK && !journal_waits(o->journal))
        chains_sweep(o);
    return rc;
}

struct outbox *orchestrator_outbox(struct orchestrator *o)
{
    return &o->outbox;
}

int64_t orchestrator_wait_ms(const struct orchestrator *o, int64_t now_ms)
{
    int64_t wait = sched_wait_ms(o->sched, now_ms);
    int64_t most = journal_waits(o->journal) ? SOFT_MS : SWEEP_MS;

    return wait < 0 || wait > most ? most : wait;
}

void orchestrator_serves(
    struct orchestrator *o, unsigned bulk_port, const struct bulk_traffic *traffic)
{
    o->traffic = traffic;
    o->bulk_port = bulk_port;
}

struct store *orchestrator_store(const struct orchestrator *o)
{
    return o->store;
}

bool orchestrator_stopped(const struct orchestrator *o)
{
    return o->stop;
}

const struct sched *orchestrator_sched(const struct orchestrator *o)
{
    return o->sched;
}
