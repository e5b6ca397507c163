#include "orchestrator/roots.h"

#include "orchestrator/job.h"

bool is_link(ArtifactKind k)
{
    return k == ARTIFACT_KIND__TRAINING_STATE || k == ARTIFACT_KIND__EXPERIENCE;
}

static int add(struct id_set *s, Output *const *outputs, size_t n, bool links, struct err *e)
{
    struct id id;
    int rc = OK;

    for (size_t i = 0; i < n && rc == OK; i++)
        if ((links || !is_link(outputs[i]->kind)) &&
            id_from_span(&id, outputs[i]->id.data, outputs[i]->id.len))
            rc = id_set_add(s, &id, e);
    return rc;
}

static int add_run(struct id_set *s, const ProtobufCMessage *m, struct err *e)
{
    const RunRecord *r = (const RunRecord *)m;
    int rc = OK;

    for (size_t i = 0; r->submit && i < r->submit->n_inputs && rc == OK; i++)
        if (r->submit->inputs[i]->artifact)
            rc = add(s, &r->submit->inputs[i]->artifact, 1, true, e);
    return rc;
}

static int add_links(struct id_set *s, const Audit *a, struct err *e)
{
    struct id id;
    int rc = OK;

    for (size_t i = 0; i < a->n_links && rc == OK; i++)
        if (id_from_span(&id, a->links[i].data, a->links[i].len))
            rc = id_set_add(s, &id, e);
    return rc;
}

static int add_job(struct id_set *s, const ProtobufCMessage *m, struct err *e)
{
    const JobRecord *r = (const JobRecord *)m;
    int rc = add(s, r->outputs, r->n_outputs, true, e);

    if (rc == OK && r->state != JOB_DONE)
        rc = add(s, r->slots, r->n_slots, true, e);
    for (size_t i = 0; i < r->n_audits && rc == OK; i++)
        rc = add_links(s, r->audits[i], e);
    return rc;
}

static int add_job_answer(struct id_set *s, const ProtobufCMessage *m, struct err *e)
{
    const JobAnswer *a = (const JobAnswer *)m;

    return add(s, a->outputs, a->n_outputs, true, e);
}

static int add_answer(struct id_set *s, const ProtobufCMessage *m, struct err *e)
{
    const TaskAnswer *a = (const TaskAnswer *)m;

    return add(s, a->outputs, a->n_outputs, false, e);
}

static const struct holder {
    enum state_table table;
    const ProtobufCMessageDescriptor *type;
    int (*add)(struct id_set *s, const ProtobufCMessage *m, struct err *e);
} holders[] = {
    { STATE_RUN, &run_record__descriptor, add_run },
    { STATE_JOB, &job_record__descriptor, add_job },
    { STATE_JOB_ANSWER, &job_answer__descriptor, add_job_answer },
    { STATE_ANSWER, &task_answer__descriptor, add_answer },
};

struct visit {
    struct id_set *set;
    const struct holder *holder;
};

static int each(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct visit *v = ctx;
    int rc = v->holder->add(v->set, m, e);

    (void)key;
    message_free(m);
    return rc;
}

int roots_collect(struct id_set *out, struct state_txn *t, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < sizeof holders / sizeof *holders && rc == OK; i++) {
        struct visit v = { out, &holders[i] };
        rc = state_each(
            t, holders[i].table, (struct state_key){ .n = 0 }, false, holders[i].type, each, &v, e);
    }
    id_set_sort(out);
    return rc;
}

bool outputs_stored(struct store *s, Output *const *outputs, size_t n)
{
    struct id id;

    for (size_t i = 0; i < n; i++)
        if (!id_from_span(&id, outputs[i]->id.data, outputs[i]->id.len) || !store_has(s, &id))
            return false;
    return true;
}
