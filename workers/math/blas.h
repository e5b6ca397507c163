#ifndef WORKERS_MATH_BLAS_H
#define WORKERS_MATH_BLAS_H

#include "workers/math/kernels.h"
#include "workers/math/pool.h"

/* Products of matrices, row-major, on a tile grid fixed by the shape; the pool works on different
 * tiles. This is the only door to OpenBLAS, whose calls are single-threaded. Where the library
 * does not keep the invariant (its Haswell kernels, small products), and in bfloat16, gemm of
 * kernels.h takes its place.
 *
 * INVARIANT  A row of y in gemm_nt/gemm_nn has the same bits whatever the other rows hold and
 * however many there are: the library's row tiles are multiples of GEMM_ROWS, the last one padded.
 * So x and y must have room for gemm_rows(n) rows; the rows beyond n are read and written (zero x
 * there). */
#define GEMM_ROWS 48
static inline size_t gemm_rows(size_t n)
{
    return (n + GEMM_ROWS - 1) / GEMM_ROWS * GEMM_ROWS;
}

/* Who computes products, and how. Borrows all. */
struct products {
    struct pool *pool;
    const struct kernels *k;
    enum precision precision;
    float *room; /* for packed operands: the most that gemm_room says for any of the products */
};

/* Floats, for each product of a matrix [o,i] with up to n rows. */
size_t gemm_room(size_t n, size_t i, size_t o);

/* y[n,o] = x[n,i] w[o,i]^T (+ y when add) */
void gemm_nt(const struct products *p, float *y, const float *x, const float *w, size_t n, size_t i,
    size_t o, int add);
/* dx[n,i] = dy[n,o] w[o,i] (+ dx when add) */
void gemm_nn(const struct products *p, float *dx, const float *dy, const float *w, size_t n,
    size_t o, size_t i, int add);
/* dw[o,i] += dy[n,o]^T x[n,i]: exactly n rows are summed, in an order fixed by the shape */
void gemm_tn(const struct products *p, float *dw, const float *dy, const float *x, size_t n,
    size_t o, size_t i);

/* "openblas-0.3.21/SkylakeX": version and core type as loaded. Sets its threads to 1. */
const char *blas_setup(void);

#endif
