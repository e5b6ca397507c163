#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/model/transformer.h"

/* The whole model, forward and backward, against a second transformer: this file's, written in
 * double precision, one token after another, straight from the papers. Its central differences
 * are exact to about 1e-9, so what remains is float32's rounding. */

#define FORWARD_ERROR 1e-5  /* of log-probabilities and values, absolute */
#define GRADIENT_ERROR 3e-5 /* relative to the tensor's largest gradient */
#define STEP 1e-5
#define NO_SCALING MODEL_CONFIG__ROPE_SCALING__NONE
#define ELEMENTS 48 /* checked of each tensor, at most */
#define SEED 11

enum {
    WIDTH = 24,
    HEADS = 4,
    HEAD_MAX = 10,
    QUERIES_MAX = HEADS * HEAD_MAX,
    HIDDEN = 40,
    CONTEXT = 9,
    VOCAB = 19,
    LAYERS = 2
};
enum { SEQUENCES = 4, TOKENS = 17 };

static const uint32_t starts[SEQUENCES + 1] = { 0, 1, 6, 15, 17 };
static const float temperature = 0.7F;

static const struct variant {
    const char *name;
    ModelConfig__Family family;
    uint32_t kv_heads;
    bool tied, qkv_bias, scalar;
    double dropout;
    unsigned mode; /* of the workspace, beside training */
    bool value;    /* a value head beside the LM head */
    uint32_t head; /* 0: width / heads; else q and k have norms */
    ModelConfig__RopeScaling scaling;
} variants[] = {
    { "llama, tied", MODEL_CONFIG__FAMILY__LLAMA, 4, true, false, false, 0, 0, false, 0,
        NO_SCALING },
    { "llama, grouped queries, untied", MODEL_CONFIG__FAMILY__LLAMA, 2, false, false, false, 0, 0,
        false, 0, NO_SCALING },
    { "llama, one key for all, bias on q, k, v", MODEL_CONFIG__FAMILY__LLAMA, 1, true, true, false,
        0, 0, false, 0, NO_SCALING },
    { "llama, scalar head", MODEL_CONFIG__FAMILY__LLAMA, 2, true, false, true, 0, 0, false, 0,
        NO_SCALING },
    { "llama, dropout", MODEL_CONFIG__FAMILY__LLAMA, 2, true, false, false, 0.2, 0, false, 0,
        NO_SCALING },
    { "gpt2, tied", MODEL_CONFIG__FAMILY__GPT2, 4, true, false, false, 0, 0, false, 0, NO_SCALING },
    { "gpt2, untied", MODEL_CONFIG__FAMILY__GPT2, 4, false, false, false, 0, 0, false, 0,
        NO_SCALING },
    { "gpt2, scalar head", MODEL_CONFIG__FAMILY__GPT2, 4, true, false, true, 0, 0, false, 0,
        NO_SCALING },
    { "gpt2, dropout, checkpointing", MODEL_CONFIG__FAMILY__GPT2, 4, true, false, false, 0.4,
        WORKSPACE_CHECKPOINTING, false, 0, NO_SCALING },
    { "llama, wide heads with norms", MODEL_CONFIG__FAMILY__LLAMA, 2, true, false, false, 0, 0,
        false, 10, NO_SCALING },
    { "llama, narrow heads with norms, dropout, checkpointing", MODEL_CONFIG__FAMILY__LLAMA, 2,
        false, false, false, 0.2, WORKSPACE_CHECKPOINTING, false, 4, NO_SCALING },
    { "llama, norms, scalar head, linear RoPE scaling", MODEL_CONFIG__FAMILY__LLAMA, 4, true, false,
        true, 0, 0, false, 6, MODEL_CONFIG__ROPE_SCALING__LINEAR },
    { "llama, Llama 3's RoPE scaling", MODEL_CONFIG__FAMILY__LLAMA, 2, true, false, false, 0, 0,
        false, 0, MODEL_CONFIG__ROPE_SCALING__LLAMA3 },
};

/* ---- the reference ---- */

struct reference {
    const struct model *m;
    const double *params;
    const struct dropout *dropout;
    size_t first; /* token of the sequence, in the batch */
    bool llama;
    size_t head, q, kv;
};

static const double *weight(const struct reference *r, int layer, const char *name)
{
    char full[64];

    if (layer >= 0)
        snprintf(full, sizeof full, "layers.%d.%s", layer, name);
    else
        snprintf(full, sizeof full, "%s", name);
    const struct tensor *t = model_tensor(r->m, full);
    return t == NULL ? NULL : r->params + t->offset;
}

static void normalise(
    double *y, const double *x, const double *w, const double *b, size_t n, double eps)
{
    double mean = 0, square = 0;

    for (size_t i = 0; i < n && b != NULL; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) / sqrt(square + eps) * w[i] + (b != NULL ? b[i] : 0);
}

static void linear(
    double *y, const double *x, const double *w, const double *b, size_t in, size_t out)
{
    for (size_t o = 0; o < out; o++) {
        y[o] = b != NULL ? b[o] : 0;
        for (size_t i = 0; i < in; i++)
            y[o] += w[o * in + i] * x[i];
    }
}

/* As transformers' modeling_rope_utils has it. */
static double frequency(const ModelConfig *c, double plain)
{
    double wave = 2 * acos(-1) / plain, original = c->rope_original_context, smooth;

    if (c->rope_scaling == MODEL_CONFIG__ROPE_SCALING__NONE)
        return plain;
    if (c->rope_scaling == MODEL_CONFIG__ROPE_SCALING__LINEAR ||
        wave > original / c->rope_low_freq_factor)
        return plain / c->rope_factor;
    if (wave < original / c->rope_high_freq_factor)
        return plain;
    smooth = (original / wave - c->rope_low_freq_factor) /
             (c->rope_high_freq_factor - c->rope_low_freq_factor);
    return (1 - smooth) * plain / c->rope_factor + smooth * plain;
}

static void rotate(const struct reference *r, double *x, size_t position)
{
    for (size_t i = 0; i < r->head; i += 2) {
        double plain = pow(10000, -(double)i / (double)r->head);
        double angle = (double)position * frequency(&r->m->config, plain);
        double a = x[i], b = x[i + 1];
        x[i] = a * cos(angle) - b * sin(angle);
        x[i + 1] = a * sin(angle) + b * cos(angle);
    }
}

/* Norm and RoPE of some heads of q or k. */
static void turn_heads(
    const struct reference *r, double *x, const double *norm, size_t heads, size_t position)
{
    double h[HEAD_MAX];

    for (size_t i = 0; i < heads; i++, x += r->head) {
        if (norm != NULL) {
            normalise(h, x, norm, NULL, r->head, r->m->config.norm_eps);
            memcpy(x, h, r->head * sizeof *x);
        }
        rotate(r, x, position);
    }
}

/* Of token t, given queries, keys and values of tokens 0..t of its sequence. */
static void attend(
    const struct reference *r, double *out, const double (*qkv)[3 * QUERIES_MAX], size_t t)
{
    for (size_t h = 0; h < HEADS; h++) {
        size_t d = r->head, shared = h / (HEADS / r->m->config.kv_heads) * d;
        double p[CONTEXT], sum = 0, *o = out + h * d;
        for (size_t j = 0; j <= t; j++) {
            double s = 0;
            for (size_t i = 0; i < d; i++)
                s += qkv[t][h * d + i] * qkv[j][r->q + shared + i];
            p[j] = exp(s / sqrt((double)d));
            sum += p[j];
        }
        for (size_t i = 0; i < d; i++) {
            o[i] = 0;
            for (size_t j = 0; j <= t; j++)
                o[i] += p[j] / sum * qkv[j][r->q + r->kv + shared + i];
        }
    }
}

static void activate(const struct reference *r, double *y, const double *x)
{
    for (size_t i = 0; i < HIDDEN; i++) {
        if (r->llama)
            y[i] = x[i] / (1 + exp(-x[i])) * x[HIDDEN + i];
        else
            y[i] = 0.5 * x[i] * (1 + tanh(sqrt(2 / acos(-1)) * (x[i] + 0.044715 * pow(x[i], 3))));
    }
}

/* What becomes of number i of what token t's layer adds; site 0: attention, 1: feed-forward. */
static double dropped(const struct reference *r, int layer, int site, size_t t, int i)
{
    const struct dropout *d = r->dropout;
    uint32_t words[4];

    if (d == NULL)
        return 1;
    uint64_t token = d->first + r->first + t;
    uint64_t item = ((token * LAYERS + (uint64_t)layer) * 2 + (uint64_t)site) * (WIDTH / 4);
    rng_words(words, d->seed, RNG_DROPOUT, d->step, item + (uint64_t)(i / 4));
    return words[i % 4] * 0x1p-32 < d->rate ? 0 : 1 / (1 - d->rate);
}

static void feed_forward(const struct reference *r, int layer, double *x, size_t t)
{
    double h[WIDTH], up[2 * HIDDEN], act[HIDDEN], y[WIDTH];

    normalise(h, x, weight(r, layer, "feed_forward_norm.weight"),
        weight(r, layer, "feed_forward_norm.bias"), WIDTH, r->m->config.norm_eps);
    linear(up, h, weight(r, layer, "feed_forward.w_up"), weight(r, layer, "feed_forward.b_up"),
        WIDTH, r->llama ? 2 * HIDDEN : HIDDEN);
    activate(r, act, up);
    linear(y, act, weight(r, layer, "feed_forward.w_down"), weight(r, layer, "feed_forward.b_down"),
        HIDDEN, WIDTH);
    for (int i = 0; i < WIDTH; i++)
        x[i] += dropped(r, layer, 1, t, i) * y[i];
}

static void attention(const struct reference *r, int layer, double (*x)[WIDTH], size_t n)
{
    double qkv[CONTEXT][3 * QUERIES_MAX], h[QUERIES_MAX], y[WIDTH];

    for (size_t t = 0; t < n; t++) {
        normalise(h, x[t], weight(r, layer, "attention_norm.weight"),
            weight(r, layer, "attention_norm.bias"), WIDTH, r->m->config.norm_eps);
        linear(qkv[t], h, weight(r, layer, "attention.wqkv"), weight(r, layer, "attention.bqkv"),
            WIDTH, r->q + 2 * r->kv);
        if (r->llama) {
            turn_heads(r, qkv[t], weight(r, layer, "attention.q_norm"), HEADS, t);
            turn_heads(
                r, qkv[t] + r->q, weight(r, layer, "attention.k_norm"), r->m->config.kv_heads, t);
        }
    }
    for (size_t t = 0; t < n; t++) {
        attend(r, h, (const double(*)[3 * QUERIES_MAX]) qkv, t);
        linear(
            y, h, weight(r, layer, "attention.wo"), weight(r, layer, "attention.bo"), r->q, WIDTH);
        for (int i = 0; i < WIDTH; i++)
            x[t][i] += dropped(r, layer, 0, t, i) * y[i];
    }
}

static double head(const struct reference *r, const double *h, int32_t target)
{
    const double *output = weight(r, -1, "output");
    double logits[VOCAB], sum = 0, value;

    if (r->m->config.scalar_head) {
        linear(&value, h, weight(r, -1, "score.weight"), weight(r, -1, "score.bias"), WIDTH, 1);
        return value;
    }
    if (target < 0)
        return 0;
    linear(
        logits, h, output != NULL ? output : weight(r, -1, "token_embedding"), NULL, WIDTH, VOCAB);
    for (int i = 0; i < VOCAB; i++)
        sum += exp(logits[i] / (double)temperature);
    return logits[target] / (double)temperature - log(sum);
}

/* Log-probabilities (or values) of one sequence. */
static void sequence(
    const struct reference *r, double *out, const int32_t *tokens, const int32_t *target, size_t n)
{
    const double *embedding = weight(r, -1, "token_embedding");
    const double *positions = weight(r, -1, "position_embedding");
    double x[CONTEXT][WIDTH], h[WIDTH];

    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < WIDTH; i++)
            x[t][i] = embedding[(size_t)tokens[t] * WIDTH + i] +
                      (positions != NULL ? positions[t * WIDTH + i] : 0);
    for (int layer = 0; layer < LAYERS; layer++) {
        attention(r, layer, x, n);
        for (size_t t = 0; t < n; t++)
            feed_forward(r, layer, x[t], t);
    }
    for (size_t t = 0; t < n; t++) {
        normalise(h, x[t], weight(r, -1, "final_norm.weight"), weight(r, -1, "final_norm.bias"),
            WIDTH, r->m->config.norm_eps);
        out[t] = head(r, h, target[t]);
    }
}

/* ---- the comparison ---- */

struct fixture {
    struct engine engine;
    struct model *m;
    struct workspace *w;
    struct batch batch;
    struct dropout dropout;
    double *params;
    float *grad;
    int32_t tokens[TOKENS], target[TOKENS];
    float g[TOKENS], result[TOKENS];
};

static double reference_loss(const struct fixture *f, double out[TOKENS])
{
    struct reference r = { .m = f->m,
        .params = f->params,
        .dropout = f->batch.dropout,
        .llama = f->m->config.family == MODEL_CONFIG__FAMILY__LLAMA,
        .head = f->m->head_size,
        .q = HEADS * f->m->head_size,
        .kv = (size_t)f->m->config.kv_heads * f->m->head_size };
    double loss = 0;

    for (int s = 0; s < SEQUENCES; s++) {
        r.first = starts[s];
        sequence(&r, out + starts[s], f->tokens + starts[s], f->target + starts[s],
            starts[s + 1] - starts[s]);
    }
    for (int i = 0; i < TOKENS; i++)
        loss += (double)f->g[i] * out[i];
    return loss;
}

static void make_model(struct fixture *f, const struct variant *v)
{
    struct err e = ERR_INIT;
    ModelConfig c = MODEL_CONFIG__INIT;

    c.family = v->family;
    c.layers = LAYERS;
    c.width = WIDTH;
    c.heads = HEADS;
    c.kv_heads = v->kv_heads;
    c.hidden = HIDDEN;
    c.context = CONTEXT;
    c.vocab_size = VOCAB;
    c.tied_output = v->tied;
    c.qkv_bias = v->qkv_bias;
    c.scalar_head = v->scalar;
    c.value_head = v->value;
    c.head_dim = v->head;
    c.qk_norm = v->head > 0;
    c.rope_scaling = v->scaling;
    c.rope_factor = 4;
    c.rope_original_context = 40;
    assert_int_equal(model_new(&f->m, &c, &e), OK);
    for (size_t i = 0; i < f->m->n_tensors; i++) {
        const struct tensor *t = &f->m->tensors[i];
        float *p = f->m->params + t->offset, shift = t->init < 0 ? 1 : 0;
        rng_normal(p, t->rows * t->cols, SEED, RNG_INIT, (uint32_t)i);
        for (size_t j = 0; j < t->rows * t->cols; j++)
            p[j] = shift + 0.3F * p[j];
    }
}

static void set_up(struct fixture *f, const struct variant *v)
{
    struct err e = ERR_INIT;

    memset(f, 0, sizeof *f);
    assert_int_equal(engine_init(&f->engine, NULL, 2, &e), OK);
    make_model(f, v);
    assert_int_equal(
        workspace_new(&f->w, &f->m->config, TOKENS, WORKSPACE_TRAINING | v->mode, &e), OK);
    f->params = calloc(f->m->n_params, sizeof *f->params);
    f->grad = calloc(f->m->n_params, sizeof *f->grad);
    assert_non_null(f->params);
    assert_non_null(f->grad);
    for (size_t i = 0; i < f->m->n_params; i++)
        f->params[i] = (double)f->m->params[i];
    for (uint32_t i = 0; i < TOKENS; i++) {
        uint32_t words[4];
        rng_words(words, SEED, RNG_SHUFFLE, 0, i);
        f->tokens[i] = (int32_t)(words[0] % VOCAB);
        f->target[i] = i % 5 == 3 ? -1 : (int32_t)(words[1] % VOCAB);
    }
    rng_normal(f->g, TOKENS, SEED, RNG_NOISE, 0);
    f->dropout = (struct dropout){ .rate = v->dropout, .seed = SEED, .step = 3, .first = 1000 };
    f->batch = (struct batch){ .n_sequences = SEQUENCES,
        .n_tokens = TOKENS,
        .start = starts,
        .tokens = f->tokens,
        .dropout = v->dropout > 0 ? &f->dropout : NULL };
}

static void tear_down(struct fixture *f)
{
    free(f->grad);
    free(f->params);
    workspace_free(f->w);
    model_free(f->m);
    engine_free(&f->engine);
}

static void run_backward(struct fixture *f)
{
    transformer_forward(f->w, &f->engine, f->m, &f->batch);
    if (f->m->config.scalar_head) {
        transformer_values(f->w, &f->engine, f->m, f->result);
        transformer_backward_values(f->w, &f->engine, f->m, f->grad, f->g);
    } else {
        transformer_backward_log_probs(
            f->w, &f->engine, f->m, f->grad, f->target, f->g, temperature, f->result);
    }
}

static double difference(struct fixture *f, size_t i)
{
    double kept = f->params[i], out[TOKENS], loss;

    f->params[i] = kept + STEP;
    loss = reference_loss(f, out);
    f->params[i] = kept - STEP;
    loss -= reference_loss(f, out);
    f->params[i] = kept;
    return loss / (2 * STEP);
}

static void check_tensor(struct fixture *f, const struct tensor *t, const char *variant)
{
    size_t n = t->rows * t->cols, stride = n / ELEMENTS + 1;
    double largest = 0, worst = 0;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)f->grad[t->offset + i]));
    for (size_t i = 0; i < n; i += stride)
        worst = fmax(worst, fabs(difference(f, t->offset + i) - (double)f->grad[t->offset + i]));
    if (!(largest > 0) || !(worst <= GRADIENT_ERROR * largest))
        fail_msg("%s: %s: off by %g, of at most %g", variant, t->name, worst, largest);
}

static void check_padding(const struct fixture *f)
{
    for (size_t i = 0; i < f->m->n_tensors; i++) {
        const struct tensor *t = &f->m->tensors[i];
        size_t end = i + 1 < f->m->n_tensors ? t[1].offset : f->m->n_params;
        for (size_t j = t->offset + t->rows * t->cols; j < end; j++)
            assert_true(f->grad[j] == 0);
    }
}

/* narrow: the heads are asked at targets alone. */
static void check_variant(const struct variant *v, bool narrow)
{
    struct fixture f;
    double out[TOKENS];

    set_up(&f, v);
    f.batch.asked = narrow ? f.target : NULL;
    for (int i = 0; i < TOKENS; i++)
        f.g[i] = narrow && f.target[i] < 0 ? 0 : f.g[i];
    run_backward(&f);
    reference_loss(&f, out);
    for (int i = 0; i < TOKENS; i++)
        if ((!narrow || f.target[i] >= 0) && !(fabs((double)f.result[i] - out[i]) <= FORWARD_ERROR))
            fail_msg("%s: token %d: %g, not %g", v->name, i, (double)f.result[i], out[i]);
    for (size_t i = 0; i < f.m->n_tensors; i++)
        check_tensor(&f, &f.m->tensors[i], v->name);
    check_padding(&f);
    tear_down(&f);
}

static void every_gradient_is_the_slope_of_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        check_variant(&variants[i], i % 2 == 0 || variants[i].scalar);
    check_variant(&variants[0], false);
    check_variant(&variants[3], false);
}

static void gradients_are_added_to_what_is_there(void **state)
{
    (void)state;
    struct fixture f;
    float *once;

    set_up(&f, &variants[1]);
    once = malloc(f.m->n_params * sizeof *once);
    assert_non_null(once);
    run_backward(&f);
    memcpy(once, f.grad, f.m->n_params * sizeof *once);
    run_backward(&f);
    for (size_t i = 0; i < f.m->n_params; i++)
        assert_float_equal(f.grad[i], 2 * once[i], 1e-4);
    free(once);
    tear_down(&f);
}

/* Each part's gradient is one that was compared above: of the LM head, of a scalar head. */
static void both_heads_at_once_have_the_sum_of_their_gradients(void **state)
{
    (void)state;
    struct fixture f;
    float value_g[TOKENS], *apart;
    const struct head_gradients g = { f.g, value_g };

    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        struct variant both = variants[v];
        if (both.scalar)
            continue;
        both.value = true;
        set_up(&f, &both);
        rng_normal(value_g, TOKENS, SEED, RNG_NOISE, 1);
        for (int i = 0; i < TOKENS; i++)
            value_g[i] = f.target[i] < 0 ? 0 : value_g[i];
        apart = calloc(f.m->n_params, sizeof *apart);
        assert_non_null(apart);
        transformer_forward(f.w, &f.engine, f.m, &f.batch);
        transformer_backward_log_probs(
            f.w, &f.engine, f.m, apart, f.target, f.g, temperature, f.result);
        transformer_forward(f.w, &f.engine, f.m, &f.batch);
        transformer_backward_values(f.w, &f.engine, f.m, apart, value_g);
        f.batch.asked = f.target; /* and so the last layer works on fewer tokens */
        transformer_forward(f.w, &f.engine, f.m, &f.batch);
        transformer_backward_both(f.w, &f.engine, f.m, f.grad, f.target, &g, temperature, f.result);
        for (size_t i = 0; i < f.m->n_params; i++)
            if (!(fabsf(f.grad[i] - apart[i]) <= 1e-4F * (1 + fabsf(apart[i]))))
                fail_msg("%s: %zu: %g, not %g", both.name, i, (double)f.grad[i], (double)apart[i]);
        assert_true(f.grad[model_tensor(f.m, "score.weight")->offset] != 0);
        free(apart);
        tear_down(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gradient_is_the_slope_of_the_reference),
        cmocka_unit_test(gradients_are_added_to_what_is_there),
        cmocka_unit_test(both_heads_at_once_have_the_sum_of_their_gradients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
