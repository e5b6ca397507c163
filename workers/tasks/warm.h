#ifndef WORKERS_TASKS_WARM_H
#define WORKERS_TASKS_WARM_H

#include "workers/model/generator.h"
#include "workers/tasks/task.h"
#include "workers/text/tokenizer.h"

/* What an executor keeps from task to task, by artifact id: a few models, a tokenizer and the
 * trainer of the last segment, and one model's packed weights. Never changes a result: what is kept
 * is what would be read. */
struct trainer;

/* Borrowed until the next call of warm_model with other ids pushes it out: the last 8 stay. Those
 * of the kept trainer are lent. */
int warm_model(const struct model **out, const struct task_context *c, const struct id *id,
    const char *prefix, struct err *e);
/* It is there, or the kept trainer lends it. */
bool warm_has_model(const struct warm *w, const struct id *id, const char *prefix);
/* Lets go of all models and packed weights: a task needs the room. What a trainer lends stays. */
void warm_drop_models(struct warm *w);
uint64_t warm_models_bytes(const struct warm *w); /* of them */
/* Sets the precision of `o` and the packed weights of m, the model that warm_model gives for the
 * same id and prefix. They stay until the next call, or until models are dropped. */
int warm_panels(struct generator_options *o, const struct task_context *c, const struct model *m,
    const struct id *id, const char *prefix, Precision precision, struct err *e);
bool warm_has_panels(
    const struct warm *w, const struct id *id, const char *prefix, enum precision precision);
void warm_drop_panels(struct warm *w);
enum precision packed_precision(Precision p);
int warm_tokenizer(
    const struct tokenizer **out, const struct task_context *c, const struct id *id, struct err *e);

/* The trainer whose state artifact is `id`, or NULL; the caller owns it. */
struct trainer *warm_take_trainer(struct warm *w, const struct id *id);
void warm_keep_trainer(struct warm *w, const struct id *id, struct trainer *takes);
void warm_drop_trainer(struct warm *w);
uint64_t warm_trainer_bytes(const struct warm *w); /* 0: none is kept */

#endif
