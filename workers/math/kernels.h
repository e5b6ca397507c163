#ifndef WORKERS_MATH_KERNELS_H
#define WORKERS_MATH_KERNELS_H

#include <stddef.h>
#include <stdint.h>

struct adamw_step;
struct gemm;
struct gemm_range;

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
    /* One query against a cache of t keys/values (decode). Same bits as row t-1 of `attention`
     * is not required. */
    void (*attention_row)(float *out, const float *q, const float *k, const float *v, size_t t,
        size_t d, size_t kv_stride, float *scratch);

    /* y[n,o] = x[n,i] w[o,i]^T (+ b[o] when b is not NULL) for few rows (decode): columns
     * o0 <= o < o1 only; y rows are o_stride apart. */
    void (*rows_nt)(float *y, const float *x, const float *w, const float *b, size_t n, size_t i,
        size_t o0, size_t o1, size_t o_stride);

    /* For each row of logits[n,v] (row stride `stride`), scaled by inv_temperature:
     * log_prob[r] = l[target] - logsumexp(l); entropy[r] (may be NULL) in nats. target[r] < 0:
     * log_prob 0, entropy 0. */
    void (*log_softmax_pick)(float *log_prob, float *entropy, const float *logits,
        const int32_t *target, size_t n, size_t v, size_t stride, float inv_temperature);
    /* In place: logits[r] becomes dL/dlogits = g[r] (onehot(target) - softmax(l)) inv_temperature,
     * zeros where target < 0. Also gives log_prob. */
    void (*log_softmax_backward)(float *logits, float *log_prob, const float *g,
        const int32_t *target, size_t n, size_t v, size_t stride, float inv_temperature);

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
#define GEMM_ALIGN_K 512

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
