#include "workers/tasks/optimizer.h"

#include <math.h>
#include <string.h>

#include "workers/math/elementary.h"
#include "workers/model/transformer.h"

/* Work is cut into tiles of a size of its own, so that sums do not depend on the threads. */
#define TILE 16384

size_t network_floats(const struct model *m)
{
    return m->n_params - m->frozen;
}

static size_t tiles_of(const struct model *m)
{
    return (network_floats(m) + TILE - 1) / TILE;
}

int network_init(struct network *n, struct model *takes, struct err *e)
{
    size_t count = network_floats(takes), tiles = tiles_of(takes);
    int rc;

    *n = (struct network){ .model = takes };
    rc = arena_init(&n->arena, 3 * arena_size(count) + arena_size(2 * tiles), e);
    if (rc != OK) {
        network_free(n);
        return err_wrap(e, "gradient and moments of %zu parameters", count);
    }
    n->grad = arena_floats(&n->arena, count);
    n->m = arena_floats(&n->arena, count);
    n->v = arena_floats(&n->arena, count);
    n->partial = (void *)arena_floats(&n->arena, 2 * tiles); /* 64-byte aligned */
    return OK;
}

void network_free(struct network *n)
{
    model_free(n->model);
    arena_free(&n->arena);
    *n = (struct network){ 0 };
}

struct norm_work {
    const struct engine *en;
    const struct network *n;
};

static void norm_tile(void *ctx, size_t tile)
{
    struct norm_work *w = ctx;
    size_t from = tile * TILE, n = network_floats(w->n->model) - from;

    n = n < TILE ? n : TILE;
    w->n->partial[tile] = w->en->k->dot(w->n->grad + from, w->n->grad + from, n);
}

int network_grad_norm(double *norm, const struct engine *en, const struct network *n, struct err *e)
{
    struct norm_work w = { en, n };
    size_t tiles = tiles_of(n->model);
    double sum = 0;

    pool_run(en->pool, tiles, norm_tile, &w);
    for (size_t i = 0; i < tiles; i++)
        sum += n->partial[i];
    *norm = sqrt(sum);
    return isfinite(*norm)
               ? OK
               : err_set(e, E_INVARIANT, "invariant 'finite gradient norm': it is %g", *norm);
}

struct step_work {
    const struct engine *en;
    struct network *n;
    const struct average *average;
    struct adamw_step plain, decayed;
};

/* Tensors are far larger or far smaller than a tile: a tile may span several of them. */
static void step_tile(void *ctx, size_t tile)
{
    struct step_work *w = ctx;
    const struct model *m = w->n->model;
    float *params = m->params + m->frozen;
    size_t from = tile * TILE, to = from + TILE;

    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        if (t->offset < m->frozen)
            continue;
        size_t first = t->offset - m->frozen;
        size_t a = first > from ? first : from;
        size_t b = first + t->rows * t->cols;
        b = b < to ? b : to;
        if (a >= b)
            continue;
        w->en->k->adamw(params + a, w->n->m + a, w->n->v + a, w->n->grad + a, b - a,
            t->decay ? &w->decayed : &w->plain);
        memset(w->n->grad + a, 0, (b - a) * sizeof *w->n->grad);
        if (w->average->weights != NULL)
            w->en->k->lerp(w->average->weights + a, params + a, (float)w->average->decay, b - a);
    }
}

void network_step(const struct engine *en, struct network *n, const struct optimizer *o,
    const struct average *average, double learning_rate, uint64_t t, double norm)
{
    double clip = o->grad_clip > 0 && norm > o->grad_clip ? o->grad_clip / norm : 1;
    struct step_work w = { .en = en,
        .n = n,
        .average = average,
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
    pool_run(en->pool, tiles_of(n->model), step_tile, &w);
    model_merge(n->model, en->pool);
}

double learning_rate_at(Schedule schedule, double peak, double start, double min_ratio,
    uint64_t step, uint64_t warmup, uint64_t total)
{
    if (step < warmup)
        return peak *
               (start + (1 - start) * (double)(start > 0 ? step : step + 1) / (double)warmup);
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
