#ifndef TESTS_UNIT_WORKERS_LEARNER_H
#define TESTS_UNIT_WORKERS_LEARNER_H

#include "tests/unit/workers/world.h"
#include "workers/math/rng.h"
#include "workers/model/transformer.h"

/* What a training must come to, computed another way: one sequence at a time, the papers' formulas
 * written out, AdamW in double. The transformer's own gradient is trusted: tests/gradient. */

enum { LEARNER_TOKENS = 64 }; /* the longest sequence */

struct learner {
    struct chain *c;
    struct model *model;
    struct workspace *w;
    float *init, *grad;
    double *m, *v, *average;
    uint64_t t;             /* steps done */
    double loss, predicted; /* -log p of text, summed over its tokens */
    float log_prob[LEARNER_TOKENS], entropy[LEARNER_TOKENS], value[LEARNER_TOKENS];
    float g[LEARNER_TOKENS], value_g[LEARNER_TOKENS]; /* of a scalar head alone: g */
};

/* Takes the model. */
static inline void learner_start(struct learner *l, struct chain *c, struct model *takes)
{
    size_t n = takes->n_params;

    memset(l, 0, sizeof *l);
    l->c = c;
    l->model = takes;
    chain_check(c, workspace_new(&l->w, &takes->config, LEARNER_TOKENS, WORKSPACE_TRAINING, &c->e));
    l->init = calloc(n, sizeof *l->init);
    l->grad = calloc(n, sizeof *l->grad);
    l->m = calloc(n, sizeof *l->m);
    l->v = calloc(n, sizeof *l->v);
    l->average = calloc(n, sizeof *l->average);
    assert_true(l->init && l->grad && l->m && l->v && l->average);
    memcpy(l->init, takes->params, n * sizeof *l->init);
    for (size_t i = 0; i < n; i++)
        l->average[i] = takes->params[i];
}

static inline void learner_end(struct learner *l)
{
    workspace_free(l->w);
    model_free(l->model);
    free(l->init);
    free(l->grad);
    free(l->m);
    free(l->v);
    free(l->average);
}

static inline struct batch one_sequence(const int32_t *tokens, size_t n)
{
    static uint32_t start[2];

    assert_true(n <= LEARNER_TOKENS);
    start[1] = (uint32_t)n;
    return (struct batch){ .n_sequences = 1, .n_tokens = n, .start = start, .tokens = tokens };
}

/* Sets log_prob and entropy at each target, value at each token, by the heads that there are. */
static inline void learner_read(
    struct learner *l, const int32_t *tokens, size_t n, const int32_t *target, double temperature)
{
    struct batch b = one_sequence(tokens, n);

    transformer_forward(l->w, &l->c->engine, l->model, &b);
    if (l->model->config.scalar_head || l->model->config.value_head)
        transformer_values(l->w, &l->c->engine, l->model, l->value);
    if (!l->model->config.scalar_head)
        transformer_log_probs(
            l->w, &l->c->engine, l->model, target, (float)temperature, l->log_prob, l->entropy);
    memset(l->value_g, 0, sizeof l->value_g);
    memset(l->g, 0, sizeof l->g);
}

/* Adds the gradient of what was read, given g. */
static inline void learner_back(
    struct learner *l, const int32_t *tokens, size_t n, const int32_t *target, double temperature)
{
    struct batch b = one_sequence(tokens, n);

    transformer_forward(l->w, &l->c->engine, l->model, &b);
    const struct head_gradients both = { l->g, l->value_g };
    if (l->model->config.scalar_head)
        transformer_backward_values(l->w, &l->c->engine, l->model, l->grad, l->g);
    else if (l->model->config.value_head)
        transformer_backward_both(
            l->w, &l->c->engine, l->model, l->grad, target, &both, (float)temperature, l->log_prob);
    else
        transformer_backward_log_probs(
            l->w, &l->c->engine, l->model, l->grad, target, l->g, (float)temperature, l->log_prob);
}

/* Loshchilov & Hutter 2019; outside: eps is added to sqrt(v) before v's bias is corrected, as
 * TensorFlow does. The gradient becomes zero. */
static inline void learner_step(
    struct learner *l, const TrainTask *k, double rate, bool outside, double ema)
{
    double norm = 0, c1 = 1 - pow(k->beta1, (double)++l->t), c2 = 1 - pow(k->beta2, (double)l->t);

    for (size_t i = 0; i < l->model->n_params; i++)
        norm += (double)l->grad[i] * l->grad[i];
    norm = sqrt(norm);
    double clip = k->grad_clip > 0 && norm > k->grad_clip ? k->grad_clip / norm : 1;
    for (size_t n = 0; n < l->model->n_tensors; n++) {
        const struct tensor *t = &l->model->tensors[n];
        for (size_t i = t->offset; i < t->offset + t->rows * t->cols; i++) {
            double g = clip * l->grad[i], w = l->model->params[i];
            l->m[i] = k->beta1 * l->m[i] + (1 - k->beta1) * g;
            l->v[i] = k->beta2 * l->v[i] + (1 - k->beta2) * g * g;
            double step = outside ? l->m[i] / c1 * sqrt(c2) / (sqrt(l->v[i]) + k->eps)
                                  : l->m[i] / c1 / (sqrt(l->v[i] / c2) + k->eps);
            w -= rate * (step + (t->decay ? k->weight_decay * w : 0));
            l->model->params[i] = (float)w;
            l->average[i] = ema * l->average[i] + (1 - ema) * w;
            l->grad[i] = 0;
        }
    }
}

/* How far `got` is from `want`, against how far it moved: root mean squares. */
static inline void learner_agrees(
    const struct learner *l, const struct model *got, const double *average, const char *what)
{
    double off = 0, moved = 0;

    assert_int_equal(got->n_params, l->model->n_params);
    for (size_t i = 0; i < got->n_params; i++) {
        double want = average ? average[i] : l->model->params[i];
        off += pow(got->params[i] - want, 2);
        moved += pow(want - l->init[i], 2);
    }
    if (!(moved > 0 && sqrt(off / moved) < 2e-3))
        fail_msg("%s: moved %.3g, off by %.3g of that", what, sqrt(moved), sqrt(off / moved));
}

/* What is stored under this prefix. */
static inline void learner_check(
    const struct learner *l, struct id id, const char *prefix, const char *what)
{
    struct model *got;

    chain_check(l->c, model_load(&got, l->c->store, &id, prefix, &l->c->e));
    learner_agrees(l, got, strcmp(prefix, "average.") == 0 ? l->average : NULL, what);
    model_free(got);
}

static inline struct model *loaded(struct chain *c, struct id id)
{
    struct model *m;

    chain_check(c, model_load(&m, c->store, &id, "", &c->e));
    return m;
}

/* All messages of an artifact. */
static inline size_t records_all(struct chain *c, struct id id, ArtifactKind kind,
    const ProtobufCMessageDescriptor *type, ProtobufCMessage **out, size_t room)
{
    struct records_reader *r;
    size_t n = 0;

    chain_check(c, records_open(&r, c->store, &id, kind, type, &c->e));
    for (;;) {
        ProtobufCMessage *m = NULL;
        chain_check(c, records_next(r, &m, &c->e));
        if (!m)
            break;
        assert_true(n < room);
        out[n++] = m;
    }
    records_close(r);
    return n;
}

static inline void records_free_all(ProtobufCMessage **all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        message_free(all[i]);
}

/* ---- text: windows in the order of a shuffle, a new one in each pass ---- */

struct text_tokens {
    int32_t *p; /* an end of text, then the documents with an end each */
    size_t n, window;
    double bytes; /* for each token */
};

static inline void text_read(struct text_tokens *t, struct chain *c, struct id id, size_t context)
{
    struct artifact_reader *r;

    chain_check(c, artifact_open(&r, c->store, &id, ARTIFACT_KIND__TOKENS, &c->e));
    t->n = artifact_manifest(r)->size / sizeof *t->p + 1;
    t->window = context;
    t->bytes =
        (double)fact_value(artifact_manifest(r)->facts, artifact_manifest(r)->n_facts, "bytes", 0) /
        (double)(t->n - 1);
    t->p = calloc(t->n, sizeof *t->p);
    assert_non_null(t->p);
    chain_check(c, artifact_read(r, 0, t->p + 1, (t->n - 1) * sizeof *t->p, &c->e));
    t->p[0] = t->p[t->n - 1];
    artifact_close(r);
}

/* Adds the gradient of -weight log p of each token of window number `index`. Documents do not see
 * each other. */
static inline void text_gradient(struct learner *l, const struct text_tokens *t, uint64_t index,
    enum rng_purpose purpose, double weight)
{
    uint32_t windows = (uint32_t)((t->n - 1) / t->window), *order = calloc(windows, sizeof *order);

    assert_non_null(order);
    rng_permutation(order, windows, 7, purpose, (uint32_t)(index / windows));
    const int32_t *p = t->p + order[index % windows] * t->window;
    for (size_t from = 0, to; from < t->window; from = to) {
        for (to = from + 1; to < t->window && p[to] != t->p[0]; to++)
            ;
        learner_read(l, p + from, to - from, p + from + 1, 1);
        for (size_t i = 0; i < to - from; i++) {
            l->g[i] = (float)-weight;
            l->loss -= l->log_prob[i];
            l->predicted += 1;
        }
        learner_back(l, p + from, to - from, p + from + 1, 1);
    }
    free(order);
}

#endif
