#ifndef PROTO_GUARD_H
#define PROTO_GUARD_H

#include "proto/err.h"

/* ZeroMQ's own authentication (RFC 27, ZAP): CURVE encrypts but admits any key, so a handler says
 * who may come in, by the list in HOME/keys. Where no handler answers, nobody comes in: the
 * sockets enforce their domain. Refusals are logged (proto/refusals.h). */
#define GUARD_DOMAIN "jielong"

struct guard;

/* Runs until the ZeroMQ context ends. Copies home. */
int guard_start(struct guard **out, void *zmq_context, const char *home, struct err *e);
void guard_free(struct guard *g); /* after zmq_ctx_shutdown; NULL is fine */

#endif
