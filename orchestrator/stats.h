#ifndef ORCHESTRATOR_STATS_H
#define ORCHESTRATOR_STATS_H

#include "orchestrator/retry.h"

/* What the orchestrator counts since it has started, for `jielong web`'s /metrics. */

/* Seconds from the moment a task could be given to the moment it is: the upper ends of a
 * histogram's buckets; what is longer is in one more. */
#define STATS_BUCKETS 9
extern const int64_t stats_bucket_ms[STATS_BUCKETS];

struct stats {
    uint64_t dispatched[STATS_BUCKETS + 1]; /* by how long they have waited */
    uint64_t waited_ms;                     /* all of them together */
    uint64_t failed[CAUSE__TOO_LARGE + 1];  /* attempts, by cause */
    uint64_t answers;
    uint64_t audits_agreed, audits_disagreed, audits_missed;
};

void stats_dispatched(struct stats *s, int64_t waited_ms);

#endif
