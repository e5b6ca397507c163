#include "workers/model/transformer_int.h"

#include <assert.h>
#include <string.h>

/* INVARIANTS
 * (1) What is computed for a sequence has the same bits in any batch: the kernels' rows do not
 *     know of each other, gemm_nt's neither, and attention works on one sequence at a time.
 * (2) The tile grids come from the batch's shape, never from the number of threads. */

static void set_rows(struct pass *p, size_t n, const int32_t *token)
{
    size_t rows = (n + ROW_TILES - 1) / ROW_TILES;

    p->n = n;
    p->token = token;
    p->tile_rows = rows < ROW_TILE ? ROW_TILE : rows;
    p->tiles = (n + p->tile_rows - 1) / p->tile_rows;
}

void pass_narrow(struct pass *p)
{
    if (p->w->n_asked > 0)
        set_rows(p, p->w->n_asked, p->w->asked);
}

void pass_widen(struct pass *p)
{
    set_rows(p, p->w->batch->n_tokens, NULL);
}

void rows_narrow(const struct pass *p, float *x, size_t width)
{
    for (size_t r = 0; r < p->w->n_asked; r++)
        memmove(x + r * width, x + (size_t)p->w->asked[r] * width, width * sizeof *x);
}

void rows_widen(const struct pass *p, float *x, size_t width)
{
    size_t row = p->w->n_asked;

    for (size_t token = row > 0 ? p->w->batch->n_tokens : 0; token-- > 0;) {
        if (row > 0 && (size_t)p->w->asked[row - 1] == token)
            memmove(x + token * width, x + --row * width, width * sizeof *x);
        else
            memset(x + token * width, 0, width * sizeof *x);
    }
}

void pass_begin(struct pass *p, struct workspace *w, const struct engine *en, const struct model *m)
{
    *p = (struct pass){ .w = w,
        .k = en->k,
        .pool = en->pool,
        .products = { en->pool, en->k, w->precision, w->room },
        .m = m,
        .f = family_of(&m->config),
        .dropout = w->batch->dropout,
        .eps = (float)m->config.norm_eps };
    pass_widen(p);
    layout_make(&p->layout, NULL, &m->config);
    pass_layer(p, 0);
}

void pass_layer(struct pass *p, size_t layer)
{
    struct workspace *w = p->w;
    const struct shape *s = &w->s;
    size_t rows = w->training ? gemm_rows(w->max_tokens) : 0, input = layer * rows;
    size_t before = w->checkpointing ? 0 : input;

    layout_weights(p->weight, &p->layout, p->m->params, layer);
    p->layer = layer;
    p->x = w->x + input * s->width;
    p->next = w->x + (input + rows) * s->width;
    p->mid = w->training ? w->mid + before * s->width : w->x;
    p->qkv = w->qkv + before * s->qkv;
    if (s->normed > 0) {
        p->raw = w->training ? w->raw + before * (s->q + s->kv) : NULL;
        p->head_rstd = w->head_rstd + before * s->normed;
    }
    p->lse = w->lse + before * s->heads;
    p->att = w->att + before * s->q;
    p->up = w->up + before * s->up;
}

size_t pass_rows(const struct pass *p, size_t tile, size_t *first)
{
    size_t left = p->n - tile * p->tile_rows;

    *first = tile * p->tile_rows;
    return left < p->tile_rows ? left : p->tile_rows;
}

void pass_bias(const struct pass *p, float *x, enum slot bias, size_t n, size_t o)
{
    if (p->weight[bias] != NULL)
        p->k->bias(x, p->weight[bias], n, o);
}

/* x = token embedding (+ position embedding) */
static void embed_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    size_t c = p->w->s.width, first, n = pass_rows(p, tile, &first);
    const float *positions = p->weight[POSITION_EMBEDDING];

    for (size_t r = first; r < first + n; r++) {
        float *x = p->x + r * c;
        memcpy(x, p->weight[TOKEN_EMBEDDING] + (size_t)p->w->batch->tokens[r] * c, c * sizeof *x);
        if (positions != NULL)
            p->k->add(x, positions + (size_t)p->w->position[r] * c, c);
    }
}

/* y = x, to which the next product is added, and the bias, unless it is dropped out with that */
static void carry(const struct pass *p, float *y, const float *x, enum slot bias, size_t n)
{
    size_t c = p->w->s.width;

    if (y != x)
        memcpy(y, x, n * c * sizeof *y);
    if (p->dropout == NULL)
        pass_bias(p, y, bias, n, c);
}

static void attention_norm_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    struct workspace *w = p->w;
    size_t c = w->s.width, first, n = pass_rows(p, tile, &first);

    p->f->norm(p->k, w->h + first * c, w->mean + first, w->rstd + first, p->x + first * c,
        p->weight[ATTENTION_NORM_W], p->weight[ATTENTION_NORM_B], n, c, p->eps);
    carry(p, p->mid + first * c, p->x + first * c, BO, n);
}

/* Each head of q and k by itself; what they were is kept for the backward pass. Qwen3 technical
 * report (Yang et al. 2025), sec. 2; Dehghani et al. 2023, sec. 2.2. */
static void norm_heads(const struct pass *p, size_t row)
{
    const struct shape *s = &p->w->s;
    float *q = p->qkv + row * s->qkv, *k = q + s->q, *rstd = p->head_rstd + row * s->normed;

    if (p->raw != NULL)
        memcpy(p->raw + row * (s->q + s->kv), q, (s->q + s->kv) * sizeof *q);
    p->k->rmsnorm(q, rstd, q, p->weight[Q_NORM_W], s->heads, s->head, p->eps);
    p->k->rmsnorm(k, rstd + s->heads, k, p->weight[K_NORM_W], s->kv_heads, s->head, p->eps);
}

static void rotate_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    const struct shape *s = &p->w->s;
    size_t first, n = pass_rows(p, tile, &first);
    float *qkv = p->qkv + first * s->qkv;

    pass_bias(p, qkv, BQKV, n, s->qkv);
    for (size_t r = first; s->normed > 0 && r < first + n; r++)
        norm_heads(p, r);
    if (p->f->rotary)
        p->k->rope(
            qkv, p->w->rope, p->w->position + first, n, s->heads + s->kv_heads, s->head, s->qkv, 1);
}

/* Pairs of a sequence and a head, dealt out to the tiles. */
static void attention_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    struct workspace *w = p->w;
    const struct shape *s = &w->s;
    float *scratch = w->attention_scratch + tile * scratch_size(s);

    for (size_t i = tile; i < w->batch->n_sequences * s->heads; i += ATTENTION_TILES) {
        size_t start = w->batch->start[i / s->heads], head = i % s->heads;
        size_t t = w->batch->start[i / s->heads + 1] - start;
        const float *q = p->qkv + start * s->qkv;
        const float *k = q + s->q + head / (s->heads / s->kv_heads) * s->head;
        p->k->attention(p->att + start * s->q + head * s->head,
            p->lse + head * gemm_rows(w->max_tokens) + start, q + head * s->head, k, k + s->kv, t,
            s->head, s->qkv, s->qkv, s->q, scratch);
    }
}

static void feed_forward_norm_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    struct workspace *w = p->w;
    size_t c = w->s.width, first, n = pass_rows(p, tile, &first);

    p->f->norm(p->k, w->h + first * c, w->mean + first, w->rstd + first, p->mid + first * c,
        p->weight[FFN_NORM_W], p->weight[FFN_NORM_B], n, c, p->eps);
    if (!p->again)
        carry(p, p->next + first * c, p->mid + first * c, B_DOWN, n);
}

static void activation_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    const struct shape *s = &p->w->s;
    size_t first, n = pass_rows(p, tile, &first);
    float *up = p->up + first * s->up;

    pass_bias(p, up, B_UP, n, s->up);
    p->f->activation(p->k, p->w->act + first * s->hidden, up, n, s->hidden);
}

static void final_norm_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    struct workspace *w = p->w;
    size_t c = w->s.width, first, n = pass_rows(p, tile, &first);

    p->f->norm(p->k, w->final + first * c, w->final_mean + first, w->final_rstd + first,
        p->next + first * c, p->weight[FINAL_NORM_W], p->weight[FINAL_NORM_B], n, c, p->eps);
}

/* y += dropout(h + bias) */
static void drop_and_add(
    const struct pass *p, size_t tile, enum dropout_site site, float *y, enum slot bias)
{
    size_t c = p->w->s.width, first, n = pass_rows(p, tile, &first);
    float *h = p->w->h + first * c;

    pass_bias(p, h, bias, n, c);
    dropout_rows(p, site, h, h, first, n);
    p->k->add(y + first * c, h, n * c);
}

static void drop_attention_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;

    drop_and_add(p, tile, DROP_ATTENTION, p->mid, BO);
}

static void drop_feed_forward_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;

    drop_and_add(p, tile, DROP_FEED_FORWARD, p->next, B_DOWN);
}

/* y, which was carried, += x[n,i] w^T; with dropout by way of h */
static void add_product(struct pass *p, float *y, const float *x, enum slot weight, size_t i,
    void (*drop)(void *ctx, size_t tile))
{
    struct workspace *w = p->w;
    bool dropped = p->dropout != NULL;

    gemm_nt(&p->products, dropped ? w->h : y, x, p->weight[weight], p->n, i, w->s.width, !dropped);
    if (dropped)
        pool_run(p->pool, p->tiles, drop, p);
}

/* What attention gives to WO: in the last layer, of the rows that are asked. */
static const float *attended(struct pass *p)
{
    struct workspace *w = p->w;
    float *att = w->training ? w->datt : p->att;
    size_t c = w->s.q;

    if (p->layer + 1 < w->s.layers || w->n_asked == 0)
        return p->att;
    pass_narrow(p);
    rows_narrow(p, p->mid, w->s.width);
    for (size_t r = 0; r < p->n; r++) /* att itself is kept for the backward pass */
        memmove(att + r * c, p->att + pass_token(p, r) * c, c * sizeof *att);
    return att;
}

/* mid = x + WO attention(norm(x)), and act = activation(W_UP norm(mid)) */
static void layer_upwards(struct pass *p)
{
    struct workspace *w = p->w;
    const struct shape *s = &w->s;
    size_t pairs = w->batch->n_sequences * s->heads;

    pool_run(p->pool, p->tiles, attention_norm_tile, p);
    gemm_nt(&p->products, p->qkv, w->h, p->weight[WQKV], p->n, s->width, s->qkv, 0);
    pool_run(p->pool, p->tiles, rotate_tile, p);
    pool_run(p->pool, pairs < ATTENTION_TILES ? pairs : ATTENTION_TILES, attention_tile, p);
    const float *att = attended(p);
    add_product(p, p->mid, att, WO, s->q, drop_attention_tile);

    pool_run(p->pool, p->tiles, feed_forward_norm_tile, p);
    gemm_nt(&p->products, p->up, w->h, p->weight[W_UP], p->n, s->width, s->up, 0);
    pool_run(p->pool, p->tiles, activation_tile, p);
}

/* next = mid + W_DOWN act */
static void layer_forward(struct pass *p)
{
    layer_upwards(p);
    add_product(p, p->next, p->w->act, W_DOWN, p->w->s.hidden, drop_feed_forward_tile);
}

void transformer_layer_again(struct pass *p)
{
    p->again = true;
    layer_upwards(p);
}

static void check_fit(const struct workspace *w, const struct model *m, const struct batch *b)
{
    struct shape s = shape_of(&m->config);

    assert(memcmp(&s, &w->s, sizeof s) == 0);
    assert(w->scalar_head ? m->config.scalar_head : true);
    assert(b->n_sequences > 0 && b->n_tokens <= w->max_tokens);
    assert(b->dropout == NULL || w->training);
    assert(b->start[0] == 0 && b->start[b->n_sequences] == b->n_tokens);
    for (size_t i = 0; i < b->n_tokens; i++)
        assert(b->tokens[i] >= 0 && (size_t)b->tokens[i] < s.vocab);
    (void)s;
}

static void number_positions(struct workspace *w, const struct batch *b)
{
    for (size_t i = 0; i < b->n_sequences; i++) {
        assert(b->start[i] < b->start[i + 1] && b->start[i + 1] - b->start[i] <= w->s.context);
        for (uint32_t t = b->start[i]; t < b->start[i + 1]; t++)
            w->position[t] = (int32_t)(t - b->start[i]);
    }
}

/* Lists the tokens that are asked, unless they are all. */
static void list_asked(struct workspace *w, const struct batch *b)
{
    w->n_asked = 0;
    for (size_t i = 0; i < b->n_tokens && b->asked != NULL; i++)
        if (b->asked[i] >= 0)
            w->asked[w->n_asked++] = (int32_t)i;
    if (w->n_asked == b->n_tokens)
        w->n_asked = 0;
}

void transformer_forward(
    struct workspace *w, const struct engine *en, const struct model *m, const struct batch *b)
{
    struct pass p;

    check_fit(w, m, b);
    w->batch = b;
    number_positions(w, b);
    list_asked(w, b);
    pass_begin(&p, w, en, m);
    pool_run(p.pool, p.tiles, embed_tile, &p);
    for (size_t layer = 0; layer < w->s.layers; layer++) {
        pass_layer(&p, layer);
        layer_forward(&p);
    }
    pool_run(p.pool, p.tiles, final_norm_tile, &p);
}
