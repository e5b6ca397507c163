#ifndef WORKERS_TASKS_CHOICE_H
#define WORKERS_TASKS_CHOICE_H

#include "workers/model/model.h"
#include "workers/tasks/task.h"

/* Which epoch of a fine-tuning is its result: that whose answers to some prompts a reward model
 * scores highest (Ouyang et al. 2022, C.1). The prompts and the random numbers are the same each
 * time, so what differs is the model. */
struct choice;

/* Reads the spec's reward_model and prompts, for answers of `like`, the model that is trained. */
int choice_open(struct choice **out, const struct task_context *c, const TaskSpec *spec,
    const struct model *like, struct err *e);
void choice_close(struct choice *x); /* NULL is fine */
/* What stays while it is open: the reward model, and the answers. */
uint64_t choice_bytes(const struct choice *x);

/* Mean score of what m answers. E_INVARIANT: it is not finite. */
int choice_score(double *out, struct choice *x, const struct task_context *c, const struct model *m,
    struct err *e);

#endif
