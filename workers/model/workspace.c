#include "workers/model/transformer_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Extents that buffers are made of. */
enum extent {
    ONE,
    TOKENS, /* gemm_rows(max_tokens) */
    CHUNK,
    CONTEXT,
    ATTENTION,
    TILES,
    WIDTH,
    QUERIES,
    WIDER,
    QKV,
    RAW,
    NORMED,
    HEADS,
    HEAD,
    HIDDEN,
    UP,
    VOCAB,
    SCRATCH,
    PARTIAL,
    ROOM,
    RANK,
    ADAPTED,
    EXTENTS
};

/* When a buffer is needed: all of these must hold. */
#define GRAD 1u /* training */
#define LM 2u   /* the model has an LM head */

/* How often: once, or when training for each layer; INPUTS also when checkpointing, and for what
 * leaves the last layer. */
enum copies { ONCE, LAYERS, INPUTS };

#define AT(field) offsetof(struct workspace, field)

static const struct buffer {
    size_t field; /* a float * or int32_t * of struct workspace */
    enum extent rows, cols;
    enum copies copies;
    unsigned needs;
} buffers[] = {
    { AT(x), TOKENS, WIDTH, INPUTS, 0 },
    { AT(mid), TOKENS, WIDTH, LAYERS, GRAD },
    { AT(qkv), TOKENS, QKV, LAYERS, 0 },
    { AT(raw), TOKENS, RAW, LAYERS, GRAD },
    { AT(head_rstd), TOKENS, NORMED, LAYERS, 0 },
    { AT(lse), TOKENS, HEADS, LAYERS, 0 },
    { AT(att), TOKENS, QUERIES, LAYERS, 0 },
    { AT(up), TOKENS, UP, LAYERS, 0 },
    { AT(h), TOKENS, WIDER, ONCE, 0 },
    { AT(act), TOKENS, HIDDEN, ONCE, 0 },
    { AT(mean), TOKENS, ONE, ONCE, 0 },
    { AT(rstd), TOKENS, ONE, ONCE, 0 },
    { AT(final), TOKENS, WIDTH, ONCE, 0 },
    { AT(final_mean), TOKENS, ONE, ONCE, 0 },
    { AT(final_rstd), TOKENS, ONE, ONCE, 0 },
    { AT(rope), CONTEXT, HEAD, ONCE, 0 },
    { AT(attention_scratch), ATTENTION, SCRATCH, ONCE, 0 },
    { AT(position), TOKENS, ONE, ONCE, 0 },
    { AT(asked), TOKENS, ONE, ONCE, 0 },
    { AT(room), ROOM, ONE, ONCE, 0 },
    { AT(chunk_h), CHUNK, WIDTH, ONCE, LM },
    { AT(logits), CHUNK, VOCAB, ONCE, LM },
    { AT(chunk_log_prob), CHUNK, ONE, ONCE, LM },
    { AT(chunk_entropy), CHUNK, ONE, ONCE, LM },
    { AT(chunk_g), CHUNK, ONE, ONCE, LM },
    { AT(chunk_target), CHUNK, ONE, ONCE, LM },
    { AT(chunk_row), CHUNK, ONE, ONCE, LM },
    { AT(dx), TOKENS, WIDTH, ONCE, GRAD },
    { AT(dh), TOKENS, WIDTH, ONCE, GRAD },
    { AT(dqkv), TOKENS, QKV, ONCE, GRAD },
    { AT(datt), TOKENS, QUERIES, ONCE, GRAD },
    { AT(dup), TOKENS, UP, ONCE, GRAD },
    { AT(dact), TOKENS, HIDDEN, ONCE, GRAD },
    { AT(chunk_dh), CHUNK, WIDTH, ONCE, GRAD | LM },
    { AT(adapter_dy), TOKENS, ADAPTED, ONCE, GRAD },
    { AT(adapter_t), TOKENS, RANK, ONCE, GRAD },
    { AT(partial), TILES, PARTIAL, ONCE, GRAD },
};
#define BUFFERS (sizeof buffers / sizeof *buffers)

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t partial_size(const struct shape *s)
{
    return 2 * s->width + larger(s->up, s->qkv);
}

size_t scratch_size(const struct shape *s)
{
    return (s->context + s->head + 15) / 16 * 16;
}

/* Floats that the products with any of the model's matrices need. */
static size_t room_size(const struct shape *s, size_t tokens, size_t chunk)
{
    size_t most = gemm_room(tokens, s->width, s->qkv);

    most = larger(most, gemm_room(tokens, s->q, s->width));
    most = larger(most, gemm_room(tokens, s->width, s->up));
    most = larger(most, gemm_room(tokens, s->hidden, s->width));
    if (s->rank > 0) {
        most = larger(most, gemm_room(tokens, adapter_rows_max(s), s->rank));
        most = larger(most, gemm_room(tokens, s->rank, adapter_rows_max(s)));
    }
    return larger(most, gemm_room(chunk, s->width, s->vocab));
}

static void measure(size_t extent[EXTENTS], const struct shape *s, size_t max_tokens)
{
    size_t tokens = gemm_rows(max_tokens);

    extent[ONE] = 1;
    extent[TOKENS] = tokens;
    extent[CHUNK] = tokens < HEAD_CHUNK ? tokens : HEAD_CHUNK;
    extent[CONTEXT] = s->context;
    extent[ATTENTION] = ATTENTION_TILES;
    extent[TILES] = ROW_TILES;
    extent[WIDTH] = s->width;
    extent[QUERIES] = s->q;
    extent[WIDER] = larger(s->width, s->q);
    extent[QKV] = s->qkv;
    extent[RAW] = s->normed > 0 ? s->q + s->kv : 0;
    extent[NORMED] = s->normed;
    extent[HEADS] = s->heads;
    extent[HEAD] = s->head;
    extent[HIDDEN] = s->hidden;
    extent[UP] = s->up;
    extent[VOCAB] = s->vocab;
    extent[SCRATCH] = scratch_size(s);
    extent[PARTIAL] = partial_size(s);
    extent[RANK] = s->rank;
    extent[ADAPTED] = s->rank > 0 ? adapter_rows_max(s) : 0;
    extent[ROOM] = room_size(s, tokens, extent[CHUNK]);
}

/* Floats of the buffer; 0 where it is not needed. */
static size_t count(
    const struct buffer *b, const size_t extent[EXTENTS], const ModelConfig *c, unsigned mode)
{
    bool training = (mode & WORKSPACE_TRAINING) != 0;
    unsigned has = (training ? GRAD : 0) | (c->scalar_head ? 0 : LM);
    size_t n = extent[b->rows] * extent[b->cols];

    if ((b->needs & ~has) != 0)
        return 0;
    switch (b->copies) {
    case ONCE:
        break;
    case LAYERS:
        return training && !(mode & WORKSPACE_CHECKPOINTING) ? n * c->layers : n;
    case INPUTS:
        return training ? n * (c->layers + 1) : n;
    }
    return n;
}

static size_t arena_bytes(const ModelConfig *c, size_t max_tokens, unsigned mode)
{
    const struct shape s = shape_of(c);
    size_t extent[EXTENTS], bytes = 0;

    measure(extent, &s, max_tokens);
    for (size_t i = 0; i < BUFFERS; i++)
        bytes += arena_size(count(&buffers[i], extent, c, mode));
    return bytes;
}

size_t workspace_bytes(const ModelConfig *c, size_t max_tokens, unsigned mode)
{
    return sizeof(struct workspace) + arena_bytes(c, max_tokens, mode);
}

static void lay_out(struct workspace *w, const ModelConfig *c, unsigned mode)
{
    size_t extent[EXTENTS];

    measure(extent, &w->s, w->max_tokens);
    for (size_t i = 0; i < BUFFERS; i++) {
        size_t n = count(&buffers[i], extent, c, mode);
        float *p = n > 0 ? arena_floats(&w->arena, n) : NULL;
        memcpy((char *)w + buffers[i].field, &p, sizeof p);
    }
    assert(w->arena.used == w->arena.n);
}

int workspace_new(
    struct workspace **out, const ModelConfig *c, size_t max_tokens, unsigned mode, struct err *e)
{
    struct workspace *w = calloc(1, sizeof *w);
    int rc;

    assert(max_tokens > 0 && (mode & WORKSPACE_TRAINING || !(mode & WORKSPACE_CHECKPOINTING)));
    if (w == NULL)
        return err_set(e, E_NOMEM, "no memory for a workspace");
    rc = arena_init(&w->arena, arena_bytes(c, max_tokens, mode), e);
    if (rc != OK) {
        free(w);
        return err_wrap(e, "activations of %zu tokens", max_tokens);
    }
    w->s = shape_of(c);
    w->max_tokens = max_tokens;
    w->training = (mode & WORKSPACE_TRAINING) != 0;
    w->checkpointing = (mode & WORKSPACE_CHECKPOINTING) != 0;
    w->precision = mode & WORKSPACE_BF16 ? PRECISION_BF16 : PRECISION_FP32;
    w->scalar_head = c->scalar_head;
    lay_out(w, c, mode);
    if (family_of(c)->rotary)
        rope_table(w->rope, w->s.context, c);
    *out = w;
    return OK;
}

unsigned workspace_precision(Precision p)
{
    return p == PRECISION__BF16 ? WORKSPACE_BF16 : 0;
}

static bool same_rope(const ModelConfig *a, const ModelConfig *b)
{
    return a->rope_theta == b->rope_theta && a->rope_scaling == b->rope_scaling &&
           a->rope_factor == b->rope_factor && a->rope_low_freq_factor == b->rope_low_freq_factor &&
           a->rope_high_freq_factor == b->rope_high_freq_factor &&
           a->rope_original_context == b->rope_original_context;
}

bool workspace_serves(const ModelConfig *made_for, const ModelConfig *c)
{
    const struct shape a = shape_of(made_for), b = shape_of(c);

    return memcmp(&a, &b, sizeof a) == 0 && made_for->family == c->family &&
           same_rope(made_for, c) && (c->scalar_head || !made_for->scalar_head);
}

void workspace_free(struct workspace *w)
{
    if (w == NULL)
        return;
    arena_free(&w->arena);
    free(w);
}
