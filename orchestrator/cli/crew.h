#ifndef ORCHESTRATOR_CLI_CREW_H
#define ORCHESTRATOR_CLI_CREW_H

#include "proto/err.h"

/* How many workers the home's supervisor should have: a number in HOME/workers. The supervisor
 * (embedded.h) holds a lock on the file, `jielong scale` writes the number. */
#define CREW_MAX 256

/* Takes the lock and sets the number; *fd is closed to give it back. E_BUSY: another process looks
 * after workers there. */
int crew_take(int *fd, const char *home, unsigned workers, struct err *e);
unsigned crew_wanted(int fd, unsigned otherwise);

/* Sets the number, *before: what it was. E_BUSY: nobody looks after workers there. */
int crew_ask(const char *home, unsigned workers, unsigned *before, struct err *e);

#endif
