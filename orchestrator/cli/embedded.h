#ifndef ORCHESTRATOR_CLI_EMBEDDED_H
#define ORCHESTRATOR_CLI_EMBEDDED_H

#include <stdint.h>

#include "proto/err.h"

/* An orchestrator and workers as children of this process: started, supervised (one that dies is
 * started again), ended with it. Their logs go to HOME/logs, or all to stderr. How many workers
 * there are can be changed meanwhile (crew.h): new ones start, or the last ones finish what they
 * have. */
struct embedded;

struct embedded_options {
    const char *home;    /* borrowed as long as it lasts; the folder exists */
    const char *program; /* folder of jielong and jielong-worker; borrowed as well */
    int workers;         /* at most CREW_MAX */
    int threads;         /* of each worker; 0: the cores are shared out */
    const char *listen;  /* where the orchestrator listens as well; NULL: nowhere */
    const char *format;  /* of their logs, which go to stderr; NULL: as text to HOME/logs */
};

/* Starts the orchestrator, waits until it answers, starts the workers. E_BUSY: another
 * orchestrator holds the home. */
int embedded_start(struct embedded **out, const struct embedded_options *o, struct err *e);

/* Looks after the children: call when SIGCHLD has come, and now and then. E_IO when one of them
 * keeps dying, with the end of its log; E_BUSY when another orchestrator has taken the home. */
int embedded_look_after(struct embedded *b, int64_t now_ms, struct err *e);

/* Ends the children and waits for them. NULL is fine. */
void embedded_end(struct embedded *b);

#endif
