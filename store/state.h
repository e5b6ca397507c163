#ifndef STORE_STATE_H
#define STORE_STATE_H

#include "proto/message.h"

/* The orchestrator's memory: an LMDB environment of its own (HOME/state), so that bulk writes
 * never hold up a state commit. Keys are big-endian, so that they sort by number; every record
 * is a message of message.proto.
 *
 *   meta                      → Meta
 *   run     number            → RunRecord
 *   job     run, index        → JobRecord
 *   answer  task id           → TaskAnswer
 *   jobanswer  job key        → JobAnswer
 *   log     run, number       → LogLine
 *   metric  run, job, seq     → MetricPoint
 *   label   run, job, seq     → Ranking
 */
struct state;
struct state_txn;

/* writer: takes HOME/orchestrator.lock (E_BUSY when another process holds it) and may begin
 * write transactions. Otherwise read-only; E_MISSING when there is no state. */
int state_open(struct state **out, const char *home, bool writer, struct err *e);
void state_close(struct state *s);

/* True when some process holds HOME/orchestrator.lock. */
bool state_orchestrator_alive(const char *home);

enum state_table {
    STATE_META,
    STATE_RUN,
    STATE_JOB,
    STATE_ANSWER,
    STATE_JOB_ANSWER,
    STATE_LOG,
    STATE_METRIC,
    STATE_LABEL,
    STATE_TABLES
};

/* Keys: at most three numbers, or one id. */
struct state_key {
    uint8_t b[32];
    uint8_t n;
};
/* 8 bytes each, big-endian. */
struct state_key key_numbers(int n, uint64_t a, uint64_t b, uint64_t c);
struct state_key key_id(const struct id *id);

int state_begin(struct state_txn **out, struct state *s, bool write, struct err *e);
int state_commit(struct state_txn *t, struct err *e); /* durable when it returns OK; takes t */
void state_abort(struct state_txn *t);                /* ends a read as well; NULL is fine */

int state_put(struct state_txn *t, enum state_table table, struct state_key key,
    const ProtobufCMessage *m, struct err *e);
/* *out is freed by message_free; NULL with OK: no such record. */
int state_get(struct state_txn *t, enum state_table table, struct state_key key,
    const ProtobufCMessageDescriptor *type, ProtobufCMessage **out, struct err *e);
int state_delete(struct state_txn *t, enum state_table table, struct state_key key, struct err *e);

/* Every record whose key begins with `prefix`, in order of keys (last first when `backwards`),
 * until each() returns nonzero (1: stop, negative: error). each() must not write to the table; it
 * takes m. OK when it was stopped. */
int state_each(struct state_txn *t, enum state_table table, struct state_key prefix, bool backwards,
    const ProtobufCMessageDescriptor *type,
    int (*each)(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e), void *ctx,
    struct err *e);

#endif
