/* Part of kernels.c. Products with few rows: dot products along the shared dimension. */

#define ROWS_OUT 4
#define ROWS_IN (LANES == 16 ? 4 : 2)

/* y[r,u] = x[r] . w[u] (+ b[u]) for rows x outs of them. One vector of partial sums each, so that
 * a result's bits do not depend on the tile that it is in. */
INLINE void rows_tile(float *y, const float *x, const float *w, const float *b, size_t i,
    size_t o_stride, size_t rows, size_t outs)
{
    vec s[4][ROWS_OUT] = { { { 0 } } };

    for (size_t j = 0; j < i; j += LANES) {
        vec a[4];
        for (size_t r = 0; r < rows; r++)
            a[r] = load_upto(x + r * i + j, i - j);
        for (size_t u = 0; u < outs; u++) {
            vec c = load_upto(w + u * i + j, i - j);
            for (size_t r = 0; r < rows; r++)
                s[r][u] = vfma(a[r], c, s[r][u]);
        }
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t u = 0; u < outs; u++)
            y[r * o_stride + u] = sum_lanes(s[r][u]) + (b == NULL ? 0 : b[u]);
    }
}

static void rows_nt(float *y, const float *x, const float *w, const float *b, size_t n, size_t i,
    size_t o0, size_t o1, size_t o_stride)
{
    for (size_t o = o0; o < o1;) {
        size_t outs = o1 - o >= ROWS_OUT ? ROWS_OUT : 1, r = 0;
        const float *v = w + o * i, *c = b == NULL ? NULL : b + o;
        for (; r + ROWS_IN <= n && outs == ROWS_OUT; r += ROWS_IN)
            rows_tile(y + r * o_stride + o, x + r * i, v, c, i, o_stride, ROWS_IN, ROWS_OUT);
        for (; r < n && outs == ROWS_OUT; r++)
            rows_tile(y + r * o_stride + o, x + r * i, v, c, i, o_stride, 1, ROWS_OUT);
        for (; r < n; r++)
            rows_tile(y + r * o_stride + o, x + r * i, v, c, i, o_stride, 1, 1);
        o += outs;
    }
}
