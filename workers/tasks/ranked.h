#ifndef WORKERS_TASKS_RANKED_H
#define WORKERS_TASKS_RANKED_H

#include "workers/tasks/train.h"

/* Where the objectives that learn from rankings (a reward model, DPO) get their batches: prompts
 * with all their answers, one unit each, all pairs of a prompt in one batch element (Ouyang et al.
 * 2022, 3.5). Targets stand at the answers' tokens. */
struct source {
    size_t n, n_held_out;
    RankingExample **examples; /* those that are not held out and hold at least one pair */
    RankingExample **held_out; /* likewise; read where they are asked for */
    uint32_t *order;
    uint64_t epoch;
    bool ordered;
    size_t max_rows, max_tokens; /* of one prompt */
};

/* An objective's open and batch. `compared`: every answer must have its reference, and what is held
 * out is kept as well. */
int ranked_open(struct trainer *t, const TaskSpec *spec, bool compared, struct err *e);
int ranked_batch(struct trainer *t, struct err *e);

/* The example of unit u of this step's rows. */
const RankingExample *ranked_example(const struct trainer *t, size_t u);
/* The rank of an answer: 0 is the best. */
uint32_t ranked_tier(const RankingExample *x, uint32_t answer);

#endif
