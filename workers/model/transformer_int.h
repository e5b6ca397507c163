#ifndef WORKERS_MODEL_TRANSFORMER_INT_H
#define WORKERS_MODEL_TRANSFORMER_INT_H

#include "workers/math/blas.h"
#include "workers/model/transformer.h"

/* What the files of this folder share: the layout of the weights, what differs between the
 * families, and the activations. */

/* ---- layout.c: which tensors a configuration has, and where ---- */

enum slot {
    TOKEN_EMBEDDING,
    POSITION_EMBEDDING,
    ATTENTION_NORM_W,
    ATTENTION_NORM_B,
    WQKV,
    BQKV,
    Q_NORM_W,
    K_NORM_W,
    WO,
    BO,
    FFN_NORM_W,
    FFN_NORM_B,
    W_UP,
    B_UP,
    W_DOWN,
    B_DOWN,
    FINAL_NORM_W,
    FINAL_NORM_B,
    OUTPUT,
    LORA_Q_A,
    LORA_Q_B,
    LORA_K_A,
    LORA_K_B,
    LORA_V_A,
    LORA_V_B,
    LORA_O_A,
    LORA_O_B,
    LORA_GATE_A,
    LORA_GATE_B,
    LORA_UP_A,
    LORA_UP_B,
    LORA_DOWN_A,
    LORA_DOWN_B,
    SCORE_W,
    SCORE_B,
    SLOTS
};

/* Sizes of a checked configuration, in floats. */
struct shape {
    size_t layers, vocab, context;
    size_t width, heads, kv_heads, head;
    size_t q, kv, qkv; /* heads x head; kv_heads x head; q + 2 kv */
    size_t normed;     /* heads of q and k that have a norm of their own */
    size_t hidden, up; /* up: rows of W_UP; gate and up in one, or hidden */
    size_t rank;       /* of the adapters; 0: there are none */
};

struct layout {
    size_t offset[SLOTS]; /* of layer 0, in floats; SIZE_MAX: this model has none */
    size_t stride[SLOTS]; /* from layer to layer */
    size_t n_tensors, n_params;
    size_t frozen; /* floats before the first adapter; 0 without adapters */
};

struct shape shape_of(const ModelConfig *c);
/* tensors may be NULL; else it has room for n_tensors. */
void layout_make(struct layout *out, struct tensor *tensors, const ModelConfig *c);
/* Where the slot of this layer starts in an array laid out as params; SIZE_MAX: nowhere. */
size_t layout_offset(const struct layout *l, enum slot slot, size_t layer);
/* All slots of a layer (and of the whole model) at once; NULL where the model has none. */
void layout_weights(
    const float *out[SLOTS], const struct layout *l, const float *params, size_t layer);

/* Floats of all layers' tensors but adapters, which lie together. */
static inline size_t layers_floats(const struct layout *l)
{
    return l->offset[FINAL_NORM_W] - l->offset[ATTENTION_NORM_W];
}

/* ---- family.c ---- */

struct family {
    size_t up_factor; /* rows of W_UP for each hidden unit: 2 where a gate stands beside it */
    bool rotary;      /* RoPE; else a learned embedding of the position */
    bool biases;      /* of norms and linear layers */
    uint32_t (*default_hidden)(uint32_t width);
    /* y, mean, rstd of x[n,c]; mean and b are not touched where the norm has none */
    void (*norm)(const struct kernels *k, float *y, float *mean, float *rstd, const float *x,
        const float *w, const float *b, size_t n, size_t c, float eps);
    /* adds to dx, dw, db */
    void (*norm_backward)(const struct kernels *k, float *dx, float *dw, float *db, const float *dy,
        const float *x, const float *w, const float *mean, const float *rstd, size_t n, size_t c);
    /* y[n,h] of x[n,up] */
    void (*activation)(const struct kernels *k, float *y, const float *x, size_t n, size_t h);
    void (*activation_backward)(const struct kernels *k, float *dx, const float *dy, const float *x,
        size_t n, size_t h); /* sets dx */
};

const struct family *family_of(const ModelConfig *c);

/* table[context][head] = cos, sin, cos, sin, … of position x theta^(-2i/head), scaled. */
void rope_table(float *table, size_t context, const ModelConfig *c);

/* ---- workspace.c ---- */

#define HEAD_CHUNK 528      /* rows of logits at once; a multiple of GEMM_ROWS */
#define ROW_TILE 64         /* rows of a tile, at least */
#define ROW_TILES 32        /* tiles, at most: each has partial sums of its own */
#define ATTENTION_TILES 128 /* at most; each has a scratch of its own */

/* n: gemm_rows(max_tokens) rows. Laid out by the table in workspace.c. */
struct workspace {
    struct arena arena;
    struct shape s;
    size_t max_tokens;
    bool training, checkpointing, scalar_head;
    enum precision precision;  /* of products with weights */
    const struct batch *batch; /* of the last forward */
    size_t n_asked;            /* rows that go through the last layer, if not all; else 0 */

    /* Kept for every layer when training, one layer after another (when checkpointing, x alone);
     * else all layers work in one place, and mid is x. */
    float *x;         /* [n, width]: what enters the layer; one more than there are layers */
    float *mid;       /* [n, width]: x + attention; the next x = mid + feed-forward */
    float *qkv;       /* [n, qkv]: after RoPE */
    float *raw;       /* [n, q + kv]: q and k before their norms; NULL: they have none */
    float *head_rstd; /* [n, normed]: of those norms */
    float *lse;       /* [heads, n]: log sum exp of the attention's rows */
    float *att;       /* [n, q]: what attention gives to WO */
    float *up;        /* [n, up]: what enters the activation */

    float *h, *act;                         /* [n, width]: normed, or dropped out; [n, q]: what
                                             * attention gave, narrowed; [n, hidden] */
    float *mean, *rstd;                     /* [n], of h */
    float *final, *final_mean, *final_rstd; /* [n, width]: the body's result, normed */
    float *rope;                            /* [context, head] */
    float *attention_scratch;
    float *room;       /* of products */
    int32_t *position; /* [n] */
    int32_t *asked;    /* [n_asked]: their tokens, in order */

    /* The LM head's rows, gathered */
    float *chunk_h, *logits, *chunk_log_prob, *chunk_entropy, *chunk_g;
    int32_t *chunk_target, *chunk_row;

    /* Gradients, named after what they are the gradient of; dh also: dx, dropped out */
    float *dx, *dh, *dqkv, *datt, *dup, *dact, *chunk_dh;
    float *adapter_dy, *adapter_t; /* [n, the most rows that an adapter changes]; [n, rank] */
    float *partial; /* [ROW_TILES, partial_size]: sums of weight vectors' gradients */
};

/* Floats of a row tile's partial sums: a norm's w and b, and the widest bias. */
size_t partial_size(const struct shape *s);
/* Floats of an attention tile's scratch. */
size_t scratch_size(const struct shape *s);

/* ---- transformer.c: what a pass over the model needs at hand ---- */

struct pass {
    struct workspace *w;
    const struct kernels *k;
    struct pool *pool;
    struct products products;
    const struct model *m;
    const struct family *f;
    struct layout layout;
    size_t n; /* rows: the batch's tokens, or those of them that are asked */
    size_t tiles, tile_rows;
    const int32_t *token; /* of each row; NULL: they are the same */
    float eps;
    const struct dropout *dropout; /* NULL: none */
    bool again;                    /* a layer's forward pass is done for the second time */
    float *grad;                   /* backward only: laid out like params from layout.frozen on */
    /* Of the current layer, and of the whole model; NULL: this model has none. */
    const float *weight[SLOTS];
    size_t layer;
    float *x, *mid, *qkv, *raw, *head_rstd, *lse, *att, *up, *next;
};

/* The pass over the workspace's batch, all of it, at layer 0. */
void pass_begin(
    struct pass *p, struct workspace *w, const struct engine *en, const struct model *m);
/* From all of the batch's tokens to those that are asked, and back: in the last layer, after
 * attention. Whoever calls it moves the rows. */
void pass_narrow(struct pass *p);
void pass_widen(struct pass *p);
/* Rows of `width` numbers, in place; rows that come back between others are 0. */
void rows_narrow(const struct pass *p, float *x, size_t width);
void rows_widen(const struct pass *p, float *x, size_t width);
static inline size_t pass_token(const struct pass *p, size_t row)
{
    return p->token == NULL ? row : (size_t)p->token[row];
}
void pass_layer(struct pass *p, size_t layer);
/* Row tiles depend on the number of tokens alone. Gives the tile's number of rows, and the first.
 */
size_t pass_rows(const struct pass *p, size_t tile, size_t *first);
/* x[n,o] += the slot's bias, if there is one */
void pass_bias(const struct pass *p, float *x, enum slot bias, size_t n, size_t o);

/* What the current layer's forward pass left behind, once more, of its kept input: all but what
 * it adds to mid. */
void transformer_layer_again(struct pass *p);

/* ---- dropout.c ---- */

enum dropout_site { DROP_ATTENTION, DROP_FEED_FORWARD, DROPOUT_SITES };

/* y[n, width] = x, dropped out, of the rows from `first` of the batch; y may be x. */
void dropout_rows(
    const struct pass *p, enum dropout_site site, float *y, const float *x, size_t first, size_t n);

/* ---- adapters.c ---- */

/* Most rows of a matrix that one adapter changes. */
size_t adapter_rows_max(const struct shape *s);
/* Adds the gradients of the adapters of the current layer's matrix w[o,i], given dy[n,o], x[n,i].
 */
void adapters_backward(
    struct pass *p, enum slot weight, const float *dy, const float *x, size_t o, size_t i);

/* ---- transformer_backward.c ---- */

/* Where the gradient of the current layer's tensor is; NULL: it is frozen, or not there. */
float *grad_of(const struct pass *p, enum slot slot);

/* Given dL/dfinal in w->dh, adds the gradient of the body. */
void transformer_backward_body(struct pass *p);

#endif
