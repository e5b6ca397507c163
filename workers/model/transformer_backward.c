#include "workers/model/transformer_int.h"

#include <assert.h>
#include <string.h>

/* Mirrors transformer.c, last step first. Norms and activations are computed again rather than
 * kept; when checkpointing, so is all of a layer but the last, of which it is still there. Products
 * with weights are gemm_nn, gradients of matrices gemm_tn; gradients of vectors are summed for each
 * row tile by itself and then added in the order of the tiles. */

static float *partial_of(const struct pass *p, size_t tile)
{
    return p->w->partial + tile * partial_size(&p->w->s);
}

static void partial_clear(const struct pass *p, size_t tile)
{
    memset(partial_of(p, tile), 0, partial_size(&p->w->s) * sizeof(float));
}

float *grad_of(const struct pass *p, enum slot slot)
{
    size_t offset = layout_offset(&p->layout, slot, p->layer), frozen = p->layout.frozen;

    return offset == SIZE_MAX || offset < frozen ? NULL : p->grad + (offset - frozen);
}

/* Of the current layer's matrix w[o,i], or of its adapters. */
static void matrix_gradient(
    struct pass *p, enum slot slot, const float *dy, const float *x, size_t o, size_t i)
{
    float *grad = grad_of(p, slot);

    if (grad != NULL)
        gemm_tn(&p->products, grad, dy, x, p->n, o, i);
    else
        adapters_backward(p, slot, dy, x, o, i);
}

/* Adds the tiles' sums, which stand `at` floats into each partial. */
static void partial_reduce(const struct pass *p, enum slot slot, size_t at, size_t n)
{
    float *grad = grad_of(p, slot);

    if (grad == NULL)
        return;
    for (size_t tile = 0; tile < p->tiles; tile++)
        p->k->add(grad, partial_of(p, tile) + at, n);
}

static void norm_reduce(const struct pass *p, enum slot w, enum slot b)
{
    size_t c = p->w->s.width;

    partial_reduce(p, w, 0, c);
    partial_reduce(p, b, c, c);
}

static void bias_reduce(const struct pass *p, enum slot b, size_t n)
{
    partial_reduce(p, b, 2 * p->w->s.width, n);
}

static void bias_partial(
    const struct pass *p, size_t tile, enum slot b, const float *dy, size_t n, size_t o)
{
    if (p->weight[b] != NULL)
        p->k->bias_backward(partial_of(p, tile) + 2 * p->w->s.width, dy, n, o);
}

/* dx += through the norm of x, given dh; mean and rstd are those of x */
static void norm_partial(const struct pass *p, size_t tile, const float *x, const float *mean,
    const float *rstd, enum slot weight)
{
    size_t c = p->w->s.width, first, n = pass_rows(p, tile, &first);
    float *partial = partial_of(p, tile);

    p->f->norm_backward(p->k, p->w->dx + first * c, partial, partial + c, p->w->dh + first * c,
        x + first * c, p->weight[weight], mean + first, rstd + first, n, c);
}

static void norm_again(const struct pass *p, size_t tile, const float *x, enum slot w, enum slot b)
{
    size_t c = p->w->s.width, first, n = pass_rows(p, tile, &first);

    p->f->norm(p->k, p->w->h + first * c, p->w->mean + first, p->w->rstd + first, x + first * c,
        p->weight[w], p->weight[b], n, c, p->eps);
}

static void final_norm_backward_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    size_t c = p->w->s.width, first, n = pass_rows(p, tile, &first);

    partial_clear(p, tile);
    memset(p->w->dx + first * c, 0, n * c * sizeof(float));
    norm_partial(p, tile, p->next, p->w->final_mean, p->w->final_rstd, FINAL_NORM_W);
}

/* The gradient of what a layer adds: that of the sum, dropped out as it was. */
static float *added_gradient(const struct pass *p)
{
    return p->dropout != NULL ? p->w->dh : p->w->dx;
}

static void added_gradient_tile(
    const struct pass *p, size_t tile, enum dropout_site site, enum slot bias)
{
    size_t c = p->w->s.width, first, n = pass_rows(p, tile, &first);

    if (p->dropout != NULL)
        dropout_rows(p, site, p->w->dh + first * c, p->w->dx + first * c, first, n);
    bias_partial(p, tile, bias, added_gradient(p) + first * c, n, c);
}

/* act again, for the gradient of W_DOWN; dx is that of next */
static void activation_again_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    const struct shape *s = &p->w->s;
    size_t first, n = pass_rows(p, tile, &first);

    partial_clear(p, tile);
    added_gradient_tile(p, tile, DROP_FEED_FORWARD, B_DOWN);
    if (!p->w->checkpointing)
        p->f->activation(p->k, p->w->act + first * s->hidden, p->up + first * s->up, n, s->hidden);
}

static void activation_backward_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    struct workspace *w = p->w;
    const struct shape *s = &w->s;
    size_t first, n = pass_rows(p, tile, &first);
    float *dup = w->dup + first * s->up;

    p->f->activation_backward(
        p->k, dup, w->dact + first * s->hidden, p->up + first * s->up, n, s->hidden);
    partial_clear(p, tile);
    bias_partial(p, tile, B_UP, dup, n, s->up);
    norm_again(p, tile, p->mid, FFN_NORM_W, FFN_NORM_B);
}

/* dx becomes that of mid */
static void feed_forward_norm_backward_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    struct workspace *w = p->w;

    partial_clear(p, tile);
    norm_partial(p, tile, p->mid, w->mean, w->rstd, FFN_NORM_W);
    added_gradient_tile(p, tile, DROP_ATTENTION, BO);
}

/* Pairs of a sequence and a key-value head; the query heads that share it go one after another. */
static void attention_backward_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    struct workspace *w = p->w;
    const struct shape *s = &w->s;
    float *scratch = w->attention_scratch + tile * scratch_size(s);
    size_t group = s->heads / s->kv_heads;

    for (size_t i = tile; i < w->batch->n_sequences * s->kv_heads; i += ATTENTION_TILES) {
        size_t start = w->batch->start[i / s->kv_heads], kv_head = i % s->kv_heads;
        size_t t = w->batch->start[i / s->kv_heads + 1] - start, row = start * s->qkv;
        size_t k = row + s->q + kv_head * s->head, v = k + s->kv;
        size_t q0 = row + kv_head * group * s->head;
        for (size_t r = 0; r < t * s->qkv; r += s->qkv) {
            memset(w->dqkv + q0 + r, 0, group * s->head * sizeof(float));
            memset(w->dqkv + k + r, 0, s->head * sizeof(float));
            memset(w->dqkv + v + r, 0, s->head * sizeof(float));
        }
        for (size_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
            size_t q = row + head * s->head, out = start * s->q + head * s->head;
            p->k->attention_backward(w->dqkv + q, w->dqkv + k, w->dqkv + v, w->datt + out,
                p->qkv + q, p->qkv + k, p->qkv + v, p->att + out,
                p->lse + head * gemm_rows(w->max_tokens) + start, t, s->head, s->qkv, s->qkv, s->q,
                scratch);
        }
    }
}

/* d, of a head after its norm, becomes that before it; adds to dw. */
static void head_norm_backward(const struct pass *p, size_t tile, float *d, float *dw,
    const float *raw, const float *rstd, enum slot weight)
{
    const struct shape *s = &p->w->s;
    float *dy = p->w->attention_scratch + tile * scratch_size(s);

    memcpy(dy, d, s->head * sizeof *d);
    memset(d, 0, s->head * sizeof *d);
    p->k->rmsnorm_backward(d, dw, dy, raw, p->weight[weight], rstd, 1, s->head);
}

static void head_norms_backward(const struct pass *p, size_t tile, size_t first, size_t n)
{
    const struct shape *s = &p->w->s;
    float *dw = partial_of(p, tile);

    for (size_t row = first; row < first + n; row++) {
        for (size_t head = 0; head < s->normed; head++) {
            bool query = head < s->heads;
            head_norm_backward(p, tile, p->w->dqkv + row * s->qkv + head * s->head,
                query ? dw : dw + s->head, p->raw + row * (s->q + s->kv) + head * s->head,
                p->head_rstd + row * s->normed + head, query ? Q_NORM_W : K_NORM_W);
        }
    }
}

static void rotate_back_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    const struct shape *s = &p->w->s;
    size_t first, n = pass_rows(p, tile, &first);
    float *dqkv = p->w->dqkv + first * s->qkv;

    if (p->f->rotary)
        p->k->rope(dqkv, p->w->rope, p->w->position + first, n, s->heads + s->kv_heads, s->head,
            s->qkv, -1);
    partial_clear(p, tile);
    head_norms_backward(p, tile, first, n);
    bias_partial(p, tile, BQKV, dqkv, n, s->qkv);
    norm_again(p, tile, p->x, ATTENTION_NORM_W, ATTENTION_NORM_B);
}

/* dx becomes that of x */
static void attention_norm_backward_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;

    partial_clear(p, tile);
    norm_partial(p, tile, p->x, p->w->mean, p->w->rstd, ATTENTION_NORM_W);
}

static void feed_forward_backward(struct pass *p)
{
    struct workspace *w = p->w;
    const struct shape *s = &w->s;

    pool_run(p->pool, p->tiles, activation_again_tile, p);
    bias_reduce(p, B_DOWN, s->width);
    matrix_gradient(p, W_DOWN, added_gradient(p), w->act, s->width, s->hidden);
    gemm_nn(
        &p->products, w->dact, added_gradient(p), p->weight[W_DOWN], p->n, s->width, s->hidden, 0);
    pool_run(p->pool, p->tiles, activation_backward_tile, p);
    bias_reduce(p, B_UP, s->up);
    matrix_gradient(p, W_UP, w->dup, w->h, s->up, s->width);
    gemm_nn(&p->products, w->dh, w->dup, p->weight[W_UP], p->n, s->up, s->width, 0);
    pool_run(p->pool, p->tiles, feed_forward_norm_backward_tile, p);
    norm_reduce(p, FFN_NORM_W, FFN_NORM_B);
    bias_reduce(p, BO, s->width);
}

/* What attention gave to WO; in the last layer, to the rows that were asked. */
static const float *attended(const struct pass *p)
{
    size_t c = p->w->s.q;

    for (size_t r = 0; p->token != NULL && r < p->n; r++)
        memcpy(p->w->h + r * c, p->att + pass_token(p, r) * c, c * sizeof(float));
    return p->token != NULL ? p->w->h : p->att;
}

static void attention_backward(struct pass *p)
{
    struct workspace *w = p->w;
    const struct shape *s = &w->s;
    size_t pairs = w->batch->n_sequences * s->kv_heads;

    matrix_gradient(p, WO, added_gradient(p), attended(p), s->width, s->q);
    gemm_nn(&p->products, w->datt, added_gradient(p), p->weight[WO], p->n, s->width, s->q, 0);
    if (p->token != NULL) {
        rows_widen(p, w->datt, s->q);
        rows_widen(p, w->dx, s->width);
        pass_widen(p);
    }
    pool_run(
        p->pool, pairs < ATTENTION_TILES ? pairs : ATTENTION_TILES, attention_backward_tile, p);
    pool_run(p->pool, p->tiles, rotate_back_tile, p);
    bias_reduce(p, BQKV, s->qkv);
    partial_reduce(p, Q_NORM_W, 0, s->head);
    partial_reduce(p, K_NORM_W, s->head, s->head);
    matrix_gradient(p, WQKV, w->dqkv, w->h, s->qkv, s->width);
    gemm_nn(&p->products, w->dh, w->dqkv, p->weight[WQKV], p->n, s->qkv, s->width, 0);
    pool_run(p->pool, p->tiles, attention_norm_backward_tile, p);
    norm_reduce(p, ATTENTION_NORM_W, ATTENTION_NORM_B);
}

#define EMBED_COLUMNS 64

/* Some columns of the embeddings' gradients, token after token. */
static void embed_backward_tile(void *ctx, size_t tile)
{
    const struct pass *p = ctx;
    size_t c = p->w->s.width, first = tile * EMBED_COLUMNS;
    size_t n = c - first < EMBED_COLUMNS ? c - first : EMBED_COLUMNS;
    float *tokens = grad_of(p, TOKEN_EMBEDDING) + first;
    float *positions = grad_of(p, POSITION_EMBEDDING);

    for (size_t r = 0; r < p->n; r++) {
        const float *dx = p->w->dx + r * c + first;
        p->k->add(tokens + (size_t)p->w->batch->tokens[r] * c, dx, n);
        if (positions != NULL)
            p->k->add(positions + (size_t)p->w->position[r] * c + first, dx, n);
    }
}

void transformer_backward_body(struct pass *p)
{
    assert(p->w->training && p->grad != NULL);
    pass_layer(p, p->w->s.layers - 1);
    pass_narrow(p);
    pool_run(p->pool, p->tiles, final_norm_backward_tile, p);
    norm_reduce(p, FINAL_NORM_W, FINAL_NORM_B);
    for (size_t layer = p->w->s.layers; layer-- > 0;) {
        pass_layer(p, layer);
        if (p->w->checkpointing && layer + 1 < p->w->s.layers)
            transformer_layer_again(p);
        feed_forward_backward(p);
        attention_backward(p);
    }
    if (grad_of(p, TOKEN_EMBEDDING) != NULL)
        pool_run(
            p->pool, (p->w->s.width + EMBED_COLUMNS - 1) / EMBED_COLUMNS, embed_backward_tile, p);
}
