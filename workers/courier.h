#ifndef WORKERS_COURIER_H
#define WORKERS_COURIER_H

#include "proto/keys.h"
#include "proto/task.h"

/* Brings what a task needs from the orchestrator's store into the worker's own, and takes what it
 * made back there: in a thread of its own, so that heartbeats never wait. One errand at a time.
 * The worker's store is a cache: what was used least recently goes when it holds more than
 * cache_bytes. */
struct courier;

struct courier_options {
    const char *home;        /* the worker's */
    const char *connect;     /* the orchestrator's url, tcp://HOST:PORT … */
    unsigned bulk_port;      /* … and the port on that host where chunks are */
    const struct keys *keys; /* NULL: none */
    uint64_t cache_bytes;
};

int courier_new(struct courier **out, const struct courier_options *o, struct err *e); /* copies */
void courier_free(struct courier *c); /* stops its errand; NULL is fine */

int courier_fd(const struct courier *c); /* readable: the errand is over */
/* Begins an errand: the spec's inputs (and the tokenizers that models name); the answer's outputs.
 * Copies ids. */
int courier_fetch(struct courier *c, const TaskSpec *spec, struct err *e);
int courier_push(struct courier *c, const TaskAnswer *answer, struct err *e);
/* The errand's result, once courier_fd is readable; false: it is not over. */
bool courier_done(struct courier *c, int *rc, struct err *e);
void courier_stop(struct courier *c); /* drops the errand, waits for its end */

#endif
