#ifndef WORKERS_TASKS_SCORER_H
#define WORKERS_TASKS_SCORER_H

#include "workers/tasks/task.h"
#include "workers/model/transformer.h"

/* Forward passes over many sequences: prompt + answer. Sequences are batched as room allows;
 * results do not depend on how. */
struct scored_sequence {
    const int32_t *prompt, *answer; /* borrowed */
    size_t n_prompt, n_answer;      /* n_prompt >= 1 */
};

/* log_prob[i][k]: log pi(answer k | before) at the temperature; n_answer floats each, the caller's.
 */
int score_log_probs(float *const *log_prob, const struct task_context *c, const struct model *m,
    const struct scored_sequence *s, size_t n, double temperature, struct err *e);

/* value[i][k]: the scalar head before answer token k. */
int score_values(float *const *value, const struct task_context *c, const struct model *m,
    const struct scored_sequence *s, size_t n, struct err *e);

/* score[i]: the scalar head at the last token of prompt + answer. */
int score_rewards(float *score, const struct task_context *c, const struct model *m,
    const struct scored_sequence *s, size_t n, struct err *e);

#endif
