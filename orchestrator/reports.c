#include "orchestrator/runs.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "orchestrator/reply.h"
#include "proto/log.h"
#include "proto/task.h"

/* What workers say. A peer without a session is asked for its Hello, and what it said is dropped:
 * it will say it again. */

static int challenge(struct orchestrator *o, const struct peer *to, struct err *e)
{
    Challenge *m = malloc(sizeof *m);

    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    challenge__init(m);
    return outbox_put(&o->outbox, to, 0, ENVELOPE__KIND_CHALLENGE, m, e);
}

static bool ref_of(struct ref *out, const AttemptRef *a)
{
    if (!a || !id_from_span(&out->task, a->task.data, a->task.len))
        return false;
    out->attempt = a->attempt;
    out->epoch = a->epoch;
    return true;
}

static bool same_ref(const struct ref *a, const struct ref *b)
{
    return id_equal(&a->task, &b->task) && a->attempt == b->attempt && a->epoch == b->epoch;
}

/* The task that this session holds by exactly this attempt; NULL: stale. */
static struct task *held(
    const struct orchestrator *o, const struct session *s, const struct ref *ref)
{
    struct task *t = sched_task(o->sched, &ref->task);

    return t && t->state == TASK_LEASED && t->holder == s->worker && same_ref(&t->lease, ref)
               ? t
               : NULL;
}

/* ---- results ---- */

#define ACKS_MAX 4000 /* in one letter */

/* Into the letter that this turn has for the session already. */
static int acknowledge(
    struct orchestrator *o, struct session *s, const AttemptRef *ref, struct err *e)
{
    Envelope *open = outbox_open(&o->outbox, &s->ack);
    ResultAck *m = open ? open->result_ack : malloc(sizeof *m);
    AttemptRef **p;
    int rc;

    if (m && !open)
        result_ack__init(m);
    p = m ? field_grow(m->attempts, m->n_attempts, sizeof *p, e) : NULL;
    if (p)
        m->attempts = p;
    rc = p ? message_copy((ProtobufCMessage **)&p[m->n_attempts], &ref->base, e)
           : err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        m->n_attempts++;
    if (rc != OK && !open)
        message_free(m);
    if (rc != OK || (open && m->n_attempts < ACKS_MAX))
        return rc;
    if (!open)
        rc = outbox_put(&o->outbox, &s->peer, 0, ENVELOPE__KIND_RESULT_ACK, m, e);
    s->ack = open ? (struct open_letter){ 0 } : outbox_last(&o->outbox);
    return rc;
}

/* Of which only the ids count: what it makes has been made before, and may have left the store. */
static bool is_audit(const struct orchestrator *o, const struct ref *ref)
{
    const struct task *t = sched_task(o->sched, &ref->task);

    return t && t->waiters[0].audit;
}

static bool outputs_stored(const struct orchestrator *o, const TaskAnswer *a)
{
    struct id id;

    for (size_t i = 0; i < a->n_outputs; i++)
        if (!a->outputs[i]->name ||
            !id_from_span(&id, a->outputs[i]->id.data, a->outputs[i]->id.len) ||
            !store_has(o->store, &id))
            return false;
    return true;
}

/* A task whose input was damaged and taken away cannot be tried again in this run: the next one
 * makes the input anew. False: its inputs are there. */
static bool input_is_gone(struct buf *out, const struct orchestrator *o, const struct ref *ref)
{
    const struct task *t = sched_task(o->sched, &ref->task);
    struct id id;

    for (size_t i = 0; t && t->spec && i < t->spec->n_inputs; i++) {
        const TaskInput *in = t->spec->inputs[i];
        char hex[ID_HEX];
        if (!id_from_span(&id, in->id.data, in->id.len) || store_has(o->store, &id))
            continue;
        id_hex(hex, &id);
        return buf_printf(out,
                   "its input '%s' (artifact %.12s) was damaged in the store and is gone: the same "
                   "pipeline, run again, makes it anew",
                   in->name ? in->name : "", hex) == OK;
    }
    return false;
}

static int take_result(struct orchestrator *o, struct session *s, const Result *r, struct err *e)
{
    static char absent[] = "its result is not in the store";
    Failure failure = FAILURE__INIT;
    Result refused = RESULT__INIT;
    struct event ev = { .kind = EV_ANSWER, .worker = s->worker };
    struct buf gone = { 0 };
    int rc;

    if (!ref_of(&ev.ref, r->attempt) || r->kind_case == RESULT__KIND__NOT_SET)
        return OK;
    o->result = r;
    o->from = s;
    if (r->kind_case == RESULT__KIND_ANSWER && !is_audit(o, &ev.ref) &&
        !outputs_stored(o, r->answer)) {
        failure.cause = CAUSE__IO;
        failure.message = absent;
        refused.kind_case = RESULT__KIND_FAILURE;
        refused.failure = &failure;
        o->result = &refused;
    }
    if (o->result->kind_case == RESULT__KIND_FAILURE && o->result->failure->cause == CAUSE__IO &&
        input_is_gone(&gone, o, &ev.ref)) {
        failure.cause = CAUSE__BAD_INPUT;
        failure.message = gone.p;
        refused.kind_case = RESULT__KIND_FAILURE;
        refused.failure = &failure;
        o->result = &refused;
    }
    if (o->result->kind_case == RESULT__KIND_FAILURE) {
        Cause c = o->result->failure->cause;
        ev.kind = EV_FAILURE;
        ev.cause = retry_workers_cause(c) ? c : CAUSE__CRASH;
    }
    rc = runs_event(o, &ev, e);
    buf_free(&gone);
    o->result = NULL;
    o->from = NULL;
    return rc == OK ? acknowledge(o, s, r->attempt, e) : rc;
}

int report_result(struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    struct session *s = fleet_by_peer(o->fleet, from);

    return s ? take_result(o, s, m->result, e) : challenge(o, from, e);
}

/* ---- sessions ---- */

static int end_session(
    struct orchestrator *o, struct session *s, Cause cause, const char *how, struct err *e)
{
    struct event ev = { .kind = EV_GONE, .worker = s->worker, .cause = cause };
    int rc = runs_event(o, &ev, e);

    outbox_tell(&o->outbox, LOG_INFO, &(struct log_about){ .worker = s->name },
        "worker %s on %s: %s", s->name, s->host, how);
    fleet_leave(o->fleet, s);
    return rc;
}

static int welcome(struct orchestrator *o, const struct session *s, struct err *e)
{
    Welcome *m = malloc(sizeof *m);
    struct id store;

    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    welcome__init(m);
    store_uuid(o->store, &store);
    if (field_bytes(&m->store, &store, e) != OK) {
        message_free(m);
        return e->code;
    }
    m->has_store = m->has_bulk_port = true;
    m->bulk_port = o->bulk_port;
    m->has_epoch = m->has_heartbeat_ms = m->has_deadline_ms = true;
    m->epoch = journal_epoch(o->journal);
    m->heartbeat_ms = HEARTBEAT_MS;
    m->deadline_ms = DEADLINE_MS;
    return outbox_put(&o->outbox, &s->peer, 0, ENVELOPE__KIND_WELCOME, m, e);
}

/* Why this worker cannot be one of ours; NULL: it can. */
static const char *unfit(const struct orchestrator *o, const Hello *h)
{
    struct id store;

    if (!h->worker || !*h->worker)
        return "a worker must say its id";
    if (h->has_engine && h->engine != ENGINE_VERSION)
        return "this worker's engine is of another version than the orchestrator's";
    store_uuid(o->store, &store);
    if (o->bulk_port == 0 && h->has_store && h->store.len > 0 &&
        (h->store.len != sizeof store.b || memcmp(h->store.data, store.b, sizeof store.b)))
        return "this worker has another store than the orchestrator, which listens on no tcp port "
               "(--listen): they must share a home";
    return NULL;
}

static int find_session(struct session **out, struct orchestrator *o, const struct peer *from,
    const Hello *h, struct err *e)
{
    struct session *s = fleet_by_id(o->fleet, h->worker), *other = fleet_by_peer(o->fleet, from);
    int rc = OK;

    if (other && other != s)
        rc = end_session(o, other, CAUSE__LOST, "came back under another id", e);
    if (rc == OK && s) {
        s->peer = *from;
        *out = s;
        return OK;
    }
    other = h->name && *h->name ? fleet_by_name(o->fleet, h->host ? h->host : "", h->name) : NULL;
    if (rc == OK && other)
        rc = end_session(o, other, CAUSE__LOST, "was started anew", e);
    if (rc == OK)
        rc = fleet_join(out, o->fleet, o->sched, from, h, o->now.ms, e);
    if (rc == OK)
        outbox_tell(&o->outbox, LOG_INFO, &(struct log_about){ .worker = (*out)->name },
            "worker %s on %s: joins with %u cores, %s", (*out)->name, (*out)->host, (*out)->cores,
            (*out)->n_classes ? (*out)->classes[0] : "no numeric class");
    return rc;
}

static int take_running(
    struct orchestrator *o, struct session *s, const struct ref *ref, struct err *e)
{
    struct event ev = { .kind = EV_RUNNING, .worker = s->worker, .ref = *ref };
    bool known = held(o, s, ref) != NULL;
    char task[ID_HEX];
    int rc = runs_event(o, &ev, e);
    const struct task *t = rc == OK && !known && !is_audit(o, ref) ? held(o, s, ref) : NULL;

    for (size_t i = 0; t && i < t->n_waiters && rc == OK; i++) { /* adopted */
        struct job_book *b = runs_job(t->waiters[i].job);
        b->touched = true;
        id_hex(task, &ref->task);
        outbox_tell(&o->outbox, LOG_INFO,
            &(struct log_about){ b->run->record->name, b->plan->name, task, s->name, ref->attempt },
            "worker %s on %s: goes on with %s/%s", s->name, s->host, b->run->record->name,
            b->plan->name);
        rc = field_text(&b->record->worker, s->name, e);
    }
    return rc;
}

static int take_inventory(
    struct orchestrator *o, struct session *s, AttemptRef *const *running, size_t n, struct err *e)
{
    struct event ev = { .kind = EV_INVENTORY, .worker = s->worker };
    struct ref ref;
    int rc = OK;

    for (size_t i = 0; i < n && rc == OK; i++)
        if (ref_of(&ref, running[i]))
            rc = take_running(o, s, &ref, e);
    return rc == OK ? runs_event(o, &ev, e) : rc;
}

int report_hello(struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    const Hello *h = m->hello;
    const char *why = unfit(o, h);
    struct session *s = NULL;
    int rc;

    if (why) {
        outbox_tell(&o->outbox, LOG_WARN, &(struct log_about){ .worker = h->name },
            "worker %s on %s is refused: %s", h->name ? h->name : "?", h->host ? h->host : "?",
            why);
        return reply_refused(o, from, m->request, 65, why, e);
    }
    rc = find_session(&s, o, from, h, e);
    if (rc == OK)
        rc = welcome(o, s, e);
    for (size_t i = 0; i < h->n_finished && rc == OK; i++)
        rc = take_result(o, s, h->finished[i], e);
    if (rc == OK)
        rc = take_inventory(o, s, h->running, h->n_running, e);
    if (rc == OK)
        rc = runs_free_awaited(o, s, e);
    if (rc == OK)
        rc = runs_start(o, e);
    return rc == OK ? runs_pump(o, e) : rc;
}

int report_heartbeat(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    struct session *s = fleet_by_peer(o->fleet, from);
    HeartbeatAck *ack;
    int rc;

    if (!s)
        return challenge(o, from, e);
    s->executor_memory = m->heartbeat->executor_memory;
    rc = take_inventory(o, s, m->heartbeat->running, m->heartbeat->n_running, e);
    if (rc != OK)
        return rc;
    ack = malloc(sizeof *ack);
    if (!ack)
        return err_set(e, E_NOMEM, "out of memory");
    heartbeat_ack__init(ack);
    ack->has_epoch = true;
    ack->epoch = journal_epoch(o->journal);
    return outbox_put(&o->outbox, from, 0, ENVELOPE__KIND_HEARTBEAT_ACK, ack, e);
}

int report_goodbye(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    struct session *s = fleet_by_peer(o->fleet, from);

    (void)m;
    return s ? end_session(o, s, CAUSE__STOPPED, "leaves", e) : OK;
}

/* ---- what an attempt says while it runs ---- */

int report_progress(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    struct session *s = fleet_by_peer(o->fleet, from);
    struct event heard = { .kind = EV_HEARD };
    struct task *t;
    struct ref ref;
    int rc;

    if (!s)
        return challenge(o, from, e);
    heard.worker = s->worker;
    rc = runs_event(o, &heard, e);
    t = ref_of(&ref, m->progress->attempt) && !is_audit(o, &ref) ? held(o, s, &ref) : NULL;
    for (size_t i = 0; t && i < t->n_waiters && rc == OK; i++) {
        struct job_book *b = runs_job(t->waiters[i].job);
        rc = field_text(&b->record->worker, s->name, e);
        if (rc == OK)
            rc = progress_take(o, b, t, m->progress, e);
    }
    return rc;
}

int report_log_lines(
    struct orchestrator *o, const struct peer *from, const Envelope *m, struct err *e)
{
    struct session *s = fleet_by_peer(o->fleet, from);
    const LogLines *l = m->log_lines;
    struct event heard = { .kind = EV_HEARD };
    struct task *t;
    struct ref ref;
    int rc;

    if (!s)
        return challenge(o, from, e);
    heard.worker = s->worker;
    rc = runs_event(o, &heard, e);
    t = ref_of(&ref, l->attempt) && !is_audit(o, &ref) ? held(o, s, &ref) : NULL;
    for (size_t i = 0; t && i < t->n_waiters && rc == OK; i++) {
        struct job_book *b = runs_job(t->waiters[i].job);
        b->logged = ref;
        for (size_t k = 0; k < l->n_lines && rc == OK; k++)
            rc = progress_log(o, b, s->name, ref.attempt, l->lines[k], e);
    }
    return rc;
}
