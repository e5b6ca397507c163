#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/workers/allocations.h"
#include "workers/math/rng.h"
#include "workers/model/transformer.h"

/* ---- a model of each family, and a batch of nine sequences ---- */

enum { SEQUENCES = 9, CONTEXT = 70, VOCAB = 211 };
#define SEED 5
#define TEMPERATURE 0.8F

static const size_t lengths[SEQUENCES] = { 1, 70, 3, 17, 48, 2, 64, 31, 9 };

static const struct variant {
    ModelConfig__Family family;
    uint32_t width, heads, kv_heads;
    bool tied, scalar;
    uint32_t head; /* 0: width / heads; else q and k have norms */
} variants[] = {
    { MODEL_CONFIG__FAMILY__LLAMA, 64, 4, 2, true, false, 0 },
    { MODEL_CONFIG__FAMILY__GPT2, 60, 3, 3, false, false, 0 },
    { MODEL_CONFIG__FAMILY__LLAMA, 36, 6, 1, true, true, 0 },
    { MODEL_CONFIG__FAMILY__LLAMA, 48, 4, 2, true, false, 20 },
};
#define VARIANTS (sizeof variants / sizeof *variants)

struct fixture {
    struct model *m;
    struct batch batch;
    uint32_t start[SEQUENCES + 1];
    int32_t *tokens, *target;
    float *g;
};

/* What is computed of a batch. */
struct result {
    float *log_prob, *entropy, *value, *logits, *grad, *trained_log_prob;
};

static float *floats(size_t n)
{
    float *p = calloc(n, sizeof *p);

    assert_non_null(p);
    return p;
}

static void make_model(struct model **out, const struct variant *v)
{
    struct err e = ERR_INIT;
    ModelConfig c = MODEL_CONFIG__INIT;

    c.family = v->family;
    c.layers = 2;
    c.width = v->width;
    c.heads = v->heads;
    c.kv_heads = v->kv_heads;
    c.context = CONTEXT;
    c.vocab_size = VOCAB;
    c.tied_output = v->tied;
    c.scalar_head = v->scalar;
    c.head_dim = v->head;
    c.qk_norm = v->head > 0;
    assert_int_equal(model_new(out, &c, &e), OK);
    model_init(*out, SEED);
    for (size_t i = 0; i < (*out)->n_tensors; i++) { /* far from uniform */
        const struct tensor *t = &(*out)->tensors[i];
        for (size_t j = 0; t->init > 0 && j < t->rows * t->cols; j++)
            (*out)->params[t->offset + j] *= 4;
    }
}

static void set_up(struct fixture *f, const struct variant *v)
{
    size_t n = 0;

    memset(f, 0, sizeof *f);
    for (size_t i = 0; i < SEQUENCES; i++) {
        f->start[i] = (uint32_t)n;
        n += lengths[i];
    }
    f->start[SEQUENCES] = (uint32_t)n;
    f->tokens = calloc(n, sizeof *f->tokens);
    f->target = calloc(n, sizeof *f->target);
    f->g = floats(n);
    assert_non_null(f->tokens);
    assert_non_null(f->target);
    for (size_t i = 0; i < n; i++) {
        uint32_t words[4];
        rng_words(words, SEED, RNG_SHUFFLE, 0, i);
        f->tokens[i] = (int32_t)(words[0] % VOCAB);
        f->target[i] = words[1] % 4 == 0 ? -1 : (int32_t)(words[1] % VOCAB);
    }
    f->target[n - 1] = 1; /* where compute asks for logits */
    rng_normal(f->g, n, SEED, RNG_NOISE, 0);
    f->batch = (struct batch){ SEQUENCES, n, f->start, f->tokens, NULL, NULL };
    make_model(&f->m, v);
}

static void tear_down(struct fixture *f)
{
    free(f->tokens);
    free(f->target);
    free(f->g);
    model_free(f->m);
}

static void compute(struct result *r, const struct fixture *f, struct workspace *w,
    const struct engine *en, const struct batch *b, const int32_t *target, const float *g)
{
    size_t n = b->n_tokens;

    *r = (struct result){ floats(n), floats(n), floats(n), floats(VOCAB), floats(f->m->n_params),
        floats(n) };
    transformer_forward(w, en, f->m, b);
    if (f->m->config.scalar_head) {
        transformer_values(w, en, f->m, r->value);
        if (g != NULL)
            transformer_backward_values(w, en, f->m, r->grad, g);
        return;
    }
    transformer_log_probs(w, en, f->m, target, TEMPERATURE, r->log_prob, r->entropy);
    transformer_logits(w, en, f->m, n - 1, r->logits);
    if (g != NULL)
        transformer_backward_log_probs(
            w, en, f->m, r->grad, target, g, TEMPERATURE, r->trained_log_prob);
}

static void release(struct result *r)
{
    free(r->log_prob);
    free(r->entropy);
    free(r->value);
    free(r->logits);
    free(r->grad);
    free(r->trained_log_prob);
}

static void same_bits(const float *a, const float *b, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s differs at %zu: %a, %a", what, i, (double)a[i], (double)b[i]);
}

static void check_alone(
    const struct fixture *f, const struct engine *en, const struct result *all, size_t sequence)
{
    struct err e = ERR_INIT;
    struct workspace *w = NULL;
    struct result r;
    size_t from = f->start[sequence], n = f->start[sequence + 1] - from;
    const uint32_t start[2] = { 0, (uint32_t)n };
    const struct batch b = { 1, n, start, f->tokens + from, NULL, NULL };

    assert_int_equal(workspace_new(&w, &f->m->config, n, false, &e), OK);
    compute(&r, f, w, en, &b, f->target + from, NULL);
    same_bits(r.log_prob, all->log_prob + from, n, "log-probability");
    same_bits(r.entropy, all->entropy + from, n, "entropy");
    same_bits(r.value, all->value + from, n, "value");
    if (sequence == SEQUENCES - 1)
        same_bits(r.logits, all->logits, VOCAB, "logit");
    release(&r);
    workspace_free(w);
}

static void a_sequence_has_the_same_bits_alone_and_in_any_batch(void **state)
{
    (void)state;
    struct engine en;
    struct err e = ERR_INIT;

    assert_int_equal(engine_init(&en, NULL, 2, &e), OK);
    for (size_t v = 0; v < VARIANTS; v++) {
        struct fixture f;
        struct workspace *w = NULL;
        struct result all;
        set_up(&f, &variants[v]);
        assert_int_equal(workspace_new(&w, &f.m->config, f.batch.n_tokens + 100, true, &e), OK);
        compute(&all, &f, w, &en, &f.batch, f.target, NULL);
        for (size_t i = 0; i < SEQUENCES; i++)
            check_alone(&f, &en, &all, i);
        release(&all);
        workspace_free(w);
        tear_down(&f);
    }
    engine_free(&en);
}

static void check_asked(const struct fixture *f, const struct engine *en, unsigned mode)
{
    struct err e = ERR_INIT;
    struct workspace *w = NULL;
    struct result all, asked;
    struct batch b = f->batch;

    assert_int_equal(workspace_new(&w, &f->m->config, b.n_tokens, mode, &e), OK);
    compute(&all, f, w, en, &b, f->target, NULL);
    b.asked = f->target;
    compute(&asked, f, w, en, &b, f->target, NULL);
    same_bits(asked.log_prob, all.log_prob, b.n_tokens, "log-probability");
    same_bits(asked.entropy, all.entropy, b.n_tokens, "entropy");
    same_bits(asked.logits, all.logits, VOCAB, "logit");
    for (size_t i = 0; i < b.n_tokens; i++)
        if (f->target[i] < 0)
            all.value[i] = 0;
    same_bits(asked.value, all.value, b.n_tokens, "value");
    release(&asked);
    release(&all);
    workspace_free(w);
}

static void what_is_asked_has_the_same_bits_without_the_rest(void **state)
{
    (void)state;
    struct engine en;
    struct err e = ERR_INIT;

    assert_int_equal(engine_init(&en, NULL, 2, &e), OK);
    for (size_t v = 0; v < VARIANTS; v++) {
        struct fixture f;
        set_up(&f, &variants[v]);
        check_asked(&f, &en, 0);
        check_asked(&f, &en, WORKSPACE_TRAINING);
        tear_down(&f);
    }
    engine_free(&en);
}

static void every_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2 * VARIANTS; v++) {
        struct fixture f;
        struct result r[3];
        set_up(&f, &variants[v / 2]);
        f.batch.asked = v % 2 == 0 ? NULL : f.target;
        for (int threads = 1; threads <= 3; threads++) {
            struct err e = ERR_INIT;
            struct engine en;
            struct workspace *w = NULL;
            assert_int_equal(engine_init(&en, NULL, threads, &e), OK);
            assert_int_equal(workspace_new(&w, &f.m->config, f.batch.n_tokens, true, &e), OK);
            compute(&r[threads - 1], &f, w, &en, &f.batch, f.target, f.g);
            workspace_free(w);
            engine_free(&en);
        }
        for (int i = 1; i < 3; i++) {
            same_bits(r[i].log_prob, r[0].log_prob, f.batch.n_tokens, "log-probability");
            same_bits(r[i].value, r[0].value, f.batch.n_tokens, "value");
            same_bits(r[i].grad, r[0].grad, f.m->n_params, "gradient");
        }
        for (int i = 0; i < 3; i++)
            release(&r[i]);
        tear_down(&f);
    }
}

static void the_backward_pass_gives_the_bits_of_the_forward_pass(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct engine en;

    assert_int_equal(engine_init(&en, NULL, 2, &e), OK);
    for (size_t v = 0; v < 2; v++) {
        struct fixture f;
        struct workspace *w = NULL;
        struct result r, again;
        set_up(&f, &variants[v]);
        assert_int_equal(workspace_new(&w, &f.m->config, f.batch.n_tokens, true, &e), OK);
        compute(&r, &f, w, &en, &f.batch, f.target, f.g);
        same_bits(r.trained_log_prob, r.log_prob, f.batch.n_tokens, "log-probability");
        compute(&again, &f, w, &en, &f.batch, f.target, f.g);
        same_bits(again.grad, r.grad, f.m->n_params, "gradient");
        release(&again);
        release(&r);
        workspace_free(w);
        tear_down(&f);
    }
    engine_free(&en);
}

static void checkpointing_gives_the_same_bits(void **state)
{
    (void)state;
    const unsigned modes[2] = { WORKSPACE_TRAINING, WORKSPACE_TRAINING | WORKSPACE_CHECKPOINTING };
    const struct dropout dropout = { .rate = 0.1, .seed = SEED };
    struct err e = ERR_INIT;
    struct engine en;

    assert_int_equal(engine_init(&en, NULL, 2, &e), OK);
    for (size_t v = 0; v < 2 * VARIANTS; v++) {
        struct fixture f;
        struct result r[2];
        set_up(&f, &variants[v / 2]);
        f.batch.dropout = v % 2 == 0 ? NULL : &dropout;
        f.batch.asked = v / 2 % 2 == 0 ? f.target : NULL;
        for (int i = 0; i < 2; i++) {
            struct workspace *w = NULL;
            assert_int_equal(workspace_new(&w, &f.m->config, f.batch.n_tokens, modes[i], &e), OK);
            compute(&r[i], &f, w, &en, &f.batch, f.target, f.g);
            workspace_free(w);
        }
        same_bits(r[1].log_prob, r[0].log_prob, f.batch.n_tokens, "log-probability");
        same_bits(r[1].value, r[0].value, f.batch.n_tokens, "value");
        same_bits(r[1].grad, r[0].grad, f.m->n_params, "gradient");
        release(&r[0]);
        release(&r[1]);
        tear_down(&f);
    }
    engine_free(&en);
}

static double norm_of(const float *x, const float *y, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (y != NULL ? (double)y[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

/* bfloat16 has 8 bits: a product of two is off by up to 2^-8, a sum of many by less. */
static void bf16_is_near_fp32_forward_and_backward(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct engine en;

    assert_int_equal(engine_init(&en, NULL, 2, &e), OK);
    for (size_t v = 0; v < VARIANTS; v++) {
        struct fixture f;
        struct result r[2];
        set_up(&f, &variants[v]);
        size_t n = f.batch.n_tokens, params = f.m->n_params;
        for (unsigned i = 0; i < 2; i++) {
            struct workspace *w = NULL;
            unsigned mode = WORKSPACE_TRAINING | (i == 0 ? 0U : WORKSPACE_BF16);
            assert_int_equal(workspace_new(&w, &f.m->config, n, mode, &e), OK);
            compute(&r[i], &f, w, &en, &f.batch, f.target, f.g);
            workspace_free(w);
        }
        double apart = norm_of(r[1].grad, r[0].grad, params),
               all = norm_of(r[0].grad, NULL, params);
        assert_true(apart > 0 && apart < .15 * all); /* weights are large: softmax magnifies */
        assert_true(
            norm_of(r[1].log_prob, r[0].log_prob, n) <= .02 * norm_of(r[0].log_prob, NULL, n));
        assert_true(norm_of(r[1].value, r[0].value, n) <= .05 * norm_of(r[0].value, NULL, n));
        release(&r[0]);
        release(&r[1]);
        tear_down(&f);
    }
    engine_free(&en);
}

static void a_position_without_a_target_contributes_nothing(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct engine en;
    struct fixture f;
    struct workspace *w = NULL;
    struct result r, other;
    const struct variant *v = &variants[0];

    assert_int_equal(engine_init(&en, NULL, 2, &e), OK);
    set_up(&f, v);
    size_t n = f.batch.n_tokens;
    assert_int_equal(workspace_new(&w, &f.m->config, n, true, &e), OK);
    compute(&r, &f, w, &en, &f.batch, f.target, f.g);
    for (size_t i = 0; i < n; i++) {
        if (f.target[i] >= 0)
            continue;
        assert_true(r.log_prob[i] == 0 && r.entropy[i] == 0 && r.trained_log_prob[i] == 0);
        f.g[i] = NAN;
    }
    compute(&other, &f, w, &en, &f.batch, f.target, f.g);
    same_bits(other.grad, r.grad, f.m->n_params, "gradient");
    release(&other);

    for (size_t i = 0; i < n; i++)
        f.target[i] = -1;
    compute(&other, &f, w, &en, &f.batch, f.target, f.g);
    for (size_t i = 0; i < f.m->n_params; i++)
        assert_true(other.grad[i] == 0);
    release(&other);
    release(&r);
    workspace_free(w);
    tear_down(&f);
    engine_free(&en);
}

static void a_model_of_zeros_finds_all_tokens_alike(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct engine en;
    struct fixture f;
    struct workspace *w = NULL;
    struct result r;

    assert_int_equal(engine_init(&en, NULL, 1, &e), OK);
    set_up(&f, &variants[0]);
    memset(f.m->params, 0, f.m->n_params * sizeof *f.m->params);
    assert_int_equal(workspace_new(&w, &f.m->config, f.batch.n_tokens, false, &e), OK);
    compute(&r, &f, w, &en, &f.batch, f.target, NULL);
    for (size_t i = 0; i < f.batch.n_tokens; i++) {
        float expected = f.target[i] < 0 ? 0 : logf(VOCAB);
        assert_float_equal(r.log_prob[i], -expected, 1e-6);
        assert_float_equal(r.entropy[i], expected, 1e-5);
    }
    release(&r);
    workspace_free(w);
    tear_down(&f);
    engine_free(&en);
}

static void a_training_step_allocates_nothing(void **state)
{
    (void)state;
    if (!COUNTED)
        skip();
    struct err e = ERR_INIT;
    struct engine en;

    assert_int_equal(engine_init(&en, NULL, 2, &e), OK);
    for (size_t v = 0; v < 2; v++) {
        struct fixture f;
        struct workspace *w = NULL;
        struct result r;
        set_up(&f, &variants[v]);
        assert_int_equal(workspace_new(&w, &f.m->config, f.batch.n_tokens, true, &e), OK);
        compute(&r, &f, w, &en, &f.batch, f.target, f.g); /* BLAS takes its buffers once */
        size_t before = allocations;
        transformer_forward(w, &en, f.m, &f.batch);
        transformer_log_probs(w, &en, f.m, f.target, 1, r.log_prob, r.entropy);
        transformer_backward_log_probs(w, &en, f.m, r.grad, f.target, f.g, 1, r.log_prob);
        assert_int_equal(allocations - before, 0);
        void *volatile one = malloc(1); /* the compiler must not drop it */
        free(one);
        assert_true(allocations > before); /* it does count */
        release(&r);
        workspace_free(w);
        tear_down(&f);
    }
    engine_free(&en);
}

static void a_workspace_for_inference_needs_far_less(void **state)
{
    (void)state;
    ModelConfig c = MODEL_CONFIG__INIT;
    struct err e = ERR_INIT;

    c.layers = 12;
    c.vocab_size = 512;
    assert_int_equal(model_config_check(&c, &e), OK);
    assert_true(workspace_bytes(&c, 4096, true) > 5 * workspace_bytes(&c, 4096, false));
    assert_true(workspace_bytes(&c, 4096, true) > workspace_bytes(&c, 2048, true));
    assert_true(workspace_bytes(&c, 4096, WORKSPACE_TRAINING | WORKSPACE_CHECKPOINTING) <
                workspace_bytes(&c, 4096, WORKSPACE_TRAINING) / 3);
    c.scalar_head = 1; /* no logits */
    size_t scalar = workspace_bytes(&c, 4096, false);
    c.scalar_head = 0;
    assert_true(workspace_bytes(&c, 4096, false) > scalar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sequence_has_the_same_bits_alone_and_in_any_batch),
        cmocka_unit_test(what_is_asked_has_the_same_bits_without_the_rest),
        cmocka_unit_test(every_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(the_backward_pass_gives_the_bits_of_the_forward_pass),
        cmocka_unit_test(checkpointing_gives_the_same_bits),
        cmocka_unit_test(bf16_is_near_fp32_forward_and_backward),
        cmocka_unit_test(a_position_without_a_target_contributes_nothing),
        cmocka_unit_test(a_model_of_zeros_finds_all_tokens_alike),
        cmocka_unit_test(a_training_step_allocates_nothing),
        cmocka_unit_test(a_workspace_for_inference_needs_far_less),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
