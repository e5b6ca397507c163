#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/tasks/train.h"
#include "workers/tasks/warm.h"

/* What a TRAINING_STATE holds, in this order; the same table writes and reads it. Of what is frozen
 * it holds nothing: the header names the checkpoint that has it. */
enum part { PART_WEIGHTS, PART_M, PART_V, PART_AVERAGE, PART_BEST };
static const struct {
    const char *prefix;
    bool value; /* of the value network, else of the policy */
    enum part part;
} parts[] = {
    { "policy.", false, PART_WEIGHTS },
    { "policy.m.", false, PART_M },
    { "policy.v.", false, PART_V },
    { "value.", true, PART_WEIGHTS },
    { "value.m.", true, PART_M },
    { "value.v.", true, PART_V },
    { "average.", false, PART_AVERAGE },
    { "best.", false, PART_BEST },
};
#define PARTS (sizeof parts / sizeof *parts)

static float *part_floats(struct trainer *t, size_t i)
{
    struct network *n = parts[i].value ? &t->value : &t->policy;

    switch (parts[i].part) {
    case PART_WEIGHTS:
        return n->model ? n->model->params + n->model->frozen : NULL;
    case PART_M:
        return n->m;
    case PART_V:
        return n->v;
    case PART_AVERAGE:
        return t->average;
    case PART_BEST:
        return t->best;
    }
    return NULL;
}

/* Number of the first tensor that is trained. */
static size_t first_trained(const struct model *m)
{
    size_t i = 0;

    while (m->tensors[i].offset < m->frozen)
        i++;
    return i;
}

static int tokenizer_facts(struct trainer *t, struct err *e)
{
    const struct tokenizer *k;
    int rc = warm_tokenizer(&k, t->c, &t->tokenizer, e);

    if (rc == OK)
        t->end_of_text = (int32_t)tokenizer_model(k)->end_of_text;
    return rc;
}

/* Is there room for what is known to be needed? */
static int room(struct trainer *t, struct err *e)
{
    t->need.process = t->c->resident;
    trainer_make_room(t);
    return memory_check(&t->need, t->c->memory, e);
}

/* One more network is to be trained. */
static int admit(struct trainer *t, const ModelConfig *c, struct err *e)
{
    memory_add_network(&t->need, c);
    return room(t, e);
}

/* One more copy of those of the policy's weights that are trained, as they are. */
static int copy_init(float **out, struct trainer *t, struct err *e)
{
    size_t bytes = network_floats(t->policy.model) * sizeof(float);
    int rc;

    t->need.weights += bytes;
    rc = memory_check(&t->need, t->c->memory, e);
    if (rc != OK)
        return rc;
    *out = aligned_alloc(64, bytes);
    if (!*out)
        return err_set(e, E_NOMEM, "no memory for a copy of the weights");
    memcpy(*out, t->policy.model->params + t->policy.model->frozen, bytes);
    return OK;
}

static int copies_init(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    int rc = t->averages ? copy_init(&t->average, t, e) : OK;

    if (rc == OK && t->objective->stepped && task_inputs(spec, "reward_model", NULL, 0) > 0)
        rc = copy_init(&t->best, t, e);
    return rc;
}

/* remade: another model, with a head or adapters, will be made of it and lies beside it then. */
static int load_input(struct model **out, struct trainer *t, const TaskSpec *spec, const char *name,
    bool remade, struct err *e)
{
    ModelConfig c;
    struct id id;
    int rc;

    if (task_inputs(spec, name, &id, 1) != 1)
        return err_set(e, E_PROTOCOL, "a first segment needs the input '%s'", name);
    rc = model_describe(&c, NULL, t->c->store, &id, "", e);
    if (rc == OK) {
        memory_add_loading(&t->need, (remade ? 2 : 1) * model_floats(&c) * sizeof(float));
        rc = room(t, e);
    }
    if (rc == OK)
        rc = model_load(out, t->c->store, &id, "", e);
    return rc == OK || rc == E_TOO_LARGE ? rc : err_wrap(e, "%s", name);
}

static int fresh_model(struct model **out, struct trainer *t, const TaskSpec *spec, struct err *e)
{
    const struct tokenizer *k;
    ModelConfig config = *t->task->model;

    if (task_inputs(spec, "tokenizer", &t->tokenizer, 1) != 1)
        return err_set(e, E_PROTOCOL, "pretraining needs the input 'tokenizer'");
    int rc = warm_tokenizer(&k, t->c, &t->tokenizer, e);
    if (rc == OK) {
        config.has_vocab_size = true;
        config.vocab_size = (uint32_t)tokenizer_size(k);
        rc = model_config_check(&config, e);
    }
    if (rc == OK)
        rc = admit(t, &config, e);
    if (rc == OK)
        rc = model_new(out, &config, e);
    if (rc == OK) {
        model_init(*out, t->seed);
        (*out)->tokenizer = t->tokenizer;
    }
    return rc;
}

/* Replaces the model by one with adapters, if the task has them: origin is the input it is of. */
static int adapt(
    struct model **m, struct trainer *t, const TaskSpec *spec, const char *origin, struct err *e)
{
    struct model *adapted = NULL;
    struct id id;
    int rc;

    if (!t->task->lora)
        return OK;
    if (task_inputs(spec, origin, &id, 1) != 1)
        return err_set(e, E_PROTOCOL, "adapters need the input '%s'", origin);
    rc = model_with_adapters(&adapted, *m, t->task->lora, t->seed, e);
    model_free(*m); /* before the base takes as much */
    *m = adapted;
    if (rc == OK)
        model_freeze(adapted, &id);
    return rc;
}

static int policy_model(struct model **out, struct trainer *t, const TaskSpec *spec, struct err *e)
{
    bool ranks = t->task->objective == TRAIN_TASK__OBJECTIVE__RANKING;
    bool values = t->objective->has_value && !t->apart;
    struct model *body = NULL;
    int rc;

    if (t->task->objective == TRAIN_TASK__OBJECTIVE__LM)
        return fresh_model(out, t, spec, e);
    rc = load_input(&body, t, spec, "init", ranks || values || t->task->lora, e);
    if (rc != OK)
        return rc;
    *out = body;
    if (ranks)
        rc = model_with_scalar_head(out, body, t->seed, e);
    else if (values)
        rc = model_with_value_head(out, body, t->seed, e);
    if (*out != body || rc != OK)
        model_free(body);
    if (rc == OK)
        rc = adapt(out, t, spec, "init", e);
    if (rc != OK)
        return rc;
    rc = admit(t, &(*out)->config, e);
    if (rc != OK)
        model_free(*out);
    return rc;
}

/* The reward model, or without one the policy's body with a fresh head: as rollouts have it. */
static int value_model(struct model **out, struct trainer *t, const TaskSpec *spec, struct err *e)
{
    bool given = task_inputs(spec, "reward_model", NULL, 0) > 0;
    const char *origin = given ? "reward_model" : "init";
    struct model *body = NULL;
    int rc = load_input(&body, t, spec, origin, !given || t->task->lora, e);

    *out = body;
    if (rc == OK && !given) {
        rc = model_with_scalar_head(out, body, t->seed, e);
        model_free(body);
    }
    return rc == OK ? adapt(out, t, spec, origin, e) : rc;
}

int trainer_init(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    struct model *m = NULL;
    int rc = policy_model(&m, t, spec, e);

    if (rc == OK)
        rc = network_init(&t->policy, m, e);
    if (rc == OK)
        t->tokenizer = t->policy.model->tokenizer;
    if (rc == OK && t->apart) {
        rc = value_model(&m, t, spec, e);
        if (rc == OK && (rc = admit(t, &m->config, e)) != OK)
            model_free(m);
        if (rc == OK)
            rc = network_init(&t->value, m, e);
    }
    if (rc == OK)
        rc = copies_init(t, spec, e);
    if (rc == OK)
        rc = tokenizer_facts(t, e);
    training_counters__init(&t->counters);
    t->counters.has_step = t->counters.has_total = t->counters.has_iteration = true;
    t->counters.has_tokens = t->counters.has_episodes = t->counters.has_kl_coef = true;
    t->counters.kl_coef = t->task->rl ? t->task->rl->kl_coef : 0;
    return rc;
}

static int network_new(struct trainer *t, struct network *n, const ProtobufCBinaryData *packed,
    const ProtobufCBinaryData *base, struct err *e)
{
    struct id origin;
    ProtobufCMessage *config = NULL;
    struct model *m = NULL;
    ModelConfig checked;
    int rc = message_unpack(&config, &model_config__descriptor, packed->data, packed->len, e);

    if (rc == OK) {
        checked = *(ModelConfig *)config;
        rc = model_config_check(&checked, e);
    }
    if (rc == OK)
        rc = admit(t, &checked, e);
    if (rc == OK)
        rc = model_new(&m, &checked, e);
    if (rc == OK)
        rc = network_init(n, m, e);
    if (rc == OK && m->frozen > 0)
        rc = id_from_span(&origin, base->data, base->len)
                 ? model_load_frozen(m, t->c->store, &origin, e)
                 : err_set(e, E_CORRUPT, "the header does not name the checkpoint it adapts");
    message_free(config);
    return rc;
}

static int parts_read(struct trainer *t, struct checkpoint_reader *r, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < PARTS && rc == OK; i++) {
        float *p = part_floats(t, i);
        const struct model *m = parts[i].value ? t->value.model : t->policy.model;
        for (size_t k = p ? first_trained(m) : 0; p && k < m->n_tensors && rc == OK; k++) {
            const struct tensor *x = &m->tensors[k];
            char name[80];
            snprintf(name, sizeof name, "%s%s", parts[i].prefix, x->name);
            rc = checkpoint_get(r, name, p + (x->offset - m->frozen), x->rows * x->cols, e);
        }
    }
    return rc;
}

int trainer_load(struct trainer *t, const TaskSpec *spec, const struct id *state, struct err *e)
{
    struct checkpoint_reader *r = NULL;
    int rc = checkpoint_open(&r, t->c->store, state, e);

    if (rc != OK)
        return err_wrap(e, "training state");
    const CheckpointHeader *h = checkpoint_header(r);
    if (!h->counters || !id_from_span(&t->tokenizer, h->tokenizer.data, h->tokenizer.len))
        rc = err_set(e, E_CORRUPT, "a training state without counters or tokenizer");
    if (rc == OK)
        rc = network_new(t, &t->policy, &h->model, &h->origin, e);
    if (rc == OK)
        t->policy.model->tokenizer = t->tokenizer;
    if (rc == OK && t->apart)
        rc = network_new(t, &t->value, &h->value_model, &h->value_origin, e);
    if (rc == OK)
        rc = copies_init(t, spec, e);
    if (rc == OK)
        rc = parts_read(t, r, e);
    if (rc == OK)
        model_merge(t->policy.model, t->c->engine->pool);
    if (rc == OK && t->apart)
        model_merge(t->value.model, t->c->engine->pool);
    for (size_t i = 0; i < h->n_curve && rc == OK; i++)
        rc = trainer_draw(t, h->curve[i], e);
    if (rc == OK) {
        t->counters = *h->counters;
        rc = tokenizer_facts(t, e);
    }
    checkpoint_close(r);
    return rc == OK ? OK : err_wrap(e, "training state");
}

int trainer_draw(struct trainer *t, const CurvePoint *p, struct err *e)
{
    CurvePoint *more = realloc(t->curve, (t->n_curve + 1) * sizeof *more);

    if (!more)
        return err_set(e, E_NOMEM, "no memory for a curve of %zu points", t->n_curve);
    t->curve = more;
    more[t->n_curve] = *p;
    more[t->n_curve].base.unknown_fields = NULL;
    more[t->n_curve++].base.n_unknown_fields = 0;
    return OK;
}

/* As a header has it; freed by free(). NULL: no memory. */
static CurvePoint **curve_pointers(const struct trainer *t)
{
    CurvePoint **p = calloc(t->n_curve + 1, sizeof(*p));

    for (size_t i = 0; p && i < t->n_curve; i++)
        p[i] = &t->curve[i];
    return p;
}

struct header {
    CheckpointHeader h;
    CurvePoint **curve;
    TensorInfo *infos;
    TensorInfo **pointers;
    uint64_t (*shapes)[2];
    char (*names)[80];
    struct buf model, value_model;
};

static void header_free(struct header *h)
{
    free(h->infos);
    free(h->pointers);
    free(h->shapes);
    free(h->names);
    free(h->curve);
    buf_free(&h->model);
    buf_free(&h->value_model);
}

static size_t state_tensors(struct trainer *t)
{
    size_t n = 0;

    for (size_t i = 0; i < PARTS; i++) {
        const struct model *m = parts[i].value ? t->value.model : t->policy.model;
        if (part_floats(t, i))
            n += m->n_tensors - first_trained(m);
    }
    return n;
}

static void header_tensors(struct header *h, struct trainer *t)
{
    size_t n = 0;

    for (size_t i = 0; i < PARTS; i++) {
        const struct model *m = parts[i].value ? t->value.model : t->policy.model;
        if (!part_floats(t, i))
            continue;
        for (size_t k = first_trained(m); k < m->n_tensors; k++, n++) {
            tensor_info__init(&h->infos[n]);
            snprintf(h->names[n], sizeof h->names[n], "%s%s", parts[i].prefix, m->tensors[k].name);
            h->shapes[n][0] = m->tensors[k].rows;
            h->shapes[n][1] = m->tensors[k].cols;
            h->infos[n].name = h->names[n];
            h->infos[n].shape = h->shapes[n];
            h->infos[n].n_shape = 2;
            h->pointers[n] = &h->infos[n];
        }
    }
}

static int header_make(struct header *h, struct trainer *t, struct err *e)
{
    size_t n = state_tensors(t);
    int rc = message_pack(&h->model, &t->policy.model->config.base);

    if (rc == OK && t->value.model)
        rc = message_pack(&h->value_model, &t->value.model->config.base);
    h->infos = calloc(n, sizeof *h->infos);
    h->pointers = calloc(n, sizeof *h->pointers);
    h->shapes = calloc(n, sizeof *h->shapes);
    h->names = calloc(n, sizeof *h->names);
    h->curve = curve_pointers(t);
    if (rc != OK || !h->curve || !h->infos || !h->pointers || !h->shapes || !h->names)
        return err_set(e, E_NOMEM, "no memory for a checkpoint's header");
    checkpoint_header__init(&h->h);
    h->h.has_model = h->h.has_tokenizer = true;
    h->h.model = (ProtobufCBinaryData){ h->model.n, (uint8_t *)h->model.p };
    h->h.tokenizer = (ProtobufCBinaryData){ sizeof t->tokenizer.b, t->tokenizer.b };
    h->h.has_value_model = t->value.model != NULL;
    h->h.value_model = (ProtobufCBinaryData){ h->value_model.n, (uint8_t *)h->value_model.p };
    h->h.has_origin = t->policy.model->frozen > 0;
    h->h.origin = (ProtobufCBinaryData){ sizeof(struct id), t->policy.model->origin.b };
    h->h.has_value_origin = t->value.model && t->value.model->frozen > 0;
    if (h->h.has_value_origin)
        h->h.value_origin = (ProtobufCBinaryData){ sizeof(struct id), t->value.model->origin.b };
    h->h.counters = &t->counters;
    h->h.tensors = h->pointers;
    h->h.n_tensors = n;
    h->h.curve = h->curve;
    h->h.n_curve = t->n_curve;
    header_tensors(h, t);
    return OK;
}

uint64_t trainer_state_bytes(struct trainer *t)
{
    uint64_t floats = 0;

    for (size_t i = 0; i < PARTS; i++)
        if (part_floats(t, i))
            floats += network_floats(parts[i].value ? t->value.model : t->policy.model);
    return floats * sizeof(float);
}

static int parts_write(struct trainer *t, struct checkpoint_writer *w, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < PARTS && rc == OK; i++) {
        const float *p = part_floats(t, i);
        const struct model *m = parts[i].value ? t->value.model : t->policy.model;
        for (size_t k = p ? first_trained(m) : 0; p && k < m->n_tensors && rc == OK; k++) {
            const struct tensor *x = &m->tensors[k];
            rc = checkpoint_put(w, p + (x->offset - m->frozen), x->rows * x->cols, e);
        }
    }
    return rc;
}

int trainer_save_state(struct trainer *t, struct answer *out, struct err *e)
{
    struct checkpoint_writer *w = NULL;
    struct header h = { 0 };
    Output *o = NULL;
    int rc = header_make(&h, t, e);

    if (rc == OK)
        rc = checkpoint_create(&w, t->c->store, ARTIFACT_KIND__TRAINING_STATE, &h.h, e);
    if (rc == OK)
        rc = parts_write(t, w, e);
    if (rc == OK) {
        rc = checkpoint_commit(w, "state", &o, e);
        w = NULL;
    }
    checkpoint_abort(w);
    header_free(&h);
    return rc == OK ? answer_output(out, o, e) : err_wrap(e, "saving the training state");
}

/* The policy becomes what is to be its result: the average, or the weights that were chosen. */
static void take_result(struct trainer *t)
{
    struct model *m = t->policy.model;
    const float *from = t->best ? t->best : t->average;

    if (!from)
        return;
    memcpy(m->params + m->frozen, from, network_floats(m) * sizeof *from);
    model_merge(m, t->c->engine->pool);
}

int trainer_save_checkpoint(struct trainer *t, struct answer *out, struct err *e)
{
    take_result(t);
    struct model m = model_without_value_head(t->policy.model);
    CurvePoint **curve = curve_pointers(t);
    Output *o = NULL;
    int rc = curve ? OK : err_set(e, E_NOMEM, "no memory for a curve");

    m.curve = curve;
    m.n_curve = t->n_curve;
    if (rc == OK)
        rc = model_save(&o, &m, t->c->store, "checkpoint", e);
    free(curve);
    return rc == OK ? answer_output(out, o, e) : err_wrap(e, "saving the checkpoint");
}

void trainer_drop_workspaces(struct trainer *t)
{
    if (t->value.workspace != t->policy.workspace)
        workspace_free(t->value.workspace);
    workspace_free(t->policy.workspace);
    t->policy.workspace = t->value.workspace = NULL;
}

void trainer_free(struct trainer *t)
{
    if (!t)
        return;
    trainer_drop_workspaces(t);
    network_free(&t->policy);
    network_free(&t->value);
    free(t->average);
    free(t->best);
    free(t->curve);
    free(t);
}
