#ifndef ORCHESTRATOR_METRIC_POINTS_H
#define ORCHESTRATOR_METRIC_POINTS_H

#include "store/state.h"

/* Of a job that has told n points of its progress, numbered from 0, those stay whose number the
 * stride divides, and the last one: the first, the last, and a uniform subset between them. The
 * stride is 1 up to METRIC_POINTS_MAX points and doubles whenever so many would be exceeded. So a
 * job has at most METRIC_POINTS_MAX + 1 points in the state, however long it runs; a point is at
 * most a Progress message, in practice some 300 bytes: 1.3 MB for each job. */
#define METRIC_POINTS_MAX 4096
uint64_t metric_stride(uint64_t n);
/* Calls drop() for each point that leaves when point `number` comes; before an error, or all. */
int metric_points_thin(uint64_t number, int (*drop)(void *ctx, uint64_t number, struct err *e),
    void *ctx, struct err *e);

/* How many points the job has told; a number that is not given again. */
int metric_points_told(uint64_t *n, struct state_txn *t, uint64_t run, uint64_t job, struct err *e);

/* What q->job of q->run has told of its progress, oldest first, from point q->after on.
 * A bounded part: ask again with after = reply->next until a reply has no points. *out is freed by
 * message_free. E_MISSING: no such run, or no such job in it. */
int metric_points_read(
    MetricsReply **out, struct state_txn *t, const MetricsRequest *q, struct err *e);

#endif
