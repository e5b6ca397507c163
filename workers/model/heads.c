#include "workers/model/transformer_int.h"

#include <assert.h>
#include <string.h>

/* The LM head works on the rows that have a target, gathered into chunks, so that logits are
 * never whole and rows without a target cost nothing and give nothing. */

struct chunk {
    struct pass *p;
    const float *w;  /* [vocab, width] */
    size_t n, tiles; /* rows in use */
    float inverse_temperature;
    float *entropy;     /* NULL: not asked for */
    const float *dlogp; /* NULL: forward only */
};

static void head_begin(
    struct pass *p, struct workspace *w, const struct engine *en, const struct model *m)
{
    pass_begin(p, w, en, m);
    pass_narrow(p);
}

#define CHUNK_TILE 16 /* rows of logits for each tile */

static void chunk_begin(struct chunk *c, struct pass *p, float temperature)
{
    const float *tied = p->weight[TOKEN_EMBEDDING];

    assert(!p->w->scalar_head && !p->m->config.scalar_head && temperature > 0);
    *c = (struct chunk){ .p = p,
        .w = p->weight[OUTPUT] != NULL ? p->weight[OUTPUT] : tied,
        .inverse_temperature = 1 / temperature };
}

/* Gathers up to a chunk of rows with a target, from *row on; false: there are none. */
static bool chunk_gather(struct chunk *c, const int32_t *target, size_t *row)
{
    struct workspace *w = c->p->w;
    size_t width = w->s.width, capacity = gemm_rows(w->max_tokens), n = 0;

    if (capacity > HEAD_CHUNK)
        capacity = HEAD_CHUNK;
    for (; *row < c->p->n && n < capacity; ++*row) {
        int32_t of = target[pass_token(c->p, *row)];
        if (of < 0)
            continue;
        assert((size_t)of < w->s.vocab);
        memcpy(w->chunk_h + n * width, w->final + *row * width, width * sizeof(float));
        w->chunk_target[n] = of;
        w->chunk_row[n++] = (int32_t)*row;
    }
    c->n = n;
    c->tiles = (n + CHUNK_TILE - 1) / CHUNK_TILE;
    return n > 0;
}

static void chunk_logits(const struct chunk *c)
{
    struct workspace *w = c->p->w;

    gemm_nt(&c->p->products, w->logits, w->chunk_h, c->w, c->n, w->s.width, w->s.vocab, 0);
}

static size_t chunk_rows(const struct chunk *c, size_t tile, size_t *first)
{
    *first = tile * CHUNK_TILE;
    return c->n - *first < CHUNK_TILE ? c->n - *first : CHUNK_TILE;
}

static void log_prob_tile(void *ctx, size_t tile)
{
    const struct chunk *c = ctx;
    struct workspace *w = c->p->w;
    size_t v = w->s.vocab, first, n = chunk_rows(c, tile, &first);

    c->p->k->log_softmax_pick(w->chunk_log_prob + first,
        c->entropy != NULL ? w->chunk_entropy + first : NULL, w->logits + first * v,
        w->chunk_target + first, n, v, v, c->inverse_temperature);
}

void transformer_log_probs(struct workspace *w, const struct engine *en, const struct model *m,
    const int32_t *target, float temperature, float *log_prob, float *entropy)
{
    struct pass p;
    struct chunk c;
    size_t row = 0;

    head_begin(&p, w, en, m);
    chunk_begin(&c, &p, temperature);
    c.entropy = entropy;
    memset(log_prob, 0, w->batch->n_tokens * sizeof *log_prob);
    if (entropy != NULL)
        memset(entropy, 0, w->batch->n_tokens * sizeof *entropy);
    while (chunk_gather(&c, target, &row)) {
        chunk_logits(&c);
        pool_run(p.pool, c.tiles, log_prob_tile, &c);
        for (size_t i = 0; i < c.n; i++) {
            size_t token = pass_token(&p, (size_t)w->chunk_row[i]);
            log_prob[token] = w->chunk_log_prob[i];
            if (entropy != NULL)
                entropy[token] = w->chunk_entropy[i];
        }
    }
}

void transformer_logits(
    struct workspace *w, const struct engine *en, const struct model *m, size_t i, float *logits)
{
    struct pass p;
    struct chunk c;
    size_t row = 0;

    head_begin(&p, w, en, m);
    while (row < p.n && pass_token(&p, row) != i)
        row++;
    assert(row < p.n);
    chunk_begin(&c, &p, 1);
    memcpy(w->chunk_h, w->final + row * w->s.width, w->s.width * sizeof *logits);
    c.n = 1;
    chunk_logits(&c);
    memcpy(logits, w->logits, w->s.vocab * sizeof *logits);
}

static void log_prob_backward_tile(void *ctx, size_t tile)
{
    const struct chunk *c = ctx;
    struct workspace *w = c->p->w;
    size_t v = w->s.vocab, first, n = chunk_rows(c, tile, &first);

    for (size_t i = first; i < first + n; i++)
        w->chunk_g[i] = c->dlogp[pass_token(c->p, (size_t)w->chunk_row[i])];
    c->p->k->log_softmax_backward(w->logits + first * v, w->chunk_log_prob + first,
        w->chunk_g + first, w->chunk_target + first, n, v, v, c->inverse_temperature);
}

static void scatter(const struct chunk *c, float *log_prob)
{
    struct workspace *w = c->p->w;
    size_t width = w->s.width;

    for (size_t i = 0; i < c->n; i++) {
        size_t row = (size_t)w->chunk_row[i];
        memcpy(w->dh + row * width, w->chunk_dh + i * width, width * sizeof(float));
        log_prob[pass_token(c->p, row)] = w->chunk_log_prob[i];
    }
}

/* Through the LM head: sets dh. */
static void log_probs_backward(
    struct pass *p, const int32_t *target, const float *g, float temperature, float *log_prob)
{
    struct workspace *w = p->w;
    struct chunk c;
    size_t row = 0, v = w->s.vocab, width = w->s.width;

    chunk_begin(&c, p, temperature);
    c.dlogp = g;
    memset(w->dh, 0, p->n * width * sizeof *w->dh);
    memset(log_prob, 0, w->batch->n_tokens * sizeof *log_prob);
    while (chunk_gather(&c, target, &row)) {
        chunk_logits(&c);
        pool_run(p->pool, c.tiles, log_prob_backward_tile, &c);
        if (p->layout.frozen == 0)
            gemm_tn(
                &p->products, p->grad + (c.w - p->m->params), w->logits, w->chunk_h, c.n, v, width);
        gemm_nn(&p->products, w->chunk_dh, w->logits, c.w, c.n, v, width, 0);
        scatter(&c, log_prob);
    }
}

void transformer_backward_log_probs(struct workspace *w, const struct engine *en,
    const struct model *m, float *grad, const int32_t *target, const float *g, float temperature,
    float *log_prob)
{
    struct pass p;

    head_begin(&p, w, en, m);
    p.grad = grad;
    log_probs_backward(&p, target, g, temperature, log_prob);
    transformer_backward_body(&p);
}

/* ---- scalar head: value = score . h + bias ---- */

struct values {
    struct pass *p;
    float *value;
    const float *g;
    bool adds; /* to dh; else sets it */
};

static void values_tile(void *ctx, size_t tile)
{
    const struct values *v = ctx;
    const struct pass *p = v->p;
    size_t c = p->w->s.width, first, n = pass_rows(p, tile, &first);

    for (size_t r = first; r < first + n; r++)
        v->value[pass_token(p, r)] = (float)(p->k->dot(p->w->final + r * c, p->weight[SCORE_W], c) +
                                             (double)*p->weight[SCORE_B]);
}

void transformer_values(
    struct workspace *w, const struct engine *en, const struct model *m, float *value)
{
    struct pass p;
    struct values v = { .p = &p, .value = value };

    head_begin(&p, w, en, m);
    assert(p.weight[SCORE_W] != NULL);
    memset(value, 0, w->batch->n_tokens * sizeof *value);
    pool_run(p.pool, p.tiles, values_tile, &v);
}

static void values_backward_tile(void *ctx, size_t tile)
{
    const struct values *v = ctx;
    const struct pass *p = v->p;
    size_t c = p->w->s.width, first, n = pass_rows(p, tile, &first);

    for (size_t r = first; r < first + n; r++) {
        float *dh = (v->adds ? p->w->h : p->w->dh) + r * c;
        memcpy(dh, p->weight[SCORE_W], c * sizeof *dh);
        p->k->scale(dh, v->g[pass_token(p, r)], c);
        if (v->adds)
            p->k->add(p->w->dh + r * c, dh, c);
    }
}

static void values_backward(struct pass *p, const float *g, bool adds)
{
    struct values v = { .p = p, .g = g, .adds = adds };
    float *bias = grad_of(p, SCORE_B), *rows = p->w->mean;
    double sum = 0;

    assert(p->weight[SCORE_W] != NULL);
    pool_run(p->pool, p->tiles, values_backward_tile, &v);
    for (size_t r = 0; r < p->n; r++) {
        rows[r] = g[pass_token(p, r)];
        sum += (double)rows[r];
    }
    gemm_tn(&p->products, grad_of(p, SCORE_W), rows, p->w->final, p->n, 1, p->w->s.width);
    *bias += (float)sum;
}

void transformer_backward_values(struct workspace *w, const struct engine *en,
    const struct model *m, float *grad, const float *g)
{
    struct pass p;

    head_begin(&p, w, en, m);
    p.grad = grad;
    values_backward(&p, g, false);
    transformer_backward_body(&p);
}

void transformer_backward_both(struct workspace *w, const struct engine *en, const struct model *m,
    float *grad, const int32_t *target, const struct head_gradients *g, float temperature,
    float *log_prob)
{
    struct pass p;

    head_begin(&p, w, en, m);
    p.grad = grad;
    log_probs_backward(&p, target, g->log_prob, temperature, log_prob);
    values_backward(&p, g->value, true);
    transformer_backward_body(&p);
}
