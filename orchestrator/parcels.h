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

/* Remembers the items under their names where they come from, and the answers, as far as what they
 * name is in the store and nothing is known already. Not committed. */
int parcel_remember(struct journal *j, struct store *s, const Parcel *p, struct err *e);
/* The remembered items; each() borrows: an id, a kind, and the name ("RUN/JOB.OUTPUT" over there).
 */
int parcel_each_imported(struct state_txn *t,
    int (*each)(void *ctx, const Output *output, struct err *e), void *ctx, struct err *e);

#endif
