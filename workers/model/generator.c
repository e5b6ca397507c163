#include "workers/model/generator.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/model/generator_int.h"

/* A step works on rows: the next token of each running sequence, and the tokens of prompts.
 *
 * INVARIANT  The random number of a sequence's token at `position` (the prompt's first is 0) is
 * rng_uniform(seed, RNG_SAMPLE, position, item + (options.step << 32)): items are below 2^32. */

#define ROWS_MIN 256 /* rows of a step, at least: prompts are taken in pieces of this size */
#define DRAW_PICKS 8 /* of a tile */

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
    g->prompts = false;
    for (size_t i = 0; i < g->n_slots; i++) {
        struct running *r = &g->slots[i];
        if (r->g == NULL)
            continue;
        size_t length = r->g->n_prompt + r->g->n_tokens;
        add_row(g, i);
        for (; r->fed < length && spare > 0; spare--) {
            add_row(g, i);
            g->prompts = true;
        }
        if (r->fed == length)
            g->pick_row[g->picks++] = (int32_t)g->rows - 1;
    }
}

/* ---- the next tokens ---- */

static void draw(const struct session *g, size_t pick)
{
    const struct running *r = &g->slots[g->slot[g->pick_row[pick]]];
    const struct generator_options *o = g->o;
    size_t v = g->s.vocab;
    float *logits = g->logits + pick * v;
    double u =
        rng_uniform(o->seed, RNG_SAMPLE, (uint32_t)r->fed, r->g->item + ((uint64_t)o->step << 32));

    for (size_t i = 0; i < o->n_banned; i++)
        logits[o->banned[i]] = -INFINITY;
    g->picked[pick] = sampler_draw(g->k, &g->picked_log_prob[pick], logits, v, &o->sampler, u,
        g->draw + pick * sampler_scratch(&o->sampler, v));
}

static void draw_tile(void *ctx, size_t tile)
{
    const struct session *g = ctx;

    for (size_t i = tile * DRAW_PICKS; i < g->picks && i < (tile + 1) * DRAW_PICKS; i++)
        draw(g, i);
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
        struct running *r = &g->slots[g->slot[g->pick_row[i]]];
        struct generation *x = r->g;
        if (g->picked[i] < 0)
            return err_set(e, E_INVARIANT,
                "sequence %llu, position %zu: no token has a "
                "probability; the logits are not finite",
                (unsigned long long)x->item, r->fed);
        if (x->log_probs != NULL)
            x->log_probs[x->n_tokens] = g->picked_log_prob[i];
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
        generator_forward(g);
        pool_run(g->pool, (g->picks + DRAW_PICKS - 1) / DRAW_PICKS, draw_tile, g);
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

/* Of a model of this configuration: all that does not depend on the weights. */
static struct session session_for(
    const struct engine *en, const ModelConfig *c, size_t n, const struct generator_options *o)
{
    size_t slots = o->slots < n ? o->slots : n;

    return (struct session){ .k = en->k,
        .few = &en->k->panel[o->precision],
        .panels = o->panels,
        .pool = en->pool,
        .o = o,
        .n = n,
        .s = shape_of(c),
        .f = family_of(c),
        .eps = (float)c->norm_eps,
        .n_slots = slots,
        .max_rows = slots < ROWS_MIN ? ROWS_MIN : slots };
}

size_t generate_bytes(const struct engine *en, const ModelConfig *c, size_t n, size_t longest,
    const struct generator_options *o)
{
    struct session s = session_for(en, c, n, o);

    s.capacity = longest < s.s.context ? longest : s.s.context;
    return n == 0 ? 0 : session_measure(&s) + s.n_slots * sizeof *s.slots;
}

int generate(const struct engine *en, const struct model *m, struct generation *g, size_t n,
    const struct generator_options *o, int (*progress)(void *ctx, size_t done), void *ctx,
    struct err *e)
{
    struct session s = session_for(en, &m->config, n, o);
    int rc;

    assert(o->slots > 0);
    assert(o->panels == NULL || (o->panels->precision == o->precision && o->panels->k == en->k));
    if (n == 0)
        return OK;
    s.m = m;
    s.queue = g;
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
