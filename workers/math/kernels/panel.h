/* Part of kernels.c. Decoding: few rows times packed matrices, and attention over a packed cache,
 * which is the same product twice: queries times keys, then weights times values.
 *
 * INVARIANTS
 * (1) An element is the sum, in order, of SEGMENTS chains over contiguous shares of k (below
 *     SEGMENTED: of one chain); which rows are taken together changes only what is computed at
 *     the same time.
 * (2) Whatever is multiplied with a zero that only fills up is finite. */

#define PANEL_COLUMNS (2 * LANES)
#define FEW_ROWS (LANES == 16 ? 12 : LANES == 8 ? 6 : 4) /* with two vectors: the registers */
#define MOST_CHAINS (FEW_ROWS > 6 ? FEW_ROWS : 6)        /* rows, times segments at once */
#define SEGMENTS 2
#define SEGMENTED 64
#define AHEAD (48u << 10) /* bytes, where each panel is read once */

/* What is multiplied: floats with floats; floats with pairs of bfloat16; such pairs with pairs. */
enum form { FLOATS, MIXED, PAIRS };
#ifdef __AVX512BF16__
#define BF16_FORM PAIRS
#define BF16_OPERAND sizeof(uint16_t)
#else
#define BF16_FORM MIXED
#define BF16_OPERAND sizeof(float)
#endif

typedef uvec uvec_unaligned __attribute__((aligned(4), may_alias));

INLINE uvec load_words(const void *p)
{
    return *(const uvec_unaligned *)p;
}

INLINE void store_words(void *p, uvec v)
{
    *(uvec_unaligned *)p = v;
}

/* y[n, columns] (+)= x[n, k] w + b; x rows are x_row numbers apart, w is [k, PANEL_COLUMNS]. k is
 * even unless the form is FLOATS. */
struct few {
    float *y;
    size_t y_row;
    const void *x;
    size_t x_row;
    const void *w;
    const float *b;
    size_t n, k, columns;
    int adds;
    size_t next;  /* bytes to the panel that is read after this one */
    size_t ahead; /* of what is read, bytes to what is fetched into the cache */
};

/* The chains s[rows][2] take one more step, of two numbers unless the form is FLOATS. */
INLINE void panel_step(
    enum form form, vec (*s)[2], size_t rows, const struct few *p, size_t row, size_t step)
{
    const float *x = (const float *)p->x + row * p->x_row;
    const char *w = (const char *)p->w + step * PANEL_COLUMNS * sizeof(float);

    __builtin_prefetch(w + p->ahead, 0, 2);
    if (form == PAIRS) {
        const word *pair = (const word *)((const uint16_t *)p->x + row * p->x_row) + step;
        uvec w0 = load_words(w), w1 = load_words(w + sizeof(vec));
        UNROLL(12)
        for (size_t r = 0; r < rows; r++) {
            uvec a = pair[r * (p->x_row / 2)] + (uvec){ 0 };
            s[r][0] = vdot_bf16(s[r][0], a, w0);
            s[r][1] = vdot_bf16(s[r][1], a, w1);
        }
        return;
    }
    UNROLL(2)
    for (int odd = form == MIXED; odd >= 0; odd--) { /* the order of vdot_bf16 */
        uvec bits0 = load_words(w), bits1 = load_words(w + sizeof(vec));
        vec w0 = form == FLOATS ? (vec)bits0 : odd ? bf16_odd(bits0) : bf16_even(bits0);
        vec w1 = form == FLOATS ? (vec)bits1 : odd ? bf16_odd(bits1) : bf16_even(bits1);
        UNROLL(12)
        for (size_t r = 0; r < rows; r++) {
            vec a = splat(x[r * p->x_row + (form == FLOATS ? step : 2 * step + (size_t)odd)]);
            s[r][0] = vfma(a, w0, s[r][0]);
            s[r][1] = vfma(a, w1, s[r][1]);
        }
    }
}

/* `count` segments of `length` steps at the same time, from step `from` to `to` of each. */
INLINE void panel_run(enum form form, vec (*s)[2], size_t rows, size_t count, const struct few *p,
    size_t row, size_t first, size_t length, size_t from, size_t to)
{
    for (size_t step = first * length + from; step < first * length + to; step++) {
        UNROLL(4)
        for (size_t g = 0; g < count; g++)
            panel_step(form, s + g * rows, rows, p, row, step + g * length);
    }
}

static __attribute__((noinline)) void panel_store(
    const struct few *p, size_t row, size_t rows, vec (*s)[2])
{
    for (size_t r = 0; r < rows; r++) {
        float *y = p->y + (row + r) * p->y_row;
        for (size_t u = 0; u * LANES < p->columns && u < 2; u++) {
            size_t left = p->columns - u * LANES;
            vec v = s[r][u];
            if (p->b != NULL)
                v += load_upto(p->b + u * LANES, left);
            if (p->adds)
                v += load_upto(y + u * LANES, left);
            store_upto(y + u * LANES, v, left);
        }
    }
}

/* Adds `together` segments from segment g on, all `length` steps long but the last of all. */
INLINE void panel_segments(enum form form, vec (*total)[2], const struct few *p, size_t row,
    size_t rows, size_t together, size_t g, size_t length, size_t last)
{
    vec s[MOST_CHAINS][2];

    UNROLL(12)
    for (size_t r = 0; r < together * rows; r++)
        s[r][0] = s[r][1] = splat(0);
    panel_run(form, s, rows, together, p, row, g, length, 0, last);
    panel_run(form, s, rows, together - 1, p, row, g, length, last, length);
    UNROLL(12)
    for (size_t r = 0; r < together * rows; r++) {
        total[r % rows][0] += s[r][0];
        total[r % rows][1] += s[r][1];
    }
}

/* Few rows leave registers free: then several segments are under way at once. */
INLINE void panel_tile(enum form form, const struct few *p, size_t row, size_t rows)
{
    const size_t together = rows * 2 <= FEW_ROWS ? 2 : 1;
    size_t steps = form == FLOATS ? p->k : p->k / 2, length = (steps + SEGMENTS - 1) / SEGMENTS;
    vec total[FEW_ROWS][2];

    UNROLL(12)
    for (size_t r = 0; r < rows; r++)
        total[r][0] = total[r][1] = splat(0);
    if (p->k < SEGMENTED)
        panel_segments(form, total, p, row, rows, 1, 0, steps, steps);
    else
        for (size_t g = 0; g < SEGMENTS; g += together)
            panel_segments(form, total, p, row, rows, together, g, length,
                g + together < SEGMENTS ? length : steps - (SEGMENTS - 1) * length);
    panel_store(p, row, rows, total);
}

INLINE void panel_rows(enum form form, struct few *p)
{
    for (size_t row = 0, rows; row < p->n; row += rows) {
        /* without the instruction, 12 rows of pairs do not fit the registers */
        const size_t most = form == MIXED && FEW_ROWS > 10 ? 10 : FEW_ROWS;
        size_t tiles = (p->n - row + most - 1) / most;
        rows = (p->n - row + tiles - 1) / tiles;
        if (rows > 6 && rows % 2 != 0) /* 7, 9 and 11 have no code of their own */
            rows = rows < p->n - row ? rows + 1 : (rows + 1) / 2;
        if (row + rows >= p->n) /* the rows before it need all of the cache's speed */
            p->ahead = row > 0 ? p->next : fewer(p->next, AHEAD);
        switch (rows) {
#define ROWS(r)                      \
    case r:                          \
        panel_tile(form, p, row, r); \
        break;
            ROWS(1)
            ROWS(2)
            ROWS(3)
            ROWS(4)
#if FEW_ROWS > 4
            ROWS(5)
            ROWS(6)
#endif
#if FEW_ROWS > 6
            ROWS(8)
            ROWS(10)
            ROWS(12)
#endif
#undef ROWS
        }
    }
}

static __attribute__((noinline)) void panel_rows_floats(struct few *p)
{
    panel_rows(FLOATS, p);
}

static __attribute__((noinline)) void panel_rows_mixed(struct few *p)
{
    panel_rows(MIXED, p);
}

#ifdef __AVX512BF16__
static __attribute__((noinline)) void panel_rows_pairs(struct few *p)
{
    panel_rows(PAIRS, p);
}
#define panel_rows_bf16 panel_rows_pairs
#else
#define panel_rows_bf16 panel_rows_mixed
#endif

static size_t even(size_t n)
{
    return n + n % 2;
}

static void panel_product_fp32(float *y, size_t y_row, const void *x, const void *panel,
    const float *b, size_t n, size_t i, size_t columns, int adds)
{
    panel_rows_floats(&(struct few){ y, y_row, x, even(i), panel, b, n, i, columns, adds,
        even(i) * PANEL_COLUMNS * sizeof(float), 0 });
}

static void panel_product_bf16(float *y, size_t y_row, const void *x, const void *panel,
    const float *b, size_t n, size_t i, size_t columns, int adds)
{
    panel_rows_bf16(&(struct few){ y, y_row, x, even(i), panel, b, n, even(i), columns, adds,
        even(i) * PANEL_COLUMNS * sizeof(uint16_t), 0 });
}

/* ---- packing ---- */

static void pack_floats(void *panel, const float *const *columns, size_t i)
{
    float *out = panel;

    for (size_t c = 0; c < PANEL_COLUMNS; c++) {
        for (size_t j = 0; j < even(i); j++)
            out[j * PANEL_COLUMNS + c] = columns[c] == NULL || j >= i ? 0 : columns[c][j];
    }
}

static void pack_pairs(void *panel, const float *const *columns, size_t i)
{
    enum { DEPTH = 32 };
    _Alignas(64) float block[DEPTH * PANEL_COLUMNS];
    char *out = panel;

    for (size_t j = 0; j < i; j += DEPTH) {
        size_t depth = fewer(DEPTH, i - j);
        for (size_t c = 0; c < PANEL_COLUMNS; c++) {
            for (size_t r = 0; r < even(depth); r++)
                block[r * PANEL_COLUMNS + c] =
                    columns[c] == NULL || r >= depth ? 0 : columns[c][j + r];
        }
        for (size_t r = 0; r < depth; r += 2) {
            const float *low = block + r * PANEL_COLUMNS, *high = low + PANEL_COLUMNS;
            for (size_t u = 0; u < PANEL_COLUMNS; u += LANES, out += sizeof(vec))
                store_words(out, bf16_pairs(load(low + u), load(high + u)));
        }
    }
}

static void round_to_floats(
    void *out, size_t out_row, const float *x, size_t x_row, size_t n, size_t count)
{
    for (size_t r = 0; r < n; r++)
        memcpy((float *)out + r * out_row, x + r * x_row, count * sizeof *x);
}

static void round_to_bf16(
    void *out, size_t out_row, const float *x, size_t x_row, size_t n, size_t count)
{
    for (size_t r = 0; r < n; r++, x += x_row) {
#ifdef __AVX512BF16__
        bf16((uint16_t *)out + r * out_row, x, count);
#else
        float *y = (float *)out + r * out_row;
        for (size_t j = 0; j < count; j += LANES) {
            vec v = load_upto(x + j, count - j);
            store_upto(y + j, bf16_odd(bf16_pairs(v, v)), count - j);
        }
#endif
    }
}

/* ---- the cache ---- */

/* keys: blocks of PANEL_COLUMNS positions, each a panel with the head's numbers along i. values:
 * slices of PANEL_COLUMNS numbers of the head, each a panel with the positions along i. */
INLINE size_t slices_of(size_t d)
{
    return (d + PANEL_COLUMNS - 1) / PANEL_COLUMNS;
}

static void remember_fp32(void *keys, void *values, const float *k, const float *v, size_t position,
    size_t d, size_t capacity)
{
    float *key = (float *)keys + position / PANEL_COLUMNS * PANEL_COLUMNS * d;

    for (size_t j = 0; j < d; j++)
        key[j * PANEL_COLUMNS + position % PANEL_COLUMNS] = k[j];
    for (size_t s = 0; s < slices_of(d); s++)
        memcpy((float *)values + (s * capacity + position) * PANEL_COLUMNS, v + s * PANEL_COLUMNS,
            fewer(PANEL_COLUMNS, d - s * PANEL_COLUMNS) * sizeof *v);
}

/* An even position's pair is complete, with a zero, until the next one comes. */
static void remember_bf16(void *keys, void *values, const float *k, const float *v, size_t position,
    size_t d, size_t capacity)
{
    uint16_t rounded[PANEL_COLUMNS];
    uint16_t *key = (uint16_t *)keys + position / PANEL_COLUMNS * PANEL_COLUMNS * d;

    for (size_t s = 0; s < d; s += PANEL_COLUMNS) {
        size_t width = fewer(PANEL_COLUMNS, d - s);
        bf16(rounded, k + s, width);
        for (size_t j = 0; j < width; j += 2)
            memcpy(key + (s + j) * PANEL_COLUMNS + position % PANEL_COLUMNS * 2, rounded + j,
                2 * sizeof *key);
        bf16(rounded, v + s, width);
        uint16_t *value = (uint16_t *)values + s * capacity + position / 2 * PANEL_COLUMNS * 2;
        for (size_t j = 0; j < width; j++) {
            value[2 * j + position % 2] = rounded[j];
            if (position % 2 == 0)
                value[2 * j + 1] = 0;
        }
    }
}

/* s[n] becomes softmax(s scale), zeros from t on; n: whole vectors. */
INLINE void soften(float *s, size_t t, size_t n, float scale)
{
    vec top = splat(-INFINITY);

    for (size_t j = t; j < n; j++)
        s[j] = -INFINITY;
    for (size_t j = 0; j < n; j += LANES)
        top = vmax(load(s + j), top);
    float over = 1 / exp_row(s, n, scale, max_lanes(top) * scale);
    for (size_t j = 0; j < n; j += LANES)
        store(s + j, load(s + j) * over);
}

INLINE void attend(void (*rows)(struct few *p), size_t number, float *out, const float *q,
    const void *keys, const void *values, size_t t, size_t heads, size_t d, size_t capacity,
    float *scratch)
{
    size_t room = (t + PANEL_COLUMNS - 1) / PANEL_COLUMNS * PANEL_COLUMNS;
    size_t depth = number == sizeof(float) ? t : even(t);

    for (size_t j = 0; j < t; j += PANEL_COLUMNS)
        rows(&(struct few){ scratch + j, room, q, d, (const char *)keys + j * d * number, NULL,
            heads, d, PANEL_COLUMNS, 0, PANEL_COLUMNS * d * number, 0 });
    for (size_t h = 0; h < heads; h++)
        soften(scratch + h * room, t, room, 1 / sqrtf((float)d));
    for (size_t s = 0; s < d; s += PANEL_COLUMNS)
        rows(&(struct few){ out + s, d, scratch, room, (const char *)values + s * capacity * number,
            NULL, heads, depth, fewer(PANEL_COLUMNS, d - s), 0, PANEL_COLUMNS * capacity * number,
            0 });
}

static void attend_fp32(float *out, const float *q, const void *keys, const void *values, size_t t,
    size_t heads, size_t d, size_t capacity, float *scratch)
{
    attend(panel_rows_floats, sizeof(float), out, q, keys, values, t, heads, d, capacity, scratch);
}

static void attend_bf16(float *out, const float *q, const void *keys, const void *values, size_t t,
    size_t heads, size_t d, size_t capacity, float *scratch)
{
    attend(
        panel_rows_mixed, sizeof(uint16_t), out, q, keys, values, t, heads, d, capacity, scratch);
}
