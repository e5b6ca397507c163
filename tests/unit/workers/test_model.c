#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/math/rng.h"
#include "workers/model/model.h"

static ModelConfig small(void)
{
    ModelConfig c = MODEL_CONFIG__INIT;

    c.layers = 3;
    c.width = 48;
    c.heads = 4;
    c.kv_heads = 2;
    c.context = 32;
    c.vocab_size = 101;
    return c;
}

static struct model *new_model(const ModelConfig *c)
{
    struct err e = ERR_INIT;
    struct model *m = NULL;

    assert_int_equal(model_new(&m, c, &e), OK);
    return m;
}

static size_t real_parameters(const struct model *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_tensors; i++)
        n += m->tensors[i].rows * m->tensors[i].cols;
    return n;
}

static void zeros_of_a_configuration_are_derived(void **state)
{
    (void)state;
    ModelConfig c = MODEL_CONFIG__INIT;
    struct err e = ERR_INIT;

    c.vocab_size = 100;
    assert_int_equal(model_config_check(&c, &e), OK);
    assert_int_equal(c.kv_heads, 4);
    assert_int_equal(c.hidden, 352); /* 8/3 of 128 is 341.3 */
    assert_true(c.has_hidden && c.has_width && c.has_scalar_head);

    c.width = 192;
    c.hidden = 0;
    assert_int_equal(model_config_check(&c, &e), OK);
    assert_int_equal(c.hidden, 512); /* exact */

    c.family = MODEL_CONFIG__FAMILY__GPT2;
    c.hidden = 0;
    assert_int_equal(model_config_check(&c, &e), OK);
    assert_int_equal(c.hidden, 768);
}

static void a_wrong_configuration_is_refused_with_the_name_of_the_field(void **state)
{
    (void)state;
    static const struct {
        size_t field;
        uint32_t value;
        const char *name;
    } wrong[] = {
        { offsetof(ModelConfig, family), 7, "model.family" },
        { offsetof(ModelConfig, layers), 0, "model.layers" },
        { offsetof(ModelConfig, layers), 300, "model.layers" },
        { offsetof(ModelConfig, width), 0, "model.width" },
        { offsetof(ModelConfig, width), UINT32_MAX, "model.width" },
        { offsetof(ModelConfig, heads), 5, "model.heads" },
        { offsetof(ModelConfig, heads), 16, "model.heads" }, /* a head of 3 */
        { offsetof(ModelConfig, heads), 0, "model.heads" },
        { offsetof(ModelConfig, kv_heads), 3, "model.kv_heads" },
        { offsetof(ModelConfig, kv_heads), 8, "model.kv_heads" },
        { offsetof(ModelConfig, head_dim), 3, "model.head_dim" },
        { offsetof(ModelConfig, head_dim), 1000, "model.head_dim" },
        { offsetof(ModelConfig, rope_scaling), 9, "model.rope_scaling" },
        { offsetof(ModelConfig, vocab_size), 0, "model.vocab_size" },
        { offsetof(ModelConfig, context), 0, "model.context" },
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ModelConfig c = small();
        struct err e = ERR_INIT;
        memcpy((char *)&c + wrong[i].field, &wrong[i].value, sizeof wrong[i].value);
        assert_int_equal(model_config_check(&c, &e), E_INPUT);
        if (strstr(e.msg, wrong[i].name) == NULL)
            fail_msg("'%s' does not name %s", e.msg, wrong[i].name);
    }
    ModelConfig c = small();
    struct err e = ERR_INIT;
    c.norm_eps = -1;
    assert_int_equal(model_config_check(&c, &e), E_INPUT);
    c.norm_eps = 1e-5;
    c.rope_theta = NAN;
    assert_int_equal(model_config_check(&c, &e), E_INPUT);
    c = small();
    c.qk_norm = c.qkv_bias = 1;
    assert_int_equal(model_config_check(&c, &e), E_INPUT);
    c = small();
    c.rope_scaling = MODEL_CONFIG__ROPE_SCALING__LLAMA3;
    c.rope_low_freq_factor = 4;
    assert_int_equal(model_config_check(&c, &e), E_INPUT);
}

static void check_table(const struct model *m)
{
    size_t end = 0;

    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        assert_int_equal(t->offset % 16, 0);
        assert_int_equal(t->offset, (end + 15) / 16 * 16); /* no overlap, no hole but padding */
        end = t->offset + t->rows * t->cols;
        assert_ptr_equal(model_tensor(m, t->name), t); /* no name twice */
        if (t->rows == 1)
            assert_false(t->decay);
    }
    assert_int_equal(m->n_params, (end + 15) / 16 * 16);
}

static void the_tensor_table_has_no_hole_in_any_family(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 32; bits++) {
        ModelConfig c = small();
        c.family = bits & 1 ? MODEL_CONFIG__FAMILY__GPT2 : MODEL_CONFIG__FAMILY__LLAMA;
        c.tied_output = (bits & 2) != 0;
        c.scalar_head = (bits & 4) != 0;
        c.qkv_bias = (bits & 8) != 0;
        c.qk_norm = (bits & 25) == 16; /* not beside biases */
        struct model *m = new_model(&c);
        check_table(m);
        assert_int_equal(model_tensor(m, "output") != NULL, !c.tied_output && !c.scalar_head);
        assert_int_equal(model_tensor(m, "score.weight") != NULL, c.scalar_head);
        assert_int_equal(model_tensor(m, "position_embedding") != NULL, bits & 1);
        assert_int_equal(model_tensor(m, "layers.2.attention.bqkv") != NULL, (bits & 9) != 0);
        assert_int_equal(model_tensor(m, "layers.2.attention.q_norm") != NULL, c.qk_norm);
        assert_null(model_tensor(m, "layers.3.attention.wqkv"));
        assert_int_equal(model_tensor(m, "token_embedding")->decay, c.tied_output);
        model_free(m);
    }
}

static void the_number_of_parameters_is_the_known_one(void **state)
{
    (void)state;
    ModelConfig c = MODEL_CONFIG__INIT;
    struct model *m;

    c.family = MODEL_CONFIG__FAMILY__GPT2; /* GPT-2 small: 124,439,808; two layers of its twelve */
    c.layers = 2;
    c.width = 768;
    c.heads = 12;
    c.context = 1024;
    c.vocab_size = 50257;
    m = new_model(&c);
    assert_int_equal(real_parameters(m), 124439808 - 10 * 7087872);
    model_free(m);

    c = (ModelConfig)MODEL_CONFIG__INIT; /* Qwen3-0.6B: 596,049,920; a layer of its 28 */
    c.layers = 1;
    c.width = 1024;
    c.heads = 16;
    c.kv_heads = 8;
    c.head_dim = 128;
    c.hidden = 3072;
    c.vocab_size = 1519; /* of 151,936 */
    c.qk_norm = 1;
    m = new_model(&c);
    assert_int_equal(real_parameters(m), 596049920 - 27 * 15730944 - (151936 - 1519) * 1024);
    model_free(m);
}

static void moments(const float *p, size_t n, double *mean, double *deviation)
{
    double sum = 0, square = 0;

    for (size_t i = 0; i < n; i++) {
        sum += (double)p[i];
        square += (double)p[i] * (double)p[i];
    }
    *mean = sum / (double)n;
    *deviation = sqrt(square / (double)n - *mean * *mean);
}

static void weights_start_as_those_of_gpt2_do(void **state)
{
    (void)state;
    ModelConfig c = small();
    c.family = MODEL_CONFIG__FAMILY__GPT2;
    c.kv_heads = 0;
    c.width = 128;
    struct model *m = new_model(&c);

    model_init(m, 3);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensors[i];
        double mean, deviation, expected = 0.02;
        double one = strstr(t->name, "norm.weight") != NULL ? 1 : 0;
        moments(m->params + t->offset, t->rows * t->cols, &mean, &deviation);
        if (strstr(t->name, "wo") != NULL || strstr(t->name, "w_down") != NULL)
            expected = 0.02 / sqrt(6);
        if (t->rows == 1)
            expected = 0;
        assert_float_equal(deviation, expected, 0.04 * expected);
        assert_float_equal(mean, one, 0.001);
    }
    model_free(m);
}

static void the_seed_alone_decides_the_weights(void **state)
{
    (void)state;
    ModelConfig c = small();
    struct model *a = new_model(&c), *b = new_model(&c), *copy = NULL;
    struct err e = ERR_INIT;

    model_init(a, 3);
    model_init(b, 3);
    assert_memory_equal(a->params, b->params, a->n_params * sizeof *a->params);
    assert_int_equal(model_copy(&copy, a, &e), OK);
    model_init(b, 4);
    assert_memory_not_equal(a->params, b->params, a->n_params * sizeof *a->params);
    assert_memory_equal(a->params, copy->params, a->n_params * sizeof *a->params);
    model_free(a);
    model_free(b);
    model_free(copy);
}

static void a_scalar_head_stands_on_the_same_body(void **state)
{
    (void)state;
    ModelConfig c = small();
    c.tied_output = 0;
    c.width = 1024;
    c.hidden = 64;
    struct model *body = new_model(&c), *m = NULL;
    struct err e = ERR_INIT;
    double mean, deviation;

    model_init(body, 3);
    body->tokenizer.b[5] = 77;
    assert_int_equal(model_with_scalar_head(&m, body, 9, &e), OK);
    assert_true(m->config.scalar_head);
    assert_memory_equal(&m->tokenizer, &body->tokenizer, sizeof m->tokenizer);
    assert_true(m->reward_bias == 0 && m->reward_scale == 1);
    for (size_t i = 0; i < body->n_tensors; i++) {
        const struct tensor *from = &body->tensors[i], *t = model_tensor(m, from->name);
        if (t != NULL)
            assert_memory_equal(m->params + t->offset, body->params + from->offset,
                t->rows * t->cols * sizeof *m->params);
        else
            assert_string_equal(from->name, "output");
    }
    const struct tensor *score = model_tensor(m, "score.weight");
    moments(m->params + score->offset, 1024, &mean, &deviation);
    assert_float_equal(deviation, 1 / sqrt(1025), 0.1 / sqrt(1025));
    assert_true(m->params[model_tensor(m, "score.bias")->offset] == 0);
    model_free(body);
    model_free(m);
}

/* What a policy that is its own critic leaves behind is the language model, no more. */
static void a_value_head_stands_beside_the_lm_head_and_can_be_left_out(void **state)
{
    (void)state;
    ModelConfig c = small();
    c.tied_output = 0;
    struct model *body = new_model(&c), *m = NULL, alone;
    struct err e = ERR_INIT;

    model_init(body, 3);
    assert_int_equal(model_with_value_head(&m, body, 9, &e), OK);
    assert_int_equal(m->n_tensors, body->n_tensors + 2);
    assert_true(m->params[model_tensor(m, "score.weight")->offset] != 0);
    alone = model_without_value_head(m);
    assert_int_equal(alone.n_tensors, body->n_tensors);
    assert_int_equal(alone.n_params, body->n_params);
    assert_memory_equal(&alone.config, &body->config, sizeof alone.config);
    assert_memory_equal(alone.params, body->params, body->n_params * sizeof *body->params);
    model_free(body);
    model_free(m);
    c.scalar_head = c.value_head = 1;
    assert_int_equal(model_config_check(&c, &e), E_INPUT);
}

/* ---- in and out of a store ---- */

static char home[256];

static struct store *open_store(void)
{
    struct err e = ERR_INIT;
    struct store *s = NULL;
    const char *tmp = getenv("TMPDIR");

    snprintf(home, sizeof home, "%s/test_model.XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(home));
    assert_int_equal(store_open(&s, home, true, &e), OK);
    return s;
}

static void close_store(struct store *s)
{
    char command[300];

    store_close(s);
    snprintf(command, sizeof command, "rm -rf '%s'", home);
    assert_int_equal(system(command), 0);
}

static void a_checkpoint_gives_back_the_model(void **state)
{
    (void)state;
    struct store *s = open_store();
    ModelConfig c = small();
    struct err e = ERR_INIT;
    Output *out = NULL, *again = NULL;
    struct model *m = NULL, *body = new_model(&c), *back = NULL;
    struct id id;

    model_init(body, 3);
    assert_int_equal(model_with_scalar_head(&m, body, 9, &e), OK);
    m->tokenizer.b[0] = 42;
    m->reward_bias = 0.25;
    m->reward_scale = 3;
    assert_int_equal(model_save(&out, m, s, "checkpoint", &e), OK);
    assert_int_equal(out->kind, ARTIFACT_KIND__CHECKPOINT);
    assert_true(id_from_span(&id, out->id.data, out->id.len));
    assert_int_equal(model_load(&back, s, &id, "", &e), OK);
    assert_int_equal(back->n_params, m->n_params);
    assert_memory_equal(back->params, m->params, m->n_params * sizeof *m->params);
    assert_memory_equal(&back->tokenizer, &m->tokenizer, sizeof m->tokenizer);
    assert_true(back->reward_bias == 0.25 && back->reward_scale == 3);
    assert_int_equal(back->config.hidden, m->config.hidden);
    assert_int_equal(model_save(&again, back, s, "checkpoint", &e), OK);
    assert_memory_equal(again->id.data, out->id.data, out->id.len); /* the same bytes */
    message_free(out);
    message_free(again);
    model_free(body);
    model_free(m);
    model_free(back);
    close_store(s);
}

static void a_missing_tensor_is_an_error_that_names_it(void **state)
{
    (void)state;
    struct store *s = open_store();
    ModelConfig c = small();
    struct err e = ERR_INIT;
    Output *out = NULL;
    struct model *m = new_model(&c), *back = NULL;
    struct id id;

    assert_int_equal(model_save(&out, m, s, "checkpoint", &e), OK);
    assert_true(id_from_span(&id, out->id.data, out->id.len));
    assert_int_equal(model_load(&back, s, &id, "policy.", &e), E_MISSING);
    assert_null(back);
    assert_non_null(strstr(e.msg, "policy.token_embedding"));
    message_free(out);
    model_free(m);
    close_store(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeros_of_a_configuration_are_derived),
        cmocka_unit_test(a_wrong_configuration_is_refused_with_the_name_of_the_field),
        cmocka_unit_test(the_tensor_table_has_no_hole_in_any_family),
        cmocka_unit_test(the_number_of_parameters_is_the_known_one),
        cmocka_unit_test(weights_start_as_those_of_gpt2_do),
        cmocka_unit_test(the_seed_alone_decides_the_weights),
        cmocka_unit_test(a_scalar_head_stands_on_the_same_body),
        cmocka_unit_test(a_value_head_stands_beside_the_lm_head_and_can_be_left_out),
        cmocka_unit_test(a_checkpoint_gives_back_the_model),
        cmocka_unit_test(a_missing_tensor_is_an_error_that_names_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
