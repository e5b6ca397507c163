#ifndef ORCHESTRATOR_PARCELS_H
#define ORCHESTRATOR_PARCELS_H

#include "orchestrator/journal.h"
#include "store/store.h"

/* What is known of a parcel's artifacts, beside their bytes (store/parcel.h). */

/* Puts an artifact into the parcel, unless it is there. Copies. */
int parcel_add_item(
    Parcel *p, const struct id *id, ArtifactKind kind, const char *name, struct err *e);

/* Adds the answers of all jobs whose outputs the parcel has, every one of them: whoever takes it
 * need not run those jobs. For an artifact that none of them names, an answer under its own id,
 * which is no job's key: it only holds the artifact in the store. t NULL: there is no state. */
int parcel_add_jobs(Parcel *p, struct state_txn *t, struct err *e);

/* Remembers the answers, as far as their outputs are in the store and none is known already. Not
 * committed. */
int parcel_remember(struct journal *j, struct store *s, const Parcel *p, struct err *e);

#endif
