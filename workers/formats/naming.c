#include "workers/formats/naming.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum part { WHOLE, Q, K, V, A_HEAD, GATE, UP };

/* A row for each of their tensors; "%u" is the layer. A tensor of ours that the model does not have
 * has no counterpart. */
struct row {
    const char *ours, *theirs;
    enum part part;
    bool linear; /* a matrix that Conv1D holds transposed */
};

#define LAYER "layers.%u."

static const struct row gguf_llama[] = {
    { "token_embedding", "token_embd.weight", WHOLE, false },
    { LAYER "attention_norm.weight", "blk.%u.attn_norm.weight", WHOLE, false },
    { LAYER "attention.wqkv", "blk.%u.attn_q.weight", Q, false },
    { LAYER "attention.bqkv", "blk.%u.attn_q.bias", Q, false },
    { LAYER "attention.wqkv", "blk.%u.attn_k.weight", K, false },
    { LAYER "attention.bqkv", "blk.%u.attn_k.bias", K, false },
    { LAYER "attention.wqkv", "blk.%u.attn_v.weight", V, false },
    { LAYER "attention.bqkv", "blk.%u.attn_v.bias", V, false },
    { LAYER "attention.q_norm", "blk.%u.attn_q_norm.weight", A_HEAD, false },
    { LAYER "attention.k_norm", "blk.%u.attn_k_norm.weight", A_HEAD, false },
    { LAYER "attention.wo", "blk.%u.attn_output.weight", WHOLE, false },
    { LAYER "feed_forward_norm.weight", "blk.%u.ffn_norm.weight", WHOLE, false },
    { LAYER "feed_forward.w_up", "blk.%u.ffn_gate.weight", GATE, false },
    { LAYER "feed_forward.w_up", "blk.%u.ffn_up.weight", UP, false },
    { LAYER "feed_forward.w_down", "blk.%u.ffn_down.weight", WHOLE, false },
    { "final_norm.weight", "output_norm.weight", WHOLE, false },
    { "output", "output.weight", WHOLE, false },
    { NULL, NULL, WHOLE, false },
};

static const struct row gguf_gpt2[] = {
    { "token_embedding", "token_embd.weight", WHOLE, false },
    { "position_embedding", "position_embd.weight", WHOLE, false },
    { LAYER "attention_norm.weight", "blk.%u.attn_norm.weight", WHOLE, false },
    { LAYER "attention_norm.bias", "blk.%u.attn_norm.bias", WHOLE, false },
    { LAYER "attention.wqkv", "blk.%u.attn_qkv.weight", WHOLE, false },
    { LAYER "attention.bqkv", "blk.%u.attn_qkv.bias", WHOLE, false },
    { LAYER "attention.wo", "blk.%u.attn_output.weight", WHOLE, false },
    { LAYER "attention.bo", "blk.%u.attn_output.bias", WHOLE, false },
    { LAYER "feed_forward_norm.weight", "blk.%u.ffn_norm.weight", WHOLE, false },
    { LAYER "feed_forward_norm.bias", "blk.%u.ffn_norm.bias", WHOLE, false },
    { LAYER "feed_forward.w_up", "blk.%u.ffn_up.weight", WHOLE, false },
    { LAYER "feed_forward.b_up", "blk.%u.ffn_up.bias", WHOLE, false },
    { LAYER "feed_forward.w_down", "blk.%u.ffn_down.weight", WHOLE, false },
    { LAYER "feed_forward.b_down", "blk.%u.ffn_down.bias", WHOLE, false },
    { "final_norm.weight", "output_norm.weight", WHOLE, false },
    { "final_norm.bias", "output_norm.bias", WHOLE, false },
    { "output", "output.weight", WHOLE, false },
    { NULL, NULL, WHOLE, false },
};

static const struct row hf_llama[] = {
    { "token_embedding", "model.embed_tokens.weight", WHOLE, false },
    { LAYER "attention_norm.weight", "model.layers.%u.input_layernorm.weight", WHOLE, false },
    { LAYER "attention.wqkv", "model.layers.%u.self_attn.q_proj.weight", Q, false },
    { LAYER "attention.bqkv", "model.layers.%u.self_attn.q_proj.bias", Q, false },
    { LAYER "attention.wqkv", "model.layers.%u.self_attn.k_proj.weight", K, false },
    { LAYER "attention.bqkv", "model.layers.%u.self_attn.k_proj.bias", K, false },
    { LAYER "attention.wqkv", "model.layers.%u.self_attn.v_proj.weight", V, false },
    { LAYER "attention.bqkv", "model.layers.%u.self_attn.v_proj.bias", V, false },
    { LAYER "attention.q_norm", "model.layers.%u.self_attn.q_norm.weight", A_HEAD, false },
    { LAYER "attention.k_norm", "model.layers.%u.self_attn.k_norm.weight", A_HEAD, false },
    { LAYER "attention.wo", "model.layers.%u.self_attn.o_proj.weight", WHOLE, false },
    { LAYER "feed_forward_norm.weight", "model.layers.%u.post_attention_layernorm.weight", WHOLE,
        false },
    { LAYER "feed_forward.w_up", "model.layers.%u.mlp.gate_proj.weight", GATE, false },
    { LAYER "feed_forward.w_up", "model.layers.%u.mlp.up_proj.weight", UP, false },
    { LAYER "feed_forward.w_down", "model.layers.%u.mlp.down_proj.weight", WHOLE, false },
    { "final_norm.weight", "model.norm.weight", WHOLE, false },
    { "output", "lm_head.weight", WHOLE, false },
    { NULL, NULL, WHOLE, false },
};

static const struct row hf_gpt2[] = {
    { "token_embedding", "transformer.wte.weight", WHOLE, false },
    { "position_embedding", "transformer.wpe.weight", WHOLE, false },
    { LAYER "attention_norm.weight", "transformer.h.%u.ln_1.weight", WHOLE, false },
    { LAYER "attention_norm.bias", "transformer.h.%u.ln_1.bias", WHOLE, false },
    { LAYER "attention.wqkv", "transformer.h.%u.attn.c_attn.weight", WHOLE, true },
    { LAYER "attention.bqkv", "transformer.h.%u.attn.c_attn.bias", WHOLE, false },
    { LAYER "attention.wo", "transformer.h.%u.attn.c_proj.weight", WHOLE, true },
    { LAYER "attention.bo", "transformer.h.%u.attn.c_proj.bias", WHOLE, false },
    { LAYER "feed_forward_norm.weight", "transformer.h.%u.ln_2.weight", WHOLE, false },
    { LAYER "feed_forward_norm.bias", "transformer.h.%u.ln_2.bias", WHOLE, false },
    { LAYER "feed_forward.w_up", "transformer.h.%u.mlp.c_fc.weight", WHOLE, true },
    { LAYER "feed_forward.b_up", "transformer.h.%u.mlp.c_fc.bias", WHOLE, false },
    { LAYER "feed_forward.w_down", "transformer.h.%u.mlp.c_proj.weight", WHOLE, true },
    { LAYER "feed_forward.b_down", "transformer.h.%u.mlp.c_proj.bias", WHOLE, false },
    { "final_norm.weight", "transformer.ln_f.weight", WHOLE, false },
    { "final_norm.bias", "transformer.ln_f.bias", WHOLE, false },
    { "output", "lm_head.weight", WHOLE, false },
    { NULL, NULL, WHOLE, false },
};

#undef LAYER

static const struct {
    const struct row *rows;
    bool halves;
} schemes[] = {
    [GGUF_LLAMA] = { gguf_llama, false },
    [GGUF_QWEN2] = { gguf_llama, true },
    [GGUF_QWEN3] = { gguf_llama, true },
    [GGUF_GPT2] = { gguf_gpt2, false },
    [HF_LLAMA] = { hf_llama, true },
    [HF_GPT2] = { hf_gpt2, false },
};
_Static_assert(sizeof schemes / sizeof *schemes == SCHEMES, "one row for each");

/* Which rows of ours a part is. q, k, v lie one behind the other, as do gate and up. */
static void set_part(struct foreign *f, const struct model *m, enum part part)
{
    const ModelConfig *c = &m->config;
    const size_t q = (size_t)c->heads * m->head_size, kv = (size_t)c->kv_heads * m->head_size;
    /* a bias is a row of ours: its numbers are cut as rows are */
    const size_t rows = f->vector ? f->ours->cols : f->ours->rows;
    const struct {
        size_t first, rows;
    } places[] = {
        [WHOLE] = { 0, rows },
        [Q] = { 0, q },
        [K] = { q, kv },
        [V] = { q + kv, kv },
        [A_HEAD] = { 0, m->head_size },
        [GATE] = { 0, c->hidden },
        [UP] = { c->hidden, c->hidden },
    };

    assert(places[part].first + places[part].rows <= rows);
    f->first = places[part].first;
    f->rows = places[part].rows;
    f->cols = f->vector ? 1 : f->ours->cols;
}

static const struct tensor *ours_named(const struct model *m, const char *pattern, unsigned layer)
{
    char name[sizeof m->tensors->name];
    const char *mark = strstr(pattern, "%u");

    if (!mark)
        return model_tensor(m, pattern);
    snprintf(name, sizeof name, "%.*s%u%s", (int)(mark - pattern), pattern, layer, mark + 2);
    return model_tensor(m, name);
}

/* Rows before the layers' come once, then those of each layer, then the last ones. */
static const struct row *row_at(const struct row *rows, size_t layers, size_t at, unsigned *layer)
{
    size_t front = 0, in_layer = 0, n = 0;

    while (!strstr(rows[front].ours, "%u"))
        front++;
    while (strstr(rows[front + in_layer].ours, "%u"))
        in_layer++;
    while (rows[n].ours)
        n++;
    *layer = 0;
    if (at < front)
        return &rows[at];
    at -= front;
    if (at < layers * in_layer) {
        *layer = (unsigned)(at / in_layer);
        return &rows[front + at % in_layer];
    }
    at = at - layers * in_layer + front + in_layer;
    return at < n ? &rows[at] : NULL;
}

bool naming_next(struct foreign *out, const struct model *m, enum scheme s, size_t *at)
{
    const struct row *row;
    unsigned layer;

    while ((row = row_at(schemes[s].rows, m->config.layers, (*at)++, &layer)) != NULL) {
        const char *mark = strstr(row->theirs, "%u");
        *out = (struct foreign){ .ours = ours_named(m, row->ours, layer) };
        if (!out->ours)
            continue;
        if (mark)
            snprintf(out->name, sizeof out->name, "%.*s%u%s", (int)(mark - row->theirs),
                row->theirs, layer, mark + 2);
        else
            snprintf(out->name, sizeof out->name, "%s", row->theirs);
        out->vector = out->ours->rows == 1;
        out->transpose = row->linear;
        out->halves =
            schemes[s].halves && (row->part == Q || row->part == K || row->part == A_HEAD);
        out->head = m->head_size;
        set_part(out, m, row->part);
        return true;
    }
    return false;
}

/* Where row i of theirs is in ours. */
static size_t our_row(const struct foreign *f, size_t i)
{
    size_t within, half = f->head / 2;

    if (!f->halves)
        return f->first + i;
    within = i % f->head;
    return f->first + i - within + (within < half ? 2 * within : 2 * (within - half) + 1);
}

static size_t their_place(const struct foreign *f, size_t row, size_t col)
{
    return f->transpose ? col * f->rows + row : row * f->cols + col;
}

void foreign_gather(float *out, const struct model *m, const struct foreign *f)
{
    const float *ours = m->params + f->ours->offset;

    for (size_t i = 0; i < f->rows; i++)
        for (size_t j = 0; j < f->cols; j++)
            out[their_place(f, i, j)] = ours[our_row(f, i) * f->cols + j];
}

void foreign_scatter(struct model *m, const struct foreign *f, const float *in)
{
    float *ours = m->params + f->ours->offset;

    for (size_t i = 0; i < f->rows; i++)
        for (size_t j = 0; j < f->cols; j++)
            ours[our_row(f, i) * f->cols + j] = in[their_place(f, i, j)];
}
