#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "workers/formats/naming.h"

static struct model *new_model(ModelConfig__Family family, bool bias, bool tied)
{
    ModelConfig c = MODEL_CONFIG__INIT;
    struct err e = ERR_INIT;
    struct model *m;

    c.family = family;
    c.layers = 2;
    c.width = 8;
    c.heads = 2;
    c.kv_heads = family == MODEL_CONFIG__FAMILY__LLAMA ? 1 : 2;
    c.hidden = 6;
    c.context = 5;
    c.vocab_size = 7;
    c.qkv_bias = bias;
    c.tied_output = tied;
    c.qk_norm = family == MODEL_CONFIG__FAMILY__LLAMA && !bias && !tied;
    c.head_dim = c.qk_norm ? 6 : 0;
    assert_int_equal(model_new(&m, &c, &e), OK);
    for (size_t i = 0; i < m->n_tensors; i++)
        for (size_t k = 0; k < m->tensors[i].rows * m->tensors[i].cols; k++)
            m->params[m->tensors[i].offset + k] = (float)(1000 * (i + 1) + k);
    return m;
}

static struct foreign find(const struct model *m, enum scheme s, const char *name)
{
    struct foreign f;

    for (size_t at = 0; naming_next(&f, m, s, &at);)
        if (strcmp(f.name, name) == 0)
            return f;
    fail_msg("no tensor %s", name);
    return f;
}

static const float *ours(const struct model *m, const char *name)
{
    return m->params + model_tensor(m, name)->offset;
}

/* Whatever the scheme, all of the model is written, and read back it is the model. */
static void every_number_goes_out_and_comes_back(void **state)
{
    static const struct {
        ModelConfig__Family family;
        enum scheme scheme;
    } cases[] = {
        { MODEL_CONFIG__FAMILY__LLAMA, GGUF_LLAMA },
        { MODEL_CONFIG__FAMILY__LLAMA, GGUF_QWEN2 },
        { MODEL_CONFIG__FAMILY__LLAMA, GGUF_QWEN3 },
        { MODEL_CONFIG__FAMILY__GPT2, GGUF_GPT2 },
        { MODEL_CONFIG__FAMILY__LLAMA, HF_LLAMA },
        { MODEL_CONFIG__FAMILY__GPT2, HF_GPT2 },
    };

    (void)state;
    for (size_t i = 0; i < 4 * sizeof cases / sizeof *cases; i++) {
        struct model *m = new_model(cases[i / 4].family, i % 4 / 2, i % 2), *back;
        struct err e = ERR_INIT;
        struct foreign f;
        float room[256];
        assert_int_equal(model_new(&back, &m->config, &e), OK);
        for (size_t at = 0; naming_next(&f, m, cases[i / 4].scheme, &at);) {
            assert_true(f.rows * f.cols <= 256);
            foreign_gather(room, m, &f);
            foreign_scatter(back, &f, room);
        }
        assert_memory_equal(m->params, back->params, m->n_params * sizeof *m->params);
        model_free(m);
        model_free(back);
    }
}

static void gates_and_keys_are_parts_of_ours(void **state)
{
    struct model *m = new_model(MODEL_CONFIG__FAMILY__LLAMA, true, true);
    struct foreign up = find(m, GGUF_LLAMA, "blk.1.ffn_up.weight");
    struct foreign k = find(m, GGUF_LLAMA, "blk.0.attn_k.weight");
    struct foreign bias = find(m, GGUF_LLAMA, "blk.0.attn_v.bias");
    float room[64];

    (void)state;
    assert_int_equal(up.rows, 6);
    foreign_gather(room, m, &up);
    assert_memory_equal(room, ours(m, "layers.1.feed_forward.w_up") + 6 * 8, 48 * sizeof(float));
    assert_int_equal(k.rows, 4);
    foreign_gather(room, m, &k);
    assert_memory_equal(room, ours(m, "layers.0.attention.wqkv") + 8 * 8, 32 * sizeof(float));
    assert_true(bias.vector);
    assert_int_equal(bias.rows, 4);
    foreign_gather(room, m, &bias);
    assert_memory_equal(room, ours(m, "layers.0.attention.bqkv") + 12, 4 * sizeof(float));
    model_free(m);
}

/* A head has 4 rows: theirs are ours 0, 2, 1, 3. */
static void rows_of_a_head_are_in_the_order_of_halves(void **state)
{
    struct model *m = new_model(MODEL_CONFIG__FAMILY__LLAMA, false, true);
    struct foreign q = find(m, HF_LLAMA, "model.layers.0.self_attn.q_proj.weight");
    const float *w = ours(m, "layers.0.attention.wqkv");
    static const size_t order[] = { 0, 2, 1, 3, 4, 6, 5, 7 };
    float room[64];

    (void)state;
    foreign_gather(room, m, &q);
    for (size_t i = 0; i < 8; i++)
        assert_memory_equal(room + 8 * i, w + 8 * order[i], 8 * sizeof(float));
    q = find(m, HF_LLAMA, "model.layers.0.self_attn.v_proj.weight");
    foreign_gather(room, m, &q);
    assert_memory_equal(room, w + 8 * 12, 32 * sizeof(float));
    model_free(m);
}

static void a_convolution_of_gpt2_is_the_transpose(void **state)
{
    struct model *m = new_model(MODEL_CONFIG__FAMILY__GPT2, false, true);
    struct foreign f = find(m, HF_GPT2, "transformer.h.1.mlp.c_fc.weight");
    const float *w = ours(m, "layers.1.feed_forward.w_up");
    float room[48];

    (void)state;
    foreign_gather(room, m, &f);
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 8; j++)
            assert_true(room[j * 6 + i] == w[i * 8 + j]);
    model_free(m);
}

static void a_tied_model_has_no_output_of_its_own(void **state)
{
    struct model *m = new_model(MODEL_CONFIG__FAMILY__LLAMA, false, true);
    struct foreign f;

    (void)state;
    for (size_t at = 0; naming_next(&f, m, GGUF_LLAMA, &at);)
        assert_string_not_equal(f.name, "output.weight");
    model_free(m);
    m = new_model(MODEL_CONFIG__FAMILY__LLAMA, false, false);
    find(m, GGUF_LLAMA, "output.weight");
    find(m, HF_LLAMA, "lm_head.weight");
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_goes_out_and_comes_back),
        cmocka_unit_test(gates_and_keys_are_parts_of_ours),
        cmocka_unit_test(rows_of_a_head_are_in_the_order_of_halves),
        cmocka_unit_test(a_convolution_of_gpt2_is_the_transpose),
        cmocka_unit_test(a_tied_model_has_no_output_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
