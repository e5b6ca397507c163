#ifndef ORCHESTRATOR_REPLY_H
#define ORCHESTRATOR_REPLY_H

#include "orchestrator/runs.h"

/* Answers to a request. code: the exit code that the client ends with. */
int reply_refused(struct orchestrator *o, const struct peer *to, uint64_t request, int code,
    const char *message, struct err *e);
/* The status of a run, as StatusRequest.run names it. */
int reply_status(struct orchestrator *o, const struct peer *to, uint64_t request, const char *run,
    struct err *e);
int reply_done(struct orchestrator *o, const struct peer *to, uint64_t request, struct err *e);

#endif
