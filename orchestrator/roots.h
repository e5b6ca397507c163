#ifndef ORCHESTRATOR_ROOTS_H
#define ORCHESTRATOR_ROOTS_H

#include "proto/id_set.h"
#include "store/state.h"
#include "store/store.h"

/* What of the store is wanted: every run's inputs and outputs, what unfinished jobs have come to,
 * and every remembered answer, but for links of a chain: a training state, and the experience it
 * learnt from, are worth nothing once the chain has moved on.
 *
 * So the store of a training job holds, beside inputs and the model, at most two training states
 * and the experience of two iterations, however long it runs. */
bool is_link(ArtifactKind k);

/* Of all that is committed in the state; sorted. */
int roots_collect(struct id_set *out, struct state_txn *t, struct err *e);

/* What was answered can be used again. */
bool outputs_stored(struct store *s, Output *const *outputs, size_t n);

#endif
