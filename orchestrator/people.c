#include "orchestrator/runs.h"

#include "orchestrator/field.h"
#include "store/records.h"

/* Jobs that wait for people. Each ranking is a durable row before the page says thanks; when the
 * wanted number is in, they become one artifact, in the order in which they came, and the job
 * goes on with it as its slot "rankings". */

struct counting {
    uint64_t n;
};

static int count(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct counting *c = ctx;

    (void)key;
    (void)e;
    c->n++;
    message_free(m);
    return OK;
}

int people_load(struct orchestrator *o, struct job_book *b, struct err *e)
{
    struct counting c = { 0 };
    struct state_txn *t = NULL;
    int rc = journal_txn(o->journal, &t, e);

    if (rc == OK)
        rc = state_each(t, STATE_LABEL, key_numbers(2, b->record->run, b->record->index, 0), false,
            &ranking__descriptor, count, &c, e);
    b->next_label = c.n;
    return rc;
}

static int add_ranking(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    int rc = records_add(ctx, m, e);

    (void)key;
    message_free(m);
    return rc;
}

static int gather(struct orchestrator *o, struct job_book *b, struct err *e)
{
    struct records_writer *w = NULL;
    struct state_txn *t = NULL;
    Output *out = NULL;
    int rc = journal_txn(o->journal, &t, e);

    if (rc == OK)
        rc = records_create(&w, o->store, ARTIFACT_KIND__RANKINGS, e);
    if (rc == OK)
        rc = state_each(t, STATE_LABEL, key_numbers(2, b->record->run, b->record->index, 0), false,
            &ranking__descriptor, add_ranking, w, e);
    if (rc == OK) {
        rc = records_commit(w, "rankings", &out, e);
        w = NULL;
    }
    if (rc == OK)
        rc = round_slot(b, "rankings", out, e);
    message_free(out);
    records_abort(w);
    return rc;
}

/* Goes on when the wanted number is in. */
static int check(struct orchestrator *o, struct job_book *b, struct err *e)
{
    struct event ev = { .kind = EV_LABELLED, .job = b->job };
    int rc;

    if (b->next_label < b->wanted)
        return OK;
    rc = gather(o, b, e);
    return rc == OK ? runs_follow(o, &ev, e) : rc;
}

int people_wait(struct orchestrator *o, struct job_book *b, uint32_t wanted, struct err *e)
{
    struct event ev = { .kind = EV_PEOPLE, .job = b->job };
    int rc = runs_follow(o, &ev, e);

    b->wanted = wanted;
    b->resumed = false;
    job_changed(o, b);
    return rc == OK ? check(o, b, e) : rc;
}

int people_take(struct orchestrator *o, struct job_book *b, const Labels *m, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < m->n_rankings && rc == OK; i++)
        rc = journal_put_label(
            o->journal, b->record->run, b->record->index, b->next_label++, m->rankings[i], e);
    job_changed(o, b);
    if (rc == OK)
        rc = check(o, b, e);
    return rc == OK ? runs_pump(o, e) : rc;
}
