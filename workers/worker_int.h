#ifndef WORKERS_WORKER_INT_H
#define WORKERS_WORKER_INT_H

#include "proto/keys.h"
#include "proto/socket.h"
#include "workers/child.h"
#include "workers/courier.h"
#include "workers/worker.h"

/* What worker.c (sockets and time) and attempt.c (what runs) share. */

#define QUEUE_MAX 1024
#define LINES_MAX 64    /* log lines in one message */
#define SENT_MAX 16     /* assignments that the executor has beside the one that runs */
#define REVOKED_MS 1000 /* so long may what is wanted no more keep the executor */
#define SENT_BYTES                                                                \
    4096 /* of each: all of them fit into the socket, so that writing never waits \
          */

/* An attempt's way. With the orchestrator's own store there is nothing to fetch or to push. */
enum phase { FETCHING, COMPUTING, PUSHING };

struct waiting {
    Assignment *a;
    bool revoked; /* but the executor has it: what comes of it is dropped */
};

struct worker {
    const struct worker_options *o;
    struct net *net;
    struct socket *socket;
    int signals;
    char id[33], host[65];
    struct id store;
    struct keys keys; /* secret "": none */
    int threads;
    struct child *child;
    struct courier *courier;    /* NULL: the store is the orchestrator's own */
    Assignment *running;        /* NULL: idle */
    bool revoked;               /* what runs is wanted no more */
    enum phase phase;           /* of what runs */
    TaskAnswer *answer;         /* PUSHING: what is told when its outputs are there */
    int64_t started, times_out; /* times_out 0: no limit */
    struct waiting queue[QUEUE_MAX];
    size_t n_queue, n_sent; /* n_sent: of its first, those that the executor has already */
    Result **finished;
    size_t n_finished;
    char *lines[LINES_MAX];
    size_t n_lines;
    bool welcome, draining, stop;
    bool held_alone;  /* the orchestrator is not there, and what runs goes on */
    int64_t knocking; /* since when there is no answer; 0: it is not known yet, -1: told */
    int64_t heard, next_beat, beat_ms, deadline_ms;
};

void worker_post(struct worker *w, Envelope *m);
void worker_send_lines(struct worker *w);

/* ---- attempt.c ---- */
void attempt_start_next(struct worker *w, int64_t now);
void attempt_computed(struct worker *w, Outcome *takes);
void attempt_carried(struct worker *w, int64_t now); /* the courier is back */
void attempt_fail(struct worker *w, Cause cause, const char *text);
void attempt_failed(struct worker *w, Failure *takes);
void attempt_stop(struct worker *w); /* what runs is dropped, nothing is told */
void attempt_end_child(struct worker *w);
bool attempt_is(const AttemptRef *a, const AttemptRef *b);

#endif
