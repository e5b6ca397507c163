#include <assert.h>
#include <string.h>

#include "workers/model/generator_int.h"

/* INVARIANT  A row's results have the same bits whatever the other rows are: an element of a
 * product depends on its row and its column alone, and every other kernel works row by row. Tiles
 * come from shapes, and each writes what no other one writes. */

#define NORM_ROWS 16
#define PRODUCT_ROWS 96  /* of a tile, at most */
#define PRODUCT_TILES 64 /* about so many along the columns */

static size_t tiles_of(size_t n, size_t tile)
{
    return (n + tile - 1) / tile;
}

static size_t even(size_t n)
{
    return n + n % 2;
}

static size_t rows_of(size_t all, size_t tile, size_t *first)
{
    *first = tile * NORM_ROWS;
    return all - *first < NORM_ROWS ? all - *first : NORM_ROWS;
}

/* ---- products ---- */

struct product {
    struct session *g;
    const struct matrix *m;
    const char *x; /* operands, rows of even(m->i) */
    float *y;      /* NULL: the activation of the product goes to g->act */
    const float *b;
    size_t rows;
    bool adds;             /* to y */
    size_t blocks, groups; /* of rows, of panels */
};

/* act = activation(x w^T + b): a panel has whole units, their gates before them. */
static void activated(const struct product *p, size_t panel, size_t row, size_t n)
{
    struct session *g = p->g;
    const struct shape *s = &g->s;
    size_t columns = g->k->panel_columns, factor = s->up / s->hidden, units = columns / factor;
    size_t first = panel * units, left = s->hidden - first < units ? s->hidden - first : units;
    _Alignas(64) float up[PRODUCT_ROWS * 64], act[PRODUCT_ROWS * 64];

    assert(columns <= 64 && (factor == 1 || p->b == NULL));
    if (left < units)
        memset(up, 0, n * columns * sizeof *up);
    g->few->product(up, columns, p->x + row * even(p->m->i) * g->few->operand,
        p->m->panels + panel * p->m->panel_bytes, p->b == NULL ? NULL : p->b + first, n, p->m->i,
        factor == 1 ? left : columns, 0);
    g->f->activation(g->k, act, up, n, units);
    g->few->round(g->act + (row * even(s->hidden) + first) * g->few->operand, even(s->hidden), act,
        units, n, left);
}

static void product_tile(void *ctx, size_t tile)
{
    const struct product *p = ctx;
    const struct session *g = p->g;
    const struct matrix *m = p->m;
    size_t columns = g->k->panel_columns, each = tiles_of(m->n, p->groups);
    size_t block = tiles_of(p->rows, p->blocks), row = tile / p->groups * block;
    size_t n = p->rows - row < block ? p->rows - row : block;
    size_t panel = tile % p->groups * each, end = panel + each < m->n ? panel + each : m->n;

    for (; panel < end; panel++) {
        size_t o = panel * columns, left = m->o - o < columns ? m->o - o : columns;
        if (p->y == NULL)
            activated(p, panel, row, n);
        else
            g->few->product(p->y + row * m->o + o, m->o, p->x + row * even(m->i) * g->few->operand,
                m->panels + panel * m->panel_bytes, p->b == NULL ? NULL : p->b + o, n, m->i, left,
                p->adds);
    }
}

static void run_product(struct product p)
{
    p.blocks = tiles_of(p.rows, PRODUCT_ROWS);
    p.groups = tiles_of(p.m->n, tiles_of(p.m->n, PRODUCT_TILES));
    if (p.rows > 0) {
        p.blocks = tiles_of(p.rows, tiles_of(p.rows, p.blocks)); /* none is empty */
        pool_run(p.g->pool, p.blocks * p.groups, product_tile, &p);
    }
}

/* ---- rows ---- */

static void norm(
    const struct session *g, enum slot w, enum slot b, size_t to, size_t from, size_t n)
{
    size_t c = g->s.width;

    g->f->norm(g->k, g->h + to * c, g->mean + to, g->rstd + to, g->x + from * c, g->weight[w],
        g->weight[b], n, c, g->eps);
    g->few->round(g->normed + to * even(c) * g->few->operand, even(c), g->h + to * c, c, n, c);
}

static void on_rows(struct session *g, size_t rows, void (*work)(void *ctx, size_t tile))
{
    pool_run(g->pool, tiles_of(rows, NORM_ROWS), work, g);
}

static void embed_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    size_t c = g->s.width, first, n = rows_of(g->rows, tile, &first);
    const float *positions = g->weight[POSITION_EMBEDDING];

    for (size_t r = first; r < first + n; r++) {
        memcpy(
            g->x + r * c, g->weight[TOKEN_EMBEDDING] + (size_t)g->token[r] * c, c * sizeof(float));
        if (positions != NULL)
            g->k->add(g->x + r * c, positions + (size_t)g->position[r] * c, c);
    }
}

static void attention_norm_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    size_t first, n = rows_of(g->rows, tile, &first);

    norm(g, ATTENTION_NORM_W, ATTENTION_NORM_B, first, first, n);
}

static void feed_forward_norm_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    size_t first, n = rows_of(g->rows, tile, &first);

    norm(g, FFN_NORM_W, FFN_NORM_B, first, first, n);
}

/* The rows that a token is picked for, packed. */
static void final_norm_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    size_t first, n = rows_of(g->picks, tile, &first);

    for (size_t i = first; i < first + n; i++)
        norm(g, FINAL_NORM_W, FINAL_NORM_B, i, (size_t)g->pick_row[i], 1);
}

/* ---- attention: pairs of a row and a head of keys ---- */

static char *cached(const struct session *g, size_t row, size_t head)
{
    size_t slot = (size_t)g->slot[row];

    return g->cache + ((g->layer * g->n_slots + slot) * g->s.kv_heads + head) * g->head_bytes;
}

static void norm_head(const struct session *g, float *x, enum slot weight)
{
    float rstd;

    if (g->weight[weight] != NULL)
        g->k->rmsnorm(x, &rstd, x, g->weight[weight], 1, g->s.head, g->eps);
}

/* Norms and RoPE, then key and value into the cache. */
static void remember(const struct session *g, size_t row, size_t head)
{
    const struct shape *s = &g->s;
    size_t group = s->heads / s->kv_heads;
    float *q = g->qkv + row * s->qkv, *key = q + s->q + head * s->head;
    char *keys = cached(g, row, head);

    q += head * group * s->head;
    for (size_t i = 0; i < group; i++)
        norm_head(g, q + i * s->head, Q_NORM_W);
    norm_head(g, key, K_NORM_W);
    if (g->f->rotary) {
        g->k->rope(q, g->rope, g->position + row, 1, group, s->head, s->qkv, 1);
        g->k->rope(key, g->rope, g->position + row, 1, 1, s->head, s->qkv, 1);
    }
    g->few->remember(keys, keys + g->keys_bytes, key, key + s->kv, (size_t)g->position[row],
        s->head, g->capacity);
}

static void attend(const struct session *g, size_t row, size_t head, float *scratch)
{
    const struct shape *s = &g->s;
    size_t group = s->heads / s->kv_heads, width = group * s->head;
    const char *keys = cached(g, row, head);
    float *out = scratch + group * g->capacity;

    g->few->attend(out, g->qkv + row * s->qkv + head * width, keys, keys + g->keys_bytes,
        (size_t)g->position[row] + 1, group, s->head, g->capacity, scratch);
    g->few->round(
        g->att + (row * s->q + head * width) * g->few->operand, width, out, width, 1, width);
}

/* A sequence's rows in order. */
static void remember_head(void *ctx, size_t head)
{
    const struct session *g = ctx;

    for (size_t row = 0; row < g->rows; row++)
        remember(g, row, head);
}

/* A row whose sequence has other rows in this step finds their keys in the cache already. */
static void attention_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    size_t pairs = g->rows * g->s.kv_heads, each = tiles_of(pairs, ATTENTION_TILES);
    size_t end = (tile + 1) * each < pairs ? (tile + 1) * each : pairs;

    for (size_t i = tile * each; i < end; i++) {
        size_t row = i / g->s.kv_heads, head = i % g->s.kv_heads;
        if (!g->prompts)
            remember(g, row, head);
        attend(g, row, head, g->scratch + tile * g->scratch_floats);
    }
}

/* ---- the whole ---- */

static void run_layer(struct session *g)
{
    const struct matrices *m = &g->panels->layers[g->layer];
    const float *const *w = g->weight;
    size_t pairs = g->rows * g->s.kv_heads;

    on_rows(g, g->rows, attention_norm_tile);
    run_product((struct product){
        .g = g, .m = &m->qkv, .x = g->normed, .y = g->qkv, .b = w[BQKV], .rows = g->rows });
    if (g->prompts)
        pool_run(g->pool, g->s.kv_heads, remember_head, g);
    pool_run(g->pool, pairs < ATTENTION_TILES ? pairs : ATTENTION_TILES, attention_tile, g);
    run_product((struct product){
        .g = g, .m = &m->wo, .x = g->att, .y = g->x, .b = w[BO], .rows = g->rows, .adds = true });
    on_rows(g, g->rows, feed_forward_norm_tile);
    run_product(
        (struct product){ .g = g, .m = &m->up, .x = g->normed, .b = w[B_UP], .rows = g->rows });
    run_product((struct product){ .g = g,
        .m = &m->down,
        .x = g->act,
        .y = g->x,
        .b = w[B_DOWN],
        .rows = g->rows,
        .adds = true });
}

void generator_forward(struct session *g)
{
    on_rows(g, g->rows, embed_tile);
    for (g->layer = 0; g->layer < g->s.layers; g->layer++) {
        layout_weights(g->weight, &g->layout, g->m->params, g->layer);
        run_layer(g);
    }
    on_rows(g, g->picks, final_norm_tile);
    run_product((struct product){
        .g = g, .m = &g->panels->head, .x = g->normed, .y = g->logits, .rows = g->picks });
}
