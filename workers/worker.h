#ifndef WORKERS_WORKER_H
#define WORKERS_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

struct worker_options {
    const char *connect;       /* the orchestrator's url */
    const char *home;          /* whose store is used: the orchestrator's own, or a cache */
    const char *key_file;      /* that the orchestrator allows; NULL: none */
    uint64_t cache_bytes;      /* of a store that is a cache */
    const char *name;          /* for people; at most 64 bytes */
    int threads;               /* that it gives to a task at most; 0: as many as cores */
    int share;                 /* … and to one that asks for no number; 0: as many */
    const char *const *labels; /* by which tasks ask for it */
    size_t n_labels;
    int parent; /* end when this process, which started ours, ends; 0: nobody's child */
};

/* The worker daemon: owns the socket, the heartbeats and the executor's life; never computes.
 * Returns OK after SIGTERM, SIGINT or a Drain that has run dry. */
int worker_run(const struct worker_options *o, struct err *e);

#endif
