#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/model/transformer.h"
#include "workers/selftest/known.h"
#include "workers/selftest/testbed.h"

/* Backward passes against central differences of the forward passes: for each tensor along its
 * own gradient, where the difference must be the gradient's length. */

enum { VOCAB = 23, SEQUENCES = 4, TOKENS = 26 };

static const uint32_t starts[SEQUENCES + 1] = { 0, 1, 8, 17, TOKENS };

static const struct variant {
    ModelConfig__Family family;
    bool scalar_head;
} variants[] = {
    { MODEL_CONFIG__FAMILY__LLAMA, false },
    { MODEL_CONFIG__FAMILY__LLAMA, true },
    { MODEL_CONFIG__FAMILY__GPT2, false },
    { MODEL_CONFIG__FAMILY__GPT2, true },
};

struct bench {
    const struct engine *en;
    struct model *m;
    struct workspace *w;
    struct batch b;
    int32_t tokens[TOKENS], target[TOKENS];
    float g[TOKENS], out[TOKENS];
    float *grad, *kept;
};

static int bench_open(
    struct bench *x, const struct engine *en, const struct variant *v, struct err *e)
{
    ModelConfig c = MODEL_CONFIG__INIT;
    int rc;

    c.family = v->family;
    c.layers = 2;
    c.width = 32;
    c.heads = 4;
    c.kv_heads = v->family == MODEL_CONFIG__FAMILY__LLAMA ? 2 : 4;
    c.context = 16;
    c.vocab_size = VOCAB;
    c.scalar_head = v->scalar_head;
    c.has_family = c.has_layers = c.has_width = c.has_heads = c.has_kv_heads = true;
    c.has_context = c.has_vocab_size = c.has_scalar_head = true;
    message_fill_defaults(&c.base);
    rc = model_config_check(&c, e);
    if (rc == OK)
        rc = model_new(&x->m, &c, e);
    if (rc == OK)
        rc = workspace_new(&x->w, &x->m->config, TOKENS, WORKSPACE_TRAINING, e);
    if (rc != OK)
        return rc;
    x->en = en;
    x->grad = calloc(x->m->n_params, sizeof *x->grad);
    x->kept = calloc(x->m->n_params, sizeof *x->kept);
    if (!x->grad || !x->kept)
        return err_set(e, E_NOMEM, "no memory for a gradient");
    x->b = (struct batch){ SEQUENCES, TOKENS, starts, x->tokens, NULL, NULL };
    return OK;
}

/* Weights far from their initial values, so that no gradient is small by chance; every third
 * position has no target. */
static void bench_fill(struct bench *x)
{
    const struct model *m = x->m;

    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        rng_normal(m->params + t->offset, t->rows * t->cols, 3, RNG_INIT, (uint32_t)i);
        for (size_t k = 0; k < t->rows * t->cols; k++)
            m->params[t->offset + k] = .2F * m->params[t->offset + k] + (t->init < 0 ? 1 : 0);
    }
    rng_normal(x->g, TOKENS, 4, RNG_INIT, 0);
    for (uint32_t i = 0; i < TOKENS; i++) {
        x->tokens[i] = (int32_t)(rng_uniform(5, RNG_INIT, 0, i) * VOCAB);
        x->target[i] = i % 3 ? (int32_t)(rng_uniform(6, RNG_INIT, 0, i) * VOCAB) : -1;
        if (!m->config.scalar_head && x->target[i] < 0)
            x->g[i] = 0;
    }
}

static void bench_close(struct bench *x)
{
    workspace_free(x->w);
    model_free(x->m);
    free(x->grad);
    free(x->kept);
}

static double loss(struct bench *x)
{
    double sum = 0;

    transformer_forward(x->w, x->en, x->m, &x->b);
    if (x->m->config.scalar_head)
        transformer_values(x->w, x->en, x->m, x->out);
    else
        transformer_log_probs(x->w, x->en, x->m, x->target, 1, x->out, NULL);
    for (size_t i = 0; i < TOKENS; i++)
        sum += (double)x->g[i] * x->out[i];
    return sum;
}

static void backward(struct bench *x)
{
    transformer_forward(x->w, x->en, x->m, &x->b);
    if (x->m->config.scalar_head)
        transformer_backward_values(x->w, x->en, x->m, x->grad, x->g);
    else
        transformer_backward_log_probs(x->w, x->en, x->m, x->grad, x->target, x->g, 1, x->out);
}

/* (L(w + s u) - L(w - s u)) / 2s, u the tensor's gradient by its length. */
static double difference(struct bench *x, const struct tensor *t, double length, double s)
{
    float *w = x->m->params + t->offset, *kept = x->kept + t->offset;
    size_t n = t->rows * t->cols;
    double side[2];

    memcpy(kept, w, n * sizeof *w);
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < n; i++)
            w[i] = (float)(kept[i] + (k ? -s : s) * x->grad[t->offset + i] / length);
        side[k] = loss(x);
    }
    memcpy(w, kept, n * sizeof *w);
    return (side[0] - side[1]) / (2 * s);
}

/* Richardson's extrapolation of two steps: the error is of order s^4. */
static double tensor_error(struct bench *x, const struct tensor *t)
{
    double length = 0;

    for (size_t i = 0; i < t->rows * t->cols; i++)
        length += pow(x->grad[t->offset + i], 2);
    length = sqrt(length);
    if (!(length > 0))
        return INFINITY;
    double s = .02, slope = (4 * difference(x, t, length, s) - difference(x, t, length, 2 * s)) / 3;
    return fabs(slope / length - 1);
}

static int gradient(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    struct bench x = { .m = NULL };
    double worst = 0;
    int rc = bench_open(&x, &t->engine, &variants[k->variant], e);

    if (rc == OK) {
        bench_fill(&x);
        backward(&x);
        for (size_t i = 0; i < x.m->n_tensors; i++)
            worst = fmax(worst, tensor_error(&x, &x.m->tensors[i]));
        verdict_at_most(v, worst, 2e-3);
    }
    bench_close(&x);
    return rc;
}

static const struct known rows[] = {
    { "gradient/llama", "llama, words: gradient against differences, error", gradient, 0 },
    { "gradient/llama-score", "llama, scores: the same", gradient, 1 },
    { "gradient/gpt2", "gpt2, words: the same", gradient, 2 },
    { "gradient/gpt2-score", "gpt2, scores: the same", gradient, 3 },
};
const struct known_table known_gradient = { rows, sizeof rows / sizeof *rows };
