#ifndef ORCHESTRATOR_METRIC_POINTS_H
#define ORCHESTRATOR_METRIC_POINTS_H

#include "store/state.h"

/* What q->job of q->run has told of its progress, oldest first, but for its first q->after points.
 * A bounded part: ask again with after = reply->next until a reply has no points. *out is freed by
 * message_free. E_MISSING: no such run, or no such job in it. */
int metric_points_read(
    MetricsReply **out, struct state_txn *t, const MetricsRequest *q, struct err *e);

#endif
