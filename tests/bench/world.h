#ifndef TESTS_BENCH_WORLD_H
#define TESTS_BENCH_WORLD_H

#include "proto/task.h"
#include "tests/bench/bench.h"
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

/* A spec in the making: inputs point into its own arrays. */
struct spec {
    TaskSpec m;
    TaskInput inputs[8], *pointers[8];
    struct id ids[8];
};
void spec_start(struct spec *s, TaskSpec__KindCase kind);
void spec_input(struct spec *s, const char *name, struct id id); /* borrows the name */

/* The output called `name`. */
struct id answer_id(const TaskAnswer *a, const char *name);

#endif
