#ifndef ORCHESTRATOR_STATUS_H
#define ORCHESTRATOR_STATUS_H

#include "pipelines/plan.h"
#include "store/state.h"

/* What people see of a run: a pure function of the state environment (and of `now`), whether an
 * orchestrator is at work or not. run: NULL or "" = the last one. `alive`: an orchestrator holds
 * the state; else an unfinished run is "interrupted". E_MISSING names the runs there are. */
int status_run(RunStatus **out, struct state_txn *t, const char *run, bool alive,
    int64_t now_unix_ms, struct err *e);

/* Of records that are at hand, those of the plan's jobs in its order; its orchestrator is alive. */
int status_of(RunStatus **out, const RunRecord *run, const struct plan *plan,
    JobRecord *const *jobs, int64_t now_unix_ms, struct err *e);

/* Every run, oldest first, without jobs. */
int status_runs(
    StatusReply **out, struct state_txn *t, bool alive, int64_t now_unix_ms, struct err *e);

/* The output artifact of a job: what is "RUN/STAGE" or "STAGE" (last run) or "RUN/STAGE.OUTPUT".
 * output: preferred name when none is given ("checkpoint"). E_MISSING lists the stages there are.
 */
int status_artifact(
    Output **out, struct state_txn *t, const char *what, const char *output, struct err *e);

#endif
