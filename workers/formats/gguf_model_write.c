#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/formats/gguf_model.h"
#include "workers/formats/gguf_tokenizer.h"
#include "workers/formats/naming.h"

static enum scheme scheme_of(const ModelConfig *c)
{
    if (c->family == MODEL_CONFIG__FAMILY__GPT2)
        return GGUF_GPT2;
    return c->qk_norm ? GGUF_QWEN3 : c->qkv_bias ? GGUF_QWEN2 : GGUF_LLAMA;
}

static const char *architecture_of(const ModelConfig *c)
{
    static const char *const names[SCHEMES] = {
        [GGUF_LLAMA] = "llama",
        [GGUF_QWEN2] = "qwen2",
        [GGUF_QWEN3] = "qwen3",
        [GGUF_GPT2] = "gpt2",
    };

    return names[scheme_of(c)];
}

/* llama.cpp's enum llama_ftype. */
static uint32_t file_type(enum element type)
{
    static const uint32_t numbers[ELEMENTS] = {
        [ELEMENT_F32] = 0, [ELEMENT_F16] = 1, [ELEMENT_BF16] = 32, [ELEMENT_Q8_0] = 7
    };

    return numbers[type];
}

static void write_count(struct gguf_writer *w, const char *arch, const char *what, uint32_t value)
{
    char key[96];

    snprintf(key, sizeof key, "%s.%s", arch, what);
    gguf_number(w, key, value);
}

static void write_real(struct gguf_writer *w, const char *arch, const char *what, double value)
{
    char key[96];

    snprintf(key, sizeof key, "%s.%s", arch, what);
    gguf_real(w, key, value);
}

static void write_scaling(struct gguf_writer *w, const char *arch, const ModelConfig *c)
{
    char key[96];

    switch (c->rope_scaling) {
    case MODEL_CONFIG__ROPE_SCALING__LINEAR:
        snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
        gguf_text(w, key, "linear");
        write_real(w, arch, "rope.scaling.factor", c->rope_factor);
        break;
    case MODEL_CONFIG__ROPE_SCALING__LLAMA3: /* a tensor says it, and here is how that came about */
        write_count(w, arch, "rope.scaling.original_context_length", c->rope_original_context);
        gguf_real(w, "jielong.rope.factor", c->rope_factor);
        gguf_real(w, "jielong.rope.low_freq_factor", c->rope_low_freq_factor);
        gguf_real(w, "jielong.rope.high_freq_factor", c->rope_high_freq_factor);
        break;
    case MODEL_CONFIG__ROPE_SCALING__NONE:
    case _MODEL_CONFIG__ROPE_SCALING_IS_INT_SIZE:
        break;
    }
}

static void write_config(
    struct gguf_writer *w, const struct model *m, enum element type, const char *name)
{
    const ModelConfig *c = &m->config;
    const char *arch = architecture_of(c);
    bool llama = c->family == MODEL_CONFIG__FAMILY__LLAMA;

    gguf_text(w, "general.architecture", arch);
    gguf_text(w, "general.name", name);
    gguf_number(w, "general.file_type", file_type(type));
    gguf_number(w, "general.quantization_version", 2);
    write_count(w, arch, "vocab_size", c->vocab_size);
    write_count(w, arch, "context_length", c->context);
    write_count(w, arch, "embedding_length", c->width);
    write_count(w, arch, "block_count", c->layers);
    write_count(w, arch, "feed_forward_length", c->hidden);
    write_count(w, arch, "attention.head_count", c->heads);
    write_count(w, arch, "attention.head_count_kv", c->kv_heads);
    write_real(w, arch, llama ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
        c->norm_eps);
    if (llama) {
        write_count(w, arch, "rope.dimension_count", (uint32_t)m->head_size);
        write_real(w, arch, "rope.freq_base", c->rope_theta);
        write_scaling(w, arch, c);
    }
    if (c->qk_norm || c->head_dim * c->heads != c->width) {
        write_count(w, arch, "attention.key_length", c->head_dim);
        write_count(w, arch, "attention.value_length", c->head_dim);
    }
}

static void write_score(struct gguf_writer *w, const struct model *m)
{
    const struct tensor *head = model_tensor(m, "score.weight");
    const struct tensor *bias = model_tensor(m, "score.bias");

    if (!head || !bias)
        return;
    gguf_reals(w, "jielong.score.weight", m->params + head->offset, head->cols);
    gguf_real(w, "jielong.score.bias", (double)m->params[bias->offset]);
    gguf_real(w, "jielong.score.reward_bias", m->reward_bias);
    gguf_real(w, "jielong.score.reward_scale", m->reward_scale);
}

static void declare(struct gguf_writer *w, const struct foreign *f, enum element type)
{
    enum element used = f->vector                            ? ELEMENT_F32
                        : f->cols % element_block(type) != 0 ? ELEMENT_F16
                                                             : type;

    gguf_tensor(w, f->name, used, f->vector ? 0 : f->rows, f->vector ? f->rows : f->cols);
}

/* What Llama 3's scaling divides the frequency of each pair by. */
static void fill_divisors(float *out, const ModelConfig *c)
{
    ModelConfig plain = *c;

    plain.rope_scaling = MODEL_CONFIG__ROPE_SCALING__NONE;
    for (size_t i = 0; i < c->head_dim; i += 2)
        out[i / 2] = (float)(rope_frequency(&plain, i) / rope_frequency(c, i));
}

static int write_tensors(
    struct gguf_writer *w, const struct model *m, enum element type, struct err *e)
{
    enum scheme s = scheme_of(&m->config);
    float *room = malloc(model_largest(&m->config) * sizeof *room);
    struct foreign f;
    size_t at, divisors = m->config.rope_scaling == MODEL_CONFIG__ROPE_SCALING__LLAMA3
                              ? m->head_size / 2
                              : 0;
    int rc = room ? OK : err_set(e, E_NOMEM, "no memory for the tensors");

    if (rc == OK && divisors > 0) {
        gguf_tensor(w, "rope_freqs.weight", ELEMENT_F32, 0, divisors);
        fill_divisors(room, &m->config);
    }
    for (at = 0; rc == OK && naming_next(&f, m, s, &at);)
        declare(w, &f, type);
    if (rc == OK && divisors > 0)
        rc = gguf_put(w, room, divisors, e);
    for (at = 0; rc == OK && naming_next(&f, m, s, &at);) {
        foreign_gather(room, m, &f);
        rc = gguf_put(w, room, f.rows * f.cols, e);
    }
    free(room);
    return rc;
}

int gguf_export(const struct model *m, const TokenizerModel *t, const char *path, enum element type,
    const char *name, struct err *e)
{
    struct gguf_writer *w = NULL;
    int rc;

    if (m->config.rope_scaling == MODEL_CONFIG__ROPE_SCALING__LLAMA3 &&
        scheme_of(&m->config) != GGUF_LLAMA)
        return err_set(e, E_INPUT,
            "Llama 3's RoPE scaling: llama.cpp has it for its architecture llama alone, not for %s",
            architecture_of(&m->config));
    rc = gguf_create(&w, path, e);
    if (rc != OK)
        return rc;
    write_config(w, m, type, name);
    write_score(w, m);
    rc = gguf_tokenizer_write(w, t, m->config.vocab_size, e);
    if (rc == OK)
        rc = write_tensors(w, m, type, e);
    if (rc == OK)
        return gguf_commit(w, e);
    gguf_abort(w);
    return rc;
}
