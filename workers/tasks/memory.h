#ifndef WORKERS_TASKS_MEMORY_H
#define WORKERS_TASKS_MEMORY_H

#include "workers/model/transformer.h"

/* What a task takes at its peak, in bytes: known before it starts. */
struct memory_need {
    const char *what; /* that needs it; NULL: training */
    uint64_t files;   /* what an import reads */
    uint64_t weights; /* of all networks, the bases of adapted ones, and the average */
    uint64_t gradients, moments, activations;
    uint64_t batch;   /* a step's rows, and what is known of each token */
    uint64_t other;   /* what saving takes; a reward model that chooses */
    uint64_t process; /* what there was before any task: programs, libraries, the store's tables */
    uint64_t loading; /* at its peak, when one model is made of another, or saved: weights,
                       * gradients and moments until then, and what it takes */
    uint64_t packed;  /* weights as decoding wants them */
    uint64_t cache;   /* of the sequences that are decoded together, and their activations */
    uint64_t kept;    /* by the executor, of tasks before */
};

/* Adds a network that is trained: weights, gradients and two moments. The configuration is
 * checked. */
void memory_add_network(struct memory_need *n, const ModelConfig *c);

/* A model is loaded next, of so many bytes while it is made of another; or saving takes so many. */
void memory_add_loading(struct memory_need *n, uint64_t bytes);

/* A network that is only read: its weights. The configuration is checked. */
void memory_add_model(struct memory_need *n, const ModelConfig *c);

/* Work that is over before the next begins: of all that is added, the largest counts. */
void memory_add_work(struct memory_need *n, uint64_t cache, uint64_t activations, uint64_t batch);

/* A model is made of files, so many bytes of which are JSON; `files` is set. */
void memory_add_import(struct memory_need *n, const ModelConfig *c, uint64_t json);

uint64_t memory_total(const struct memory_need *n);

/* E_TOO_LARGE, with the numbers, when that is more than `limit` bytes; 0: no limit is known. */
int memory_check(const struct memory_need *n, uint64_t limit, struct err *e);

/* Bytes of memory that this process has taken; 0: not known. */
uint64_t memory_resident(void);

/* Bytes that this process may take: the machine's memory, or what its control groups leave of it.
 * root: what stands before /proc and /sys; "" but in tests. */
uint64_t memory_limit(const char *root);

#endif
