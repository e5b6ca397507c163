#ifndef WORKERS_TASKS_RUN_H
#define WORKERS_TASKS_RUN_H

#include "workers/tasks/answer.h"
#include "workers/tasks/task.h"

/* One function for each kind of task; inputs and outputs stand in proto/task.proto. */
int tokenizer_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
int import_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
int encode_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
int train_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
int generate_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
int join_run(struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
int rank_run(struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
int calibrate_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
int rollout_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
int score_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);
int report_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);

int reference_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e);

/* The single input called `name`; E_PROTOCOL when there is none. */
int task_input(struct id *out, const TaskSpec *spec, const char *name, struct err *e);

#endif
