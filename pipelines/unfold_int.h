#ifndef PIPELINES_UNFOLD_INT_H
#define PIPELINES_UNFOLD_INT_H

#include "pipelines/plan.h"

/* What the unfolding of every kind needs: one round of one job, and its tasks on their way. */
struct round {
    struct unfolding *out;
    const struct plan_job *job;
    const struct slots *slots;
    uint32_t number;
    const char *numeric_class;
    struct err *e;
};

/* One for each kind of stage. */
int unfold_tokenizer(struct round *r);
int unfold_import(struct round *r);
int unfold_pretrain(struct round *r);
int unfold_sft(struct round *r);
int unfold_sample(struct round *r);
int unfold_rank(struct round *r);
int unfold_reward_model(struct round *r);
int unfold_rl(struct round *r);
int unfold_dpo(struct round *r);
int unfold_evaluate(struct round *r);

/* ---- spec.c: tasks ---- */

/* Adds a task of this kind to the round; name (printf): what its outputs are to be called. *out
 * borrows; of its configuration is set what the stage has under the same name. */
int round_task(struct round *r, TaskSpec **out, TaskSpec__KindCase kind, const char *name, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds the artifact of a slot (printf) to the task's inputs. E_MISSING. */
int round_input(struct round *r, TaskSpec *task, const char *input, const char *slot, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds all that is bound to a port, in order, under the name `input`; there may be nothing. */
int round_bound(struct round *r, TaskSpec *task, const char *input, const char *port);
/* Adds the i-th of them. */
int round_bound_at(struct round *r, TaskSpec *task, const char *input, const char *port, size_t i);

/* Adds the rubric that the stage names, if any. */
int round_rubric(struct round *r, Rubric **out);

/* The stage's configuration without names; freed by message_free. */
int round_config(struct round *r, ProtobufCMessage **out);

/* ---- unfold.c: slots ---- */

bool round_has(const struct round *r, const char *slot);
size_t round_ports(const struct round *r, const char *port); /* how many are bound to it */

/* The i-th artifact that is bound to a port; NULL: none. */
const Output *slots_bound(
    const struct slots *s, const struct plan_job *job, const char *port, size_t i);

/* The job is done: `from` is its output `name`. NULL: E_MISSING. */
int round_output(struct round *r, const char *name, const Output *from);
/* The job is done: a slot is its checkpoint, and it hands on its tokenizer. */
int round_model(struct round *r, const char *slot);

/* ---- unfold_text.c: text → tokens, for every stage that trains on text ---- */

/* Tasks for the bound text, if any: slots tokens.K.tokens. */
int round_encode_text(struct round *r);
/* Adds what they gave to a task. */
int round_tokens(struct round *r, TaskSpec *task);

/* ---- unfold_train.c ---- */

/* The next segment of training, of at most so many steps; gives `state` or `checkpoint`. The first
 * one starts from what is bound to the ports first[], NULL-terminated; others from the state. */
int round_train(struct round *r, TaskSpec **out, TrainTask__Objective objective, uint32_t segment,
    const char *const *first);

#endif
