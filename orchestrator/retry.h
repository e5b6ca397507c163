#ifndef ORCHESTRATOR_RETRY_H
#define ORCHESTRATOR_RETRY_H

#include "proto/message.h"

/* What follows from a failed attempt, by the class of its cause. */
struct retry_rule {
    const char *words; /* for people: "out of memory" */
    bool fatal;        /* no other attempt can do better */
    bool counted;      /* against the stage's `retries` */
    bool backs_off;    /* 1 s, 2 s, 4 s … 60 s before the next */
    bool elsewhere;    /* rather on another worker */
};
const struct retry_rule *retry_rule(Cause cause);

bool retry_workers_cause(Cause cause); /* one that a worker may tell */

/* Attempts whose worker was lost say little about the task, but this many are poison. */
#define RETRY_LOSSES 20

int64_t retry_wait_ms(uint32_t failures); /* before the next attempt after so many; failures ≥ 1 */

#endif
