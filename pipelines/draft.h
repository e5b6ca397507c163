#ifndef PIPELINES_DRAFT_H
#define PIPELINES_DRAFT_H

#include "pipelines/kinds.h"
#include "pipelines/mistakes.h"
#include "pipelines/plan.h"

/* A pipeline on its way to a plan: one draft for each job, in the order of the file; names become
 * indices step by step, and whatever is wrong is told as it is found. */

#define JOBS_MAX 400 /* also of stages, of inputs, and of what one job refers to */

/* What a field of a stage names. */
struct reference {
    const struct port *port; /* NULL: needs */
    struct site at;
    bool is_job; /* else an input of the pipeline */
    uint32_t source;
    const struct output *output; /* of the job; NULL for needs */
    bool used;                   /* the job, as configured, waits for it */
};

struct draft {
    uint32_t stage; /* index in the pipeline */
    const Stage *origin;
    Stage *copy; /* defaults filled in, matrix values applied */
    const struct kind *kind;
    char *name;
    uint32_t *choice; /* for each axis of the matrix, which value */
    struct reference *refs;
    size_t n_refs;
    /* Once the order is known; NULL where something is wrong: */
    const struct draft *init; /* what it is trained from */
    const struct draft *base; /* the pretrain stage that it goes back to, perhaps itself */
};

struct drafts {
    const Submit *submit;
    struct mistakes *mistakes;
    struct draft *items;
    size_t n;
    size_t n_refs; /* of all */
};

void drafts_free(struct drafts *d);

/* ---- check.c ---- */
/* Names, counts, numbers of the pipeline and its inputs; false: too much is wrong to go on. */
bool check_pipeline(const Submit *s, struct mistakes *m);
/* Numbers, and their relations, within one job. */
void check_draft(const struct drafts *d, const struct draft *one);
/* What must agree between jobs; once the order is known. */
void check_agreement(const struct drafts *d, const struct draft *one);

/* ---- written.c ---- */
/* What is written beside what decides instead of it. Of a pipeline as it is written: where defaults
 * are filled in they look the same. */
void check_written(const Pipeline *p, struct mistakes *m);

/* ---- draft.c ---- */
/* One draft for each job. OK or E_NOMEM; mistakes are told. */
int drafts_make(struct drafts *d, struct err *e);
/* Where a key of this job stands in the file: at the matrix, when that sets it. */
struct site draft_site(const struct draft *one, struct site at);

/* ---- reference.c ---- */
int draft_resolve(struct drafts *d, struct draft *one, struct err *e);
/* The job's first reference by this port; NULL: none. */
const struct reference *draft_reference(const struct draft *one, const char *port);

/* ---- order.c ---- */
/* order[0..n): drafts in topological order, ties as in the file; cycles are told, and broken. */
int drafts_order(struct drafts *d, uint32_t *order, struct err *e);

#endif
