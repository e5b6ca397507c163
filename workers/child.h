#ifndef WORKERS_CHILD_H
#define WORKERS_CHILD_H

#include <sys/types.h>

#include "proto/wire.h"

/* The daemon's hand on its executor: a child process that computes, one task after the other.
 * Whatever happens to it is told, never shared: a crash or an out-of-memory kill of the executor
 * is a failed attempt with its last log lines, not a lost worker. */
struct child;

struct child_options {
    const char *home;          /* whose store it opens */
    const char *numeric_class; /* "" : any */
    int threads;
};

int child_spawn(struct child **out, const struct child_options *o, struct err *e);
/* Kills it, if it still lives, and waits for it. NULL is fine. */
void child_end(struct child *c);

const char *child_class(const struct child *c);
int child_threads(const struct child *c);
uint64_t child_memory(const struct child *c); /* bytes, resident; 0: not known */
int child_message_fd(const struct child *c);  /* readable: child_receive */
int child_log_fd(const struct child *c);      /* readable: child_log */

int child_execute(struct child *c, const Assignment *a, struct err *e);

bool child_has_more(const struct child *c); /* child_receive would not wait */
/* One message of the executor; *out NULL with OK: it has ended. After that, and after an error,
 * there is nothing more to be had of it: call child_failure. */
int child_receive(struct child *c, Envelope **out, struct err *e);

/* Reads what it wrote to stderr; line(ctx, text) for each whole line. False: nothing more will
 * come. */
bool child_log(struct child *c, void (*line)(void *ctx, const char *text), void *ctx);

/* Why it ended, with its last lines; waits for it. unreadable: what was wrong with its last
 * message, for which it is killed unless it has ended already; NULL: it ended by itself. Freed by
 * message_free. */
int child_failure(Failure **out, struct child *c, const char *unreadable, struct err *e);

#endif
