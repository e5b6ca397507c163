#include "orchestrator/parcels.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "orchestrator/roots.h"

/* ---- what goes along ---- */

static bool has_item(const Parcel *p, const ProtobufCBinaryData *id)
{
    for (size_t i = 0; i < p->n_items; i++)
        if (id->len == sizeof(struct id) && memcmp(p->items[i]->id.data, id->data, id->len) == 0)
            return true;
    return false;
}

int parcel_add_item(
    Parcel *p, const struct id *id, ArtifactKind kind, const char *name, struct err *e)
{
    ProtobufCBinaryData bytes = { sizeof id->b, (uint8_t *)(uintptr_t)id->b };
    ParcelItem **items, *item;

    if (has_item(p, &bytes))
        return OK;
    items = field_grow(p->items, p->n_items, sizeof *items, e);
    if (!items)
        return e->code;
    p->items = items;
    item = malloc(sizeof *item);
    if (!item)
        return err_set(e, E_NOMEM, "out of memory");
    parcel_item__init(item);
    items[p->n_items++] = item;
    item->has_id = item->has_kind = true;
    item->kind = kind;
    return field_bytes(&item->id, id, e) == OK ? field_text(&item->name, name, e) : e->code;
}

/* Takes the answer, freed even on failure. */
static int add_job(Parcel *p, const struct id *key, JobAnswer *answer, struct err *e)
{
    KnownJob **jobs = field_grow(p->jobs, p->n_jobs, sizeof *jobs, e), *job = NULL;

    if (jobs) {
        p->jobs = jobs;
        job = malloc(sizeof *job);
    }
    if (!job) {
        message_free(answer);
        return err_set(e, E_NOMEM, "out of memory");
    }
    known_job__init(job);
    jobs[p->n_jobs++] = job;
    job->answer = answer;
    job->has_key = true;
    return field_bytes(&job->key, key, e);
}

static int each_answer(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    JobAnswer *a = (JobAnswer *)m;
    Parcel *p = ctx;
    bool all = a->n_outputs > 0;
    struct id id;

    for (size_t i = 0; i < a->n_outputs && all; i++)
        all = has_item(p, &a->outputs[i]->id);
    if (!all || !id_from_span(&id, key.b, key.n)) {
        message_free(m);
        return OK;
    }
    message_free(a->progress); /* it is about an attempt that was here */
    a->progress = NULL;
    return add_job(p, &id, a, e);
}

static bool is_answered(const Parcel *p, const ParcelItem *item)
{
    for (size_t i = 0; i < p->n_jobs; i++)
        for (size_t k = 0; k < p->jobs[i]->answer->n_outputs; k++) {
            const Output *o = p->jobs[i]->answer->outputs[k];
            if (o->id.len == item->id.len && memcmp(o->id.data, item->id.data, o->id.len) == 0)
                return true;
        }
    return false;
}

/* An answer under the item's own id, which is no job's key: it holds the item, and has its name. */
static int hold(JobAnswer **out, const ParcelItem *item, struct err *e)
{
    Output output = OUTPUT__INIT, *outputs[] = { &output };
    JobAnswer answer = JOB_ANSWER__INIT;

    output.has_id = output.has_kind = true;
    output.id = item->id;
    output.kind = item->kind;
    output.name = item->name ? item->name : "";
    answer.outputs = outputs;
    answer.n_outputs = 1;
    return message_copy((ProtobufCMessage **)out, &answer.base, e);
}

int parcel_add_jobs(Parcel *p, struct state_txn *t, struct err *e)
{
    int rc = t ? state_each(t, STATE_JOB_ANSWER, (struct state_key){ .n = 0 }, false,
                     &job_answer__descriptor, each_answer, p, e)
               : OK;

    for (size_t i = 0; i < p->n_items && rc == OK; i++) {
        JobAnswer *held = NULL;
        struct id id;
        if (is_answered(p, p->items[i]) ||
            !id_from_span(&id, p->items[i]->id.data, p->items[i]->id.len))
            continue;
        rc = hold(&held, p->items[i], e);
        if (rc == OK)
            rc = add_job(p, &id, held, e);
    }
    return rc;
}

/* ---- what came along ---- */

static int remember(struct journal *j, struct store *s, const struct id *key,
    const JobAnswer *answer, struct err *e)
{
    JobAnswer *known = NULL;
    int rc = journal_job_answer(j, key, &known, e);
    bool kept = known && outputs_stored(s, known->outputs, known->n_outputs);

    message_free(known);
    return rc == OK && !kept && outputs_stored(s, answer->outputs, answer->n_outputs)
               ? journal_put_job_answer(j, key, answer, e)
               : rc;
}

int parcel_remember(struct journal *j, struct store *s, const Parcel *p, struct err *e)
{
    struct id key;
    int rc = OK;

    for (size_t i = 0; i < p->n_items && rc == OK; i++) {
        JobAnswer *held = NULL;
        if (!id_from_span(&key, p->items[i]->id.data, p->items[i]->id.len))
            continue;
        rc = hold(&held, p->items[i], e);
        if (rc == OK)
            rc = remember(j, s, &key, held, e);
        message_free(held);
    }
    for (size_t i = 0; i < p->n_jobs && rc == OK; i++)
        if (id_from_span(&key, p->jobs[i]->key.data, p->jobs[i]->key.len))
            rc = remember(j, s, &key, p->jobs[i]->answer, e);
    return rc;
}

struct imported {
    int (*each)(void *ctx, const Output *output, struct err *e);
    void *ctx;
};

static int each_imported(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    const JobAnswer *a = (JobAnswer *)m;
    const struct imported *of = ctx;
    bool own = a->n_outputs == 1 && a->outputs[0]->id.len == key.n &&
               memcmp(a->outputs[0]->id.data, key.b, key.n) == 0;
    int rc = own ? of->each(of->ctx, a->outputs[0], e) : OK;

    message_free(m);
    return rc;
}

int parcel_each_imported(struct state_txn *t,
    int (*each)(void *ctx, const Output *output, struct err *e), void *ctx, struct err *e)
{
    return state_each(t, STATE_JOB_ANSWER, (struct state_key){ .n = 0 }, false,
        &job_answer__descriptor, each_imported, &(struct imported){ each, ctx }, e);
}
