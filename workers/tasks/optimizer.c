#include "workers/tasks/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/math/elementary.h"
#include "workers/model/transformer.h"

/* Work is cut into tiles of a size of its own, so that sums do not depend on the threads. */
#define TILE 16384

int network_init(struct network *n, struct model *takes, struct err *e)
{
    *n = (struct network){ .model = takes };
    size_t bytes = takes->n_params * sizeof(float);
    n->grad = aligned_alloc(64, bytes);
    n->m = aligned_alloc(64, bytes);
    n->v = aligned_alloc(64, bytes);
    if (!n->grad || !n->m || !n->v) {
        network_free(n);
        return err_set(e, E_NOMEM, "no memory to train %zu parameters (%zu MB)", takes->n_params,
            4 * bytes >> 20);
    }
    memset(n->grad, 0, bytes);
    memset(n->m, 0, bytes);
    memset(n->v, 0, bytes);
    return OK;
}

void network_free(struct network *n)
{
    model_free(n->model);
    workspace_free(n->workspace);
    free(n->grad);
    free(n->m);
    free(n->v);
    *n = (struct network){ 0 };
}

struct norm_work {
    const struct engine *en;
    const struct network *n;
    double *partial;
};

static void norm_tile(void *ctx, size_t tile)
{
    struct norm_work *w = ctx;
    size_t from = tile * TILE, n = w->n->model->n_params - from;

    n = n < TILE ? n : TILE;
    w->partial[tile] = w->en->k->dot(w->n->grad + from, w->n->grad + from, n);
}

int network_grad_norm(double *norm, const struct engine *en, const struct network *n, struct err *e)
{
    size_t tiles = (n->model->n_params + TILE - 1) / TILE;
    struct norm_work w = { en, n, calloc(tiles, sizeof(double)) };
    double sum = 0;

    if (!w.partial)
        return err_set(e, E_NOMEM, "no memory for a gradient norm");
    pool_run(en->pool, tiles, norm_tile, &w);
    for (size_t i = 0; i < tiles; i++)
        sum += w.partial[i];
    free(w.partial);
    *norm = sqrt(sum);
    return isfinite(*norm) ? OK : err_set(e, E_INVARIANT, "the gradient norm is not finite");
}

struct step_work {
    const struct engine *en;
    struct network *n;
    struct adamw_step plain, decayed;
};

/* Tensors are far larger or far smaller than a tile: a tile may span several of them. */
static void step_tile(void *ctx, size_t tile)
{
    struct step_work *w = ctx;
    const struct model *m = w->n->model;
    size_t from = tile * TILE, to = from + TILE;

    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        size_t a = t->offset > from ? t->offset : from;
        size_t b = t->offset + t->rows * t->cols;
        b = b < to ? b : to;
        if (a < b)
            w->en->k->adamw(m->params + a, w->n->m + a, w->n->v + a, w->n->grad + a, b - a,
                t->decay ? &w->decayed : &w->plain);
    }
}

void network_step(const struct engine *en, struct network *n, const struct optimizer *o,
    double learning_rate, uint64_t t, double norm)
{
    double clip = o->grad_clip > 0 && norm > o->grad_clip ? o->grad_clip / norm : 1;
    struct step_work w = { .en = en,
        .n = n,
        .plain = { .learning_rate = (float)learning_rate,
            .beta1 = (float)o->beta1,
            .beta2 = (float)o->beta2,
            .eps = (float)o->eps,
            .scale = (float)clip,
            .correction1 = (float)(1 - elementary_pow(o->beta1, (double)t)),
            .correction2 = (float)(1 - elementary_pow(o->beta2, (double)t)),
            .eps_outside = o->eps_outside } };

    w.decayed = w.plain;
    w.decayed.weight_decay = (float)o->weight_decay;
    pool_run(en->pool, (n->model->n_params + TILE - 1) / TILE, step_tile, &w);
}

double learning_rate_at(Schedule schedule, double peak, double start, double min_ratio,
    uint64_t step, uint64_t warmup, uint64_t total)
{
    if (step < warmup)
        return peak * (start + (1 - start) * (double)(step + 1) / (double)warmup);
    double x = total > warmup ? (double)(step - warmup) / (double)(total - warmup) : 1;
    double sine, cosine;

    x = x > 1 ? 1 : x;
    switch (schedule) {
    case SCHEDULE__COSINE:
        elementary_sincos_turns(&sine, &cosine, x / 2);
        return peak * (min_ratio + (1 - min_ratio) * .5 * (1 + cosine));
    case SCHEDULE__CONSTANT:
        return peak;
    case SCHEDULE__LINEAR:
        return peak * (1 - x);
    case _SCHEDULE_IS_INT_SIZE: /* the generator's own */
        break;
    }
    return peak;
}
