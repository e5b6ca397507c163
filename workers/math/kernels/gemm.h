/* Part of kernels.c. Products of large matrices, for blas.c (Goto & van de Geijn 2008): operands
 * are packed, one of them once for all tiles, the other by the tile that needs it.
 *
 * Packed operands are of elements: a number, or in bfloat16 a pair of numbers with neighbouring k,
 * the last one beside a zero where k is odd.
 *
 * INVARIANT  An element of c is a sum over blocks of k at fixed places, each a chain of fused
 * operations in order: its bits depend on its row of a, its column of b and k alone. */

#define GEMM_M (LANES == 16 ? 12 : 6) /* with two vectors they fill the registers */
#define GEMM_N (2 * LANES)
#define GEMM_DEPTH 384     /* elements of a sum in one block */
#define GEMM_PACKED_MAX 96 /* rows or columns in one block: it stays in the second-level cache */
#define GEMM_STRIDE (GEMM_DEPTH + 16) /* no power of two: rows share few places in the cache */

#define LINE 16 /* floats in a line of memory */

typedef uint32_t word __attribute__((may_alias));

/* What a block needs of a packed operand. a(r, d) = p[r * tile + d * element] for the first row r
 * of a tile, and `row` more for each further one; b(c, d) = p[c * tile + d * GEMM_N]. */
struct packed {
    const float *p;
    size_t tile, row, element;
};

static size_t gemm_depth(const struct gemm *g, size_t k)
{
    return g->bf16 ? (k + 1) / 2 : k;
}

/* Floats from one packed row to the next, for a whole part of the sum. */
static size_t gemm_stride(size_t depth)
{
    size_t lines = (depth + 15) / 16 + 1;

    return (lines % 4 == 0 ? lines + 1 : lines) * 16;
}

/* ---- packing ---- */

/* The elements of LANES numbers (bf16: 2 LANES), the first n of which are there. */
INLINE vec elements_along(const float *x, size_t n, int bf16)
{
    if (!bf16)
        return load_upto(x, n);
    return (vec)bf16_row(load_upto(x, n), n > LANES ? load_upto(x + LANES, n - LANES) : (vec){ 0 });
}

/* out[r * stride + d]: pairs of rows of a that lie one number after another. */
static void pack_rows_along(
    float *out, size_t stride, const struct operand *x, const struct gemm_range *at)
{
    size_t k = at->k1 - at->k0;

    for (size_t r = at->first; r < at->end; r++, out += stride) {
        const float *row = x->x + r * x->across + at->k0;
        for (size_t j = 0; j < k; j += 2 * LANES)
            store(out + j / 2, elements_along(row + j, k - j, 1));
    }
}

/* `count` elements of each of the first `columns` of LANES columns, into a panel; `k` numbers are
 * left in each. */
INLINE void turn_columns(
    float *to, const float *from, size_t across, size_t columns, size_t k, size_t count, int bf16)
{
    vec v[LANES];

    UNROLL(16)
    for (size_t c = 0; c < LANES; c++)
        v[c] = c < columns ? elements_along(from + c * across, k, bf16) : (vec){ 0 };
    turn(v);
    UNROLL(16)
    for (size_t d = 0; d < LANES; d++)
        if (d < count)
            store(to + d * GEMM_N, v[d]);
}

/* Panels of GEMM_N columns of b that lie one number after another. */
INLINE void pack_panels_along(
    float *out, size_t depth, const struct operand *x, const struct gemm_range *at, int bf16)
{
    size_t step = bf16 ? 2 * LANES : LANES, k = at->k1 - at->k0;

    for (size_t c = at->first; c < at->end; c += LANES) {
        size_t column = c - at->first, there = fewer(LANES, x->n - c), j = 0;
        const float *from = x->x + c * x->across + at->k0;
        float *to = out + column / GEMM_N * GEMM_N * depth + column % GEMM_N;
        if (there == LANES)
            for (; j + step <= k; j += step, to += LANES * GEMM_N)
                turn_columns(to, from + j, x->across, LANES, step, LANES, bf16);
        for (; j < k; j += step, to += LANES * GEMM_N)
            turn_columns(
                to, from + j, x->across, there, k - j, bf16 ? (k - j + 1) / 2 : k - j, bf16);
    }
}

/* LANES numbers of a row of which n are left; zeros beyond. */
INLINE vec load_left(const float *x, size_t i, size_t n)
{
    return i < n ? load_upto(x + i, n - i) : (vec){ 0 };
}

/* One element of each of `width` neighbouring rows. A store may reach into the place of the next
 * element, which is written later; the last one may not. */
INLINE void pack_across(
    float *to, size_t width, const float *row, const float *next, size_t left, int last, int bf16)
{
    UNROLL(4)
    for (size_t i = 0; i < width; i += LANES) {
        vec v = load_left(row, i, left);
        if (bf16)
            v = (vec)bf16_pairs(v, next != NULL ? load_left(next, i, left) : (vec){ 0 });
        if (last && i + LANES > width)
            store_few(to + i, v, width - i);
        else
            store(to + i, v);
    }
}

#if LANES >= 8

/* Four elements of each of LANES / 4 * 3 neighbouring rows: three whole vectors. */
INLINE void pack_four_across(float *to, const float *row, size_t along, size_t left, int bf16)
{
    vec v[4];

    UNROLL(4)
    for (size_t u = 0; u < 4; u++, row += along) {
        v[u] = load_upto(row, left);
        if (!bf16)
            continue;
        row += along;
        v[u] = (vec)bf16_pairs(v[u], load_upto(row, left));
    }
    store(to, __builtin_shufflevector(v[0], v[1], NARROW_FIRST));
    store(to + LANES, __builtin_shufflevector(v[1], v[2], NARROW_SECOND));
    store(to + 2 * LANES, __builtin_shufflevector(v[2], v[3], NARROW_THIRD));
}

#endif

#define PACK_AHEAD 8 /* rows of memory */

/* Panels of `width` neighbouring rows of a (columns of b), some side by side: whole lines of
 * memory are read. */
INLINE void pack_panels_across(float *out, size_t width, size_t depth, const struct operand *x,
    const struct gemm_range *at, int bf16)
{
    size_t step = bf16 ? 2 : 1, together = width == GEMM_N ? 64 : 48;

    for (size_t r = at->first; r < at->end; r += together, out += together * depth) {
        size_t end = fewer(r + together, at->end), k = at->k0;
        const float *row = x->x + at->k0 * x->along;
        float *to = out;
#if LANES >= 8
        for (; width == LANES / 4 * 3 && k + 4 * step <= at->k1; k += 4 * step) {
            for (size_t i = r; i < end; i += width)
                pack_four_across(to + (i - r) * depth, row + i, x->along, x->n - i, bf16);
            row += 4 * step * x->along;
            to += 4 * width;
        }
#endif
        for (; k < at->k1; k += step, row += step * x->along, to += width) {
            const float *next = bf16 && k + 1 < at->k1 ? row + x->along : NULL;
            int last = k + step >= at->k1;
            for (size_t i = r; i < end; i += LINE)
                __builtin_prefetch(row + PACK_AHEAD * x->along + i);
            for (size_t i = r; i < end; i += width)
                pack_across(to + (i - r) * depth, width, row + i, next == NULL ? NULL : next + i,
                    x->n - i, last, bf16);
        }
    }
}

/* Numbers that follow each other in a row need no packing. */
static struct packed a_as_it_lies(const struct gemm *g, size_t row, size_t k)
{
    return (struct packed){ g->a.x + row * g->a.across + k, g->a.across, g->a.across, 1 };
}

static struct packed pack_a(
    float *out, const struct gemm *g, const struct gemm_range *at, size_t stride, size_t depth)
{
    if (g->a.along == 1 && !g->bf16)
        return a_as_it_lies(g, at->first, at->k0);
    if (g->a.along == 1) {
        pack_rows_along(out, stride, &g->a, at);
        return (struct packed){ out, stride, stride, 1 };
    }
    if (g->bf16)
        pack_panels_across(out, GEMM_M, depth, &g->a, at, 1);
    else
        pack_panels_across(out, GEMM_M, depth, &g->a, at, 0);
    return (struct packed){ out, depth, 1, GEMM_M };
}

static struct packed pack_b(
    float *out, const struct gemm *g, const struct gemm_range *at, size_t depth)
{
    if (g->b.along == 1) {
        if (g->bf16)
            pack_panels_along(out, depth, &g->b, at, 1);
        else
            pack_panels_along(out, depth, &g->b, at, 0);
    } else if (g->bf16) {
        pack_panels_across(out, GEMM_N, depth, &g->b, at, 1);
    } else {
        pack_panels_across(out, GEMM_N, depth, &g->b, at, 0);
    }
    return (struct packed){ out, depth, 1, GEMM_N };
}

/* The shared operand from row (column) `first` and k on. */
static struct packed shared_at(const struct gemm *g, size_t first, size_t k)
{
    size_t depth = gemm_depth(g, g->k1 - g->k0), stride = gemm_stride(depth);
    struct packed s = { g->room, depth, 1, g->share_b ? GEMM_N : GEMM_M };

    if (!g->share_b && g->a.along == 1 && !g->bf16)
        return a_as_it_lies(g, first, k);
    if (!g->share_b && g->a.along == 1)
        s = (struct packed){ g->room, stride, stride, 1 };
    s.p += first * s.tile + gemm_depth(g, k - g->k0) * s.element;
    return s;
}

static void gemm_pack(const struct gemm *g, const struct gemm_range *at)
{
    struct packed s = shared_at(g, at->first, at->k0);
    size_t depth = gemm_depth(g, g->k1 - g->k0);

    if (g->share_b)
        pack_b((float *)s.p, g, at, depth);
    else
        pack_a((float *)s.p, g, at, gemm_stride(depth), depth);
}

/* ---- products of packed blocks ---- */

/* c (+)= rows of a times a panel of b, of which `left` columns are there. */
INLINE void gemm_tile(float *c, size_t c_row, const float *a, size_t a_row, size_t a_element,
    const float *b, size_t depth, size_t rows, size_t vectors, size_t left, int add, int bf16)
{
    vec s[GEMM_M][2];

    UNROLL(12)
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < vectors * LANES; i += LINE)
            __builtin_prefetch(c + r * c_row + i, 1);
        s[r][0] = s[r][1] = (vec){ 0 };
    }
    const float *from[3] = { a, a + 4 * a_row, a + 8 * a_row }; /* few addresses: few registers */
    for (size_t d = 0; d < depth; d++, b += GEMM_N) {
        vec w[2] = { load(b), vectors > 1 ? load(b + LANES) : (vec){ 0 } };
        UNROLL(12)
        for (size_t r = 0; r < rows; r++) {
            const float *one = from[r / 4] + r % 4 * a_row;
            uvec pair = (uvec){ 0 } + *(const word *)one;
            vec x = splat(*one);
            UNROLL(2)
            for (size_t u = 0; u < vectors; u++)
                s[r][u] = bf16 ? vdot_bf16(s[r][u], pair, (uvec)w[u]) : vfma(x, w[u], s[r][u]);
        }
        for (size_t i = 0; i < 3; i++)
            from[i] += a_element;
    }
    UNROLL(12)
    for (size_t r = 0; r < rows; r++, c += c_row) {
        UNROLL(2)
        for (size_t u = 0; u < vectors; u++) {
            size_t n = left - u * LANES;
            store_upto(c + u * LANES, add ? load_upto(c + u * LANES, n) + s[r][u] : s[r][u], n);
        }
    }
}

/* What is packed next: it is brought near, some lines of memory with each tile, while this block
 * is computed. */
struct ahead {
    const float *row;
    size_t rows, step, width, at; /* floats: from row to row, in a row, and where we are in it */
    size_t lines;                 /* with each tile */
};

static size_t tiles_of(size_t n, size_t each)
{
    return (n + each - 1) / each;
}

/* The part `at` of x, during a block of so many tiles. */
static struct ahead ahead_of(const struct operand *x, const struct gemm_range *at, size_t tiles)
{
    size_t n = at->end - at->first, k = at->k1 - at->k0;
    struct ahead a = { .row = x->x + at->first * x->across + at->k0 * x->along };

    if (x->along == 1) {
        a.rows = n, a.step = x->across, a.width = k;
    } else {
        a.rows = k, a.step = x->along, a.width = n;
    }
    a.lines = tiles_of(a.rows * tiles_of(a.width, LINE), tiles);
    return a;
}

static __attribute__((noinline)) void look_ahead(struct ahead *a)
{
    for (size_t n = a->lines; n > 0 && a->rows > 0; n--) {
        __builtin_prefetch(a->row + a->at, 0, 2);
        a->at += LINE;
        if (a->at >= a->width) {
            a->at = 0;
            a->row += a->step;
            a->rows--;
        }
    }
}

/* A block's part of c. */
struct gemm_block {
    float *c;
    size_t c_row, rows, columns, depth;
    struct packed a, b;
    int add, bf16;
    struct ahead ahead;
};

INLINE void gemm_rows_of_tile(struct gemm_block *g, size_t column, size_t row, size_t rows,
    size_t a_row, size_t a_element, int bf16)
{
    const float *a = g->a.p + row / GEMM_M * GEMM_M * g->a.tile + row % GEMM_M * a_row;
    const float *b = g->b.p + column * g->b.tile;
    float *c = g->c + row * g->c_row + column;
    size_t left = g->columns - column;

    look_ahead(&g->ahead);
    if (left > LANES)
        gemm_tile(c, g->c_row, a, a_row, a_element, b, g->depth, rows, 2, left, g->add, bf16);
    else
        gemm_tile(c, g->c_row, a, a_row, a_element, b, g->depth, rows, 1, left, g->add, bf16);
}

INLINE void gemm_panels(struct gemm_block *g, size_t a_row, size_t a_element, int bf16)
{
    for (size_t column = 0; column < g->columns; column += GEMM_N) {
        size_t row = 0;
        for (; row + GEMM_M <= g->rows; row += GEMM_M)
            gemm_rows_of_tile(g, column, row, GEMM_M, a_row, a_element, bf16);
        for (; row + GEMM_M / 3 <= g->rows; row += GEMM_M / 3)
            gemm_rows_of_tile(g, column, row, GEMM_M / 3, a_row, a_element, bf16);
        for (; row < g->rows; row++)
            gemm_rows_of_tile(g, column, row, 1, a_row, a_element, bf16);
    }
}

static __attribute__((noinline)) void gemm_block(struct gemm_block *g)
{
    int panels = g->a.row == 1;

    if (g->bf16 && panels)
        gemm_panels(g, 1, g->a.element, 1);
    else if (g->bf16)
        gemm_panels(g, g->a.row, 1, 1);
    else if (panels)
        gemm_panels(g, 1, g->a.element, 0);
    else
        gemm_panels(g, g->a.row, 1, 0);
}

/* One block of the sum for the rows (columns) `own`, whose operand is packed for it; `next` is
 * packed after it. */
static void gemm_part(
    const struct gemm *g, const struct gemm_range *own, const struct gemm_range *next)
{
    _Alignas(64) float local[GEMM_PACKED_MAX * GEMM_STRIDE + LANES];
    size_t depth = gemm_depth(g, own->k1 - own->k0), n = own->end - own->first;
    struct gemm_block block = {
        .c_row = g->b.n, .depth = depth, .add = g->add || own->k0 > 0, .bf16 = g->bf16
    };

    if (g->share_b) {
        block.c = g->c + own->first * g->b.n;
        block.rows = n;
        block.columns = g->b.n;
        block.a = pack_a(local, g, own, GEMM_STRIDE, depth);
        block.b = shared_at(g, 0, own->k0);
    } else {
        block.c = g->c + own->first;
        block.rows = g->a.n;
        block.columns = n;
        block.a = shared_at(g, 0, own->k0);
        block.b = pack_b(local, g, own, depth);
    }
    block.ahead = ahead_of(g->share_b ? &g->a : &g->b, next,
        tiles_of(block.rows, GEMM_M) * tiles_of(block.columns, GEMM_N));
    gemm_block(&block);
}

static void gemm(const struct gemm *g, size_t first, size_t end)
{
    size_t most = g->bf16 ? 2 * GEMM_DEPTH : GEMM_DEPTH;
    struct gemm_range own = { first, fewer(first + GEMM_PACKED_MAX, end), g->k0,
        fewer(g->k0 + most, g->k1) };

    while (own.first < end) {
        struct gemm_range next = { own.first, own.end, own.k1, fewer(own.k1 + most, g->k1) };
        if (own.k1 == g->k1)
            next = (struct gemm_range){ own.end, fewer(own.end + GEMM_PACKED_MAX, end), g->k0,
                fewer(g->k0 + most, g->k1) };
        gemm_part(g, &own, &next);
        own = next;
    }
}
