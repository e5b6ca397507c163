#ifndef PROTO_WATCH_H
#define PROTO_WATCH_H

#include <stddef.h>

#include "proto/err.h"

/* ZeroMQ turns peers away without a word: who fails the handshake, says nothing, or begins with a
 * frame above MAXMSGSIZE just loses its connection. Its socket monitor tells of connections, and a
 * thread logs those that ended before a message came of them (proto/refusals.h). Whom the guard
 * refuses it tells itself: it knows the key. */
struct watch;

/* watched: a ZeroMQ socket that is to listen, borrowed until watch_end; all three in its thread. */
int watch_start(struct watch **out, void *zmq_context, void *watched, struct err *e);
/* A message came over the connection with this descriptor and routing id. NULL is fine. */
void watch_heard(struct watch *w, int fd, const void *routing_id, size_t n);
/* Before zmq_close of the socket. Tells what is left to tell. NULL is fine. */
void watch_end(struct watch *w);

#endif
