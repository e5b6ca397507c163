#ifndef PROTO_TASK_H
#define PROTO_TASK_H

#include "proto/message.h"

/* Raised whenever some task kind's results change: old answers are then not reused. */
#define ENGINE_VERSION 4

/* A task's id: fills defaults, then SHA-256 of the packed spec. */
int task_id(struct id *out, TaskSpec *spec, struct err *e);

/* The inputs called `name`, in order: fills ids[0..cap) and returns how many there are. */
size_t task_inputs(const TaskSpec *spec, const char *name, struct id *ids, size_t cap);

/* Fact of an output or manifest; `otherwise` when it is not there. */
int64_t fact_value(Fact *const *facts, size_t n, const char *name, int64_t otherwise);

#endif
