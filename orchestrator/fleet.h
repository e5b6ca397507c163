#ifndef ORCHESTRATOR_FLEET_H
#define ORCHESTRATOR_FLEET_H

#include "orchestrator/outbox.h"
#include "orchestrator/scheduler.h"
#include "proto/socket.h"

/* The workers' sessions: which peer is which worker, what it is called and can do. The scheduler
 * has the other half of each session (struct worker).
 *
 * INVARIANTS
 * (1) A session has one peer, one durable worker id and one struct worker, and none shares them.
 * (2) (host, name) is unique: who says Hello under the name of another session replaces it. */
struct session {
    struct peer peer;
    char *id, *name, *host;
    uint32_t cores, threads;
    uint64_t memory;
    uint64_t executor_memory; /* as it said last */
    char **classes;           /* best first */
    size_t n_classes;
    char **labels;
    size_t n_labels;
    struct worker *worker;
    struct open_letter assign, ack; /* of this turn */
    size_t assign_bytes;
    struct session *next;
};

struct fleet;
int fleet_new(struct fleet **out, struct err *e);
void fleet_free(struct fleet *f);

struct session *fleet_by_peer(const struct fleet *f, const struct peer *p); /* NULL: a stranger */
struct session *fleet_by_id(const struct fleet *f, const char *worker_id);
struct session *fleet_by_name(const struct fleet *f, const char *host, const char *name);
struct session *fleet_by_worker(const struct worker *w); /* NULL: it has left */
uint64_t fleet_who(const char *host, const char *name);  /* struct worker.who; not 0 */
struct session *fleet_first(const struct fleet *f);      /* oldest first, by ->next */

/* A new session, known to the scheduler as well. An empty name becomes w1, w2, … */
int fleet_join(struct session **out, struct fleet *f, struct sched *s, const struct peer *p,
    const Hello *h, int64_t now, struct err *e);
void fleet_leave(
    struct fleet *f, struct session *s); /* frees it; the scheduler's half forgets it */

/* The number of a label, or of a numeric class: given at its first mention, from 1. */
int fleet_label(struct fleet *f, const char *label, uint32_t *tag, struct err *e);
int fleet_class(struct fleet *f, const char *numeric_class, uint32_t *tag, struct err *e);
const char *fleet_tag_name(const struct fleet *f, uint32_t tag); /* "label gpu" */

/* The best numeric class that all live sessions share; the best of the oldest one when they share
 * none. NULL: there is no live session. Borrowed from a session. */
const char *fleet_best_class(const struct fleet *f);

/* As people see them; *out freed by message_free. job: what it runs ("quickstart-1/sft"). */
int fleet_status(
    WorkerStatus **out, const struct session *s, const char *job, int64_t now, struct err *e);

#endif
