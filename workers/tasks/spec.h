#ifndef WORKERS_TASKS_SPEC_H
#define WORKERS_TASKS_SPEC_H

#include "proto/task.h"

/* A task spec in the making, for whoever runs tasks without an orchestrator. Inputs point into its
 * own arrays, so it is not copied. */
#define SPEC_INPUTS 32
struct spec {
    TaskSpec m;
    TaskInput inputs[SPEC_INPUTS], *pointers[SPEC_INPUTS];
    struct id ids[SPEC_INPUTS];
};

void spec_start(struct spec *s, TaskSpec__KindCase kind);
void spec_input(struct spec *s, const char *name, struct id id); /* borrows the name */

/* What came of it: false, or NaN, when there is none of that name. */
bool answer_find(struct id *out, const TaskAnswer *a, const char *output);
double answer_value(const TaskAnswer *a, const char *metric);

#endif
