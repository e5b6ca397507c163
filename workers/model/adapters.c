#include "workers/model/transformer_int.h"

#include <assert.h>
#include <string.h>

/* Low-rank adaptation (Hu et al. 2021, eq. 3): W + alpha / rank x B A stands where W stood, and is
 * made anew of W, B and A after each step. So whatever computes with the model needs not know of
 * it, and what is exported is what was trained, bit for bit. The gradients of A and B are computed
 * without that of W. */

struct adapter {
    enum slot weight, a, b;
    size_t first, rows; /* of the weight: those that it changes */
    size_t inputs;
};

#define ADAPTERS 7

static struct adapter adapter_of(const struct shape *s, size_t i)
{
    const struct adapter all[ADAPTERS] = {
        { WQKV, LORA_Q_A, LORA_Q_B, 0, s->q, s->width },
        { WQKV, LORA_K_A, LORA_K_B, s->q, s->kv, s->width },
        { WQKV, LORA_V_A, LORA_V_B, s->q + s->kv, s->kv, s->width },
        { WO, LORA_O_A, LORA_O_B, 0, s->width, s->q },
        { W_UP, LORA_GATE_A, LORA_GATE_B, 0, s->hidden, s->width },
        { W_UP, LORA_UP_A, LORA_UP_B, s->up - s->hidden, s->hidden, s->width },
        { W_DOWN, LORA_DOWN_A, LORA_DOWN_B, 0, s->width, s->hidden },
    };

    return all[i];
}

size_t adapter_rows_max(const struct shape *s)
{
    size_t most = s->width > s->hidden ? s->width : s->hidden;

    return most > s->q ? most : s->q;
}

/* ---- the change ---- */

struct merge {
    struct model *m;
    struct adapter adapter;
    const float *a, *b, *base;
    float *w;
    size_t rank;
    float scale;
};

#define MERGE_ROWS 32 /* of a tile */

/* w = base + scale B A, row by row, rank by rank */
static void merge_tile(void *ctx, size_t tile)
{
    const struct merge *g = ctx;
    size_t n = g->adapter.inputs, from = tile * MERGE_ROWS, to = from + MERGE_ROWS;

    for (size_t row = from; row < to && row < g->adapter.rows; row++) {
        float *w = g->w + row * n;
        memcpy(w, g->base + row * n, n * sizeof *w);
        for (size_t r = 0; r < g->rank; r++) {
            const float *a = g->a + r * n;
            float b = g->scale * g->b[row * g->rank + r];
            for (size_t i = 0; i < n; i++)
                w[i] += b * a[i];
        }
    }
}

static void merge_one(
    struct model *m, const struct layout *l, struct pool *pool, struct adapter a, size_t layer)
{
    size_t skipped = l->offset[ATTENTION_NORM_W], first = a.first * a.inputs;
    struct merge g = { .m = m, .adapter = a, .rank = m->config.lora_rank };
    size_t weight = layout_offset(l, a.weight, layer) + first, tiles;

    if (l->offset[a.a] == SIZE_MAX)
        return;
    g.a = m->params + layout_offset(l, a.a, layer);
    g.b = m->params + layout_offset(l, a.b, layer);
    g.w = m->params + weight;
    g.base = m->base + (weight - skipped);
    g.scale = (float)(m->config.lora_alpha / m->config.lora_rank);
    tiles = (a.rows + MERGE_ROWS - 1) / MERGE_ROWS;
    if (pool != NULL)
        pool_run(pool, tiles, merge_tile, &g);
    for (size_t tile = 0; pool == NULL && tile < tiles; tile++)
        merge_tile(&g, tile);
}

void model_merge(struct model *m, struct pool *pool)
{
    struct shape s = shape_of(&m->config);
    struct layout l;

    if (m->frozen == 0)
        return;
    layout_make(&l, NULL, &m->config);
    for (size_t layer = 0; layer < s.layers; layer++)
        for (size_t i = 0; i < ADAPTERS; i++)
            merge_one(m, &l, pool, adapter_of(&s, i), layer);
}

void model_freeze(struct model *m, const struct id *origin)
{
    struct layout l;

    if (m->frozen == 0)
        return;
    layout_make(&l, NULL, &m->config);
    memcpy(m->base, m->params + l.offset[ATTENTION_NORM_W], layers_floats(&l) * sizeof *m->base);
    m->origin = *origin;
}

/* ---- the gradients ---- */

struct slice {
    const struct pass *p;
    const float *dy;
    size_t o, first, rows;
};

static void slice_tile(void *ctx, size_t tile)
{
    const struct slice *s = ctx;
    size_t first, n = pass_rows(s->p, tile, &first);

    for (size_t r = first; r < first + n; r++)
        memcpy(s->p->w->adapter_dy + r * s->rows, s->dy + r * s->o + s->first,
            s->rows * sizeof(float));
}

/* With dW = dy^T x: dB = scale dy^T (x A^T), dA = scale (dy B)^T x */
static void adapter_backward(
    struct pass *p, struct adapter a, const float *dy, const float *x, size_t o)
{
    size_t rank = p->w->s.rank;
    float scale = (float)(p->m->config.lora_alpha / p->m->config.lora_rank);
    float *t = p->w->adapter_t;
    struct slice s = { p, dy, o, a.first, a.rows };

    if (a.rows < o) {
        pool_run(p->pool, p->tiles, slice_tile, &s);
        dy = p->w->adapter_dy;
    }
    gemm_nn(&p->products, t, dy, p->weight[a.b], p->n, a.rows, rank, 0);
    p->k->scale(t, scale, p->n * rank);
    gemm_tn(&p->products, grad_of(p, a.a), t, x, p->n, rank, a.inputs);
    gemm_nt(&p->products, t, x, p->weight[a.a], p->n, a.inputs, rank, 0);
    p->k->scale(t, scale, p->n * rank);
    gemm_tn(&p->products, grad_of(p, a.b), dy, t, p->n, a.rows, rank);
}

void adapters_backward(
    struct pass *p, enum slot weight, const float *dy, const float *x, size_t o, size_t i)
{
    for (size_t k = 0; k < ADAPTERS; k++) {
        struct adapter a = adapter_of(&p->w->s, k);
        if (a.weight != weight || p->weight[a.a] == NULL)
            continue;
        assert(a.inputs == i && a.first + a.rows <= o);
        adapter_backward(p, a, dy, x, o);
    }
    (void)i;
}
