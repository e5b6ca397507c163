#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/model/transformer.h"

/* Adapters against central differences of the very forward pass, in which the merged model stands:
 * float32's rounding is what remains. */

#define SEED 5
#define STEP 2e-2F
#define ERROR 2e-2 /* of the tensor's largest gradient */
#define ELEMENTS 12

enum { TOKENS = 14, VOCAB = 17 };
static const uint32_t starts[] = { 0, 5, TOKENS };

struct fixture {
    struct engine en;
    struct model *m;
    struct workspace *w;
    struct batch b;
    int32_t tokens[TOKENS], target[TOKENS];
    float g[TOKENS];
};

static LoraConfig__Target targets[] = { LORA_CONFIG__TARGET__Q, LORA_CONFIG__TARGET__K_PROJ,
    LORA_CONFIG__TARGET__V, LORA_CONFIG__TARGET__O, LORA_CONFIG__TARGET__UP,
    LORA_CONFIG__TARGET__DOWN, LORA_CONFIG__TARGET__GATE };

static struct model *body_new(ModelConfig__Family family)
{
    ModelConfig c = MODEL_CONFIG__INIT;
    struct err e = ERR_INIT;
    struct model *m;

    c.family = family;
    c.layers = 2;
    c.width = 24;
    c.heads = 4;
    c.kv_heads = family == MODEL_CONFIG__FAMILY__GPT2 ? 4 : 2;
    if (family == MODEL_CONFIG__FAMILY__LLAMA) {
        c.head_dim = 8;
        c.qk_norm = true;
    }
    c.hidden = 40;
    c.context = TOKENS;
    c.vocab_size = VOCAB;
    assert_int_equal(model_new(&m, &c, &e), OK);
    model_init(m, SEED);
    for (size_t i = 0; i < m->n_tensors; i++) /* far from linear */
        for (size_t k = 0; m->tensors[i].init > 0 && k < m->tensors[i].rows * m->tensors[i].cols;
             k++)
            m->params[m->tensors[i].offset + k] *= 8;
    return m;
}

static void set_up(struct fixture *f, ModelConfig__Family family)
{
    bool gates = family == MODEL_CONFIG__FAMILY__LLAMA;
    LoraConfig lora = LORA_CONFIG__INIT;
    struct id origin = { { 1 } };
    struct err e = ERR_INIT;
    struct model *body = body_new(family);

    memset(f, 0, sizeof *f);
    lora.rank = 3;
    lora.alpha = 6;
    lora.targets = targets;
    lora.n_targets = sizeof targets / sizeof *targets - !gates;
    assert_int_equal(engine_init(&f->en, NULL, 2, &e), OK);
    assert_int_equal(model_with_adapters(&f->m, body, &lora, SEED, &e), OK);
    model_freeze(f->m, &origin);
    model_merge(f->m, f->en.pool);
    for (size_t i = 0; i < body->n_params; i++) /* B is zero: nothing has changed */
        assert_true(f->m->params[i] == body->params[i]);
    model_free(body);
    for (size_t i = 0; i < f->m->n_tensors; i++)
        if (f->m->tensors[i].adapter) {
            const struct tensor *t = &f->m->tensors[i];
            rng_normal(f->m->params + t->offset, t->rows * t->cols, SEED, RNG_NOISE, (uint32_t)i);
            for (size_t k = 0; k < t->rows * t->cols; k++)
                f->m->params[t->offset + k] *= 0.1F;
        }
    for (uint32_t i = 0; i < TOKENS; i++) {
        f->tokens[i] = (int32_t)(i * 7 % VOCAB);
        f->target[i] = i % 4 == 2 ? -1 : (int32_t)(i * 5 % VOCAB);
    }
    rng_normal(f->g, TOKENS, SEED, RNG_SHUFFLE, 0);
    f->b = (struct batch){
        .n_sequences = 2, .n_tokens = TOKENS, .start = starts, .tokens = f->tokens
    };
    assert_int_equal(workspace_new(&f->w, &f->m->config, TOKENS, WORKSPACE_TRAINING, &e), OK);
}

static void tear_down(struct fixture *f)
{
    workspace_free(f->w);
    model_free(f->m);
    engine_free(&f->en);
}

static double loss(struct fixture *f)
{
    float log_prob[TOKENS];
    double sum = 0;

    model_merge(f->m, f->en.pool);
    transformer_forward(f->w, &f->en, f->m, &f->b);
    transformer_log_probs(f->w, &f->en, f->m, f->target, 1, log_prob, NULL);
    for (int i = 0; i < TOKENS; i++)
        sum += f->target[i] < 0 ? 0 : (double)f->g[i] * (double)log_prob[i];
    return sum;
}

static double slope(struct fixture *f, float *p)
{
    float kept = *p;
    double high, low;

    *p = kept + STEP;
    high = loss(f);
    *p = kept - STEP;
    low = loss(f);
    *p = kept;
    return (high - low) / (2 * (double)STEP);
}

static void check_family(ModelConfig__Family family)
{
    struct fixture f;
    float log_prob[TOKENS], *grad;

    set_up(&f, family);
    grad = calloc(f.m->n_params - f.m->frozen, sizeof *grad);
    assert_non_null(grad);
    loss(&f);
    transformer_backward_log_probs(f.w, &f.en, f.m, grad, f.target, f.g, 1, log_prob);
    for (size_t i = 0; i < f.m->n_tensors; i++) {
        const struct tensor *t = &f.m->tensors[i];
        size_t n = t->rows * t->cols, stride = n / ELEMENTS + 1;
        double largest = 0, worst = 0;
        if (!t->adapter)
            continue;
        const float *mine = grad + (t->offset - f.m->frozen);
        for (size_t k = 0; k < n; k++)
            largest = fmax(largest, fabs((double)mine[k]));
        for (size_t k = 0; k < n; k += stride)
            worst = fmax(worst, fabs(slope(&f, f.m->params + t->offset + k) - (double)mine[k]));
        if (!(largest > 0) || !(worst <= ERROR * largest))
            fail_msg("%s: off by %g, of at most %g", t->name, worst, largest);
    }
    free(grad);
    tear_down(&f);
}

/* PEFT's names, which target_modules holds, mean the matrices that it means by them. */
static void names_of_others_mean_the_same_matrices(void **state)
{
    static const struct {
        ModelConfig__Family family;
        LoraConfig__Target name;
        unsigned first, last; /* LoraConfig.Target */
    } known[] = {
        { MODEL_CONFIG__FAMILY__GPT2, LORA_CONFIG__TARGET__C_ATTN, LORA_CONFIG__TARGET__Q,
            LORA_CONFIG__TARGET__V },
        { MODEL_CONFIG__FAMILY__GPT2, LORA_CONFIG__TARGET__C_FC, LORA_CONFIG__TARGET__UP,
            LORA_CONFIG__TARGET__UP },
        { MODEL_CONFIG__FAMILY__LLAMA, LORA_CONFIG__TARGET__DOWN_PROJ, LORA_CONFIG__TARGET__DOWN,
            LORA_CONFIG__TARGET__DOWN },
        { MODEL_CONFIG__FAMILY__LLAMA, LORA_CONFIG__TARGET__ALL_LINEAR, LORA_CONFIG__TARGET__Q,
            LORA_CONFIG__TARGET__DOWN },
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        LoraConfig lora = LORA_CONFIG__INIT;
        LoraConfig__Target name = known[i].name;
        struct model *body = body_new(known[i].family), *m = NULL;
        struct err e = ERR_INIT;
        lora.targets = &name;
        lora.n_targets = 1;
        assert_int_equal(model_with_adapters(&m, body, &lora, SEED, &e), OK);
        unsigned all = (2U << known[i].last) - 1, below = (1U << known[i].first) - 1;
        assert_int_equal(m->config.lora_targets, all & ~below);
        model_free(m);
        model_free(body);
    }
}

static void every_gradient_is_a_slope(void **state)
{
    (void)state;
    check_family(MODEL_CONFIG__FAMILY__LLAMA);
    check_family(MODEL_CONFIG__FAMILY__GPT2);
}

/* W = base + alpha / rank B A, in double; and without a pool the same bits. */
static void what_is_merged_is_the_product(void **state)
{
    (void)state;
    struct fixture f;
    const struct tensor *w, *a, *b;
    float *merged;

    set_up(&f, MODEL_CONFIG__FAMILY__LLAMA);
    w = model_tensor(f.m, "layers.1.attention.wo");
    a = model_tensor(f.m, "layers.1.attention.o.lora_a");
    b = model_tensor(f.m, "layers.1.attention.o.lora_b");
    merged = malloc(f.m->n_params * sizeof *merged);
    assert_non_null(merged);
    memcpy(merged, f.m->params, f.m->n_params * sizeof *merged); /* not merged yet: the base */
    model_merge(f.m, f.en.pool);
    for (size_t r = 0; r < w->rows; r++)
        for (size_t c = 0; c < w->cols; c++) {
            double want = (double)merged[w->offset + r * w->cols + c];
            for (size_t k = 0; k < 3; k++)
                want += 2 * (double)merged[b->offset + r * 3 + k] *
                        (double)merged[a->offset + k * w->cols + c];
            assert_true(fabs(want - (double)f.m->params[w->offset + r * w->cols + c]) < 1e-6);
        }
    memcpy(merged, f.m->params, f.m->n_params * sizeof *merged);
    model_merge(f.m, NULL);
    assert_memory_equal(merged, f.m->params, f.m->n_params * sizeof *merged);
    free(merged);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_others_mean_the_same_matrices),
        cmocka_unit_test(every_gradient_is_a_slope),
        cmocka_unit_test(what_is_merged_is_the_product),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
