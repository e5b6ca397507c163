#ifndef ORCHESTRATOR_RUN_RECORD_H
#define ORCHESTRATOR_RUN_RECORD_H

#include "store/state.h"

/* The run of that name; NULL or "": the last. *out is freed by message_free. E_MISSING names the
 * runs there are. */
int run_record_find(RunRecord **out, struct state_txn *t, const char *run, struct err *e);

/* A name that no run has: PIPELINE-n, n counting the runs of pipelines of that name from 1.
 * *out is malloc'ed. */
int run_record_name(char **out, struct state_txn *t, const char *pipeline, struct err *e);
/* The highest such n, 0: none. */
int run_record_last(uint64_t *out, struct state_txn *t, const char *pipeline, struct err *e);

#endif
