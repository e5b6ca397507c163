/* Part of kernels.c. Matrix products out of the first-level cache, for attention.
 *
 * INVARIANT  An element of c is one chain of fused multiplications and additions over k, in
 * order, from what c holds: its bits depend on nothing else. */

#define TILE_ROWS 6
#define TILE_VECTORS (LANES == 16 ? 4 : 2) /* with 6 rows they fill the registers */
#define PANEL (TILE_VECTORS * LANES)

/* c[m,n] += a[m,k] b[k,n] with a(r,j) = a[r * a_row + j * a_col]; columns beyond n are neither
 * read from c nor written. b is packed: rows of b_row floats, zeros up to whole vectors. */
struct product {
    float *c;
    size_t c_row;
    const float *a;
    size_t a_row, a_col;
    const float *b;
    size_t b_row;
    size_t m, n, k;
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
            s[r][u] = u * LANES < left ? load_upto(c + r * g->c_row + u * LANES, left - u * LANES)
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

typedef float vec4_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

/* out[j * room + r] = x[r * stride + j] for a square of four by four. */
INLINE void transpose_four(float *out, size_t room, const float *x, size_t stride)
{
    vec4 a = *(const vec4_unaligned *)x, b = *(const vec4_unaligned *)(x + stride);
    vec4 c = *(const vec4_unaligned *)(x + 2 * stride);
    vec4 d = *(const vec4_unaligned *)(x + 3 * stride);
    vec4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    vec4 ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    vec4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    vec4 cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);

    *(vec4_unaligned *)out = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(vec4_unaligned *)(out + room) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(vec4_unaligned *)(out + 2 * room) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    *(vec4_unaligned *)(out + 3 * room) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

/* out[j][r] = x[r][j] for `rows` of d floats; the columns from there to `room` are zero. */
static void pack_columns(
    float *out, size_t room, const float *x, size_t rows, size_t d, size_t stride)
{
    size_t fours = rows / 4 * 4, j = 0;

    for (; j + 4 <= d; j += 4) {
        for (size_t r = 0; r < fours; r += 4)
            transpose_four(out + j * room + r, room, x + r * stride + j, stride);
    }
    for (size_t r = 0; r < fours; r++) {
        for (size_t i = j; i < d; i++)
            out[i * room + r] = x[r * stride + i];
    }
    for (size_t r = fours; r < room; r++) {
        for (size_t i = 0; i < d; i++)
            out[i * room + r] = r < rows ? x[r * stride + i] : 0;
    }
}
