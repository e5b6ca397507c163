#ifndef WORKERS_TASKS_ANSWER_H
#define WORKERS_TASKS_ANSWER_H

#include "proto/message.h"
#include "workers/text/intake.h"

/* A TaskAnswer in the making. Zero-initialise with its message; answer_free drops it. */
struct answer {
    TaskAnswer *m;
};

int answer_init(struct answer *a, struct err *e);
void answer_free(struct answer *a);
int answer_output(struct answer *a, Output *takes, struct err *e); /* NULL: E_NOMEM */
/* E_INVARIANT when the value is not finite: no message can carry it, and nobody wants it. */
int answer_metric(struct answer *a, const char *name, double value, struct err *e);
int answer_note(struct answer *a, const char *text, struct err *e); /* copies */
/* What became of people's records: `records_read`, `records_used`, `records_…` for every other fate
 * that there was, and notes with the first ten that were wrong, or not in UTF-8. */
int answer_intake(struct answer *a, const struct intake *im, struct err *e);

#endif
