#include <string.h>

#include "proto/json.h"
#include "workers/formats/hf_config.h"

/* A configuration is written once: what differs between the three shapes is a row here. */
static const struct shape_names {
    const char *type, *causal, *classifier;
} llama = { "llama", "LlamaForCausalLM", "LlamaForSequenceClassification" },
  qwen2 = { "qwen2", "Qwen2ForCausalLM", "Qwen2ForSequenceClassification" },
  gpt2 = { "gpt2", "GPT2LMHeadModel", "GPT2ForSequenceClassification" };

static const struct shape_names *names_of(const ModelConfig *c)
{
    if (c->family == MODEL_CONFIG__FAMILY__GPT2)
        return &gpt2;
    return c->qkv_bias ? &qwen2 : &llama;
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

/* rope_theta: transformers before 5; rope_parameters: since. */
static int write_llama(struct buf *out, const ModelConfig *c)
{
    return buf_printf(out,
        "  \"num_hidden_layers\": %u,\n  \"hidden_size\": %u,\n  \"num_attention_heads\": %u,\n"
        "  \"num_key_value_heads\": %u,\n  \"intermediate_size\": %u,\n"
        "  \"max_position_embeddings\": %u,\n  \"rms_norm_eps\": %.9g,\n  \"rope_theta\": %.9g,\n"
        "  \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": %.9g},\n"
        "  \"hidden_act\": \"silu\",\n  \"attention_dropout\": 0.0,\n",
        c->layers, c->width, c->heads, c->kv_heads, c->hidden, c->context, c->norm_eps,
        c->rope_theta, c->rope_theta);
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
