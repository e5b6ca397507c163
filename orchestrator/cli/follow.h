#ifndef ORCHESTRATOR_CLI_FOLLOW_H
#define ORCHESTRATOR_CLI_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/err.h"

/* Shows a run's progress as it happens: a line for each job that changes state; on a terminal one
 * more line that is redrawn, elsewhere a heartbeat every 30 s. Reads the state, asks nobody. */
struct follow;
enum follow_end { FOLLOW_GOES_ON, FOLLOW_DONE, FOLLOW_FAILED };

int follow_open(struct follow **out, const char *home, const char *run, bool json, bool color, struct err *e);
int follow_look(struct follow *f, int64_t now_ms, enum follow_end *end, struct err *e);

/* The last word: the table of jobs, why it failed, and the report, which is written to
 * HOME/runs/RUN/. With json: the status on stdout. */
int follow_finish(struct follow *f, struct err *e);
void follow_close(struct follow *f);

#endif
