#ifndef ORCHESTRATOR_LOG_LINES_H
#define ORCHESTRATOR_LOG_LINES_H

#include "store/state.h"

/* A run's log lines, oldest first: those of q->job (empty: of all jobs) with numbers above
 * q->after; with q->tail the last so many of them, else the first. At most 2000 lines and 700 KiB
 * at once: ask again with after = reply->next. *out is freed by message_free. E_MISSING: no such
 * run. */
int log_lines_read(LogsReply **out, struct state_txn *t, const LogsRequest *q, struct err *e);

#endif
