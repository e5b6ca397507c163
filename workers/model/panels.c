#include "workers/model/panels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "workers/model/generator_int.h"

/* Whole vectors, so that a panel of gates and gated has as many of both. */
#define COLUMNS_MAX 64

static const float *column_of(const float *w, const struct matrix *m, size_t o)
{
    return o < m->o ? w + o * m->i : NULL;
}

struct packing {
    const struct panels *p;
    const struct matrix *matrix;
    const float *w;
    bool gated;
};

static void pack_tile(void *ctx, size_t panel)
{
    const struct packing *x = ctx;
    const struct matrix *m = x->matrix;
    size_t columns = x->p->k->panel_columns, half = columns / 2;
    const float *column[COLUMNS_MAX];

    assert(columns <= COLUMNS_MAX);
    for (size_t c = 0; c < columns; c++) {
        if (x->gated) { /* rows of w: all gates, then all that they gate */
            size_t unit = panel * half + c % half;
            const float *w = c < half ? x->w : x->w + m->o / 2 * m->i;
            column[c] = unit < m->o / 2 ? w + unit * m->i : NULL;
        } else {
            column[c] = column_of(x->w, m, panel * columns + c);
        }
    }
    x->p->k->panel[x->p->precision].pack(
        (char *)(uintptr_t)m->panels + panel * m->panel_bytes, column, m->i);
}

static struct matrix matrix_of(const struct panels *p, size_t i, size_t o)
{
    size_t columns = p->k->panel_columns;

    return (struct matrix){ .panel_bytes = columns * (i + i % 2) * p->k->panel[p->precision].number,
        .n = (o + columns - 1) / columns,
        .i = i,
        .o = o };
}

/* Units of the feed-forward layer fill whole halves of panels. */
static struct matrix up_of(const struct panels *p, const struct shape *s)
{
    struct matrix m = matrix_of(p, s->width, s->up);
    size_t units = p->k->panel_columns / (s->up / s->hidden);

    m.n = (s->hidden + units - 1) / units;
    return m;
}

static void pack(
    const struct engine *en, struct panels *p, struct matrix *m, const float *w, bool gated)
{
    struct packing x = { p, m, w, gated };

    m->panels = (char *)arena_floats(&p->arena, m->n * m->panel_bytes / sizeof(float));
    pool_run(en->pool, m->n, pack_tile, &x);
}

static void pack_all(const struct engine *en, struct panels *p, const struct model *m)
{
    struct shape s = shape_of(&m->config);
    struct layout layout;
    const float *w[SLOTS];

    layout_make(&layout, NULL, &m->config);
    for (size_t l = 0; l < s.layers; l++) {
        layout_weights(w, &layout, m->params, l);
        pack(en, p, &p->layers[l].qkv, w[WQKV], false);
        pack(en, p, &p->layers[l].wo, w[WO], false);
        pack(en, p, &p->layers[l].up, w[W_UP], s.up != s.hidden);
        pack(en, p, &p->layers[l].down, w[W_DOWN], false);
    }
    pack(en, p, &p->head, w[OUTPUT] != NULL ? w[OUTPUT] : w[TOKEN_EMBEDDING], false);
}

static size_t bytes_of(const struct matrix *m)
{
    return arena_size(m->n * m->panel_bytes / sizeof(float));
}

static struct matrices layer_of(const struct panels *p, const struct shape *s)
{
    return (struct matrices){ matrix_of(p, s->width, s->qkv), matrix_of(p, s->q, s->width),
        up_of(p, s), matrix_of(p, s->hidden, s->width) };
}

static size_t arena_bytes(const struct panels *p, const struct shape *s)
{
    struct matrices m = layer_of(p, s);
    struct matrix head = matrix_of(p, s->width, s->vocab);

    return s->layers * (bytes_of(&m.qkv) + bytes_of(&m.wo) + bytes_of(&m.up) + bytes_of(&m.down)) +
           bytes_of(&head);
}

size_t panels_need(const struct engine *en, const ModelConfig *c, enum precision precision)
{
    struct panels p = { .precision = precision, .k = en->k };
    struct shape s = shape_of(c);

    return arena_bytes(&p, &s);
}

int panels_new(struct panels **out, const struct engine *en, const struct model *m,
    enum precision precision, struct err *e)
{
    struct shape s = shape_of(&m->config);
    struct panels *p = calloc(1, sizeof *p);
    struct matrices *layers = calloc(s.layers, sizeof *layers);

    if (p == NULL || layers == NULL) {
        free(p);
        free(layers);
        return err_set(e, E_NOMEM, "no memory for packed weights");
    }
    *p = (struct panels){ .precision = precision, .k = en->k, .layers = layers };
    for (size_t l = 0; l < s.layers; l++)
        layers[l] = layer_of(p, &s);
    p->head = matrix_of(p, s.width, s.vocab);
    int rc = arena_init(&p->arena, arena_bytes(p, &s), e);
    if (rc != OK) {
        panels_free(p);
        return err_wrap(e, "packed weights");
    }
    pack_all(en, p, m);
    *out = p;
    return OK;
}

void panels_free(struct panels *p)
{
    if (p == NULL)
        return;
    arena_free(&p->arena);
    free(p->layers);
    free(p);
}

size_t panels_bytes(const struct panels *p)
{
    return p->arena.n;
}
