#ifndef ORCHESTRATOR_ORCHESTRATOR_H
#define ORCHESTRATOR_ORCHESTRATOR_H

#include <stdatomic.h>

#include "orchestrator/outbox.h"

/* The orchestrator without its socket and its clock: messages in, letters out. The daemon drives
 * it over ZeroMQ, the simulation under virtual time. One turn:
 *
 *     orchestrator_receive*  →  orchestrator_tick  →  orchestrator_commit  →  send the outbox
 *
 * Any error of these is the end of it: close, start again, and it goes on from its journal. */
struct orchestrator;
struct store;

/* Bytes of chunks that travelled; another thread counts. */
struct bulk_traffic {
    atomic_ullong received, sent;
};

struct now {
    int64_t ms;      /* monotonic: decides */
    int64_t unix_ms; /* wall time: for people */
};

/* Takes the home (E_BUSY), opens state and store, raises the epoch, goes on with every unfinished
 * run. */
int orchestrator_open(struct orchestrator **out, const char *home, struct now now, struct err *e);
void orchestrator_close(struct orchestrator *o); /* NULL is fine */

/* Borrows m, which has passed proto/wire.h. */
int orchestrator_receive(struct orchestrator *o, const struct peer *from, const Envelope *m,
    struct now now, struct err *e);
int orchestrator_tick(struct orchestrator *o, struct now now, struct err *e);
/* All that the outbox says is durable when it returns OK. */
int orchestrator_commit(struct orchestrator *o, struct err *e);

struct outbox *orchestrator_outbox(struct orchestrator *o);
int64_t orchestrator_wait_ms(
    const struct orchestrator *o, int64_t now_ms); /* until the next tick is due */
/* Workers with a store of their own fetch and push chunks on this port; 0: there is none. Borrows
 * traffic. */
void orchestrator_serves(
    struct orchestrator *o, unsigned bulk_port, const struct bulk_traffic *traffic);
struct store *orchestrator_store(const struct orchestrator *o); /* borrowed */
bool orchestrator_stopped(const struct orchestrator *o);        /* a client has asked for the end */
const struct sched *orchestrator_sched(const struct orchestrator *o); /* to look at */

#endif
