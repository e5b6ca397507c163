#ifndef ORCHESTRATOR_WEB_EXPOSITION_H
#define ORCHESTRATOR_WEB_EXPOSITION_H

#include "proto/message.h"

/* The Prometheus text format, version 0.0.4: for each metric its # HELP and # TYPE, then its
 * samples. Pure. s NULL: no orchestrator answers, jielong_up is 0 and there is nothing else.
 * Appends; OK or E_NOMEM. */
#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"
int exposition(struct buf *out, const Stats *s);

#endif
