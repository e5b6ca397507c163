#include "orchestrator/journal.h"

#include <stdlib.h>

struct journal {
    struct state *state;
    struct state_txn *txn; /* this turn's; NULL: nothing asked yet */
    Meta *meta;
    bool dirty, firm;
    int64_t soft_since; /* of the first soft row; -1: this turn's, time not known yet */
};

#define SCHEMA 1

static int begin(struct journal *j, struct err *e)
{
    return j->txn ? OK : state_begin(&j->txn, j->state, true, e);
}

static int put(struct journal *j, enum state_table table, struct state_key key, const void *m,
    enum firmness f, struct err *e)
{
    int rc = begin(j, e);

    if (rc == OK)
        rc = state_put(j->txn, table, key, m, e);
    if (rc != OK)
        return err_wrap(e, "journal");
    if (!j->dirty)
        j->soft_since = -1;
    j->dirty = true;
    j->firm = j->firm || f == FIRM;
    return OK;
}

static int get(struct journal *j, enum state_table table, struct state_key key,
    const ProtobufCMessageDescriptor *type, ProtobufCMessage **out, struct err *e)
{
    int rc = begin(j, e);

    if (rc == OK)
        rc = state_get(j->txn, table, key, type, out, e);
    return rc == OK ? OK : err_wrap(e, "journal");
}

static int put_meta(struct journal *j, struct err *e)
{
    return put(j, STATE_META, key_numbers(1, 0, 0, 0), j->meta, FIRM, e);
}

static int load_meta(struct journal *j, struct err *e)
{
    ProtobufCMessage *m = NULL;
    int rc = get(j, STATE_META, key_numbers(1, 0, 0, 0), &meta__descriptor, &m, e);

    if (rc != OK)
        return rc;
    j->meta = (Meta *)m;
    if (j->meta)
        return j->meta->schema == SCHEMA
                   ? OK
                   : err_set(e, E_INPUT, "the home's state is of schema %u; this program knows %d",
                         j->meta->schema, SCHEMA);
    j->meta = malloc(sizeof *j->meta);
    if (!j->meta)
        return err_set(e, E_NOMEM, "out of memory");
    meta__init(j->meta);
    j->meta->has_schema = j->meta->has_epoch = j->meta->has_next_run = true;
    j->meta->schema = SCHEMA;
    j->meta->next_run = 1;
    return OK;
}

int journal_open(struct journal **out, const char *home, struct err *e)
{
    struct journal *j = calloc(1, sizeof *j);
    int rc;

    if (!j)
        return err_set(e, E_NOMEM, "out of memory");
    rc = state_open(&j->state, home, true, e);
    if (rc == OK)
        rc = load_meta(j, e);
    if (rc == OK) {
        j->meta->epoch++;
        rc = put_meta(j, e);
    }
    if (rc == OK)
        rc = journal_commit(j, 0, e);
    if (rc != OK) {
        journal_close(j);
        return rc;
    }
    *out = j;
    return OK;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    state_abort(j->txn);
    state_close(j->state);
    message_free(j->meta);
    free(j);
}

uint64_t journal_epoch(const struct journal *j)
{
    return j->meta->epoch;
}

int journal_txn(struct journal *j, struct state_txn **out, struct err *e)
{
    int rc = begin(j, e);

    if (rc != OK)
        return err_wrap(e, "journal");
    *out = j->txn;
    return OK;
}

int journal_commit(struct journal *j, int64_t now_ms, struct err *e)
{
    struct state_txn *t = j->txn;

    if (!j->dirty) {
        j->txn = NULL;
        state_abort(t);
        return OK;
    }
    if (j->soft_since < 0)
        j->soft_since = now_ms;
    if (!j->firm && now_ms - j->soft_since < SOFT_MS)
        return OK;
    j->txn = NULL;
    j->dirty = j->firm = false;
    return state_commit(t, e) == OK ? OK : err_wrap(e, "journal");
}

bool journal_waits(const struct journal *j)
{
    return j->dirty;
}

/* ---- rows ---- */

int journal_new_run(struct journal *j, uint64_t *number, struct err *e)
{
    *number = j->meta->next_run++;
    return put_meta(j, e);
}

int journal_put_run(struct journal *j, const RunRecord *r, struct err *e)
{
    return put(j, STATE_RUN, key_numbers(1, r->number, 0, 0), r, FIRM, e);
}

int journal_put_job(struct journal *j, const JobRecord *r, enum firmness f, struct err *e)
{
    return put(j, STATE_JOB, key_numbers(2, r->run, r->index, 0), r, f, e);
}

int journal_put_answer(struct journal *j, const struct id *task, const TaskAnswer *a, struct err *e)
{
    return put(j, STATE_ANSWER, key_id(task), a, FIRM, e);
}

int journal_drop_answer(struct journal *j, const struct id *task, struct err *e)
{
    int rc = begin(j, e);

    if (rc == OK)
        rc = state_delete(j->txn, STATE_ANSWER, key_id(task), e);
    if (rc == OK)
        j->dirty = j->firm = true;
    if (rc == E_MISSING)
        rc = OK;
    return rc == OK ? OK : err_wrap(e, "journal");
}

int journal_put_job_answer(
    struct journal *j, const struct id *key, const JobAnswer *a, struct err *e)
{
    return put(j, STATE_JOB_ANSWER, key_id(key), a, FIRM, e);
}

int journal_put_log(struct journal *j, uint64_t run, const LogLine *line, struct err *e)
{
    return put(j, STATE_LOG, key_numbers(2, run, line->number, 0), line, SOFT, e);
}

/* Beside rows of the same kind that are put: it is durable with them. */
static int drop(struct journal *j, enum state_table table, struct state_key key, struct err *e)
{
    int rc = begin(j, e);

    if (rc == OK)
        rc = state_delete(j->txn, table, key, e);
    if (rc == E_MISSING)
        rc = OK;
    return rc == OK ? OK : err_wrap(e, "journal");
}

int journal_drop_log(struct journal *j, uint64_t run, uint64_t number, struct err *e)
{
    return drop(j, STATE_LOG, key_numbers(2, run, number, 0), e);
}

int journal_drop_metric(struct journal *j, uint64_t run, uint32_t job, uint64_t seq, struct err *e)
{
    return drop(j, STATE_METRIC, key_numbers(3, run, job, seq), e);
}

int journal_put_metric(struct journal *j, const MetricPoint *p, uint64_t seq, struct err *e)
{
    return put(j, STATE_METRIC, key_numbers(3, p->run, p->job, seq), p, SOFT, e);
}

int journal_put_label(
    struct journal *j, uint64_t run, uint32_t job, uint64_t seq, const Ranking *r, struct err *e)
{
    return put(j, STATE_LABEL, key_numbers(3, run, job, seq), r, FIRM, e);
}

int journal_answer(struct journal *j, const struct id *task, TaskAnswer **out, struct err *e)
{
    return get(
        j, STATE_ANSWER, key_id(task), &task_answer__descriptor, (ProtobufCMessage **)out, e);
}

int journal_job_answer(struct journal *j, const struct id *key, JobAnswer **out, struct err *e)
{
    return get(
        j, STATE_JOB_ANSWER, key_id(key), &job_answer__descriptor, (ProtobufCMessage **)out, e);
}

int journal_job(struct journal *j, uint64_t run, uint32_t index, JobRecord **out, struct err *e)
{
    return get(j, STATE_JOB, key_numbers(2, run, index, 0), &job_record__descriptor,
        (ProtobufCMessage **)out, e);
}
