#ifndef ORCHESTRATOR_CLI_VIEW_H
#define ORCHESTRATOR_CLI_VIEW_H

#include <stdbool.h>

#include "proto/message.h"

/* What commands look at: a home's state, read straight from its environment, whether an
 * orchestrator is at work there or not; or an orchestrator elsewhere, asked over its socket. */
struct view;

/* connect: the orchestrator's url, or NULL: the home's state. E_MISSING: nothing has run there. */
int view_open(struct view **out, const char *home, const char *connect, struct err *e);
void view_close(struct view *v); /* NULL is fine */

/* The run of that name, NULL, "" and "last": the last one. E_MISSING names one that is near.
 * Its workers are those of view_workers, when it can be known. */
int view_run(RunStatus **out, struct view *v, const char *run, struct err *e);
int view_runs(StatusReply **out, struct view *v, struct err *e); /* all, oldest first, no jobs */

/* Asks the orchestrator who works for it; leaves s as it is when that cannot be known now. */
void view_workers(RunStatus *s, struct view *v);

/* No orchestrator has been at work for a while: longer than it takes to start one again that has
 * died. To be asked now and then; never true of one elsewhere. */
bool view_deserted(struct view *v, int64_t now_ms);

/* Log lines; see orchestrator/log_lines.h. */
int view_logs(LogsReply **out, struct view *v, const LogsRequest *q, struct err *e);

/* A part of a job's metrics; see orchestrator/metric_points.h. */
int view_metrics(MetricsReply **out, struct view *v, const MetricsRequest *q, struct err *e);

/* "RUN", "RUN/JOB", or "JOB" of the last run; "" is the last run. */
struct target {
    RunStatus *run;       /* owned: message_free */
    const JobStatus *job; /* of run; NULL: none was named */
};
int view_target(struct target *out, struct view *v, const char *what, struct err *e);

#endif
