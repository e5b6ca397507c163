#include "workers/model/transformer_int.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- the configuration ---- */

static const struct range {
    const char *name;
    size_t field;
    uint32_t max; /* at least 1 */
} ranges[] = {
    { "layers", offsetof(ModelConfig, layers), 256 },
    { "width", offsetof(ModelConfig, width), 1 << 15 },
    { "heads", offsetof(ModelConfig, heads), 1 << 10 },
    { "kv_heads", offsetof(ModelConfig, kv_heads), 1 << 10 },
    { "hidden", offsetof(ModelConfig, hidden), 1 << 18 },
    { "context", offsetof(ModelConfig, context), 1 << 20 },
    { "vocab_size", offsetof(ModelConfig, vocab_size), 1 << 22 },
    { "rope_original_context", offsetof(ModelConfig, rope_original_context), 1 << 20 },
};

static int check_ranges(const ModelConfig *c, struct err *e)
{
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        uint32_t value;
        memcpy(&value, (const char *)c + ranges[i].field, sizeof value);
        if (value < 1 || value > ranges[i].max)
            return err_set(
                e, E_INPUT, "model.%s: %u is not in 1..%u", ranges[i].name, value, ranges[i].max);
    }
    return OK;
}

static int check_shape(const ModelConfig *c, struct err *e)
{
    if (c->head_dim % 2 != 0 || c->head_dim > c->width)
        return err_set(e, E_INPUT, "model.head_dim: %u is not even, or more than the width %u",
            c->head_dim, c->width);
    if (c->heads % c->kv_heads != 0)
        return err_set(
            e, E_INPUT, "model.kv_heads: %u does not divide the heads %u", c->kv_heads, c->heads);
    if (c->scalar_head && c->value_head)
        return err_set(e, E_INPUT,
            "model.value_head: it stands beside an LM head, of which this "
            "model has none");
    if (c->qk_norm && (c->qkv_bias || !family_of(c)->rotary))
        return err_set(e, E_INPUT, "model.qk_norm: the llama family's, without qkv_bias");
    if (c->lora_rank > c->width)
        return err_set(e, E_INPUT, "lora.rank: %u is more than the width %u of the model",
            c->lora_rank, c->width);
    if (c->lora_rank > 0 && c->lora_targets >> LORA_CONFIG__TARGET__GATE & 1 &&
        family_of(c)->up_factor == 1)
        return err_set(e, E_INPUT, "lora.targets: gate: the model has no gates");
    if (!(c->norm_eps > 0 && c->norm_eps <= 1))
        return err_set(e, E_INPUT, "model.norm_eps: %g is not above 0 and at most 1", c->norm_eps);
    return OK;
}

static int check_rope(const ModelConfig *c, struct err *e)
{
    if (!(c->rope_theta >= 1 && c->rope_theta <= 1e9))
        return err_set(e, E_INPUT, "model.rope_theta: %g is not in 1..1e9", c->rope_theta);
    if (!family_of(c)->rotary && c->rope_scaling != MODEL_CONFIG__ROPE_SCALING__NONE)
        return err_set(e, E_INPUT, "model.rope_scaling: only the llama family has RoPE");
    if ((int)c->rope_scaling < MODEL_CONFIG__ROPE_SCALING__NONE ||
        c->rope_scaling > MODEL_CONFIG__ROPE_SCALING__LLAMA3)
        return err_set(e, E_INPUT, "model.rope_scaling: %d is none", (int)c->rope_scaling);
    if (!(c->rope_factor >= 1 && c->rope_factor <= 1e6))
        return err_set(e, E_INPUT, "model.rope_factor: %g is not in 1..1e6", c->rope_factor);
    if (!(c->rope_low_freq_factor > 0 && c->rope_low_freq_factor < c->rope_high_freq_factor &&
            c->rope_high_freq_factor <= 1e6))
        return err_set(e, E_INPUT,
            "model.rope_low_freq_factor: %g is not above 0 and below rope_high_freq_factor %g",
            c->rope_low_freq_factor, c->rope_high_freq_factor);
    return OK;
}

static int derive_head(ModelConfig *c, struct err *e)
{
    if (c->width % c->heads != 0)
        return err_set(
            e, E_INPUT, "model.heads: %u does not divide the width %u", c->heads, c->width);
    if (c->width / c->heads % 2 != 0)
        return err_set(e, E_INPUT, "model.heads: width %u / heads %u = %u is not even", c->width,
            c->heads, c->width / c->heads);
    c->head_dim = c->width / c->heads;
    return OK;
}

/* Given and derived values pack to the same bytes. */
static void mark_all_given(ModelConfig *c)
{
    const ProtobufCMessageDescriptor *d = &model_config__descriptor;
    const protobuf_c_boolean yes = 1;

    for (unsigned i = 0; i < d->n_fields; i++)
        memcpy((char *)c + d->fields[i].quantifier_offset, &yes, sizeof yes);
    c->has_lora_rank = c->has_lora_alpha = c->has_lora_targets = c->lora_rank > 0;
}

int model_config_check(ModelConfig *c, struct err *e)
{
    ModelConfig r = *c;
    const struct family *f = family_of(c);
    int rc;

    if (f == NULL)
        return err_set(e, E_INPUT, "model.family: %d is none", (int)c->family);
    if (r.kv_heads == 0)
        r.kv_heads = r.heads;
    if (r.hidden == 0 && r.width <= 1 << 15)
        r.hidden = f->default_hidden(r.width);
    rc = check_ranges(&r, e);
    if (rc == OK && r.head_dim == 0)
        rc = derive_head(&r, e);
    if (rc == OK)
        rc = check_shape(&r, e);
    if (rc == OK)
        rc = check_rope(&r, e);
    if (rc != OK)
        return rc;
    mark_all_given(&r);
    r.base = (ProtobufCMessage)PROTOBUF_C_MESSAGE_INIT(&model_config__descriptor);
    *c = r;
    return OK;
}

struct shape shape_of(const ModelConfig *c)
{
    struct shape s = {
        .layers = c->layers,
        .vocab = c->vocab_size,
        .context = c->context,
        .width = c->width,
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .head = c->head_dim,
        .hidden = c->hidden,
        .up = c->hidden * family_of(c)->up_factor,
        .rank = c->lora_rank,
    };

    s.q = s.heads * s.head;
    s.kv = s.kv_heads * s.head;
    s.qkv = s.q + 2 * s.kv;
    s.normed = c->qk_norm ? s.heads + s.kv_heads : 0;
    return s;
}

/* ---- the tensors ---- */

static bool always(const ModelConfig *c)
{
    (void)c;
    return true;
}

static bool with_positions(const ModelConfig *c)
{
    return !family_of(c)->rotary;
}

static bool with_biases(const ModelConfig *c)
{
    return family_of(c)->biases;
}

static bool with_qkv_bias(const ModelConfig *c)
{
    return family_of(c)->biases || c->qkv_bias;
}

static bool with_qk_norm(const ModelConfig *c)
{
    return c->qk_norm;
}

static bool with_output(const ModelConfig *c)
{
    return !c->tied_output && !c->scalar_head;
}

static bool with_score(const ModelConfig *c)
{
    return c->scalar_head || c->value_head;
}

static float ones(const ModelConfig *c)
{
    (void)c;
    return -1;
}

static float zeros(const ModelConfig *c)
{
    (void)c;
    return 0;
}

static float normal(const ModelConfig *c)
{
    (void)c;
    return 0.02F;
}

/* Radford et al. 2019, section 2.3: what adds to the residual stream starts smaller. */
static float residual(const ModelConfig *c)
{
    return (float)(0.02 / sqrt(2.0 * c->layers));
}

static bool with_lora(const ModelConfig *c)
{
    return c->lora_rank > 0;
}

/* PEFT draws A from a uniform distribution of this deviation, 1 / sqrt(3 inputs). */
static float of_width(const ModelConfig *c)
{
    return (float)(1 / sqrt(3.0 * c->width));
}

static float of_attention(const ModelConfig *c)
{
    return (float)(1 / sqrt(3.0 * c->heads * c->head_dim));
}

static float of_hidden(const ModelConfig *c)
{
    return (float)(1 / sqrt(3.0 * c->hidden));
}

/* Stiennon et al. 2020: N(0, 1/(d+1)). */
static float score(const ModelConfig *c)
{
    return (float)(1 / sqrt(c->width + 1.0));
}

static bool never(const ModelConfig *c)
{
    (void)c;
    return false;
}

/* An embedding is decayed where it is a linear layer as well: tied to the output. */
static bool when_tied(const ModelConfig *c)
{
    return c->tied_output;
}

enum scope { FRONT, LAYER, BACK };

#define ONE SIZE_MAX
#define OF(field) offsetof(struct shape, field)

#define ADAPTER(slot, name, rows, cols, init, target)                               \
    [slot##_A] = { LAYER, name ".lora_a", OF(rank), cols, with_lora, init, always,  \
        LORA_CONFIG__TARGET__##target },                                            \
    [slot##_B] = { LAYER, name ".lora_b", rows, OF(rank), with_lora, zeros, always, \
        LORA_CONFIG__TARGET__##target }

/* In the order in which they lie, which is the slots': a score stands behind all else, adapters
 * behind all that is frozen beside them. Rows and columns name a member of struct shape. */
static const struct row {
    enum scope scope;
    const char *name;
    size_t rows, cols;
    bool (*present)(const ModelConfig *c);
    float (*init)(const ModelConfig *c);
    bool (*decay)(const ModelConfig *c);
    LoraConfig__Target target; /* of an adapter; else 0 */
} table[] = {
    [TOKEN_EMBEDDING] = { FRONT, "token_embedding", OF(vocab), OF(width), always, normal, when_tied,
        0 },
    [POSITION_EMBEDDING] = { FRONT, "position_embedding", OF(context), OF(width), with_positions,
        normal, never, 0 },
    [ATTENTION_NORM_W] = { LAYER, "attention_norm.weight", ONE, OF(width), always, ones, never, 0 },
    [ATTENTION_NORM_B] = { LAYER, "attention_norm.bias", ONE, OF(width), with_biases, zeros, never,
        0 },
    [WQKV] = { LAYER, "attention.wqkv", OF(qkv), OF(width), always, normal, always, 0 },
    [BQKV] = { LAYER, "attention.bqkv", ONE, OF(qkv), with_qkv_bias, zeros, never, 0 },
    [Q_NORM_W] = { LAYER, "attention.q_norm", ONE, OF(head), with_qk_norm, ones, never, 0 },
    [K_NORM_W] = { LAYER, "attention.k_norm", ONE, OF(head), with_qk_norm, ones, never, 0 },
    [WO] = { LAYER, "attention.wo", OF(width), OF(q), always, residual, always, 0 },
    [BO] = { LAYER, "attention.bo", ONE, OF(width), with_biases, zeros, never, 0 },
    [FFN_NORM_W] = { LAYER, "feed_forward_norm.weight", ONE, OF(width), always, ones, never, 0 },
    [FFN_NORM_B] = { LAYER, "feed_forward_norm.bias", ONE, OF(width), with_biases, zeros, never,
        0 },
    [W_UP] = { LAYER, "feed_forward.w_up", OF(up), OF(width), always, normal, always, 0 },
    [B_UP] = { LAYER, "feed_forward.b_up", ONE, OF(up), with_biases, zeros, never, 0 },
    [W_DOWN] = { LAYER, "feed_forward.w_down", OF(width), OF(hidden), always, residual, always, 0 },
    [B_DOWN] = { LAYER, "feed_forward.b_down", ONE, OF(width), with_biases, zeros, never, 0 },
    [FINAL_NORM_W] = { BACK, "final_norm.weight", ONE, OF(width), always, ones, never, 0 },
    [FINAL_NORM_B] = { BACK, "final_norm.bias", ONE, OF(width), with_biases, zeros, never, 0 },
    [OUTPUT] = { BACK, "output", OF(vocab), OF(width), with_output, normal, always, 0 },
    ADAPTER(LORA_Q, "attention.q", OF(q), OF(width), of_width, Q),
    ADAPTER(LORA_K, "attention.k", OF(kv), OF(width), of_width, K),
    ADAPTER(LORA_V, "attention.v", OF(kv), OF(width), of_width, V),
    ADAPTER(LORA_O, "attention.o", OF(width), OF(q), of_attention, O),
    ADAPTER(LORA_GATE, "feed_forward.gate", OF(hidden), OF(width), of_width, GATE),
    ADAPTER(LORA_UP, "feed_forward.up", OF(hidden), OF(width), of_width, UP),
    ADAPTER(LORA_DOWN, "feed_forward.down", OF(width), OF(hidden), of_hidden, DOWN),
    [SCORE_W] = { BACK, "score.weight", ONE, OF(width), with_score, score, never, 0 },
    [SCORE_B] = { BACK, "score.bias", ONE, ONE, with_score, zeros, never, 0 },
};
#define ROWS (sizeof table / sizeof *table)
_Static_assert(ROWS == SLOTS, "one row per slot");

static size_t extent(const struct shape *s, size_t field)
{
    size_t value;

    if (field == ONE)
        return 1;
    memcpy(&value, (const char *)s + field, sizeof value);
    return value;
}

size_t model_largest(const ModelConfig *c)
{
    const struct shape s = shape_of(c);
    size_t largest = 0;

    for (size_t i = 0; i < ROWS; i++) {
        size_t n = table[i].present(c) ? extent(&s, table[i].rows) * extent(&s, table[i].cols) : 0;
        largest = n > largest ? n : largest;
    }
    return largest;
}

static void fill(struct tensor *t, const struct row *r, const ModelConfig *c, size_t layer)
{
    int n = r->scope == LAYER ? snprintf(t->name, sizeof t->name, "layers.%zu.%s", layer, r->name)
                              : snprintf(t->name, sizeof t->name, "%s", r->name);

    assert(n > 0 && (size_t)n < sizeof t->name);
    t->decay = r->decay(c);
    t->init = r->init(c);
    t->adapter = r->target != 0;
}

static void place(struct layout *l, struct tensor *tensors, const struct row *r,
    const ModelConfig *c, size_t layer)
{
    const struct shape s = shape_of(c);
    struct tensor t = {
        .offset = l->n_params,
        .rows = extent(&s, r->rows),
        .cols = extent(&s, r->cols),
    };

    if (!r->present(c) || (r->target != 0 && !(c->lora_targets >> r->target & 1)))
        return;
    if (r->target != 0 && l->frozen == 0)
        l->frozen = t.offset;
    if (layer == 0)
        l->offset[r - table] = t.offset;
    else
        l->stride[r - table] = (t.offset - l->offset[r - table]) / layer;
    if (tensors != NULL) {
        fill(&t, r, c, layer);
        tensors[l->n_tensors] = t;
    }
    l->n_tensors++;
    l->n_params += (t.rows * t.cols + 15) / 16 * 16;
}

void layout_make(struct layout *out, struct tensor *tensors, const ModelConfig *c)
{
    memset(out, 0, sizeof *out);
    memset(out->offset, 0xff, sizeof out->offset);
    for (size_t i = 0, end; i < ROWS; i = end) {
        size_t repeats = table[i].scope == LAYER ? c->layers : 1;
        for (end = i; end < ROWS && table[end].scope == table[i].scope; end++)
            ;
        for (size_t layer = 0; layer < repeats; layer++)
            for (size_t j = i; j < end; j++)
                place(out, tensors, &table[j], c, layer);
    }
    assert(out->n_tensors <= TENSORS_MAX);
}

size_t layout_offset(const struct layout *l, enum slot slot, size_t layer)
{
    size_t offset = l->offset[slot];

    if (offset == SIZE_MAX || table[slot].scope != LAYER)
        return offset;
    return offset + layer * l->stride[slot];
}

void layout_weights(
    const float *out[SLOTS], const struct layout *l, const float *params, size_t layer)
{
    for (enum slot slot = 0; slot < SLOTS; slot++) {
        size_t offset = layout_offset(l, slot, layer);
        out[slot] = offset == SIZE_MAX ? NULL : params + offset;
    }
}
