#ifndef WORKERS_TASKS_ANSWER_H
#define WORKERS_TASKS_ANSWER_H

#include "proto/message.h"

/* A TaskAnswer in the making. Zero-initialise with its message; answer_free drops it. */
struct answer {
    TaskAnswer *m;
};

int answer_init(struct answer *a, struct err *e);
void answer_free(struct answer *a);
int answer_output(struct answer *a, Output *takes, struct err *e); /* NULL: E_NOMEM */
int answer_metric(struct answer *a, const char *name, double value, struct err *e);

#endif
