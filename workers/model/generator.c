#include "workers/model/generator.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/model/transformer_int.h"

/* A step works on rows: the next token of each running sequence, and the tokens of prompts. Keys
 * and values of all rows are written first, then each row attends to its sequence's.
 *
 * INVARIANTS
 * (1) A row's results have the same bits whatever the other rows are: every product is rows_nt,
 *     never a GEMM, and every kernel works row by row.
 * (2) The random number of a sequence's token at `position` (the prompt's first is 0) is
 *     rng_uniform(seed, RNG_SAMPLE, position, item + (options.step << 32)): items are below 2^32.
 */

#define ROWS_MIN 256  /* rows of a step, at least: prompts are taken in pieces of this size */
#define DENSE_ROWS 32 /* tiles of a product */
#define DENSE_COLUMNS 64
#define NORM_ROWS 16

struct running {
    struct generation *g; /* NULL: the slot is free */
    size_t fed;           /* tokens whose keys and values are in the cache */
    size_t limit;         /* tokens of prompt and answer */
};

struct session {
    const struct model *m;
    const struct kernels *k;
    struct pool *pool;
    const struct generator_options *o;
    struct generation *queue;
    size_t n, admitted, done;

    struct shape s;
    const struct family *f;
    struct layout layout;
    const float *weight[SLOTS]; /* of the current layer, and of the whole model */
    size_t layer;
    float eps;

    struct running *slots;
    size_t n_slots, capacity; /* sequences; tokens for each */
    size_t max_rows, rows, picks;
    struct arena arena;
    float *keys, *values; /* [layers, slots, kv_heads, capacity, head] */
    float *rope;          /* [capacity, head] */
    float *x, *h, *qkv, *att, *up, *act, *mean, *rstd; /* [max_rows, …] */
    int32_t *token, *slot, *position;                  /* [max_rows] */
    float *scratch;                                    /* [ATTENTION_TILES, capacity] */
    float *logits, *probability; /* [slots, vocab]; the first `picks` rows of each are in use */
    int32_t *ids;                /* [slots, vocab] */
    int32_t *pick_slot, *picked; /* [slots] */
};

/* ---- memory ---- */

/* Calls take(ctx, p, count) for every buffer of the session: to measure and to lay out. */
static void each_buffer(
    struct session *g, void (*take)(void *ctx, void *p, size_t count), void *ctx)
{
    const struct shape *s = &g->s;
    size_t cache = s->layers * g->n_slots * s->kv * g->capacity, rows = g->max_rows;

    take(ctx, &g->keys, cache);
    take(ctx, &g->values, cache);
    take(ctx, &g->rope, g->capacity * s->head);
    take(ctx, &g->x, rows * s->width);
    take(ctx, &g->h, rows * s->width);
    take(ctx, &g->qkv, rows * s->qkv);
    take(ctx, &g->att, rows * s->width);
    take(ctx, &g->up, rows * s->up);
    take(ctx, &g->act, rows * s->hidden);
    take(ctx, &g->mean, rows);
    take(ctx, &g->rstd, rows);
    take(ctx, &g->token, rows);
    take(ctx, &g->slot, rows);
    take(ctx, &g->position, rows);
    take(ctx, &g->scratch, ATTENTION_TILES * g->capacity);
    take(ctx, &g->logits, g->n_slots * s->vocab);
    take(ctx, &g->probability, g->n_slots * s->vocab);
    take(ctx, &g->ids, g->n_slots * s->vocab);
    take(ctx, &g->pick_slot, g->n_slots);
    take(ctx, &g->picked, g->n_slots);
}

static void measure(void *ctx, void *p, size_t count)
{
    size_t *bytes = ctx;

    (void)p;
    *bytes += arena_size(count);
}

static void lay_out(void *ctx, void *p, size_t count)
{
    float *floats = arena_floats(ctx, count);

    memcpy(p, &floats, sizeof floats);
}

static int session_open(struct session *g, struct err *e)
{
    size_t bytes = 0;
    int rc;

    g->slots = calloc(g->n_slots, sizeof *g->slots);
    if (g->slots == NULL)
        return err_set(e, E_NOMEM, "no memory for %zu sequences", g->n_slots);
    each_buffer(g, measure, &bytes);
    rc = arena_init(&g->arena, bytes, e);
    if (rc != OK)
        return err_wrap(e, "cache of %zu sequences of %zu tokens", g->n_slots, g->capacity);
    each_buffer(g, lay_out, &g->arena);
    if (g->f->rotary)
        rope_table(g->rope, g->capacity, g->s.head, g->m->config.rope_theta);
    return OK;
}

static void session_close(struct session *g)
{
    arena_free(&g->arena);
    free(g->slots);
}

/* ---- which rows ---- */

static size_t limit_of(const struct session *g, const struct generation *x)
{
    size_t context = g->s.context, limit = x->n_prompt + g->o->max_new;

    return limit < context ? limit : context;
}

/* Gives free slots to the sequences that wait, in their order. */
static void admit(struct session *g)
{
    for (size_t i = 0; i < g->n_slots; i++) {
        while (g->slots[i].g == NULL && g->admitted < g->n) {
            struct generation *x = &g->queue[g->admitted++];
            size_t limit = limit_of(g, x);
            x->n_tokens = 0;
            x->ended = false;
            if (limit > x->n_prompt)
                g->slots[i] = (struct running){ .g = x, .limit = limit };
            else
                g->done++; /* no room for an answer */
        }
    }
}

static int32_t token_at(const struct generation *x, size_t i)
{
    return i < x->n_prompt ? x->prompt[i] : x->tokens[i - x->n_prompt];
}

static void add_row(struct session *g, size_t slot)
{
    struct running *r = &g->slots[slot];

    g->token[g->rows] = token_at(r->g, r->fed);
    g->slot[g->rows] = (int32_t)slot;
    g->position[g->rows] = (int32_t)r->fed;
    g->rows++;
    r->fed++;
}

/* Every running sequence has at least one row; prompts share what room is left. */
static void collect_rows(struct session *g)
{
    size_t spare = g->max_rows;

    g->rows = g->picks = 0;
    for (size_t i = 0; i < g->n_slots; i++)
        spare -= g->slots[i].g != NULL;
    for (size_t i = 0; i < g->n_slots; i++) {
        struct running *r = &g->slots[i];
        if (r->g == NULL)
            continue;
        size_t length = r->g->n_prompt + r->g->n_tokens;
        add_row(g, i);
        for (; r->fed < length && spare > 0; spare--)
            add_row(g, i);
        if (r->fed == length)
            g->pick_slot[g->picks++] = (int32_t)i;
    }
}

/* ---- the transformer on those rows ---- */

static size_t tiles_of(size_t n, size_t tile)
{
    return (n + tile - 1) / tile;
}

static size_t tile_rows(const struct session *g, size_t tile, size_t *first)
{
    *first = tile * NORM_ROWS;
    return g->rows - *first < NORM_ROWS ? g->rows - *first : NORM_ROWS;
}

static void on_rows(struct session *g, void (*work)(void *ctx, size_t tile))
{
    pool_run(g->pool, tiles_of(g->rows, NORM_ROWS), work, g);
}

struct product {
    const struct session *g;
    float *y;
    const float *x, *w, *b;
    size_t n, i, o;
};

static void product_tile(void *ctx, size_t tile)
{
    const struct product *p = ctx;
    size_t across = tiles_of(p->o, DENSE_COLUMNS);
    size_t row = tile / across * DENSE_ROWS, o = tile % across * DENSE_COLUMNS;
    size_t n = p->n - row < DENSE_ROWS ? p->n - row : DENSE_ROWS;
    size_t end = p->o - o < DENSE_COLUMNS ? p->o : o + DENSE_COLUMNS;

    p->g->k->rows_nt(p->y + row * p->o, p->x + row * p->i, p->w, p->b, n, p->i, o, end, p->o);
}

/* y[n,o] = x[n,i] w^T + b */
static void product(const struct session *g, float *y, const float *x, const float *w,
    const float *b, const size_t size[3])
{
    struct product p = { g, y, x, w, b, size[0], size[1], size[2] };

    pool_run(g->pool, tiles_of(p.n, DENSE_ROWS) * tiles_of(p.o, DENSE_COLUMNS), product_tile, &p);
}

static void norm(const struct session *g, enum slot w, enum slot b, size_t first, size_t n)
{
    size_t c = g->s.width;

    g->f->norm(g->k, g->h + first * c, g->mean + first, g->rstd + first, g->x + first * c,
        g->weight[w], g->weight[b], n, c, g->eps);
}

static void embed_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    size_t c = g->s.width, first, n = tile_rows(g, tile, &first);
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
    size_t first, n = tile_rows(g, tile, &first);

    norm(g, ATTENTION_NORM_W, ATTENTION_NORM_B, first, n);
}

/* Where a slot's keys (or values) of a head start in its cache. */
static size_t cached(const struct session *g, size_t slot, size_t kv_head)
{
    return ((g->layer * g->n_slots + slot) * g->s.kv_heads + kv_head) * g->capacity * g->s.head;
}

/* RoPE, then keys and values into the cache. */
static void remember_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    const struct shape *s = &g->s;
    size_t first, n = tile_rows(g, tile, &first);

    if (g->f->rotary)
        g->k->rope(g->qkv + first * s->qkv, g->rope, g->position + first, n, s->heads + s->kv_heads,
            s->head, s->qkv, 1);
    for (size_t r = first; r < first + n; r++) {
        const float *key = g->qkv + r * s->qkv + s->width, *value = key + s->kv;
        for (size_t head = 0; head < s->kv_heads; head++) {
            size_t at = cached(g, (size_t)g->slot[r], head) + (size_t)g->position[r] * s->head;
            memcpy(g->keys + at, key + head * s->head, s->head * sizeof(float));
            memcpy(g->values + at, value + head * s->head, s->head * sizeof(float));
        }
    }
}

/* Pairs of a row and a head, dealt out to the tiles. */
static void attention_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    const struct shape *s = &g->s;
    size_t pairs = g->rows * s->heads, each = tiles_of(pairs, ATTENTION_TILES);
    size_t end = (tile + 1) * each < pairs ? (tile + 1) * each : pairs;
    float *scratch = g->scratch + tile * g->capacity;

    for (size_t i = tile * each; i < end; i++) {
        size_t r = i / s->heads, head = i % s->heads;
        size_t at = cached(g, (size_t)g->slot[r], head / (s->heads / s->kv_heads));
        g->k->attention_row(g->att + r * s->width + head * s->head,
            g->qkv + r * s->qkv + head * s->head, g->keys + at, g->values + at,
            (size_t)g->position[r] + 1, s->head, s->head, scratch);
    }
}

/* x += what attention gave, which is in h; then h = norm(x) */
static void feed_forward_norm_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    size_t c = g->s.width, first, n = tile_rows(g, tile, &first);

    g->k->add(g->x + first * c, g->h + first * c, n * c);
    norm(g, FFN_NORM_W, FFN_NORM_B, first, n);
}

static void activation_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    const struct shape *s = &g->s;
    size_t first, n = tile_rows(g, tile, &first);

    g->f->activation(g->k, g->act + first * s->hidden, g->up + first * s->up, n, s->hidden);
}

static void residual_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;
    size_t c = g->s.width, first, n = tile_rows(g, tile, &first);

    g->k->add(g->x + first * c, g->h + first * c, n * c);
}

static void run_layer(struct session *g)
{
    const struct shape *s = &g->s;
    const float *const *w = g->weight;
    size_t pairs = g->rows * s->heads;

    on_rows(g, attention_norm_tile);
    product(g, g->qkv, g->h, w[WQKV], w[BQKV], (size_t[]){ g->rows, s->width, s->qkv });
    on_rows(g, remember_tile);
    pool_run(g->pool, pairs < ATTENTION_TILES ? pairs : ATTENTION_TILES, attention_tile, g);
    product(g, g->h, g->att, w[WO], w[BO], (size_t[]){ g->rows, s->width, s->width });
    on_rows(g, feed_forward_norm_tile);
    product(g, g->up, g->h, w[W_UP], w[B_UP], (size_t[]){ g->rows, s->width, s->up });
    on_rows(g, activation_tile);
    product(g, g->h, g->act, w[W_DOWN], w[B_DOWN], (size_t[]){ g->rows, s->hidden, s->width });
    on_rows(g, residual_tile);
}

/* The last row of a slot is where its next token is predicted: those rows, packed and normed. */
static void gather_picks(struct session *g)
{
    size_t c = g->s.width, pick = 0;

    for (size_t r = 0; r < g->rows && pick < g->picks; r++) {
        size_t slot = (size_t)g->pick_slot[pick];
        if ((size_t)g->slot[r] != slot || (size_t)g->position[r] + 1 != g->slots[slot].fed)
            continue;
        memmove(g->x + pick * c, g->x + r * c, c * sizeof(float)); /* pick <= r */
        pick++;
    }
    assert(pick == g->picks);
    norm(g, FINAL_NORM_W, FINAL_NORM_B, 0, g->picks);
}

static void run_rows(struct session *g)
{
    const float *head = g->weight[OUTPUT] != NULL ? g->weight[OUTPUT] : g->weight[TOKEN_EMBEDDING];

    on_rows(g, embed_tile);
    for (g->layer = 0; g->layer < g->s.layers; g->layer++) {
        layout_weights(g->weight, &g->layout, g->m->params, g->layer);
        run_layer(g);
    }
    gather_picks(g);
    product(g, g->logits, g->h, head, NULL, (size_t[]){ g->picks, g->s.width, g->s.vocab });
}

/* ---- the next tokens ---- */

static void pick_tile(void *ctx, size_t pick)
{
    const struct session *g = ctx;
    const struct running *r = &g->slots[g->pick_slot[pick]];
    size_t v = g->s.vocab;
    float *logits = g->logits + pick * v, *probability = g->probability + pick * v;
    double u = rng_uniform(
        g->o->seed, RNG_SAMPLE, (uint32_t)r->fed, r->g->item + ((uint64_t)g->o->step << 32));

    for (size_t i = 0; i < g->o->n_banned; i++)
        logits[g->o->banned[i]] = -INFINITY;
    sampler_probabilities(probability, logits, v, &g->o->sampler, g->ids + pick * v);
    g->picked[pick] = sampler_pick(probability, v, u);
}

static bool is_stop(const struct generator_options *o, int32_t token)
{
    for (size_t i = 0; i < o->n_stops; i++)
        if (o->stops[i] == token)
            return true;
    return false;
}

static int append_picked(struct session *g, struct err *e)
{
    for (size_t i = 0; i < g->picks; i++) {
        struct running *r = &g->slots[g->pick_slot[i]];
        struct generation *x = r->g;
        if (g->picked[i] < 0)
            return err_set(e, E_INVARIANT,
                "sequence %llu, position %zu: no token has a "
                "probability; the logits are not finite",
                (unsigned long long)x->item, r->fed);
        x->tokens[x->n_tokens++] = g->picked[i];
        x->ended = is_stop(g->o, g->picked[i]);
        if (x->ended || x->n_prompt + x->n_tokens == r->limit) {
            r->g = NULL;
            g->done++;
        }
    }
    return OK;
}

static int run_session(
    struct session *g, int (*progress)(void *ctx, size_t done), void *ctx, struct err *e)
{
    int rc = OK;

    admit(g);
    while (rc == OK && g->done < g->n) {
        collect_rows(g);
        run_rows(g);
        pool_run(g->pool, g->picks, pick_tile, g);
        rc = append_picked(g, e);
        admit(g);
        if (rc == OK && progress != NULL && progress(ctx, g->done) != 0)
            rc = err_set(e, E_CANCELLED, "generation was stopped");
    }
    return rc;
}

static int check_ids(const struct model *m, const int32_t *ids, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= m->config.vocab_size)
            return err_set(e, E_INPUT, "token %d is not in the vocabulary of %u", (int)ids[i],
                m->config.vocab_size);
    return OK;
}

/* Also finds how many tokens the longest sequence may have. */
static int check_input(struct session *g, struct err *e)
{
    int rc = check_ids(g->m, g->o->banned, g->o->n_banned, e);

    if (g->m->config.scalar_head)
        return err_set(e, E_INPUT, "a model with a scalar head cannot generate");
    for (size_t i = 0; rc == OK && i < g->n; i++) {
        const struct generation *x = &g->queue[i];
        if (x->n_prompt == 0 || x->n_prompt > g->s.context)
            return err_set(e, E_INPUT, "prompt %zu has %zu tokens; 1..%zu fit the context", i,
                x->n_prompt, g->s.context);
        rc = check_ids(g->m, x->prompt, x->n_prompt, e);
        if (limit_of(g, x) > g->capacity)
            g->capacity = limit_of(g, x);
    }
    return rc;
}

int generate(const struct engine *en, const struct model *m, struct generation *g, size_t n,
    const struct generator_options *o, int (*progress)(void *ctx, size_t done), void *ctx,
    struct err *e)
{
    size_t slots = o->slots < n ? o->slots : n;
    struct session s = { .m = m,
        .k = en->k,
        .pool = en->pool,
        .o = o,
        .queue = g,
        .n = n,
        .s = shape_of(&m->config),
        .f = family_of(&m->config),
        .eps = (float)m->config.norm_eps,
        .n_slots = slots,
        .max_rows = slots < ROWS_MIN ? ROWS_MIN : slots };
    int rc;

    assert(o->slots > 0);
    if (n == 0)
        return OK;
    layout_make(&s.layout, NULL, &m->config);
    layout_weights(s.weight, &s.layout, m->params, 0);
    rc = check_input(&s, e);
    if (rc == OK)
        rc = session_open(&s, e);
    if (rc == OK)
        rc = run_session(&s, progress, ctx, e);
    session_close(&s);
    return rc;
}
