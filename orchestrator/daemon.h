#ifndef ORCHESTRATOR_DAEMON_H
#define ORCHESTRATOR_DAEMON_H

#include "proto/err.h"

struct daemon_options {
    const char *home;
    const char *listen; /* a tcp url beside the home's own ipc socket, for clients and workers;
                           NULL: none. Workers with a store of their own get chunks on the next
                           port. Off loopback: refused without keys, see proto/keys.h */
    int stop_fd;  /* becomes readable when the daemon must stop; -1: SIGTERM and SIGINT only */
    int ready_fd; /* one byte is written here once clients and workers can connect; -1: none */
};

/* Runs the orchestrator until it is told to stop. E_BUSY: another one holds the home. */
int daemon_run(const struct daemon_options *o, struct err *e);

/* The ipc url of a home's orchestrator (ipc paths are at most 107 bytes: a long home gets a short
 * path in a private folder, made of its hash). */
#define HOME_URL 160
int home_url(char out[HOME_URL], const char *home, struct err *e);

#endif
