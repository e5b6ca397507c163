#ifndef WORKERS_MODEL_GENERATOR_INT_H
#define WORKERS_MODEL_GENERATOR_INT_H

#include "workers/model/generator.h"
#include "workers/model/transformer_int.h"

/* What the files of the generator share: packed matrices, and a session: the memory of sequences
 * that are decoded together. */

/* ---- panels.c ---- */

/* y = x w^T, o of them. Where a unit has a gate, a panel has the gates of some units and then what
 * they gate. */
struct matrix {
    const char *panels;
    size_t panel_bytes, n;
    size_t i, o;
};

struct matrices {
    struct matrix qkv, wo, up, down;
};

struct panels {
    enum precision precision;
    const struct kernels *k;
    struct arena arena;
    struct matrices *layers;
    struct matrix head;
};

/* ---- generator_session.c: a session's memory ---- */

struct running {
    struct generation *g; /* NULL: the slot is free */
    size_t fed;           /* tokens whose keys and values are in the cache */
    size_t limit;         /* tokens of prompt and answer */
};

struct session {
    const struct model *m;
    const struct kernels *k;
    const struct panel_kernels *few; /* of the precision */
    struct pool *pool;
    const struct generator_options *o;
    struct generation *queue;
    size_t n, admitted, done;

    struct shape s;
    const struct family *f;
    struct layout layout;
    const struct panels *panels;
    struct panels *own_panels;  /* NULL: the caller's are used */
    const float *weight[SLOTS]; /* of the current layer, and of the whole model */
    size_t layer;
    float eps;

    struct running *slots;
    size_t n_slots, capacity; /* sequences; tokens for each: whole panels */
    size_t max_rows, rows, picks;
    bool prompts; /* some sequence has more than one row */
    struct arena arena;
    char *cache; /* [layers, slots, kv_heads]: keys, then values of a head */
    size_t keys_bytes, head_bytes;
    float *rope;                      /* [capacity, head] */
    float *x, *h, *qkv;               /* [max_rows, …] */
    float *mean, *rstd;               /* [max_rows] */
    char *normed, *att, *act;         /* operands: [max_rows, width, q or hidden, made even] */
    int32_t *token, *slot, *position; /* [max_rows] */
    float *scratch;                   /* [ATTENTION_TILES, scratch_floats] */
    size_t scratch_floats;
    float *logits;              /* [slots, vocab]; the first `picks` rows are in use */
    float *draw;                /* [slots, sampler_scratch] */
    int32_t *pick_row, *picked; /* [slots] */
    float *picked_log_prob;     /* [slots] */
};

/* Bytes of its arena; also lays out the cache. */
size_t session_measure(struct session *g);
int session_open(struct session *g, struct err *e);
void session_close(struct session *g);

/* ---- generator_forward.c ---- */

/* The transformer on the session's rows: logits of those in pick_row. */
void generator_forward(struct session *g);

#endif
