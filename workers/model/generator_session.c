#include "workers/model/generator_int.h"

#include <stdlib.h>
#include <string.h>

static size_t even(size_t n)
{
    return n + n % 2;
}

/* Calls take(ctx, p, bytes) for every buffer of the session: to measure and to lay out. */
static void each_buffer(
    struct session *g, void (*take)(void *ctx, void *p, size_t bytes), void *ctx)
{
    const struct shape *s = &g->s;
    size_t rows = g->max_rows, number = sizeof(float), operand = g->few->operand;

    take(ctx, &g->cache, s->layers * g->n_slots * s->kv_heads * g->head_bytes);
    take(ctx, &g->rope, g->capacity * s->head * number);
    take(ctx, &g->x, rows * s->width * number);
    take(ctx, &g->h, rows * s->width * number);
    take(ctx, &g->qkv, rows * s->qkv * number);
    take(ctx, &g->mean, rows * number);
    take(ctx, &g->rstd, rows * number);
    take(ctx, &g->normed, rows * even(s->width) * operand);
    take(ctx, &g->att, rows * s->q * operand);
    take(ctx, &g->act, rows * even(s->hidden) * operand);
    take(ctx, &g->token, rows * sizeof(int32_t));
    take(ctx, &g->slot, rows * sizeof(int32_t));
    take(ctx, &g->position, rows * sizeof(int32_t));
    take(ctx, &g->scratch, ATTENTION_TILES * g->scratch_floats * number);
    take(ctx, &g->logits, g->n_slots * s->vocab * number);
    take(ctx, &g->draw, g->n_slots * sampler_scratch(&g->o->sampler, s->vocab) * number);
    take(ctx, &g->pick_row, g->n_slots * sizeof(int32_t));
    take(ctx, &g->picked, g->n_slots * sizeof(int32_t));
    take(ctx, &g->picked_log_prob, g->n_slots * number);
}

static size_t floats_of(size_t bytes)
{
    return (bytes + sizeof(float) - 1) / sizeof(float);
}

static void measure(void *ctx, void *p, size_t bytes)
{
    size_t *all = ctx;

    (void)p;
    *all += arena_size(floats_of(bytes));
}

static void lay_out(void *ctx, void *p, size_t bytes)
{
    float *floats = arena_floats(ctx, floats_of(bytes));

    memcpy(p, &floats, sizeof floats);
}

/* A head's share of the cache, and the scratch of a tile of attention: the scores of one group of
 * queries and what attention gives them. */
static void measure_heads(struct session *g)
{
    const struct shape *s = &g->s;
    size_t columns = g->k->panel_columns, group = s->heads / s->kv_heads;

    g->capacity = (g->capacity + columns - 1) / columns * columns;
    g->keys_bytes = g->capacity * s->head * g->few->number;
    g->head_bytes = g->keys_bytes +
                    g->capacity * ((s->head + columns - 1) / columns * columns) * g->few->number;
    g->scratch_floats = (group * (g->capacity + s->head) + 15) / 16 * 16;
}

size_t session_measure(struct session *g)
{
    size_t bytes = 0;

    measure_heads(g);
    each_buffer(g, measure, &bytes);
    return bytes;
}

int session_open(struct session *g, struct err *e)
{
    int rc = OK;

    g->slots = calloc(g->n_slots, sizeof *g->slots);
    if (g->slots == NULL)
        return err_set(e, E_NOMEM, "no memory for %zu sequences", g->n_slots);
    if (g->panels == NULL)
        rc =
            panels_new(&g->own_panels, &(struct engine){ g->pool, g->k }, g->m, g->o->precision, e);
    if (rc != OK)
        return rc;
    if (g->panels == NULL)
        g->panels = g->own_panels;
    rc = arena_init(&g->arena, session_measure(g), e);
    if (rc != OK)
        return err_wrap(e, "cache of %zu sequences of %zu tokens", g->n_slots, g->capacity);
    each_buffer(g, lay_out, &g->arena);
    if (g->f->rotary)
        rope_table(g->rope, g->capacity, &g->m->config);
    return OK;
}

void session_close(struct session *g)
{
    arena_free(&g->arena);
    panels_free(g->own_panels);
    free(g->slots);
}
