#ifndef ORCHESTRATOR_BROKER_H
#define ORCHESTRATOR_BROKER_H

#include "orchestrator/orchestrator.h"

/* The sockets: a ROUTER on the home's ipc url and, when asked for, one on tcp. Peers of both are
 * the same to the orchestrator. */
struct broker;

/* listen: a tcp url or NULL. keys: who connects there must have one that the home allows; NULL:
 * nobody is asked, and only loopback will do (else E_INPUT). */
int broker_open(struct broker **out, const char *home, const char *listen, const struct keys *keys,
    struct err *e);
const char *broker_url(const struct broker *b); /* of the tcp socket; NULL: none */
void broker_close(struct broker *b);            /* NULL is fine */

/* Waits for a message, one of fds[0..n_fds) (fewer than 8; -1 is skipped) or timeout_ms. *stop is
 * set when one of fds is readable. */
int broker_wait(
    struct broker *b, const int *fds, size_t n_fds, int64_t timeout_ms, bool *stop, struct err *e);

/* Gives o what has come in, at most 2048 messages of each socket. A refused frame is a notice, not
 * an error; of many there is one in a second. */
int broker_drain(struct broker *b, struct orchestrator *o, struct now now, struct err *e);

/* Sends the outbox and empties it. What cannot be sent is dropped: its peer is gone or will ask
 * again. */
void broker_flush(struct broker *b, struct outbox *out);

#endif
