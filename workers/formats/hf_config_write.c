#include <string.h>

#include "proto/json.h"
#include "workers/formats/hf_config.h"

/* A configuration is written once: what differs between the shapes is a row here. */
static const struct shape_names {
    const char *type, *causal, *classifier;
} llama = { "llama", "LlamaForCausalLM", "LlamaForSequenceClassification" },
  qwen2 = { "qwen2", "Qwen2ForCausalLM", "Qwen2ForSequenceClassification" },
  qwen3 = { "qwen3", "Qwen3ForCausalLM", "Qwen3ForSequenceClassification" },
  gpt2 = { "gpt2", "GPT2LMHeadModel", "GPT2ForSequenceClassification" };

static const struct shape_names *names_of(const ModelConfig *c)
{
    if (c->family == MODEL_CONFIG__FAMILY__GPT2)
        return &gpt2;
    return c->qk_norm ? &qwen3 : c->qkv_bias ? &qwen2 : &llama;
}

static int write_gpt2(struct buf *out, const ModelConfig *c)
{
    return buf_printf(out,
        "  \"n_layer\": %u,\n  \"n_embd\": %u,\n  \"n_head\": %u,\n  \"n_inner\": %u,\n"
        "  \"n_ctx\": %u,\n  \"n_positions\": %u,\n  \"layer_norm_epsilon\": %.9g,\n"
        "  \"activation_function\": \"gelu_new\",\n  \"attn_pdrop\": 0.0,\n  \"embd_pdrop\": 0.0,\n"
        "  \"resid_pdrop\": 0.0,\n",
        c->layers, c->width, c->heads, c->hidden, c->context, c->context, c->norm_eps);
}

/* The members of an object that says how RoPE is scaled. */
static int write_scaling(struct buf *out, const ModelConfig *c)
{
    switch (c->rope_scaling) {
    case MODEL_CONFIG__ROPE_SCALING__LINEAR:
        return buf_printf(out, "\"rope_type\": \"linear\", \"factor\": %.9g", c->rope_factor);
    case MODEL_CONFIG__ROPE_SCALING__LLAMA3:
        return buf_printf(out,
            "\"rope_type\": \"llama3\", \"factor\": %.9g, \"low_freq_factor\": %.9g, "
            "\"high_freq_factor\": %.9g, \"original_max_position_embeddings\": %u",
            c->rope_factor, c->rope_low_freq_factor, c->rope_high_freq_factor,
            c->rope_original_context);
    case MODEL_CONFIG__ROPE_SCALING__NONE:
    case _MODEL_CONFIG__ROPE_SCALING_IS_INT_SIZE:
        break;
    }
    return buf_printf(out, "\"rope_type\": \"default\"");
}

/* rope_theta and rope_scaling: transformers before 5; rope_parameters: since. */
static int write_rope(struct buf *out, const ModelConfig *c)
{
    bool scaled = c->rope_scaling != MODEL_CONFIG__ROPE_SCALING__NONE;
    int rc = buf_printf(
        out, "  \"rope_theta\": %.9g,\n%s", c->rope_theta, scaled ? "  \"rope_scaling\": {" : "");

    if (rc == OK && scaled)
        rc = write_scaling(out, c);
    if (rc == OK)
        rc = buf_printf(out, "%s  \"rope_parameters\": {", scaled ? "},\n" : "");
    if (rc == OK)
        rc = write_scaling(out, c);
    return rc == OK ? buf_printf(out, ", \"rope_theta\": %.9g},\n", c->rope_theta) : rc;
}

static int write_llama(struct buf *out, const ModelConfig *c)
{
    int rc = buf_printf(out,
        "  \"num_hidden_layers\": %u,\n  \"hidden_size\": %u,\n  \"num_attention_heads\": %u,\n"
        "  \"num_key_value_heads\": %u,\n  \"intermediate_size\": %u,\n"
        "  \"max_position_embeddings\": %u,\n  \"rms_norm_eps\": %.9g,\n"
        "  \"hidden_act\": \"silu\",\n  \"attention_dropout\": 0.0,\n",
        c->layers, c->width, c->heads, c->kv_heads, c->hidden, c->context, c->norm_eps);

    if (rc == OK && (c->qk_norm || c->head_dim * c->heads != c->width))
        rc = buf_printf(out, "  \"head_dim\": %u,\n", c->head_dim);
    if (rc == OK && c->qk_norm)
        rc = buf_printf(out, "  \"attention_bias\": false,\n");
    return rc == OK ? write_rope(out, c) : rc;
}

/* A scalar head has no bias there: what is added to each score stands beside it. */
static int write_head(struct buf *out, const struct model *m)
{
    const struct tensor *bias = model_tensor(m, "score.bias");

    if (!bias)
        return OK;
    return buf_printf(out,
        "  \"num_labels\": 1,\n  \"id2label\": {\"0\": \"score\"},\n"
        "  \"label2id\": {\"score\": 0},\n  \"problem_type\": \"regression\",\n"
        "  \"jielong_score_offset\": %.9g,\n",
        ((double)m->params[bias->offset] - m->reward_bias) * m->reward_scale);
}

int hf_config_write(struct buf *out, const struct model *m, const TokenizerModel *t,
    const char *element, struct err *e)
{
    const ModelConfig *c = &m->config;
    const struct shape_names *names = names_of(c);
    uint32_t start = t->has_start ? t->start : t->end_of_text;
    int rc = buf_printf(out, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n",
        c->scalar_head ? names->classifier : names->causal, names->type);

    if (rc == OK)
        rc = names == &gpt2 ? write_gpt2(out, c) : write_llama(out, c);
    if (rc == OK)
        rc = write_head(out, m);
    if (rc == OK)
        rc = buf_printf(out,
            "  \"vocab_size\": %u,\n  \"tie_word_embeddings\": %s,\n  \"bos_token_id\": %u,\n"
            "  \"eos_token_id\": %u,\n  \"pad_token_id\": %u,\n  \"torch_dtype\": \"%s\",\n"
            "  \"dtype\": \"%s\"\n}\n",
            c->vocab_size, c->tied_output ? "true" : "false", start, t->end_of_answer, t->pad,
            element, element);
    return rc == OK ? OK : err_set(e, rc, "no memory for config.json");
}
