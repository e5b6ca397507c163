#ifndef WORKERS_TASKS_TASK_H
#define WORKERS_TASKS_TASK_H

#include "proto/task.h"
#include "store/store.h"
#include "workers/math/engine.h"

/* What a task may use. It computes a pure function of its spec: nothing here but `store` (by
 * content) and `engine` (by numeric class) may reach its results. */
struct warm;
struct task_context {
    struct store *store;
    const struct engine *engine;
    struct warm
        *warm; /* what the executor keeps from task to task: models and training states by id */
    /* Tells people how it goes; returns nonzero when the task must stop (then return E_CANCELLED).
     * metrics are borrowed. */
    int (*progress)(void *ctx, const Progress *p);
    void *ctx;
    uint64_t memory;   /* bytes that the executor may take; 0: not known */
    uint64_t resident; /* of them, what it had taken before its first task */
};

/* Runs a task. *out is freed by message_free. Errors: E_INPUT → BAD_INPUT, E_NOMEM → OUT_OF_MEMORY,
 * E_TOO_LARGE → TOO_LARGE, E_INVARIANT → INVARIANT, E_IO / E_CORRUPT / E_MISSING → IO, E_CANCELLED
 * → STOPPED. */
int task_run(TaskAnswer **out, const struct task_context *c, const TaskSpec *spec, struct err *e);

int warm_new(struct warm **out, struct err *e);
void warm_free(struct warm *w);

/* For `jielong generate`: answers a prompt with a checkpoint, printing to out. */
struct generate_request {
    const char *prompt;
    const char *system; /* NULL: none */
    struct id checkpoint;
    uint32_t max_new_tokens;
    double temperature, top_p, min_p;
    uint32_t top_k, count; /* count: answers */
    uint64_t seed;
    int show_probabilities; /* rows for each position; 0: off */
    bool raw;               /* continue the text itself, without the chat template */
    bool json;
};
int generate_print(
    struct buf *out, const struct task_context *c, const struct generate_request *r, struct err *e);

#endif
