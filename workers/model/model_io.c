#include "workers/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

/* The value network of a training state has a configuration of its own. */
static int read_config(
    ModelConfig *out, const CheckpointHeader *h, const char *prefix, struct err *e)
{
    bool value = strncmp(prefix, "value.", 6) == 0;
    ProtobufCBinaryData packed = value ? h->value_model : h->model;
    ProtobufCMessage *m = NULL;
    int rc;

    if (!(value ? h->has_value_model : h->has_model))
        return err_set(e, E_CORRUPT, "the header has no model configuration");
    rc = message_unpack(&m, &model_config__descriptor, packed.data, packed.len, e);
    if (rc != OK)
        return err_wrap(e, "model configuration");
    *out = *(const ModelConfig *)m;
    rc = model_config_check(out, e); /* drops what points into m: fields it does not know */
    message_free(m);
    return rc;
}

/* Those from the float `first` up to `end` of params. */
static int read_tensors(struct model *m, struct checkpoint_reader *r, const char *prefix,
    size_t first, size_t end, struct err *e)
{
    char name[96];
    int rc = OK;

    for (size_t i = 0; rc == OK && i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        if (t->offset < first || t->offset >= end)
            continue;
        int n = snprintf(name, sizeof name, "%s%s", prefix, t->name);
        if (n < 0 || (size_t)n >= sizeof name)
            return err_set(e, E_INPUT, "the prefix '%s' is too long", prefix);
        rc = checkpoint_get(r, name, m->params + t->offset, t->rows * t->cols, e);
    }
    return rc;
}

int model_load_frozen(struct model *m, struct store *s, const struct id *origin, struct err *e)
{
    struct checkpoint_reader *r = NULL;
    int rc = checkpoint_open(&r, s, origin, e);

    if (rc == OK)
        rc = read_tensors(m, r, "", 0, m->frozen, e);
    checkpoint_close(r);
    if (rc != OK)
        return err_wrap(e, "the frozen tensors");
    model_freeze(m, origin);
    return OK;
}

/* Of a state with adapters the frozen tensors are elsewhere. */
static int read_frozen(
    struct model *m, struct store *s, const CheckpointHeader *h, const char *prefix, struct err *e)
{
    ProtobufCBinaryData from = strncmp(prefix, "value.", 6) == 0 ? h->value_origin : h->origin;
    struct id origin;

    if (m->frozen == 0)
        return OK;
    if (!id_from_span(&origin, from.data, from.len))
        return err_set(e, E_CORRUPT, "the header does not name the checkpoint that it adapts");
    return model_load_frozen(m, s, &origin, e);
}

static int read_model(struct model **out, struct store *s, struct checkpoint_reader *r,
    const char *prefix, struct err *e)
{
    const CheckpointHeader *h = checkpoint_header(r);
    ModelConfig c;
    struct model *m = NULL;
    int rc = read_config(&c, h, prefix, e);

    if (rc == OK)
        rc = model_new(&m, &c, e);
    if (rc == OK)
        rc = read_frozen(m, s, h, prefix, e);
    if (rc == OK)
        rc = read_tensors(m, r, prefix, m->frozen, m->n_params, e);
    if (rc == OK && !id_from_span(&m->tokenizer, h->tokenizer.data, h->tokenizer.len))
        rc = err_set(e, E_CORRUPT, "the header does not name the tokenizer");
    if (rc != OK) {
        model_free(m);
        return rc;
    }
    model_merge(m, NULL);
    m->reward_bias = h->reward_bias;
    m->reward_scale = h->reward_scale;
    *out = m;
    return OK;
}

int model_load(struct model **out, struct store *s, const struct id *checkpoint, const char *prefix,
    struct err *e)
{
    struct checkpoint_reader *r = NULL;
    char hex[ID_HEX];
    int rc = checkpoint_open(&r, s, checkpoint, e);

    if (rc == OK)
        rc = read_model(out, s, r, prefix, e);
    checkpoint_close(r);
    if (rc == OK)
        return OK;
    id_hex(hex, checkpoint);
    return err_wrap(e, "model %.12s", hex);
}

int model_describe(ModelConfig *out, struct id *tokenizer, struct store *s,
    const struct id *checkpoint, const char *prefix, struct err *e)
{
    struct checkpoint_reader *r = NULL;
    int rc = checkpoint_open(&r, s, checkpoint, e);

    if (rc == OK) {
        const CheckpointHeader *h = checkpoint_header(r);
        rc = read_config(out, h, prefix, e);
        if (rc == OK && tokenizer && !id_from_span(tokenizer, h->tokenizer.data, h->tokenizer.len))
            rc = err_set(e, E_CORRUPT, "the header does not name the tokenizer");
    }
    checkpoint_close(r);
    return rc;
}

/* ---- writing ---- */

/* The header's tensors, in one piece; freed by free(). Adapters are left out: what they change has
 * their change in it. */
struct described {
    TensorInfo *info[TENSORS_MAX];
    TensorInfo tensor[TENSORS_MAX];
    uint64_t shape[TENSORS_MAX][2];
};

static void describe(CheckpointHeader *h, struct described *d, const struct model *m)
{
    size_t n = 0;

    for (size_t k = 0; k < m->n_tensors; k++) {
        const struct tensor *t = &m->tensors[k];
        size_t i = n;
        if (t->adapter)
            continue;
        n++;
        d->shape[i][0] = t->rows > 1 ? t->rows : t->cols;
        d->shape[i][1] = t->cols;
        tensor_info__init(&d->tensor[i]);
        d->tensor[i].name = (char *)(uintptr_t)t->name;
        d->tensor[i].shape = d->shape[i];
        d->tensor[i].n_shape = t->rows > 1 ? 2 : 1;
        d->info[i] = &d->tensor[i];
    }
    h->tensors = d->info;
    h->n_tensors = n;
    h->curve = m->curve;
    h->n_curve = m->n_curve;
    h->has_tokenizer = 1;
    h->tokenizer.data = (uint8_t *)(uintptr_t)m->tokenizer.b;
    h->tokenizer.len = sizeof m->tokenizer.b;
    h->has_reward_bias = h->has_reward_scale = m->config.scalar_head;
    h->reward_bias = m->reward_bias;
    h->reward_scale = m->reward_scale;
    h->reward_report = m->reward_report;
}

static int write_model(Output **out, const CheckpointHeader *h, const struct model *m,
    struct store *s, const char *name, struct err *e)
{
    struct checkpoint_writer *w = NULL;
    int rc = checkpoint_create(&w, s, ARTIFACT_KIND__CHECKPOINT, h, e);

    for (size_t i = 0; rc == OK && i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        if (!t->adapter)
            rc = checkpoint_put(w, m->params + t->offset, t->rows * t->cols, e);
    }
    if (rc == OK)
        return checkpoint_commit(w, name, out, e);
    checkpoint_abort(w);
    return rc;
}

int model_save(
    Output **out, const struct model *m, struct store *s, const char *name, struct err *e)
{
    CheckpointHeader h = CHECKPOINT_HEADER__INIT;
    struct buf config = { 0 };
    struct described *d = malloc(sizeof *d);
    ModelConfig merged = m->config;
    int rc;

    merged.has_lora_rank = merged.has_lora_alpha = merged.has_lora_targets = 0;
    rc = d != NULL ? message_pack(&config, &merged.base) : E_NOMEM;

    if (rc == OK) {
        h.has_model = 1;
        h.model.data = (uint8_t *)config.p;
        h.model.len = config.n;
        describe(&h, d, m);
        rc = write_model(out, &h, m, s, name, e);
    } else {
        err_set(e, rc, "no memory for the header of a checkpoint");
    }
    buf_free(&config);
    free(d);
    return rc;
}
