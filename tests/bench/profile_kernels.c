#include "tests/bench/profile_int.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

/* A table of kernels that times each call of another table's. A kernel that has no row below is
 * called as it is, and counts under the work that it is part of. */

/* X(name, parameters, arguments, operations, bytes): what a call computes, and what it reads and
 * writes at least. */
#define KERNELS(X)                                                                                 \
    X(rmsnorm,                                                                                     \
        (float *y, float *rstd, const float *x, const float *w, size_t n, size_t c, float eps),    \
        (y, rstd, x, w, n, c, eps), 4 * n * c, 8 * n * c)                                          \
    X(rmsnorm_backward,                                                                            \
        (float *dx, float *dw, const float *dy, const float *x, const float *w, const float *rstd, \
            size_t n, size_t c),                                                                   \
        (dx, dw, dy, x, w, rstd, n, c), 10 * n * c, 16 * n * c)                                    \
    X(layernorm,                                                                                   \
        (float *y, float *mean, float *rstd, const float *x, const float *w, const float *b,       \
            size_t n, size_t c, float eps),                                                        \
        (y, mean, rstd, x, w, b, n, c, eps), 7 * n * c, 8 * n * c)                                 \
    X(layernorm_backward,                                                                          \
        (float *dx, float *dw, float *db, const float *dy, const float *x, const float *w,         \
            const float *mean, const float *rstd, size_t n, size_t c),                             \
        (dx, dw, db, dy, x, w, mean, rstd, n, c), 13 * n * c, 16 * n * c)                          \
    X(bias, (float *x, const float *b, size_t n, size_t o), (x, b, n, o), n *o, 8 * n * o)         \
    X(bias_backward, (float *db, const float *dy, size_t n, size_t o), (db, dy, n, o), n *o,       \
        4 * n * o)                                                                                 \
    X(gelu, (float *y, const float *x, size_t count), (y, x, count), 20 * count, 8 * count)        \
    X(gelu_backward, (float *dx, const float *dy, const float *x, size_t count),                   \
        (dx, dy, x, count), 30 * count, 12 * count)                                                \
    X(swiglu, (float *y, const float *x, size_t n, size_t h), (y, x, n, h), 15 * n * h,            \
        12 * n * h)                                                                                \
    X(swiglu_backward, (float *dx, const float *dy, const float *x, size_t n, size_t h),           \
        (dx, dy, x, n, h), 20 * n * h, 20 * n * h)                                                 \
    X(rope,                                                                                        \
        (float *x, const float *table, const int32_t *position, size_t n, size_t heads, size_t d,  \
            size_t stride, int sign),                                                              \
        (x, table, position, n, heads, d, stride, sign), 3 * n * heads * d, 8 * n * heads * d)     \
    X(attention,                                                                                   \
        (float *out, float *lse, const float *q, const float *k, const float *v, size_t t,         \
            size_t d, size_t q_stride, size_t kv_stride, size_t out_stride, float *scratch),       \
        (out, lse, q, k, v, t, d, q_stride, kv_stride, out_stride, scratch), 2 * t * t * d,        \
        16 * t * d)                                                                                \
    X(attention_backward,                                                                          \
        (float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k,       \
            const float *v, const float *out, const float *lse, size_t t, size_t d,                \
            size_t q_stride, size_t kv_stride, size_t out_stride, float *scratch),                 \
        (dq, dk, dv, dout, q, k, v, out, lse, t, d, q_stride, kv_stride, out_stride, scratch),     \
        5 * t * t * d, 44 * t * d)                                                                 \
    X(log_softmax_pick,                                                                            \
        (float *log_prob, float *entropy, const float *logits, const int32_t *target, size_t n,    \
            size_t v, size_t stride, float inv_temperature),                                       \
        (log_prob, entropy, logits, target, n, v, stride, inv_temperature), 10 * n * v, 4 * n * v) \
    X(log_softmax_backward,                                                                        \
        (float *logits, float *log_prob, const float *g, const int32_t *target, size_t n,          \
            size_t v, size_t stride, float inv_temperature),                                       \
        (logits, log_prob, g, target, n, v, stride, inv_temperature), 20 * n * v, 8 * n * v)       \
    X(add, (float *y, const float *x, size_t count), (y, x, count), count, 12 * count)             \
    X(scale, (float *y, float a, size_t count), (y, a, count), count, 8 * count)                   \
    X(lerp, (float *y, const float *x, float a, size_t count), (y, x, a, count), 2 * count,        \
        12 * count)                                                                                \
    X(adamw,                                                                                       \
        (float *w, float *m, float *v, const float *g, size_t count, const struct adamw_step *s),  \
        (w, m, v, g, count, s), 14 * count, 28 * count)                                            \
    X(gemm_pack, (const struct gemm *g, const struct gemm_range *at), (g, at), 0,                  \
        8 * (at->end - at->first) * (at->k1 - at->k0))                                             \
    X(gemm, (const struct gemm *g, size_t first, size_t end), (g, first, end),                     \
        2 * (end - first) * (g->share_b ? g->b.n : g->a.n) * (g->k1 - g->k0),                      \
        8 * (end - first) * (g->share_b ? g->b.n : g->a.n))

/* Of struct panel_kernels: the same for each precision. */
#define PRECISION_KERNELS(X) \
    X(fp32, PRECISION_FP32)  \
    X(bf16, PRECISION_BF16)

struct cost {
    atomic_ullong calls, nanoseconds, operations, bytes;
};

#define MEMBER(name, parameters, arguments, operations, bytes) struct cost name;
static struct costs {
    KERNELS(MEMBER)
    struct cost dot;
#define PANEL_MEMBERS(suffix, precision) struct cost panel_product_##suffix, attend_##suffix;
    PRECISION_KERNELS(PANEL_MEMBERS)
} costs;
#undef MEMBER
#undef PANEL_MEMBERS

#define NAME(name, parameters, arguments, operations, bytes) #name,
#define PANEL_NAMES(suffix, precision) , "panel_product_" #suffix, "attend_" #suffix
static const char *const names[] = { KERNELS(NAME) "dot" PRECISION_KERNELS(PANEL_NAMES) };
#undef NAME
#undef PANEL_NAMES

static const struct kernels *timed;

static void add_cost(struct cost *c, double began, size_t operations, size_t bytes)
{
    atomic_fetch_add(&c->nanoseconds, (unsigned long long)(1e9 * (seconds() - began)));
    atomic_fetch_add(&c->operations, operations);
    atomic_fetch_add(&c->bytes, bytes);
    atomic_fetch_add(&c->calls, 1);
}

#define WRAPPER(name, parameters, arguments, operations, bytes) \
    static void timed_##name parameters                         \
    {                                                           \
        double began = seconds();                               \
        timed->name arguments;                                  \
        add_cost(&costs.name, began, operations, bytes);        \
    }
KERNELS(WRAPPER)
#undef WRAPPER

static double timed_dot(const float *x, const float *y, size_t n)
{
    double began = seconds(), result = timed->dot(x, y, n);

    add_cost(&costs.dot, began, 2 * n, 8 * n);
    return result;
}

#define PANEL_WRAPPERS(suffix, precision)                                                      \
    static void timed_panel_product_##suffix(float *y, size_t y_row, const void *x,            \
        const void *panel, const float *b, size_t n, size_t i, size_t columns, int adds)       \
    {                                                                                          \
        const struct panel_kernels *k = &timed->panel[precision];                              \
        double began = seconds();                                                              \
        k->product(y, y_row, x, panel, b, n, i, columns, adds);                                \
        add_cost(&costs.panel_product_##suffix, began, 2 * n * i * columns,                    \
            (k->number * columns + k->operand * n) * i);                                       \
    }                                                                                          \
    static void timed_attend_##suffix(float *out, const float *q, const void *keys,            \
        const void *values, size_t t, size_t heads, size_t d, size_t capacity, float *scratch) \
    {                                                                                          \
        const struct panel_kernels *k = &timed->panel[precision];                              \
        double began = seconds();                                                              \
        k->attend(out, q, keys, values, t, heads, d, capacity, scratch);                       \
        add_cost(&costs.attend_##suffix, began, 4 * heads * t * d, 2 * t * d * k->number);     \
    }
PRECISION_KERNELS(PANEL_WRAPPERS)
#undef PANEL_WRAPPERS

/* Only one table is in use at a time. */
const struct kernels *__wrap_kernels_get(const char *name)
{
    static struct kernels table;
    const struct kernels *k = __real_kernels_get(name);

    if (!profile_is_on() || !k || (timed && timed != k))
        return k;
    timed = k;
    table = *k;
#define PUT(name_, parameters, arguments, operations, bytes) table.name_ = timed_##name_;
    KERNELS(PUT)
#undef PUT
    table.dot = timed_dot;
#define PUT_PANEL(suffix, precision)                               \
    table.panel[precision].product = timed_panel_product_##suffix; \
    table.panel[precision].attend = timed_attend_##suffix;
    PRECISION_KERNELS(PUT_PANEL)
#undef PUT_PANEL
    return &table;
}

void profile_kernels_start(void)
{
    memset(&costs, 0, sizeof costs);
}

struct line {
    const char *name;
    double calls, seconds, operations, bytes;
};

static int by_seconds(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

void profile_kernels_print(FILE *out, double spent, unsigned units, int threads)
{
    enum { N = sizeof names / sizeof *names };
    struct line lines[N];
    const struct cost *all = (const struct cost *)&costs;

    _Static_assert(sizeof costs == N * sizeof(struct cost), "a cost for each name");
    for (size_t i = 0; i < N; i++)
        lines[i] = (struct line){ names[i], (double)all[i].calls, 1e-9 * (double)all[i].nanoseconds,
            (double)all[i].operations, (double)all[i].bytes };
    qsort(lines, N, sizeof *lines, by_seconds);
    fprintf(
        out, "  %-48s    calls        ms  share      GFLOP/s     GB/s  (all threads)\n", "kernel");
    for (size_t i = 0; i < N && lines[i].seconds > .002 * spent * threads; i++) {
        double wall = lines[i].seconds / threads;
        fprintf(out, "  %-48s %8.1f %9.3f %4.1f %%     %8.1f %8.1f\n", lines[i].name,
            lines[i].calls / units, 1e3 * wall / units, 100 * wall / spent,
            lines[i].operations / wall / 1e9, lines[i].bytes / wall / 1e9);
    }
}
