#ifndef WORKERS_MATH_KERNELS_H
#define WORKERS_MATH_KERNELS_H

#include <stddef.h>
#include <stdint.h>

struct adamw_step;
struct gemm;
struct gemm_range;

/* BF16: what is multiplied is rounded to bfloat16; sums and results are float32. */
enum precision { PRECISION_FP32, PRECISION_BF16, PRECISIONS };

#define DRAW_BLOCK 512 /* logits whose exponentials are summed in one go */

/* Decoding: products of few rows with matrices that are packed once, and attention over a cache
 * that is packed as it grows. PRECISION_BF16: weights, what they are multiplied with, keys and
 * values are rounded to bfloat16 (nearest, ties to even); queries and attention's weights are
 * not; all sums are float32.
 *
 * A panel holds what panel_columns columns of y need of w: [i, panel_columns], of bfloat16 in
 * pairs of neighbours along i; i is rounded up to an even number. An element of y is a sum of
 * one or four chains over i in order, as i says: its bits depend on nothing else. */
struct panel_kernels {
    size_t number;  /* bytes of a number in a panel or a cache */
    size_t operand; /* bytes of a number that a panel is multiplied with */

    /* columns[panel_columns]: rows of w, of i floats each; NULL: zeros. */
    void (*pack)(void *panel, const float *const *columns, size_t i);
    /* Operands of rows of x: out[n, count]; rows are out_row and x_row numbers apart. What fills
     * a row of odd length up is left alone: it must be 0. */
    void (*round)(void *out, size_t out_row, const float *x, size_t x_row, size_t n, size_t count);
    /* y[n, columns] = x[n,i] w^T (+ b[columns] unless NULL), or adds that to y. x: operands, rows
     * of i rounded up to even. */
    void (*product)(float *y, size_t y_row, const void *x, const void *panel, const float *b,
        size_t n, size_t i, size_t columns, int adds);

    /* A head's cache has room for `capacity` tokens, a multiple of panel_columns: keys[capacity,
     * d] and values[capacity, d rounded up to panel_columns], each in an order of its own.
     * Positions are remembered in order. */
    void (*remember)(void *keys, void *values, const float *k, const float *v, size_t position,
        size_t d, size_t capacity);
    /* out[heads,d]: queries q[heads,d] of one position against the t tokens of one cache.
     * scratch: heads x capacity floats. */
    void (*attend)(float *out, const float *q, const void *keys, const void *values, size_t t,
        size_t heads, size_t d, size_t capacity, float *scratch);
};

/* What BLAS lacks. kernels.c is compiled once for each instruction set (GCC vector extensions of
 * 16, 32 or 64 bytes); the numeric class picks a table. Outputs first; single-threaded, on the
 * rows given: callers split work over a tile grid. Nothing allocates. Results of a row do not
 * depend on other rows. Sums run in a fixed order. All arrays float32, row-major.
 * "adds" means that the output is added to. */
struct kernels {
    const char *name; /* generic, avx2, avx512, avx512bf16 */

    /* y[n,c] = x / sqrt(mean(x^2) + eps) * w;  rstd[n]. Zhang & Sennrich 2019. */
    void (*rmsnorm)(
        float *y, float *rstd, const float *x, const float *w, size_t n, size_t c, float eps);
    /* adds to dx[n,c] and dw[c] */
    void (*rmsnorm_backward)(float *dx, float *dw, const float *dy, const float *x, const float *w,
        const float *rstd, size_t n, size_t c);
    /* y[n,c] = (x - mean) rstd w + b. Ba et al. 2016. */
    void (*layernorm)(float *y, float *mean, float *rstd, const float *x, const float *w,
        const float *b, size_t n, size_t c, float eps);
    /* adds to dx, dw, db */
    void (*layernorm_backward)(float *dx, float *dw, float *db, const float *dy, const float *x,
        const float *w, const float *mean, const float *rstd, size_t n, size_t c);

    /* x[n,o] += b[o] */
    void (*bias)(float *x, const float *b, size_t n, size_t o);
    /* adds: db[o] += sum over rows of dy[n,o] */
    void (*bias_backward)(float *db, const float *dy, size_t n, size_t o);

    /* y = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Hendrycks & Gimpel 2016, eq. of
     * sec. 2. */
    void (*gelu)(float *y, const float *x, size_t count);
    /* sets dx; dx may be dy */
    void (*gelu_backward)(float *dx, const float *dy, const float *x, size_t count);

    /* y[n,h] = silu(gate) * up, x[n,2h] = gate then up. Shazeer 2020. */
    void (*swiglu)(float *y, const float *x, size_t n, size_t h);
    /* sets dx[n,2h] */
    void (*swiglu_backward)(float *dx, const float *dy, const float *x, size_t n, size_t h);

    /* Rotates neighbouring pairs (2i, 2i+1) of each of `heads` heads of d floats in place:
     * x[r] is a row of `stride` floats at position[r]; table[position][d] = cos, sin, cos, sin, …
     * backward = the inverse rotation (sign -1). Su et al. 2021. */
    void (*rope)(float *x, const float *table, const int32_t *position, size_t n, size_t heads,
        size_t d, size_t stride, int sign);

    /* One head of one sequence of t tokens, causal: out[i] = sum_j softmax_j(q_i k_j / sqrt(d))
     * v_j, lse[i] = log sum exp of row i. Rows of q/out are q_stride/out_stride floats apart, of
     * k and v kv_stride. Memory linear in t. scratch: t + d floats at least 64-byte aligned. */
    void (*attention)(float *out, float *lse, const float *q, const float *k, const float *v,
        size_t t, size_t d, size_t q_stride, size_t kv_stride, size_t out_stride, float *scratch);
    /* adds to dq, dk, dv (strides as q, k, v). */
    void (*attention_backward)(float *dq, float *dk, float *dv, const float *dout, const float *q,
        const float *k, const float *v, const float *out, const float *lse, size_t t, size_t d,
        size_t q_stride, size_t kv_stride, size_t out_stride, float *scratch);
    /* For each row of logits[n,v] (row stride `stride`), scaled by inv_temperature:
     * log_prob[r] = l[target] - logsumexp(l); entropy[r] (may be NULL) in nats. target[r] < 0:
     * log_prob 0, entropy 0. */
    void (*log_softmax_pick)(float *log_prob, float *entropy, const float *logits,
        const int32_t *target, size_t n, size_t v, size_t stride, float inv_temperature);
    /* In place: logits[r] becomes dL/dlogits = g[r] (onehot(target) - softmax(l)) inv_temperature,
     * zeros where target < 0. Also gives log_prob. */
    void (*log_softmax_backward)(float *logits, float *log_prob, const float *g,
        const int32_t *target, size_t n, size_t v, size_t stride, float inv_temperature);

    /* Draws from softmax(logits[v] inv_temperature): the id at quantile u of [0, 1), and its log
     * probability. -1 when a logit is not a number, one is +inf or all are -inf. sums: room for
     * v / DRAW_BLOCK floats, rounded up. */
    int32_t (*softmax_draw)(float *log_prob, const float *logits, size_t v, float inv_temperature,
        double u, float *sums);

    void (*add)(float *y, const float *x, size_t count);           /* y += x */
    void (*scale)(float *y, float a, size_t count);                /* y *= a */
    void (*lerp)(float *y, const float *x, float a, size_t count); /* y = a y + (1 - a) x */
    double (*dot)(const float *x, const float *y, size_t count);   /* in double, fixed order */

    /* The nearest bfloat16 (the upper half of a float), ties to even; NaN stays NaN. avx512bf16:
     * subnormal numbers become zeros. */
    void (*bf16)(uint16_t *y, const float *x, size_t count);

    /* AdamW (Loshchilov & Hutter 2019): m, v moments; w -= lr (m^ / (sqrt(v^) + eps) + decay w)
     * with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t). eps_outside: TensorFlow's form, w -= lr
     * sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps). g is read scaled by `scale`. */
    void (*adamw)(
        float *w, float *m, float *v, const float *g, size_t count, const struct adamw_step *s);

    /* For blas.c: packs a part of the shared operand into its place in g->room. */
    void (*gemm_pack)(const struct gemm *g, const struct gemm_range *at);
    /* Rows first <= r < end of c where b is shared, else those columns. c = a b for k0 = 0 and no
     * `add`; else adds. Each element of c is a sum over
     * fixed blocks of k, in order: its bits depend on nothing else. */
    void (*gemm)(const struct gemm *g, size_t first, size_t end);

    size_t gemm_block; /* numbers of k in a block of a sum; of bfloat16 twice as many */
    size_t panel_columns;
    struct panel_kernels panel[PRECISIONS];
};

struct adamw_step {
    float learning_rate, beta1, beta2, eps, weight_decay, scale;
    float correction1, correction2; /* 1 - beta1^t, 1 - beta2^t */
    int eps_outside;
};

/* An operand of a product: its element (r, k), r counting rows of a or columns of b and k what is
 * summed over, is x[r * across + k * along]. One of the two steps is 1. */
struct operand {
    const float *x;
    size_t across, along, n; /* n: of r */
};

/* Where parts may start: whole tiles and whole blocks of every set. */
#define GEMM_ALIGN_ROWS 12
#define GEMM_ALIGN_COLUMNS 32
#define GEMM_ALIGN_K 1536

/* c[a.n, b.n] = a b, or a part of that sum over k. */
struct gemm {
    float *c;
    struct operand a, b;
    size_t k0, k1;
    float *room; /* the shared operand for k0 <= k < k1, packed; 64-byte aligned */
    int share_b, add;
    int bf16; /* operands are rounded to bfloat16, sums are not */
};

struct gemm_range {
    size_t first, end, k0, k1;
};

/* Floats of room for a shared operand of n rows (columns) and a part of that depth. */
static inline size_t gemm_packed(size_t n, size_t depth)
{
    return (n + GEMM_ALIGN_COLUMNS) * (depth + 64);
}

/* Sets that this machine can run, best first; NULL-terminated. */
const char *const *kernels_available(void);
/* The table called `name` (NULL: the best); NULL when this machine or build lacks it. */
const struct kernels *kernels_get(const char *name);

#endif
