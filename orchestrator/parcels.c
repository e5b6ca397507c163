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

/* Takes nothing of the item. */
static int hold(Parcel *p, const ParcelItem *item, struct err *e)
{
    Output output = OUTPUT__INIT, *outputs[] = { &output };
    JobAnswer answer = JOB_ANSWER__INIT;
    ProtobufCMessage *copy = NULL;
    struct id id;
    int rc;

    output.has_id = output.has_kind = true;
    output.id = item->id;
    output.kind = item->kind;
    output.name = "held";
    answer.outputs = outputs;
    answer.n_outputs = 1;
    id_from_span(&id, item->id.data, item->id.len);
    rc = message_copy(&copy, &answer.base, e);
    return rc == OK ? add_job(p, &id, (JobAnswer *)copy, e) : rc;
}

int parcel_add_jobs(Parcel *p, struct state_txn *t, struct err *e)
{
    int rc = t ? state_each(t, STATE_JOB_ANSWER, (struct state_key){ .n = 0 }, false,
                     &job_answer__descriptor, each_answer, p, e)
               : OK;

    for (size_t i = 0; i < p->n_items && rc == OK; i++)
        if (!is_answered(p, p->items[i]))
            rc = hold(p, p->items[i], e);
    return rc;
}

/* ---- what came along ---- */

int parcel_remember(struct journal *j, struct store *s, const Parcel *p, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < p->n_jobs && rc == OK; i++) {
        const JobAnswer *answer = p->jobs[i]->answer;
        JobAnswer *known = NULL;
        struct id key;
        id_from_span(&key, p->jobs[i]->key.data, p->jobs[i]->key.len);
        rc = journal_job_answer(j, &key, &known, e);
        bool kept = known && outputs_stored(s, known->outputs, known->n_outputs);
        message_free(known);
        if (rc == OK && !kept && outputs_stored(s, answer->outputs, answer->n_outputs))
            rc = journal_put_job_answer(j, &key, answer, e);
    }
    return rc;
}
