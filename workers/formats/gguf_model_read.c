#include <math.h>
#include <stdio.h>
#include <string.h>

#include "workers/formats/chat_text.h"
#include "workers/formats/model_import.h"
#include "workers/formats/tensor_source.h"
#include "workers/formats/tokenizer_file.h"

static bool find_tensor(const void *file, const char *name, struct tensor_view *out)
{
    const struct gguf_info *t = gguf_tensor_named(file, name);

    if (!t)
        return false;
    *out = (struct tensor_view){ t->type, t->rows, t->cols, t->bytes };
    return true;
}

static const struct {
    const char *architecture;
    enum scheme scheme;
    ModelConfig__Family family;
    bool qkv_bias, qk_norm;
} architectures[] = {
    { "llama", GGUF_LLAMA, MODEL_CONFIG__FAMILY__LLAMA, false, false },
    { "qwen2", GGUF_QWEN2, MODEL_CONFIG__FAMILY__LLAMA, true, false },
    { "qwen3", GGUF_QWEN3, MODEL_CONFIG__FAMILY__LLAMA, false, true },
    { "gpt2", GGUF_GPT2, MODEL_CONFIG__FAMILY__GPT2, false, false },
};
#define ARCHITECTURES (sizeof architectures / sizeof *architectures)

/* A file at work: the keys of its architecture begin with the architecture's name. */
struct reading {
    const struct gguf *g;
    size_t row; /* of architectures */
    struct err *e;
};

static const char *key_of(char out[96], const struct reading *r, const char *what)
{
    snprintf(out, 96, "%s.%s", architectures[r->row].architecture, what);
    return out;
}

static int count(const struct reading *r, const char *what, uint32_t *out)
{
    char key[96];
    int64_t v = 0;
    int rc = gguf_get_number(r->g, key_of(key, r, what), 1, 1 << 22, &v, r->e);

    *out = (uint32_t)v;
    return rc;
}

static int real(const struct reading *r, const char *what, double *out)
{
    char key[96];

    return gguf_get_real(r->g, key_of(key, r, what), out, r->e);
}

static bool has(const struct reading *r, const char *what)
{
    char key[96];

    return gguf_find(r->g, key_of(key, r, what)) != NULL;
}

/* ---- scaled RoPE ---- */

static bool is_word(struct span s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.p, word, s.n) == 0;
}

static int read_scaling(const struct reading *r, ModelConfig *c)
{
    struct err none = ERR_INIT;
    struct span type;
    char key[96];
    double more = 1;

    if (gguf_get_text(r->g, key_of(key, r, "rope.scaling.type"), &type, &none) != OK ||
        is_word(type, "none"))
        return OK;
    if (!is_word(type, "linear"))
        return err_set(r->e, E_INPUT, "RoPE is scaled in the way '%.*s': linear is known here",
            (int)(type.n < 32 ? type.n : 32), (const char *)type.p);
    if (has(r, "rope.scaling.attn_factor") &&
        (real(r, "rope.scaling.attn_factor", &more) != OK || more != 1))
        return err_set(
            r->e, E_INPUT, "the key '%s' is not 1", key_of(key, r, "rope.scaling.attn_factor"));
    c->rope_scaling = MODEL_CONFIG__ROPE_SCALING__LINEAR;
    return real(r, "rope.scaling.factor", &c->rope_factor);
}

static float divisor_at(const struct gguf_info *t, size_t i)
{
    float v;

    memcpy(&v, (const char *)t->bytes.p + i * sizeof v, sizeof v);
    return v;
}

static int check_divisors(const ModelConfig *c, const struct gguf_info *t, struct err *e)
{
    ModelConfig scaled = *c, plain;
    bool same;
    int rc = model_config_check(&scaled, e);

    if (rc != OK)
        return rc;
    plain = scaled;
    plain.rope_scaling = MODEL_CONFIG__ROPE_SCALING__NONE;
    same = t->cols == scaled.head_dim / 2;
    for (size_t i = 0; same && i < t->cols; i++) {
        double expected = rope_frequency(&plain, 2 * i) / rope_frequency(&scaled, 2 * i);
        same = fabs((double)divisor_at(t, i) / expected - 1) < 1e-4;
    }
    return same ? OK
                : err_set(e, E_INPUT,
                      "tensor 'rope_freqs.weight' scales RoPE in a way that is not known here");
}

/* For Llama 3's scaling a file has a tensor of what each pair's frequency is divided by, and not
 * how that came about: the one way is tried in which all models known have it, or what our own
 * files say. E_INPUT where that does not give the same numbers. */
static int read_divisors(const struct reading *r, ModelConfig *c)
{
    const struct gguf_info *t = gguf_tensor_named(r->g, "rope_freqs.weight");
    const struct {
        const char *key;
        double *field;
    } said[] = {
        { "jielong.rope.factor", &c->rope_factor },
        { "jielong.rope.low_freq_factor", &c->rope_low_freq_factor },
        { "jielong.rope.high_freq_factor", &c->rope_high_freq_factor },
    };
    int rc = OK;

    if (t == NULL)
        return OK;
    if (c->rope_scaling != MODEL_CONFIG__ROPE_SCALING__NONE || t->type != ELEMENT_F32 ||
        t->rows != 1 || t->cols == 0)
        return err_set(r->e, E_INPUT, "tensor 'rope_freqs.weight' is none that is known here");
    c->rope_scaling = MODEL_CONFIG__ROPE_SCALING__LLAMA3;
    c->rope_factor = (double)divisor_at(t, t->cols - 1);
    for (size_t i = 0; rc == OK && i < sizeof said / sizeof *said; i++)
        if (gguf_find(r->g, said[i].key))
            rc = gguf_get_real(r->g, said[i].key, said[i].field, r->e);
    if (rc == OK && has(r, "rope.scaling.original_context_length"))
        rc = count(r, "rope.scaling.original_context_length", &c->rope_original_context);
    return rc == OK ? check_divisors(c, t, r->e) : rc;
}

/* What would make other numbers than ours, were it passed over. */
static int check_known(const struct reading *r, uint32_t head_size)
{
    static const char *const sizes[] = { "rope.dimension_count", "attention.key_length",
        "attention.value_length" };
    char key[96];
    uint32_t size;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (has(r, sizes[i]) && (count(r, sizes[i], &size) != OK || size != head_size))
            return err_set(r->e, E_INPUT, "the key '%s' is not %u, as others say",
                key_of(key, r, sizes[i]), head_size);
    if (has(r, "expert_count"))
        return err_set(r->e, E_INPUT, "a mixture of experts");
    return OK;
}

static int read_counts(const struct reading *r, ModelConfig *c)
{
    const struct gguf_info *embedding = gguf_tensor_named(r->g, "token_embd.weight");
    const struct {
        const char *key;
        uint32_t *field;
    } counts[] = {
        { "block_count", &c->layers },
        { "embedding_length", &c->width },
        { "attention.head_count", &c->heads },
        { "feed_forward_length", &c->hidden },
        { "context_length", &c->context },
    };
    int rc = OK;

    for (size_t i = 0; rc == OK && i < sizeof counts / sizeof *counts; i++)
        rc = count(r, counts[i].key, counts[i].field);
    c->kv_heads = c->heads;
    if (rc == OK && has(r, "attention.head_count_kv"))
        rc = count(r, "attention.head_count_kv", &c->kv_heads);
    if (rc == OK && !embedding)
        rc = err_set(r->e, E_INPUT, "tensor 'token_embd.weight' is missing");
    if (rc == OK)
        c->vocab_size = (uint32_t)embedding->rows;
    return rc;
}

static int read_config(const struct reading *r, ModelConfig *c)
{
    bool llama = architectures[r->row].family == MODEL_CONFIG__FAMILY__LLAMA;
    int rc;

    c->family = architectures[r->row].family;
    c->qkv_bias = architectures[r->row].qkv_bias;
    c->qk_norm = architectures[r->row].qk_norm;
    c->tied_output = gguf_tensor_named(r->g, "output.weight") == NULL;
    c->scalar_head = gguf_find(r->g, "jielong.score.weight") != NULL;
    rc = read_counts(r, c);
    if (rc == OK)
        rc = real(r, llama ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
            &c->norm_eps);
    if (rc == OK && llama && has(r, "rope.freq_base"))
        rc = real(r, "rope.freq_base", &c->rope_theta);
    if (rc == OK && has(r, "attention.key_length"))
        rc = count(r, "attention.key_length", &c->head_dim);
    if (rc == OK)
        rc = check_known(r, c->head_dim > 0 ? c->head_dim : c->width / c->heads);
    if (rc == OK && llama)
        rc = read_scaling(r, c);
    return rc == OK && llama ? read_divisors(r, c) : rc;
}

static int read_score(struct model *m, const struct gguf *g, struct err *e)
{
    const struct gguf_value *head = gguf_find(g, "jielong.score.weight");
    const struct tensor *w = model_tensor(m, "score.weight"), *b = model_tensor(m, "score.bias");
    double bias = 0;
    int rc;

    if (!w)
        return OK;
    if (!head->array || head->type != GGUF_F32 || head->n != w->cols)
        return err_set(e, E_INPUT, "the key 'jielong.score.weight' is no list of %zu", w->cols);
    for (size_t i = 0; i < w->cols; i++)
        m->params[w->offset + i] = (float)gguf_at(head, i);
    rc = gguf_get_real(g, "jielong.score.bias", &bias, e);
    m->params[b->offset] = (float)bias;
    if (rc == OK)
        rc = gguf_get_real(g, "jielong.score.reward_bias", &m->reward_bias, e);
    return rc == OK ? gguf_get_real(g, "jielong.score.reward_scale", &m->reward_scale, e) : rc;
}

static int find_architecture(struct reading *r)
{
    struct span name;
    int rc = gguf_get_text(r->g, "general.architecture", &name, r->e);

    if (rc != OK)
        return rc;
    for (r->row = 0; r->row < ARCHITECTURES; r->row++) {
        const char *known = architectures[r->row].architecture;
        if (strlen(known) == name.n && memcmp(known, name.p, name.n) == 0)
            return OK;
    }
    return err_set(r->e, E_INPUT,
        "the architecture '%.*s'; llama, qwen2, qwen3 and gpt2 can be read",
        (int)(name.n < 32 ? name.n : 32), (const char *)name.p);
}

static int read_chat(struct imported *out, const struct gguf *g, struct err *e)
{
    struct span jinja;
    struct err none = ERR_INIT;

    out->own_template = gguf_get_text(g, "tokenizer.chat_template", &jinja, &none) == OK;
    return out->own_template ? chat_adopt(out->tokenizer, jinja, e) : OK;
}

static struct span name_at(const void *file, size_t i)
{
    const struct gguf *g = file;

    return i < gguf_tensors(g) ? gguf_tensor_at(g, i)->name : (struct span){ NULL, 0 };
}

static int read_file(struct imported *out, const struct named_file *file, const struct gguf *g,
    const struct import_options *o, struct err *e)
{
    const struct tensor_source source = { g, find_tensor, name_at };
    struct reading r = { g, 0, e };
    ModelConfig c = MODEL_CONFIG__INIT;
    int rc = find_architecture(&r);

    if (rc == OK)
        rc = read_config(&r, &c);
    if (rc == OK) {
        context_cut(&c, o->context);
        rc = model_new_of(&out->model, &c, file->bytes.n, o, e);
    }
    if (rc == OK)
        rc = model_fill(out->model, architectures[r.row].scheme, &source, e);
    if (rc == OK)
        rc = read_score(out->model, g, e);
    if (rc == OK)
        rc = tokenizer_from_gguf(&out->tokenizer, g, e);
    return rc == OK ? read_chat(out, g, e) : rc;
}

static int only_file(
    const struct named_file **out, const struct named_file *files, size_t n, struct err *e)
{
    *out = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!name_ends(files[i].name, ".gguf"))
            continue;
        if (*out)
            return err_set(e, E_INPUT, "more than one .gguf file");
        *out = &files[i];
    }
    return OK;
}

int gguf_import(struct imported *out, const struct named_file *files, size_t n,
    const struct import_options *o, struct err *e)
{
    const struct named_file *file;
    struct gguf *g = NULL;
    int rc = only_file(&file, files, n, e);

    if (rc != OK)
        return rc;
    rc = gguf_open(&g, file->bytes, e);
    if (rc == OK)
        rc = read_file(out, file, g, o, e);
    gguf_free(g);
    return rc == OK ? OK : err_wrap(e, "%s", file->name);
}

int gguf_tokenizer_import(
    struct imported *out, const struct named_file *files, size_t n, struct err *e)
{
    const struct named_file *file;
    struct gguf *g = NULL;
    int rc = only_file(&file, files, n, e);

    if (rc != OK)
        return rc;
    rc = gguf_open(&g, file->bytes, e);
    if (rc == OK)
        rc = tokenizer_from_gguf(&out->tokenizer, g, e);
    if (rc == OK)
        rc = read_chat(out, g, e);
    gguf_free(g);
    return rc == OK ? OK : err_wrap(e, "%s", file->name);
}
