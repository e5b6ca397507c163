#include "orchestrator/audits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "orchestrator/roots.h"
#include "proto/log.h"

#define SHORT 12 /* digits of an id that people see */

bool audit_picks(const struct id *task, double share)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < sizeof bits; i++) /* its last bytes: the first are other tables' */
        bits = bits << 8 | task->b[sizeof task->b - 1 - i];
    return share >= 1 || (double)bits < share * ldexp(1, 64);
}

/* The second run's own name: tasks that are open have one id each. */
static void audit_id(struct id *out, const struct id *task)
{
    uint8_t text[6 + sizeof task->b] = "audit ";

    memcpy(text + 6, task->b, sizeof task->b);
    sha256(out, text, sizeof text);
}

bool answers_agree(const TaskAnswer *a, const TaskAnswer *b)
{
    if (a->n_outputs != b->n_outputs)
        return false;
    for (size_t i = 0; i < a->n_outputs; i++)
        if (strcmp(a->outputs[i]->name, b->outputs[i]->name) ||
            a->outputs[i]->id.len != b->outputs[i]->id.len ||
            memcmp(a->outputs[i]->id.data, b->outputs[i]->id.data, a->outputs[i]->id.len))
            return false;
    return true;
}

/* Which of b's audits has that id; n_audits: none. */
static size_t find(const struct job_book *b, const struct id *id)
{
    struct id task, own;
    size_t i = 0;

    for (; i < b->record->n_audits; i++) {
        const ProtobufCBinaryData *d = &b->record->audits[i]->task;
        if (!id_from_span(&task, d->data, d->len))
            continue;
        audit_id(&own, &task);
        if (id_equal(&own, id))
            break;
    }
    return i;
}

/* ---- beginning ---- */

static int schedule(
    struct orchestrator *o, struct job_book *b, const Audit *a, bool awaited, struct err *e)
{
    struct event soon = { .kind = EV_TICK };
    struct task_spec spec = { .awaited = awaited, .audit = true, .from_ms = o->now.ms };
    struct id task;
    int rc = OK;

    if (!id_from_span(&task, a->task.data, a->task.len))
        return err_set(e, E_CORRUPT, "an audit has no task");
    audit_id(&spec.id, &task);
    spec.apart = fleet_who(a->host, a->worker);
    if (a->spec->numeric_class && *a->spec->numeric_class)
        rc = fleet_class(o->fleet, a->spec->numeric_class, &spec.class_tag, e);
    if (rc == OK)
        rc = message_copy((ProtobufCMessage **)&spec.spec, &a->spec->base, e);
    if (rc == OK && (rc = sched_add_task(NULL, o->sched, b->job, 0, &spec, e)) != OK)
        message_free(spec.spec);
    return rc == OK ? runs_follow(o, &soon, e) : rc;
}

/* The inputs that the chain will leave behind: until the audit is over they stay in the store. */
static int keep_links(Audit *a, const struct job_book *b, struct err *e)
{
    const JobRecord *r = b->record;
    struct id id, slot;
    int rc = OK;

    for (size_t i = 0; i < a->spec->n_inputs; i++)
        for (size_t k = 0; k < r->n_slots && rc == OK; k++) {
            if (!is_link(r->slots[k]->kind) ||
                !id_from_span(&slot, r->slots[k]->id.data, r->slots[k]->id.len) ||
                !id_from_span(&id, a->spec->inputs[i]->id.data, a->spec->inputs[i]->id.len) ||
                !id_equal(&id, &slot))
                continue;
            ProtobufCBinaryData *p = field_grow(a->links, a->n_links, sizeof *p, e);
            if (!p)
                return e->code;
            a->links = p;
            p[a->n_links] = (ProtobufCBinaryData){ 0 };
            rc = field_bytes(&p[a->n_links], &id, e);
            a->n_links += rc == OK;
            break;
        }
    return rc;
}

static int fill(Audit *x, const struct job_book *b, const struct task *t, const TaskAnswer *a,
    const struct ref *ref, const struct session *by, struct err *e)
{
    int rc = field_bytes(&x->task, &t->id, e);

    x->has_task = true;
    if (rc == OK)
        rc = message_copy((ProtobufCMessage **)&x->spec, &t->spec->base, e);
    if (rc == OK)
        rc = message_copy((ProtobufCMessage **)&x->answer, &a->base, e);
    x->attempt = rc == OK ? attempt_ref(ref, e) : NULL;
    if (!x->attempt)
        return e->code;
    if (rc == OK)
        rc = field_text(&x->worker, by ? by->name : "", e);
    if (rc == OK)
        rc = field_text(&x->host, by ? by->host : "", e);
    return rc == OK ? keep_links(x, b, e) : rc;
}

int audit_begin(struct orchestrator *o, struct job_book *b, const struct task *t,
    const TaskAnswer *a, const struct ref *ref, const struct session *by, struct err *e)
{
    JobRecord *r = b->record;
    Audit **p, *x;
    int rc;

    if (!audit_picks(&t->id, b->plan->audit))
        return OK;
    p = field_grow(r->audits, r->n_audits, sizeof *p, e);
    if (!p)
        return e->code;
    r->audits = p;
    x = malloc(sizeof *x);
    if (!x)
        return err_set(e, E_NOMEM, "out of memory");
    audit__init(x);
    p[r->n_audits++] = x;
    rc = fill(x, b, t, a, ref, by, e);
    job_changed(o, b);
    return rc == OK ? schedule(o, b, x, false, e) : rc;
}

int audit_join(struct orchestrator *o, struct job_book *b, const struct id *task, struct err *e)
{
    JobRecord *r = b->record;
    const struct task *open;
    Audit **p;
    struct id id;
    int rc;

    audit_id(&id, task);
    open = sched_task(o->sched, &id);
    if (!open || find(b, &id) < r->n_audits)
        return OK;
    const struct job_book *other = runs_job(open->waiters[0].job);
    p = field_grow(r->audits, r->n_audits, sizeof *p, e);
    if (!p)
        return e->code;
    r->audits = p;
    rc = message_copy(
        (ProtobufCMessage **)&p[r->n_audits], &other->record->audits[find(other, &id)]->base, e);
    if (rc != OK)
        return rc;
    job_changed(o, b);
    return schedule(o, b, p[r->n_audits++], false, e);
}

int audits_resume(struct orchestrator *o, struct job_book *b, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < b->record->n_audits && rc == OK; i++)
        rc = schedule(o, b, b->record->audits[i], true, e);
    return rc;
}

/* ---- end ---- */

static int let_go(struct orchestrator *o, const Audit *a, struct err *e)
{
    struct id id;
    int rc = OK;

    for (size_t i = 0; i < a->n_links && rc == OK; i++)
        if (id_from_span(&id, a->links[i].data, a->links[i].len))
            rc = id_set_add(&o->left, &id, e);
    for (size_t i = 0; i < a->answer->n_outputs && rc == OK; i++)
        rc = chain_moves(o, a->answer->outputs[i], e); /* made once more */
    return rc;
}

static int remove_at(struct orchestrator *o, struct job_book *b, size_t i, struct err *e)
{
    JobRecord *r = b->record;
    Audit *a = r->audits[i];
    int rc = let_go(o, a, e);

    memmove(&r->audits[i], &r->audits[i + 1], (--r->n_audits - i) * sizeof(Audit *));
    message_free(a);
    job_changed(o, b);
    return rc;
}

int audits_drop(struct orchestrator *o, struct job_book *b, struct err *e)
{
    int rc = OK;

    while (b->record->n_audits > 0 && rc == OK)
        rc = remove_at(o, b, b->record->n_audits - 1, e);
    return rc;
}

/* The last one is over, and the job waited only for it. */
static int go_on(struct orchestrator *o, struct job_book *b, struct err *e)
{
    if (!b->awaits_audits || b->record->n_audits > 0)
        return OK;
    b->awaits_audits = false;
    return round_unfold(o, b, e);
}

/* "checkpoint 0a1b2c3d4e5f", of the first output in which they differ. */
static void differing(char out[160], const TaskAnswer *a, const TaskAnswer *other)
{
    char hex[ID_HEX] = "?";
    size_t i = 0;
    struct id id;

    while (i + 1 < a->n_outputs && i < other->n_outputs &&
           a->outputs[i]->id.len == other->outputs[i]->id.len &&
           !memcmp(a->outputs[i]->id.data, other->outputs[i]->id.data, a->outputs[i]->id.len))
        i++;
    if (i >= a->n_outputs) {
        snprintf(out, 160, "nothing");
        return;
    }
    if (id_from_span(&id, a->outputs[i]->id.data, a->outputs[i]->id.len))
        id_hex(hex, &id);
    snprintf(out, 160, "%.64s %.*s", a->outputs[i]->name, SHORT, hex);
}

static int disagree(
    struct orchestrator *o, struct job_book *b, size_t i, const char *second, struct err *e)
{
    const Audit *a = b->record->audits[i];
    struct event ev = { .kind = EV_DISAGREE, .job = b->job };
    struct id task;
    char hex[ID_HEX];
    int rc;

    o->stats.audits_disagreed++;
    id_from_span(&task, a->task.data, a->task.len);
    id_hex(hex, &task);
    rc = field_textf(&b->record->why, e,
        "audit: two runs of task %.*s give two results: %s. One of the two machines computes "
        "wrongly, or the task is not deterministic; nobody can tell which result is right, so both "
        "are dropped and nothing more is built on them",
        SHORT, hex, second);
    if (rc == OK)
        rc = progress_logf(o, b, e, "%s", b->record->why);
    if (rc == OK)
        rc = journal_drop_answer(o->journal, &task, e);
    return rc == OK ? runs_follow(o, &ev, e) : rc;
}

static const char *name_of(const struct action *a)
{
    const struct session *s = fleet_by_worker(a->worker);

    return s ? s->name : "a worker";
}

int audit_answered(struct orchestrator *o, struct job_book *b, const struct action *a,
    const TaskAnswer *second, struct err *e)
{
    size_t i = find(b, &a->task->id);
    const Audit *x = i < b->record->n_audits ? b->record->audits[i] : NULL;
    char one[160], other[160], text[700];
    int rc;

    if (!x)
        return OK;
    if (!answers_agree(x->answer, second)) {
        differing(one, x->answer, second);
        differing(other, second, x->answer);
        snprintf(text, sizeof text, "%s by attempt %u on %s, %s by audit attempt %u on %s", one,
            x->attempt->attempt, x->worker, other, a->ref.attempt, name_of(a));
        return disagree(o, b, i, text, e);
    }
    b->record->has_audits_agreed = true;
    b->record->audits_agreed++;
    o->stats.audits_agreed++;
    rc = progress_logf(o, b, e, "audit: attempt %u on %s gives the same result as attempt %u on %s",
        a->ref.attempt, name_of(a), x->attempt->attempt, x->worker);
    if (rc == OK)
        rc = remove_at(o, b, i, e);
    return rc == OK ? go_on(o, b, e) : rc;
}

int audit_missed(struct orchestrator *o, struct job_book *b, const struct action *a,
    const char *text, struct err *e)
{
    bool contradicts = a->cause == CAUSE__BAD_INPUT || a->cause == CAUSE__INVARIANT;
    size_t i = find(b, &a->task->id);
    const Audit *x = i < b->record->n_audits ? b->record->audits[i] : NULL;
    char both[900];
    int rc;

    if (!x)
        return OK;
    if (contradicts) { /* what fails once so fails always */
        snprintf(both, sizeof both, "attempt %u on %s gave one, audit %s", x->attempt->attempt,
            x->worker, text);
        return disagree(o, b, i, both, e);
    }
    b->record->has_audits_missed = true;
    b->record->audits_missed++;
    o->stats.audits_missed++;
    outbox_tell(&o->outbox, LOG_WARN,
        &(struct log_about){ .run = b->run->record->name,
            .job = b->plan->name,
            .worker = name_of(a),
            .attempt = a->ref.attempt },
        "job %s/%s: an audit is given up: %s", b->run->record->name, b->plan->name, text);
    rc = progress_logf(
        o, b, e, "warning: an audit is given up, %s; what it was to check stands", text);
    if (rc == OK)
        rc = remove_at(o, b, i, e);
    return rc == OK ? go_on(o, b, e) : rc;
}
