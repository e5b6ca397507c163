#include "workers/model/transformer_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"

/* What each name of a target changes, bit t: LoraConfig.Target t. */
#define BIT(target) (1U << LORA_CONFIG__TARGET__##target)
static const unsigned lora_changes[] = {
    [LORA_CONFIG__TARGET__Q] = BIT(Q),
    [LORA_CONFIG__TARGET__K] = BIT(K),
    [LORA_CONFIG__TARGET__V] = BIT(V),
    [LORA_CONFIG__TARGET__O] = BIT(O),
    [LORA_CONFIG__TARGET__GATE] = BIT(GATE),
    [LORA_CONFIG__TARGET__UP] = BIT(UP),
    [LORA_CONFIG__TARGET__DOWN] = BIT(DOWN),
    [LORA_CONFIG__TARGET__Q_PROJ] = BIT(Q),
    [LORA_CONFIG__TARGET__K_PROJ] = BIT(K),
    [LORA_CONFIG__TARGET__V_PROJ] = BIT(V),
    [LORA_CONFIG__TARGET__O_PROJ] = BIT(O),
    [LORA_CONFIG__TARGET__GATE_PROJ] = BIT(GATE),
    [LORA_CONFIG__TARGET__UP_PROJ] = BIT(UP),
    [LORA_CONFIG__TARGET__DOWN_PROJ] = BIT(DOWN),
    [LORA_CONFIG__TARGET__C_ATTN] = BIT(Q) | BIT(K) | BIT(V),
    [LORA_CONFIG__TARGET__C_PROJ] = BIT(O) | BIT(DOWN),
    [LORA_CONFIG__TARGET__C_FC] = BIT(UP),
    [LORA_CONFIG__TARGET__ALL_LINEAR] = BIT(Q) | BIT(K) | BIT(V) | BIT(O) | BIT(UP) | BIT(DOWN),
};

size_t model_floats(const ModelConfig *c)
{
    struct layout l;

    layout_make(&l, NULL, c);
    return l.n_params;
}

struct model_size model_size(const ModelConfig *c)
{
    struct layout l;

    layout_make(&l, NULL, c);
    return (struct model_size){ l.n_params, l.frozen, l.frozen > 0 ? layers_floats(&l) : 0 };
}

int model_new(struct model **out, const ModelConfig *c, struct err *e)
{
    ModelConfig checked = *c;
    struct model *m = NULL;
    struct layout l;
    int rc = model_config_check(&checked, e);

    if (rc != OK)
        return rc;
    layout_make(&l, NULL, &checked);
    m = calloc(1, sizeof *m);
    if (m != NULL) {
        m->tensors = calloc(l.n_tensors, sizeof *m->tensors);
        m->params = aligned_alloc(64, l.n_params * sizeof *m->params); /* 16 floats are 64 bytes */
        if (l.frozen > 0)
            m->base = aligned_alloc(64, layers_floats(&l) * sizeof *m->base);
    }
    if (m == NULL || m->tensors == NULL || m->params == NULL || (l.frozen > 0 && !m->base)) {
        model_free(m);
        return err_set(e, E_NOMEM, "no memory for a model of %zu parameters", l.n_params);
    }
    memset(m->params, 0, l.n_params * sizeof *m->params);
    layout_make(&l, m->tensors, &checked);
    m->config = checked;
    m->head_size = shape_of(&checked).head;
    m->n_tensors = l.n_tensors;
    m->n_params = l.n_params;
    m->frozen = l.frozen;
    m->reward_scale = 1;
    *out = m;
    return OK;
}

void model_free(struct model *m)
{
    if (m == NULL)
        return;
    free(m->tensors);
    free(m->params);
    free(m->base);
    free(m);
}

static void tensor_init(struct model *m, size_t index, uint64_t seed)
{
    const struct tensor *t = &m->tensors[index];
    size_t n = t->rows * t->cols;
    float *p = m->params + t->offset;

    if (t->init > 0)
        rng_normal(p, n, seed, RNG_INIT, (uint32_t)index);
    for (size_t i = 0; i < n; i++)
        p[i] = t->init > 0 ? p[i] * t->init : -t->init;
}

void model_init(struct model *m, uint64_t seed)
{
    for (size_t i = 0; i < m->n_tensors; i++)
        tensor_init(m, i, seed);
}

static int new_like(struct model **out, const struct model *m, const ModelConfig *c, struct err *e)
{
    int rc = model_new(out, c, e);

    if (rc != OK)
        return rc;
    (*out)->tokenizer = m->tokenizer;
    (*out)->reward_bias = m->reward_bias;
    (*out)->reward_scale = m->reward_scale;
    return OK;
}

static size_t base_floats(const struct model *m)
{
    struct layout l;

    layout_make(&l, NULL, &m->config);
    return layers_floats(&l);
}

int model_copy(struct model **out, const struct model *m, struct err *e)
{
    int rc = new_like(out, m, &m->config, e);

    if (rc == OK)
        memcpy((*out)->params, m->params, m->n_params * sizeof *m->params);
    if (rc == OK)
        (*out)->origin = m->origin;
    if (rc == OK && m->frozen > 0)
        memcpy((*out)->base, m->base, base_floats(m) * sizeof *m->base);
    return rc;
}

/* Tensors that the body has not are initialised. */
static int with_head(struct model **out, const struct model *body, const ModelConfig *c,
    uint64_t seed, struct err *e)
{
    struct model *m = NULL;
    int rc = new_like(&m, body, c, e);

    if (rc != OK)
        return rc;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i], *from = model_tensor(body, t->name);
        if (from == NULL)
            tensor_init(m, i, seed);
        else
            memcpy(m->params + t->offset, body->params + from->offset,
                t->rows * t->cols * sizeof *m->params);
    }
    *out = m;
    return OK;
}

int model_with_scalar_head(
    struct model **out, const struct model *body, uint64_t seed, struct err *e)
{
    ModelConfig c = body->config;

    c.scalar_head = 1;
    return with_head(out, body, &c, seed, e);
}

int model_with_value_head(
    struct model **out, const struct model *body, uint64_t seed, struct err *e)
{
    ModelConfig c = body->config;

    c.value_head = 1;
    return with_head(out, body, &c, seed, e);
}

static unsigned targets_of(const LoraConfig *lora, const ModelConfig *c)
{
    unsigned targets = lora->n_targets ? 0 : BIT(Q) | BIT(V);

    for (size_t i = 0; i < lora->n_targets; i++) {
        assert((size_t)lora->targets[i] < sizeof lora_changes / sizeof *lora_changes);
        targets |= lora_changes[lora->targets[i]];
        if (lora->targets[i] == LORA_CONFIG__TARGET__ALL_LINEAR && family_of(c)->up_factor > 1)
            targets |= BIT(GATE);
    }
    return targets;
}
#undef BIT

int model_with_adapters(struct model **out, const struct model *body, const LoraConfig *lora,
    uint64_t seed, struct err *e)
{
    ModelConfig c = body->config;

    c.lora_rank = lora->rank;
    c.lora_alpha = lora->alpha;
    c.lora_targets = targets_of(lora, &c);
    return with_head(out, body, &c, seed, e);
}

/* The head's tensors are the last. */
struct model model_without_value_head(const struct model *m)
{
    struct model alone = *m;
    struct layout l;

    alone.config.value_head = 0;
    layout_make(&l, NULL, &alone.config);
    alone.n_tensors = l.n_tensors;
    alone.n_params = l.n_params;
    return alone;
}

const struct tensor *model_tensor(const struct model *m, const char *name)
{
    for (size_t i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return &m->tensors[i];
    return NULL;
}
