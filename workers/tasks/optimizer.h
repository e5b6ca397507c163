#ifndef WORKERS_TASKS_OPTIMIZER_H
#define WORKERS_TASKS_OPTIMIZER_H

#include "workers/model/model.h"

/* A model that is being trained: weights, gradient and AdamW's moments. All but the weights are
 * laid out like params + frozen, and there is none of what is frozen. */
struct network {
    struct model *model;
    struct arena arena;          /* holds what follows */
    float *grad, *m, *v;         /* network_floats each */
    double *partial;             /* of the gradient norm */
    struct workspace *workspace; /* borrowed: two networks may share one */
};

int network_init(struct network *n, struct model *takes,
    struct err *e);                           /* zero moments; frees model on failure */
size_t network_floats(const struct model *m); /* that are trained */
void network_free(struct network *n);

struct optimizer {
    double beta1, beta2, eps, weight_decay, grad_clip;
    bool eps_outside;
};

/* Global gradient norm; E_INVARIANT when it is not finite. */
int network_grad_norm(
    double *norm, const struct engine *en, const struct network *n, struct err *e);

/* What an exponential moving average of the weights becomes: decay x average + (1 - decay) x
 * weights. */
struct average {
    float *weights; /* laid out like the gradient; NULL: none is kept */
    double decay;
};

/* One AdamW step (t counts from 1) with the gradient scaled down to grad_clip when `norm` exceeds
 * it; weight decay on the matrices of the tensor table. In the same pass over the memory the
 * average moves, and the gradient becomes zero: what the next step adds to. */
void network_step(const struct engine *en, struct network *n, const struct optimizer *o,
    const struct average *average, double learning_rate, uint64_t t, double norm);

/* Learning rate at step of total: linear warm-up over `warmup` steps, then cosine to min_ratio x
 * peak, constant, or linear to 0. The warm-up's first step has `start` x peak, or where that is 0
 * what would be the second's. */
double learning_rate_at(Schedule schedule, double peak, double start, double min_ratio,
    uint64_t step, uint64_t warmup, uint64_t total);

#endif
