#ifndef ORCHESTRATOR_BULK_H
#define ORCHESTRATOR_BULK_H

#include "orchestrator/orchestrator.h"
#include "proto/keys.h"
#include "store/store.h"

/* Chunks for workers on other hosts: a socket and a thread of their own, so that they never hold
 * up the orchestrator's loop. */
struct bulk;

/* Listens beside `listen` (tcp://HOST:PORT), on the next port; port 0 or *: on any. keys: as for
 * socket_listen. */
int bulk_start(struct bulk **out, struct store *s, const char *home, const char *listen,
    const struct keys *keys, struct err *e); /* borrows s */
void bulk_stop(struct bulk *b);              /* NULL is fine */
const struct bulk_traffic *bulk_traffic(const struct bulk *b);
unsigned bulk_port(const struct bulk *b);

#endif
