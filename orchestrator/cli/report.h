#ifndef ORCHESTRATOR_CLI_REPORT_H
#define ORCHESTRATOR_CLI_REPORT_H

#include "proto/message.h"

/* Writes the reports of a run's evaluations to HOME/runs/RUN/, or to HOME/runs/RUN/JOB/ when there
 * are several, and sets s->report to the first one's report.md. */
int report_write(RunStatus *s, const char *home, struct err *e);

/* Sets s->report when it has been written before. */
int report_find(RunStatus *s, const char *home, struct err *e);

#endif
