#include <string.h>

#include "proto/json.h"
#include "workers/formats/hf_config.h"

struct reading {
    const struct json *root;
    struct err *e;
};

static const struct json *member(const struct json *v, const char *key)
{
    const struct json *found = v ? json_get(v, key) : NULL;

    return found && json_kind(found) != JSON_NULL_ ? found : NULL;
}

static bool is_text(const struct json *v, const char *text)
{
    size_t n;
    const char *p = v ? json_text(v, &n) : NULL;

    return p && n == strlen(text) && memcmp(p, text, n) == 0;
}

/* otherwise: what it is when it is not there; 0: it must be. */
static int count(const struct reading *r, const char *key, uint32_t otherwise, uint32_t *out)
{
    const struct json *v = member(r->root, key);
    double d = v ? json_number(v, -1) : otherwise;

    if (!(d >= 1 && d <= 1 << 22) || d != (double)(uint32_t)d)
        return err_set(r->e, E_INPUT, "%s is no whole number from 1 to %d", key, 1 << 22);
    *out = (uint32_t)d;
    return OK;
}

static double real(const struct json *object, const char *key, double otherwise)
{
    const struct json *v = member(object, key);

    return v ? json_number(v, otherwise) : otherwise;
}

static bool flag(const struct reading *r, const char *key, bool otherwise)
{
    const struct json *v = member(r->root, key);

    return v ? json_bool(v, otherwise) : otherwise;
}

/* ---- gpt2 ---- */

static int read_gpt2(const struct reading *r, ModelConfig *c)
{
    const struct json *activation = member(r->root, "activation_function");
    int rc = count(r, "n_layer", 12, &c->layers);

    if (rc == OK)
        rc = count(r, "n_embd", 768, &c->width);
    if (rc == OK)
        rc = count(r, "n_head", 12, &c->heads);
    if (rc == OK)
        rc = count(r, "n_positions", 1024, &c->context);
    if (rc == OK)
        rc = count(r, "n_inner", 4 * c->width, &c->hidden);
    if (rc == OK && activation && !is_text(activation, "gelu_new") &&
        !is_text(activation, "gelu_pytorch_tanh"))
        rc = err_set(r->e, E_INPUT, "activation_function is not gelu_new");
    if (rc == OK &&
        (flag(r, "scale_attn_by_inverse_layer_idx", false) || !flag(r, "scale_attn_weights", true)))
        rc = err_set(r->e, E_INPUT, "attention is scaled in a way that is not known here");
    c->kv_heads = c->heads;
    c->norm_eps = real(r->root, "layer_norm_epsilon", 1e-5);
    return rc;
}

/* ---- llama, mistral, qwen2, qwen3 ---- */

static int read_scaling(const struct reading *r, const struct json *scaling, ModelConfig *c)
{
    const struct json *type = member(scaling, "rope_type");
    double original = real(scaling, "original_max_position_embeddings",
        real(r->root, "original_max_position_embeddings", 0));
    size_t n = 0;
    const char *word;

    type = type ? type : member(scaling, "type");
    word = type ? json_text(type, &n) : NULL;
    if (is_text(type, "default"))
        return OK;
    if (!is_text(type, "linear") && !is_text(type, "llama3"))
        return err_set(r->e, E_INPUT,
            "RoPE is scaled in the way '%.*s': linear and llama3 are known here",
            (int)(n < 32 ? n : 32), word ? word : "");
    c->rope_factor = real(scaling, "factor", 0);
    c->rope_scaling = MODEL_CONFIG__ROPE_SCALING__LINEAR;
    if (is_text(type, "linear"))
        return OK;
    if (!(original >= 1 && original <= 1 << 20))
        return err_set(
            r->e, E_INPUT, "RoPE's original_max_position_embeddings is missing or wrong");
    c->rope_scaling = MODEL_CONFIG__ROPE_SCALING__LLAMA3;
    c->rope_low_freq_factor = real(scaling, "low_freq_factor", 0);
    c->rope_high_freq_factor = real(scaling, "high_freq_factor", 0);
    c->rope_original_context = (uint32_t)original;
    return OK;
}

/* rope_theta and rope_scaling: transformers before 5; rope_parameters: since. */
static int read_rope(const struct reading *r, ModelConfig *c)
{
    const struct json *parameters = member(r->root, "rope_parameters");
    const struct json *scaling = member(r->root, "rope_scaling");

    if (parameters && !member(parameters, "rope_theta") && !member(r->root, "rope_theta"))
        return err_set(r->e, E_INPUT, "rope_parameters has no rope_theta");
    if (real(r->root, "partial_rotary_factor", real(parameters, "partial_rotary_factor", 1)) != 1)
        return err_set(r->e, E_INPUT, "RoPE turns a part of each head: that is not known here");
    c->rope_theta = real(r->root, "rope_theta", real(parameters, "rope_theta", 10000));
    if (scaling)
        return read_scaling(r, scaling, c);
    return member(parameters, "rope_type") ? read_scaling(r, parameters, c) : OK;
}

static int check_llama(const struct reading *r, const ModelConfig *c, bool slides_unless_said)
{
    const struct json *activation = member(r->root, "hidden_act");
    double window = real(r->root, "sliding_window", 0);
    bool slides = flag(r, "use_sliding_window", slides_unless_said);

    if (activation && !is_text(activation, "silu"))
        return err_set(r->e, E_INPUT, "hidden_act is not silu");
    if (flag(r, "attention_bias", false) || flag(r, "mlp_bias", false))
        return err_set(r->e, E_INPUT, "biases that are not known here");
    if (slides && window > 0 && window < c->context)
        return err_set(r->e, E_INPUT,
            "attention slides over %g tokens: import it with a context of at most so many", window);
    return OK;
}

static int read_llama(const struct reading *r, ModelConfig *c, uint32_t context)
{
    int rc = count(r, "num_hidden_layers", 0, &c->layers);

    if (rc == OK)
        rc = count(r, "hidden_size", 0, &c->width);
    if (rc == OK)
        rc = count(r, "num_attention_heads", 0, &c->heads);
    if (rc == OK)
        rc = count(r, "num_key_value_heads", c->heads, &c->kv_heads);
    if (rc == OK)
        rc = count(r, "intermediate_size", 0, &c->hidden);
    if (rc == OK)
        rc = count(r, "max_position_embeddings", 2048, &c->context);
    if (rc == OK && member(r->root, "head_dim"))
        rc = count(r, "head_dim", 0, &c->head_dim);
    if (rc == OK && context > 0 && c->context > context)
        c->context = context;
    c->norm_eps = real(r->root, "rms_norm_eps", 1e-6);
    return rc == OK ? read_rope(r, c) : rc;
}

static const struct {
    const char *type;
    bool llama, qkv_bias, qk_norm;
    bool tied, slides; /* unless it says */
} types[] = {
    { "gpt2", .tied = true },
    { "llama", .llama = true },
    { "mistral", .llama = true, .slides = true },
    { "qwen2", .llama = true, .qkv_bias = true },
    { "qwen3", .llama = true, .qk_norm = true },
};
#define TYPES (sizeof types / sizeof *types)

static bool has_scalar_head(const struct json *root)
{
    const struct json *list = member(root, "architectures");
    const struct json *name = list ? json_at(list, 0) : NULL;
    size_t n = 0;
    const char *p = name ? json_text(name, &n) : NULL;
    static const char ending[] = "ForSequenceClassification";

    return p && n > sizeof ending - 1 &&
           memcmp(p + n - (sizeof ending - 1), ending, sizeof ending - 1) == 0;
}

/* A number in quotes would else count as none. */
static int check_kinds(const struct reading *r, const struct json *object)
{
    static const struct {
        const char *key;
        enum json_type type;
    } kinds[] = {
        { "rms_norm_eps", JSON_NUMBER_ },
        { "layer_norm_epsilon", JSON_NUMBER_ },
        { "rope_theta", JSON_NUMBER_ },
        { "partial_rotary_factor", JSON_NUMBER_ },
        { "sliding_window", JSON_NUMBER_ },
        { "original_max_position_embeddings", JSON_NUMBER_ },
        { "factor", JSON_NUMBER_ },
        { "low_freq_factor", JSON_NUMBER_ },
        { "high_freq_factor", JSON_NUMBER_ },
        { "tie_word_embeddings", JSON_BOOL_ },
        { "use_sliding_window", JSON_BOOL_ },
        { "attention_bias", JSON_BOOL_ },
        { "mlp_bias", JSON_BOOL_ },
        { "scale_attn_weights", JSON_BOOL_ },
        { "scale_attn_by_inverse_layer_idx", JSON_BOOL_ },
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct json *v = member(object, kinds[i].key);
        if (v && json_kind(v) != kinds[i].type)
            return err_set(r->e, E_INPUT, "%s is %s", kinds[i].key,
                kinds[i].type == JSON_BOOL_ ? "neither true nor false" : "no number");
    }
    return OK;
}

static int check_all_kinds(const struct reading *r)
{
    int rc = check_kinds(r, r->root);

    if (rc == OK)
        rc = check_kinds(r, member(r->root, "rope_scaling"));
    if (rc == OK)
        rc = check_kinds(r, member(r->root, "rope_parameters"));
    if (rc == OK && member(r->root, "quantization_config"))
        rc = err_set(r->e, E_INPUT,
            "quantization_config: its numbers are packed in a way that is not read here: give it "
            "as float32, float16 or bfloat16");
    return rc;
}

static int read_root(ModelConfig *c, enum scheme *scheme, const struct reading *r, uint32_t context)
{
    size_t i = 0;
    int rc;

    while (i < TYPES && !is_text(member(r->root, "model_type"), types[i].type))
        i++;
    if (i == TYPES)
        return err_set(
            r->e, E_INPUT, "model_type is none of gpt2, llama, mistral, qwen2 and qwen3");
    *scheme = types[i].llama ? HF_LLAMA : HF_GPT2;
    c->family = types[i].llama ? MODEL_CONFIG__FAMILY__LLAMA : MODEL_CONFIG__FAMILY__GPT2;
    c->qkv_bias = types[i].qkv_bias;
    c->qk_norm = types[i].qk_norm;
    c->scalar_head = has_scalar_head(r->root);
    c->tied_output = flag(r, "tie_word_embeddings", types[i].tied);
    rc = check_all_kinds(r);
    if (rc == OK)
        rc = count(r, "vocab_size", 0, &c->vocab_size);
    if (rc == OK)
        rc = types[i].llama ? read_llama(r, c, context) : read_gpt2(r, c);
    return rc == OK && types[i].llama ? check_llama(r, c, types[i].slides) : rc;
}

int hf_config_read(
    ModelConfig *out, enum scheme *scheme, struct span json, uint32_t context, struct err *e)
{
    struct json *root = NULL;
    ModelConfig c = MODEL_CONFIG__INIT;
    int rc = json_parse(&root, json.p, json.n, e);

    if (rc == OK) {
        const struct reading r = { root, e };
        rc = read_root(&c, scheme, &r, context);
    }
    if (root)
        json_free(root);
    if (rc == OK)
        *out = c;
    return rc;
}
