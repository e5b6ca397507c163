#ifndef ORCHESTRATOR_SWEEPER_H
#define ORCHESTRATOR_SWEEPER_H

#include "store/store.h"

/* Takes superseded artifacts out of the store in a thread of its own: the store's writer lock is
 * the workers' too, and the orchestrator's loop never waits for it. What it has not come to when
 * the orchestrator is killed is left to `jielong store gc`. */
struct sweeper;

int sweeper_new(struct sweeper **out, struct store *s, struct err *e); /* borrows s */
void sweeper_free(struct sweeper *w); /* after all it was given; NULL is fine */
/* Copies. When memory is short the artifact stays in the store. */
void sweeper_take(struct sweeper *w, const struct id *artifact);

#endif
