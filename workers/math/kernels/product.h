/* Part of kernels.c. Matrix products out of the first-level cache, for attention.
 *
 * INVARIANT  An element of c is one chain of fused multiplications and additions over k, in
 * order, from what c holds or from 0: its bits depend on nothing else. */

#define TILE_ROWS 6
#define TILE_VECTORS (LANES == 16 ? 4 : 2) /* with 6 rows they fill the registers */
#define PANEL (TILE_VECTORS * LANES)

/* c[m,n] += a[m,k] b[k,n] with a(r,j) = a[r * a_row + j * a_col], or = when fresh; columns beyond n
 * are neither read from c nor written. b is packed: rows of b_row floats, zeros up to whole
 * vectors. */
struct product {
    float *c;
    size_t c_row;
    const float *a;
    size_t a_row, a_col;
    const float *b;
    size_t b_row;
    size_t m, n, k;
    int fresh;
};

INLINE void product_tile(
    const struct product *g, size_t row, size_t column, size_t rows, size_t vectors)
{
    vec s[TILE_ROWS][TILE_VECTORS];
    const float *a = g->a + row * g->a_row, *b = g->b + column;
    float *c = g->c + row * g->c_row + column;
    size_t left = g->n - column, a_row = g->a_row, a_col = g->a_col, b_row = g->b_row;

    UNROLL(6)
    for (size_t r = 0; r < rows; r++) {
        UNROLL(4)
        for (size_t u = 0; u < vectors; u++)
            s[r][u] = !g->fresh && u * LANES < left
                          ? load_upto(c + r * g->c_row + u * LANES, left - u * LANES)
                          : splat(0);
    }
    for (size_t j = 0; j < g->k; j++, a += a_col, b += b_row) {
        vec w[TILE_VECTORS];
        UNROLL(4)
        for (size_t u = 0; u < vectors; u++)
            w[u] = load(b + u * LANES);
        UNROLL(6)
        for (size_t r = 0; r < rows; r++) {
            vec x = splat(a[r * a_row]);
            UNROLL(4)
            for (size_t u = 0; u < vectors; u++)
                s[r][u] = vfma(x, w[u], s[r][u]);
        }
    }
    UNROLL(6)
    for (size_t r = 0; r < rows; r++) {
        UNROLL(4)
        for (size_t u = 0; u < vectors; u++) {
            if (u * LANES < left)
                store_upto(c + r * g->c_row + u * LANES, s[r][u], left - u * LANES);
        }
    }
}

INLINE void product_strip(const struct product *g, size_t row, size_t rows)
{
    size_t column = 0;

    for (; column + (TILE_VECTORS - 1) * LANES < g->n; column += TILE_VECTORS * LANES)
        product_tile(g, row, column, rows, TILE_VECTORS);
    for (; column + LANES < g->n; column += 2 * LANES)
        product_tile(g, row, column, rows, 2);
    for (; column < g->n; column += LANES)
        product_tile(g, row, column, rows, 1);
}

static __attribute__((noinline)) void product_add(const struct product *g)
{
    size_t row = 0;

    for (; row + TILE_ROWS <= g->m; row += TILE_ROWS)
        product_strip(g, row, TILE_ROWS);
    for (; row + 2 <= g->m; row += 2)
        product_strip(g, row, 2);
    for (; row < g->m; row++)
        product_strip(g, row, 1);
}

static size_t fewer(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Rows of d floats, `stride` apart, to rows of `room`, zeros up to a whole vector. */
static void pack_rows(float *out, size_t room, const float *x, size_t rows, size_t d, size_t stride)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < d; j += LANES)
            store(out + r * room + j, load_upto(x + r * stride + j, d - j));
    }
}

/* Element d of v[c] becomes element c of v[d]: squares of four are turned, then exchanged. */
INLINE void turn(vec v[LANES])
{
    UNROLL(4)
    for (size_t c = 0; c < LANES; c += 4) {
        vec ab = __builtin_shufflevector(v[c], v[c + 1], LOW_TWO);
        vec cd = __builtin_shufflevector(v[c + 2], v[c + 3], LOW_TWO);
        vec ab2 = __builtin_shufflevector(v[c], v[c + 1], HIGH_TWO);
        vec cd2 = __builtin_shufflevector(v[c + 2], v[c + 3], HIGH_TWO);
        v[c] = __builtin_shufflevector(ab, cd, LOW_PAIRS);
        v[c + 1] = __builtin_shufflevector(ab, cd, HIGH_PAIRS);
        v[c + 2] = __builtin_shufflevector(ab2, cd2, LOW_PAIRS);
        v[c + 3] = __builtin_shufflevector(ab2, cd2, HIGH_PAIRS);
    }
    UNROLL(4)
    for (size_t r = 0; r < 4; r++) {
#if LANES == 8
        vec a = v[r], b = v[r + 4];
        v[r] = __builtin_shufflevector(a, b, LOW_HALVES);
        v[r + 4] = __builtin_shufflevector(a, b, HIGH_HALVES);
#elif LANES == 16
        vec ab = __builtin_shufflevector(v[r], v[r + 4], LOW_HALVES);
        vec cd = __builtin_shufflevector(v[r + 8], v[r + 12], LOW_HALVES);
        vec ab2 = __builtin_shufflevector(v[r], v[r + 4], HIGH_HALVES);
        vec cd2 = __builtin_shufflevector(v[r + 8], v[r + 12], HIGH_HALVES);
        v[r] = __builtin_shufflevector(ab, cd, EVEN_FOURS);
        v[r + 4] = __builtin_shufflevector(ab, cd, ODD_FOURS);
        v[r + 8] = __builtin_shufflevector(ab2, cd2, EVEN_FOURS);
        v[r + 12] = __builtin_shufflevector(ab2, cd2, ODD_FOURS);
#endif
    }
}

/* out[j][r] = x[r][j] for `rows` of d floats; the columns from there to `room` are zero. */
static void pack_columns(
    float *out, size_t room, const float *x, size_t rows, size_t d, size_t stride)
{
    for (size_t r = 0; r < room; r += LANES) {
        for (size_t j = 0; j < d; j += LANES) {
            vec v[LANES];
            UNROLL(16)
            for (size_t u = 0; u < LANES; u++)
                v[u] = r + u < rows ? load_upto(x + (r + u) * stride + j, d - j) : splat(0);
            turn(v);
            UNROLL(16)
            for (size_t u = 0; u < LANES; u++)
                if (j + u < d)
                    store(out + (j + u) * room + r, v[u]);
        }
    }
}
