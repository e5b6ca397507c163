#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/json.h"
#include "workers/formats/gguf_model.h"
#include "workers/formats/hf_export.h"
#include "workers/formats/model_import.h"
#include "workers/formats/safetensors.h"
#include "workers/text/template.h"
#include "workers/text/tokenizer.h"

/* A model that goes out as another program's files comes back as it was. */

#define LLAMA MODEL_CONFIG__FAMILY__LLAMA
#define GPT2 MODEL_CONFIG__FAMILY__GPT2

struct shape {
    ModelConfig__Family family;
    bool bias, tied, scalar;
    uint32_t head; /* 0: width / heads */
    bool norms;
    ModelConfig__RopeScaling scaling; /* 0: none */
};

static const struct shape shapes[] = {
    { LLAMA, .tied = true },
    { LLAMA, .tied = false },
    { LLAMA, .bias = true },
    { GPT2, .tied = true },
    { LLAMA, .tied = true, .scalar = true },
    { GPT2, .tied = true, .scalar = true },
    { LLAMA, .tied = true, .head = 12, .norms = true }, /* Qwen3 */
    { LLAMA, .head = 4, .norms = true, .scaling = MODEL_CONFIG__ROPE_SCALING__LINEAR },
    { LLAMA, .head = 16, .scaling = MODEL_CONFIG__ROPE_SCALING__LLAMA3 },
};
#define SHAPES (sizeof shapes / sizeof *shapes)

static TokenizerModel *tokenizer;
static const struct import_options none;

static struct model *make(const struct shape *s)
{
    ModelConfig c = MODEL_CONFIG__INIT;
    struct err e = ERR_INIT;
    struct model *m;

    c.family = s->family;
    c.layers = 2;
    c.width = 32;
    c.heads = 4;
    c.kv_heads = s->family == MODEL_CONFIG__FAMILY__LLAMA ? 2 : 4;
    c.context = 24;
    c.vocab_size = (uint32_t)tokenizer->n_tokens + 5;
    c.qkv_bias = s->bias;
    c.tied_output = s->tied;
    c.scalar_head = s->scalar;
    c.head_dim = s->head;
    c.qk_norm = s->norms;
    if (s->scaling != 0) {
        c.rope_scaling = s->scaling;
        c.rope_factor = 8;
    }
    if (s->scaling == MODEL_CONFIG__ROPE_SCALING__LLAMA3) { /* some waves short, some long */
        c.rope_high_freq_factor = 5;
        c.rope_original_context = 512;
    }
    c.rope_theta = s->family == MODEL_CONFIG__FAMILY__LLAMA ? 5000 : c.rope_theta;
    assert_int_equal(model_new(&m, &c, &e), OK);
    model_init(m, 3);
    for (size_t i = 0; i < m->n_tensors; i++) /* norms and biases, too */
        for (size_t k = 0; k < m->tensors[i].cols; k++)
            m->params[m->tensors[i].offset + k] += (float)(k % 7) / 64;
    return m;
}

/* All files of a folder, taken away. */
struct folder {
    struct named_file files[16];
    size_t n;
};

static void read_folder(struct folder *f, const char *path)
{
    DIR *d = opendir(path);
    struct err e = ERR_INIT;

    assert_non_null(d);
    f->n = 0;
    for (struct dirent *one; (one = readdir(d)) != NULL;) {
        char full[512], *bytes;
        size_t n;
        if (one->d_name[0] == '.')
            continue;
        snprintf(full, sizeof full, "%s/%s", path, one->d_name);
        assert_int_equal(file_read(&bytes, &n, full, 1 << 24, &e), OK);
        f->files[f->n++] = (struct named_file){ strdup(one->d_name), { bytes, n } };
        unlink(full);
    }
    closedir(d);
    rmdir(path);
}

static void free_folder(struct folder *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free((void *)(uintptr_t)f->files[i].name);
        free((void *)(uintptr_t)f->files[i].bytes.p);
    }
}

static void export_to(struct folder *f, const struct model *m, bool gguf, enum element type)
{
    char path[] = "/tmp/jielong-model-XXXXXX", file[64];
    struct err e = ERR_INIT;
    int rc;

    assert_non_null(mkdtemp(path));
    snprintf(file, sizeof file, "%s/m.gguf", path);
    rc = gguf ? gguf_export(m, tokenizer, file, type, "m", &e)
              : hf_export(m, tokenizer, path, type, &e);
    if (rc != OK)
        fail_msg("%s", e.msg);
    read_folder(f, path);
}

static struct imported import_from(const struct folder *f, uint32_t context)
{
    struct imported back = { 0 };
    struct err e = ERR_INIT;
    const char *what;

    if (model_import(
            &back, &what, f->files, f->n, &(struct import_options){ .context = context }, &e) != OK)
        fail_msg("%s", e.msg);
    return back;
}

static void same_config(const ModelConfig *a, const ModelConfig *b)
{
    struct buf x = { 0 }, y = { 0 };

    assert_int_equal(json_message(&x, &a->base, false), OK);
    assert_int_equal(json_message(&y, &b->base, false), OK);
    assert_string_equal(x.p, y.p);
    buf_free(&x);
    buf_free(&y);
}

static void models_come_back_bit_for_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * SHAPES; i++) {
        struct model *m = make(&shapes[i / 2]);
        struct folder f;
        bool gguf = i % 2, scalar = shapes[i / 2].scalar;
        if (scalar && gguf) {
            m->reward_bias = .25;
            m->reward_scale = 2;
        }
        if (scalar && !gguf) /* Hugging Face's head has none */
            m->params[model_tensor(m, "score.bias")->offset] = 0;
        export_to(&f, m, gguf, ELEMENT_F32);
        struct imported back = import_from(&f, 0);
        m->config.norm_eps = (double)(float)m->config.norm_eps; /* float32 in GGUF */
        back.model->config.norm_eps = (double)(float)back.model->config.norm_eps;
        same_config(&m->config, &back.model->config);
        assert_memory_equal(m->params, back.model->params, m->n_params * sizeof *m->params);
        assert_true(back.model->reward_bias == m->reward_bias);
        assert_true(back.model->reward_scale == m->reward_scale);
        imported_free(&back);
        free_folder(&f);
        model_free(m);
    }
}

static void the_tokenizer_comes_back(void **state)
{
    static const char text[] = "The cat's 12 mats,\n  你好 世界! <|end|>";

    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        struct model *m = make(&shapes[0]);
        struct tokenizer *a, *b;
        struct folder f;
        struct ids x = { 0 }, y = { 0 };
        struct err e = ERR_INIT;
        export_to(&f, m, gguf, ELEMENT_F32);
        struct imported back = import_from(&f, 0);
        assert_int_equal(tokenizer_new(&a, tokenizer, &e), OK);
        assert_int_equal(tokenizer_new(&b, back.tokenizer, &e), OK);
        assert_int_equal(tokenizer_encode(a, &x, text, strlen(text), &e), OK);
        assert_int_equal(tokenizer_encode(b, &y, text, strlen(text), &e), OK);
        assert_int_equal(x.n, y.n);
        assert_memory_equal(x.p, y.p, x.n * sizeof *x.p);
        assert_int_equal(back.tokenizer->end_of_text, tokenizer->end_of_text);
        assert_int_equal(back.tokenizer->end_of_answer, tokenizer->end_of_answer);
        assert_int_equal(back.tokenizer->pad, tokenizer->pad);
        assert_int_equal(tokenizer_start(a), tokenizer_start(b));
        tokenizer_free(a);
        tokenizer_free(b);
        ids_free(&x);
        ids_free(&y);
        imported_free(&back);
        free_folder(&f);
        model_free(m);
    }
}

static void short_numbers_are_read_as_they_were_rounded(void **state)
{
    static const struct {
        bool gguf;
        enum element type;
        float most; /* of the difference to numbers of about .1 */
    } cases[] = {
        { true, ELEMENT_F16, 1e-3F },
        { true, ELEMENT_BF16, 4e-3F },
        { true, ELEMENT_Q8_0, 4e-3F },
        { false, ELEMENT_F16, 1e-3F },
        { false, ELEMENT_BF16, 4e-3F },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model *m = make(&shapes[2]);
        struct folder f;
        export_to(&f, m, cases[i].gguf, cases[i].type);
        struct imported back = import_from(&f, 0);
        for (size_t k = 0; k < m->n_params; k++)
            assert_true(m->params[k] - back.model->params[k] < cases[i].most &&
                        back.model->params[k] - m->params[k] < cases[i].most);
        imported_free(&back);
        free_folder(&f);
        model_free(m);
    }
}

static void a_context_is_cut_and_learned_positions_with_it(void **state)
{
    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        struct model *m = make(&shapes[3]);
        struct folder f;
        export_to(&f, m, gguf, ELEMENT_F32);
        struct imported back = import_from(&f, 10);
        const struct tensor *t = model_tensor(m, "position_embedding");
        const struct tensor *u = model_tensor(back.model, "position_embedding");
        assert_int_equal(back.model->config.context, 10);
        assert_int_equal(u->rows, 10);
        assert_memory_equal(m->params + t->offset, back.model->params + u->offset,
            10 * t->cols * sizeof *m->params);
        imported_free(&back);
        free_folder(&f);
        model_free(m);
    }
}

/* The i-th half of a folder's tensors, as a file of its own. */
static struct named_file half_of(const struct named_file *whole, size_t half)
{
    static const char *const names[] = { "model-1.safetensors", "model-2.safetensors" };
    char path[] = "/tmp/jielong-shard-XXXXXX", file[64], *bytes;
    struct safetensors_writer *w;
    struct safetensors *s;
    struct err e = ERR_INIT;
    struct tensor_view v;
    float *room = malloc(whole->bytes.n);
    size_t n;

    assert_non_null(mkdtemp(path));
    snprintf(file, sizeof file, "%s/x", path);
    assert_int_equal(safetensors_open(&s, whole->bytes, &e), OK);
    assert_int_equal(safetensors_create(&w, file, &e), OK);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = half; i < safetensors_count(s); i += 2) {
            assert_true(safetensors_find(s, safetensors_name(s, i), &v));
            if (pass == 0)
                safetensors_tensor(
                    w, safetensors_name(s, i), v.type, v.rows > 1 ? v.rows : 0, v.cols);
            element_read(v.type, room, v.bytes.p, v.rows * v.cols);
            if (pass == 1)
                assert_int_equal(safetensors_put(w, room, v.rows * v.cols, &e), OK);
        }
    assert_int_equal(safetensors_commit(w, &e), OK);
    assert_int_equal(file_read(&bytes, &n, file, 1 << 24, &e), OK);
    unlink(file);
    rmdir(path);
    safetensors_free(s);
    free(room);
    return (struct named_file){ strdup(names[half]), { bytes, n } };
}

static void shards_are_one_model_and_none_may_be_missing(void **state)
{
    static const char index[] = "{\"weight_map\": {\"model.norm.weight\": \"model-1.safetensors\", "
                                "\"lm_head.weight\": \"model-2.safetensors\"}}";
    struct model *m = make(&shapes[1]);
    struct folder f;
    struct err e = ERR_INIT;
    struct imported back;
    const char *what;

    (void)state;
    export_to(&f, m, false, ELEMENT_F32);
    for (size_t i = 0; i < f.n; i++) {
        if (!name_ends(f.files[i].name, ".safetensors"))
            continue;
        struct named_file whole = f.files[i];
        f.files[i] = half_of(&whole, 0);
        f.files[f.n++] = half_of(&whole, 1);
        free((void *)(uintptr_t)whole.name);
        free((void *)(uintptr_t)whole.bytes.p);
        break;
    }
    f.files[f.n++] = (struct named_file){ strdup("model.safetensors.index.json"),
        { strdup(index), strlen(index) } };
    back = import_from(&f, 0);
    assert_memory_equal(m->params, back.model->params, m->n_params * sizeof *m->params);
    imported_free(&back);
    free((void *)(uintptr_t)f.files[f.n - 2].name);
    f.files[f.n - 2].name = strdup("model-3.safetensors");
    assert_int_equal(model_import(&back, &what, f.files, f.n, &none, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "is not there"));
    free_folder(&f);
    model_free(m);
}

/* Puts other words into config.json. */
static void spoil(struct folder *f, const char *from, const char *to)
{
    for (size_t i = 0; i < f->n; i++) {
        struct named_file *file = &f->files[i];
        if (strcmp(file->name, "config.json") != 0)
            continue;
        char *text = (char *)(uintptr_t)file->bytes.p, *at = strstr(text, from);
        assert_non_null(at);
        struct buf b = { 0 };
        assert_int_equal(
            buf_printf(&b, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)), OK);
        free(text);
        file->bytes = (struct span){ b.p, b.n };
    }
}

static void what_would_compute_otherwise_is_refused(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } rows[] = {
        { "\"llama\"", "\"mixtral\"", "model_type" },
        { "\"silu\"", "\"gelu\"", "hidden_act" },
        { "\"rope_parameters\": {\"rope_type\": \"default\"",
            "\"rope_scaling\": {\"rope_type\": \"yarn\"", "in the way 'yarn'" },
        { "\"rope_parameters\": {\"rope_type\": \"default\"",
            "\"rope_scaling\": {\"type\": \"llama3\"", "original_max_position_embeddings" },
        { "\"rope_parameters\": {\"rope_type\": \"default\"",
            "\"rope_scaling\": {\"type\": \"linear\"", "rope_factor" },
        { "\"rope_parameters\": {", "\"partial_rotary_factor\": 0.5, \"rope_parameters\": {",
            "a part of each head" },
        { "\"hidden_act\"", "\"attention_bias\": true, \"hidden_act\"", "biases" },
        { "\"hidden_act\"", "\"head_dim\": 16, \"hidden_act\"", "not 64 x 32" },
        { "\"llama\"", "\"qwen3\"", "q_norm.weight' is missing" },
        { "\"hidden_act\"", "\"use_sliding_window\": true, \"sliding_window\": 8, \"hidden_act\"",
            "slides" },
        { "\"llama\",", "\"mistral\", \"sliding_window\": 8,", "slides" },
        { "\"intermediate_size\": 96", "\"intermediate_size\": 97", "not 97 x 32" },
        { "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "missing" },
        { "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "has no place in such a model" },
        { "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1e30", "whole number" },
        { "\"vocab_size\": ", "\"vocab_size\": 1", "config" },
        { "\"rms_norm_eps\": ", "\"rms_norm_eps\": \"1e-6\", \"x\": ",
            "rms_norm_eps is no number" },
        { "\"rope_parameters\": {", "\"rope_parameters\": {\"factor\": \"2\", ",
            "factor is no number" },
        { "\"hidden_act\"", "\"use_sliding_window\": \"no\", \"hidden_act\"",
            "neither true nor false" },
        { "\"hidden_act\"", "\"quantization_config\": {\"bits\": 4}, \"hidden_act\"",
            "packed in a way" },
    };
    struct err e = ERR_INIT;
    struct imported back;
    const char *what;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model *m = make(&shapes[0]);
        struct folder f;
        export_to(&f, m, false, ELEMENT_F32);
        spoil(&f, rows[i].from, rows[i].to);
        assert_int_equal(model_import(&back, &what, f.files, f.n, &none, &e), E_INPUT);
        if (!strstr(e.msg, rows[i].why))
            fail_msg("'%s' does not say '%s'", e.msg, rows[i].why);
        free_folder(&f);
        model_free(m);
    }
}

/* Turns a file's bytes into others. */
static void replace(struct folder *f, const char *name, const char *text)
{
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->files[i].name, name) != 0)
            continue;
        free((void *)(uintptr_t)f->files[i].bytes.p);
        f->files[i].bytes = (struct span){ strdup(text), strlen(text) };
    }
}

static void a_file_that_is_elsewhere_is_named(void **state)
{
    struct model *m = make(&shapes[0]);
    struct folder f;
    struct err e = ERR_INIT;
    struct imported back;
    const char *what;

    (void)state;
    export_to(&f, m, false, ELEMENT_F32);
    replace(&f, "model.safetensors", "version https://git-lfs.github.com/spec/v1\nsize 12\n");
    assert_int_equal(model_import(&back, &what, f.files, f.n, &none, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "model.safetensors is a pointer of Git LFS"));
    free_folder(&f);
    model_free(m);
}

static void weights_that_are_there_once_more_are_left_alone(void **state)
{
    struct model *m = make(&shapes[0]);
    struct folder f;
    struct imported back;

    (void)state;
    export_to(&f, m, false, ELEMENT_F32);
    f.files[f.n++] = (struct named_file){ strdup("consolidated.safetensors"), { strdup("x"), 1 } };
    back = import_from(&f, 0);
    assert_memory_equal(m->params, back.model->params, m->n_params * sizeof *m->params);
    imported_free(&back);
    free_folder(&f);
    model_free(m);
}

static void a_type_of_numbers_that_is_not_read_is_told(void **state)
{
    static const char half[] = "\"dtype\":\"F32\"", quarter[] = "\"dtype\":\"I32\"";
    struct model *m = make(&shapes[0]);
    struct folder f;
    struct err e = ERR_INIT;
    struct imported back;
    const char *what;

    (void)state;
    export_to(&f, m, false, ELEMENT_F32);
    for (size_t i = 0; i < f.n; i++) {
        if (!name_ends(f.files[i].name, ".safetensors"))
            continue;
        char *at = memmem(f.files[i].bytes.p, f.files[i].bytes.n, half, sizeof half - 1);
        assert_non_null(at);
        memcpy(at, quarter, sizeof quarter - 1);
    }
    assert_int_equal(model_import(&back, &what, f.files, f.n, &none, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "has numbers of a type"));
    free_folder(&f);
    model_free(m);
}

static void numbers_that_are_none_are_refused(void **state)
{
    struct err e = ERR_INIT;
    struct imported back;
    const char *what;

    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        struct model *m = make(&shapes[0]);
        struct folder f;
        m->params[m->tensors[0].offset + 7] = NAN;
        export_to(&f, m, gguf, ELEMENT_F32);
        assert_int_equal(model_import(&back, &what, f.files, f.n, &none, &e), E_INPUT);
        assert_non_null(strstr(e.msg, ": number 8 of "));
        assert_non_null(strstr(e.msg, " is not finite"));
        free_folder(&f);
        model_free(m);
    }
}

/* PyTorch's own files are programs: they are not read, and not taken for something else. */
static void a_pickle_is_no_model(void **state)
{
    const struct named_file files[] = { { "config.json", { "{}", 2 } },
        { "pytorch_model.bin", { "PK", 2 } } };
    struct err e = ERR_INIT;
    struct imported back;
    const char *what;

    (void)state;
    assert_int_equal(model_import(&back, &what, files, 2, &none, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "save it as safetensors"));
}

static int admit_nothing(void *ctx, const ModelConfig *c, struct err *e)
{
    *(size_t *)ctx = model_floats(c);
    return err_set(e, E_TOO_LARGE, "there is no room");
}

static void a_model_that_has_no_room_is_not_begun(void **state)
{
    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        struct model *m = make(&shapes[0]);
        size_t asked = 0;
        const struct import_options o = { .admit = admit_nothing, .ctx = &asked };
        struct folder f;
        struct imported back;
        struct err e = ERR_INIT;
        const char *what;
        export_to(&f, m, gguf, ELEMENT_F32);
        assert_int_equal(model_import(&back, &what, f.files, f.n, &o, &e), E_TOO_LARGE);
        assert_int_equal(asked, m->n_params);
        free_folder(&f);
        model_free(m);
    }
}

static int set_up(void **state)
{
    static const char text[] = "The cat sat on the mat. The dogs' mats: 世界 你好 世界 你好.";
    struct tokenizer_trainer *t;
    struct err e = ERR_INIT;

    (void)state;
    if (tokenizer_trainer_new(&t, "gpt-2", 1, &e) != OK ||
        tokenizer_trainer_add(t, text, strlen(text), &e) != OK)
        return -1;
    return tokenizer_trainer_finish(t, &tokenizer, 280, "plain", &e);
}

static int tear_down(void **state)
{
    (void)state;
    message_free(tokenizer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_come_back_bit_for_bit),
        cmocka_unit_test(the_tokenizer_comes_back),
        cmocka_unit_test(short_numbers_are_read_as_they_were_rounded),
        cmocka_unit_test(a_context_is_cut_and_learned_positions_with_it),
        cmocka_unit_test(shards_are_one_model_and_none_may_be_missing),
        cmocka_unit_test(what_would_compute_otherwise_is_refused),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(a_file_that_is_elsewhere_is_named),
        cmocka_unit_test(weights_that_are_there_once_more_are_left_alone),
        cmocka_unit_test(a_type_of_numbers_that_is_not_read_is_told),
        cmocka_unit_test(a_pickle_is_no_model),
        cmocka_unit_test(a_model_that_has_no_room_is_not_begun),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
