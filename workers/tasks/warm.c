#include "workers/tasks/warm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/tasks/train.h"

#define MODELS 8

struct kept_model {
    struct id id;
    char prefix[16];
    struct model *model;
    uint64_t used;
};

struct warm {
    struct kept_model models[MODELS];
    struct {
        struct id id;
        char prefix[16];
        enum precision precision;
        struct panels *panels; /* NULL: none */
    } packed;
    struct id tokenizer_id;
    struct tokenizer *tokenizer;
    struct id trainer_id;
    struct trainer *trainer;
    uint64_t clock; /* counts uses */
};

int warm_new(struct warm **out, struct err *e)
{
    *out = calloc(1, sizeof **out);
    return *out ? OK : err_set(e, E_NOMEM, "no memory");
}

void warm_drop_panels(struct warm *w)
{
    panels_free(w->packed.panels);
    w->packed.panels = NULL;
}

void warm_drop_models(struct warm *w)
{
    warm_drop_panels(w);
    for (size_t i = 0; i < MODELS; i++) {
        model_free(w->models[i].model);
        w->models[i] = (struct kept_model){ 0 };
    }
}

void warm_free(struct warm *w)
{
    if (!w)
        return;
    warm_drop_models(w);
    tokenizer_free(w->tokenizer);
    trainer_free(w->trainer);
    free(w);
}

static uint64_t weights_bytes(const ModelConfig *c)
{
    struct memory_need n = { 0 };

    memory_add_model(&n, c);
    return n.weights;
}

uint64_t warm_models_bytes(const struct warm *w)
{
    uint64_t bytes = w->packed.panels ? panels_bytes(w->packed.panels) : 0;

    for (size_t i = 0; i < MODELS; i++)
        if (w->models[i].model)
            bytes += weights_bytes(&w->models[i].model->config);
    return bytes;
}

/* A model of the kept trainer; NULL: it has none of that name. */
static const struct model *trainer_model(
    const struct warm *w, const struct id *id, const char *prefix)
{
    if (!w->trainer || !id_equal(&w->trainer_id, id))
        return NULL;
    if (strcmp(prefix, "policy.") == 0)
        return w->trainer->policy.model;
    return strcmp(prefix, "value.") == 0 ? w->trainer->value.model : NULL;
}

static struct kept_model *find(struct warm *w, const struct id *id, const char *prefix)
{
    for (size_t i = 0; i < MODELS; i++) {
        struct kept_model *k = &w->models[i];
        if (k->model && id_equal(&k->id, id) && strcmp(k->prefix, prefix) == 0)
            return k;
    }
    return NULL;
}

bool warm_has_model(const struct warm *w, const struct id *id, const char *prefix)
{
    return trainer_model(w, id, prefix) || find((struct warm *)(uintptr_t)w, id, prefix);
}

int warm_model(const struct model **out, const struct task_context *c, const struct id *id,
    const char *prefix, struct err *e)
{
    struct warm *w = c->warm;
    struct kept_model *oldest = &w->models[0];

    *out = trainer_model(w, id, prefix);
    if (*out)
        return OK;
    struct kept_model *k = find(w, id, prefix);
    if (k) {
        k->used = ++w->clock;
        *out = k->model;
        return OK;
    }
    for (size_t i = 0; i < MODELS; i++)
        if (w->models[i].used < oldest->used)
            oldest = &w->models[i];
    struct model *m;
    int rc = model_load(&m, c->store, id, prefix, e);
    if (rc != OK)
        return rc;
    model_free(oldest->model);
    *oldest = (struct kept_model){ .id = *id, .model = m, .used = ++w->clock };
    snprintf(oldest->prefix, sizeof oldest->prefix, "%s", prefix);
    *out = m;
    return OK;
}

enum precision packed_precision(Precision p)
{
    return p == PRECISION__BF16 ? PRECISION_BF16 : PRECISION_FP32;
}

/* By id, not by the model: a trainer's changes in place. */
bool warm_has_panels(
    const struct warm *w, const struct id *id, const char *prefix, enum precision precision)
{
    return w->packed.panels && id_equal(&w->packed.id, id) &&
           strcmp(w->packed.prefix, prefix) == 0 && w->packed.precision == precision;
}

int warm_panels(struct generator_options *o, const struct task_context *c, const struct model *m,
    const struct id *id, const char *prefix, Precision precision, struct err *e)
{
    struct warm *w = c->warm;
    int rc = OK;

    o->precision = packed_precision(precision);
    if (!warm_has_panels(w, id, prefix, o->precision)) {
        warm_drop_panels(w);
        w->packed.id = *id;
        w->packed.precision = o->precision;
        snprintf(w->packed.prefix, sizeof w->packed.prefix, "%s", prefix);
        rc = panels_new(&w->packed.panels, c->engine, m, o->precision, e);
    }
    o->panels = w->packed.panels;
    return rc;
}

int warm_tokenizer(
    const struct tokenizer **out, const struct task_context *c, const struct id *id, struct err *e)
{
    struct warm *w = c->warm;
    int rc = OK;

    if (!w->tokenizer || !id_equal(&w->tokenizer_id, id)) {
        tokenizer_free(w->tokenizer);
        w->tokenizer = NULL;
        rc = tokenizer_load(&w->tokenizer, c->store, id, e);
        w->tokenizer_id = *id;
    }
    *out = w->tokenizer;
    return rc;
}

struct trainer *warm_take_trainer(struct warm *w, const struct id *id)
{
    struct trainer *t = NULL;

    if (w->trainer && id_equal(&w->trainer_id, id)) {
        t = w->trainer;
        w->trainer = NULL;
    }
    return t;
}

void warm_keep_trainer(struct warm *w, const struct id *id, struct trainer *takes)
{
    trainer_free(w->trainer);
    w->trainer = takes;
    w->trainer_id = *id;
}

void warm_drop_trainer(struct warm *w)
{
    trainer_free(w->trainer);
    w->trainer = NULL;
}

/* Its batches are gone. */
uint64_t warm_trainer_bytes(const struct warm *w)
{
    const struct memory_need *n = w->trainer ? &w->trainer->need : NULL;

    return n ? n->weights + n->gradients + n->moments + n->activations : 0;
}
