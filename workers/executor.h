#ifndef WORKERS_EXECUTOR_H
#define WORKERS_EXECUTOR_H

#include "proto/err.h"

struct executor_options {
    const char *home;
    const char *numeric_class; /* "": the best */
    int threads;
    int fd; /* the daemon's socket */
};

/* Runs tasks until the daemon closes its end. */
int executor_run(const struct executor_options *o, struct err *e);

#endif
