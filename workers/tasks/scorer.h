#ifndef WORKERS_TASKS_SCORER_H
#define WORKERS_TASKS_SCORER_H

#include "workers/tasks/task.h"
#include "workers/model/transformer.h"
#include "workers/tasks/losses.h"

/* Forward passes over many sequences: prompt + answer. Sequences are batched as room allows;
 * results do not depend on how. */
struct scored_sequence {
    const int32_t *prompt, *answer; /* borrowed */
    size_t n_prompt, n_answer;      /* n_prompt >= 1 */
};

/* INVARIANT  What is scored with a precision has the bits of a training's forward pass with it. */
struct scorer_options {
    double temperature;  /* divides the logits */
    Precision precision; /* of products */
};

/* Memory that scoring n sequences takes beside the model: of so many tokens in all, the longest of
 * so many. */
size_t scorer_bytes(const ModelConfig *c, size_t n, size_t tokens, size_t longest);

/* log_prob[i][k]: log pi(answer k | before); n_answer floats each, the caller's. */
int score_log_probs(float *const *log_prob, const struct task_context *c, const struct model *m,
    const struct scored_sequence *s, size_t n, const struct scorer_options *how, struct err *e);

/* value[i][k]: the scalar head before answer token k. */
int score_values(float *const *value, const struct task_context *c, const struct model *m,
    const struct scored_sequence *s, size_t n, Precision precision, struct err *e);

/* log_prob[i]: log pi(answer i | prompt), summed over its tokens in order, of every row of x; at
 * most RANKING_MAX. */
int score_answers(double *log_prob, const struct task_context *c, const struct model *m,
    const RankingExample *x, Precision precision, struct err *e);

/* score[i]: the scalar head at the last token of prompt + answer, in float32: a teacher's judgement
 * does not depend on how its pupil is trained. */
int score_rewards(float *score, const struct task_context *c, const struct model *m,
    const struct scored_sequence *s, size_t n, struct err *e);

#endif
