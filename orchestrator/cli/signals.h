#ifndef ORCHESTRATOR_CLI_SIGNALS_H
#define ORCHESTRATOR_CLI_SIGNALS_H

#include <stdbool.h>

#include "proto/err.h"

/* SIGINT, SIGTERM, SIGHUP and SIGCHLD come as something to read between two looks, so that children
 * and terminal are left in order; SIGPIPE is ignored. */
int signals_open(int *fd, struct err *e);

/* Waits so long, or until a signal comes; true: asked to stop. */
bool signals_wait(int fd, int timeout_ms);

#endif
