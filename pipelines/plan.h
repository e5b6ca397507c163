#ifndef PIPELINES_PLAN_H
#define PIPELINES_PLAN_H

#include "proto/message.h"

/* A pipeline expanded: matrices multiplied out, every name resolved. Pure; borrows from the
 * Submit it was made of. */

/* Where a job's input port gets its artifact. */
struct binding {
    const char *port;   /* "tokenizer", "text", "init", "demonstrations", … */
    const char *output; /* of the job: "checkpoint", "tokenizer", …; NULL: a pipeline input */
    uint32_t source;    /* index of the job, or of the pipeline input */
    const char *name;   /* of that job or input */
};

struct plan_job {
    const char *name;   /* stage, or stage[key=value,…] of a matrix */
    const char *kind;   /* "pretrain" */
    const Stage *stage; /* defaults filled in, matrix values applied */
    uint64_t seed;
    double audit; /* share of its tasks that are run twice */
    struct binding *bindings; /* a port may stand several times: order counts */
    size_t n_bindings;
    uint32_t *after; /* jobs that must be done first, ascending, no doubles */
    size_t n_after;
    bool numeric;         /* its results depend on the numeric class */
    const Rubric *rubric; /* that the stage names; NULL: none */
    uint32_t text_shards; /* text that is trained on is encoded in so many shards, less */
    double text_held_out; /* this share: as in the pretrain stage that the model is from */
};

struct plan {
    const Submit *submit;
    struct plan_job *jobs; /* in topological order, ties as in the file */
    size_t n_jobs;
};

/* Checks again what a stranger could have got wrong (names, cycles, kinds of ports, ranges), so
 * it is safe on a message from the wire. E_INPUT. */
int plan_make(struct plan **out, const Submit *submit, struct err *e);
void plan_free(struct plan *p);

/* ---- unfolding: a job's rounds of tasks, one pure function ---- */

/* A job's named artifacts: its bound inputs as "in.PORT" (repeated ones "in.PORT.0", …) and what
 * its tasks have produced ("state", "tokens.0", …), latest under each name. */
struct slots {
    Output **items;
    size_t n;
};
const Output *slots_get(const struct slots *s, const char *name); /* NULL: none */

struct unfolding {
    enum { UNFOLD_TASKS, UNFOLD_DONE, UNFOLD_PEOPLE } what;
    TaskSpec **tasks; /* UNFOLD_TASKS: this round's; owned */
    char **names;     /* task i's outputs become slots NAME.OUTPUT; of "": OUTPUT */
    size_t n_tasks;
    Output **outputs; /* UNFOLD_DONE: the job's outputs, copies; owned */
    size_t n_outputs;
    uint32_t wanted; /* UNFOLD_PEOPLE: how many rankings */
};
/* (stage configuration, results so far) → next tasks, or done with output. round counts from 0.
 * Knows no tensors: decides by slots and their facts (`step` < `total`) only. */
int unfold(struct unfolding *out, const struct plan_job *job, const struct slots *slots,
    uint32_t round, const char *numeric_class, struct err *e);
void unfolding_free(struct unfolding *u);

/* Key under which a finished job's outputs are remembered: SHA-256 over (stage configuration
 * without names, input ids, seed, numeric class where it matters, engine). */
int job_key(struct id *out, const struct plan_job *job, const struct slots *inputs,
    const char *numeric_class, struct err *e);

#endif
