#ifndef TESTS_BENCH_WORLD_H
#define TESTS_BENCH_WORLD_H

#include "tests/bench/bench.h"
#include "workers/tasks/spec.h"
#include "workers/tasks/task.h"

/* A store of its own in a temporary folder, with artificial artifacts, for the tasks of a row. */
struct world {
    char home[64];
    struct store *store;
    struct warm *warm;
    struct id tokenizer;
};

int world_open(struct world *w, const struct size *s, struct err *e);
void world_close(struct world *w); /* removes the folder */

/* Random tokens enough for `windows` windows of the size's context. */
int world_tokens(
    struct id *out, struct world *w, const struct size *s, size_t windows, struct err *e);
/* A model with random weights, with the LM head or a scalar head. */
int world_checkpoint(
    struct id *out, struct world *w, const struct size *s, bool scalar, struct err *e);
/* Prompts of PROMPT_PPO tokens each. */
int world_prompts(struct id *out, struct world *w, size_t n, struct err *e);

#endif
