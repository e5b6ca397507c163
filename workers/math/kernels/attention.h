/* Part of kernels.c. Causal attention of one head, in blocks of keys and queries whose scores fit
 * the first-level cache (Rabe & Staats 2021; Dao et al. 2022): memory linear in t.
 *
 * INVARIANTS
 * (1) Blocks start at fixed positions and every sum runs over keys (backward: over queries for dk
 *     and dv) in order, one accumulator for each element: row i depends on rows 0..i alone, and
 *     its bits do not change when the sequence grows.
 * (2) Packed blocks have rows of BLOCK_D or BLOCK_K floats, padded with zeros to whole vectors. */

#define BLOCK_Q 48
#define BLOCK_Q_DIAGONAL 24
#define BLOCK_K 64
#define BLOCK_D 128 /* a larger head is taken in slices */

/* A block of scores: queries from q0 on against keys from k0 on. No query is before k0; `seen` is
 * the last query's share of the keys. */
struct block {
    size_t q0, queries, k0, keys, seen;
};

/* On the diagonal, where many of a block's keys are in the future, blocks are lower. */
static struct block block_at(size_t q0, size_t k0, size_t t)
{
    struct block b = { .q0 = q0, .k0 = k0, .keys = fewer(BLOCK_K, t - k0) };

    b.queries = fewer(q0 < k0 + BLOCK_K ? BLOCK_Q_DIAGONAL : BLOCK_Q, t - q0);
    b.seen = fewer(b.keys, q0 + b.queries - k0);
    return b;
}

/* s[queries][BLOCK_K] = x y^T over all slices of the head; `packed` keeps y's only slice. */
static void block_scores(float *s, const float *x, size_t x_stride, const float *y, size_t y_stride,
    float *packed, const struct block *b, size_t d)
{
    for (size_t j = 0; j < d; j += BLOCK_D) {
        size_t width = fewer(BLOCK_D, d - j);
        if (b->q0 == b->k0 || d > BLOCK_D)
            pack_columns(packed, BLOCK_K, y + b->k0 * y_stride + j, b->keys, width, y_stride);
        product_add(&(struct product){ .c = s,
            .c_row = BLOCK_K,
            .a = x + b->q0 * x_stride + j,
            .a_row = x_stride,
            .a_col = 1,
            .b = packed,
            .b_row = BLOCK_K,
            .m = b->queries,
            .n = (b->seen + LANES - 1) / LANES * LANES,
            .k = width,
            .fresh = j == 0 });
    }
}

/* Row r's scores of keys in the future become -inf, whose exp is 0, up to whole vectors of
 * `seen`. Returns that number of floats. */
INLINE size_t mask_future(float *s, const struct block *b, size_t r)
{
    size_t n = (b->seen + LANES - 1) / LANES * LANES;

    for (size_t j = fewer(b->keys, b->q0 + r - b->k0 + 1); j < n; j++)
        s[j] = -INFINITY;
    return n;
}

/* x[0..n) = exp(x scale - top); returns their sum. n: whole vectors. */
INLINE float exp_row(float *x, size_t n, float scale, float top)
{
    vec sum = { 0 };

    for (size_t j = 0; j < n; j += LANES) {
        vec e = vexp(vfma(load(x + j), splat(scale), splat(-top)));
        store(x + j, e);
        sum += e;
    }
    return sum_lanes(sum);
}

INLINE float max_row(const float *x, size_t n)
{
    vec m = load(x);

    for (size_t j = LANES; j < n; j += LANES)
        m = vmax(load(x + j), m);
    return max_lanes(m);
}

/* The running softmax of a block's rows, LANES of them together (Milakov & Gimelshein 2018): top
 * is a row's largest score so far, sum that of exp(score - top), out the weighted values. */
static void softmax_block(float *s, const struct block *b, float scale, float *top, float *sum,
    float *out, size_t out_stride, size_t d)
{
    for (size_t r0 = 0; r0 < b->queries; r0 += LANES) {
        _Alignas(64) float most[LANES] = { 0 }, sums[LANES] = { 0 }, shrink[LANES];
        size_t rows = fewer(LANES, b->queries - r0), n[LANES];
        for (size_t r = 0; r < rows; r++) {
            n[r] = mask_future(s + (r0 + r) * BLOCK_K, b, r0 + r);
            most[r] = max_row(s + (r0 + r) * BLOCK_K, n[r]);
        }
        vec before = load_upto(top + r0, rows), now = vmax(load(most) * scale, before);
        store(most, now);
        store(shrink, vexp(before - now));
        for (size_t r = 0; r < rows; r++) {
            float *o = out + (r0 + r) * out_stride;
            sums[r] = exp_row(s + (r0 + r) * BLOCK_K, n[r], scale, most[r]);
            if (b->k0 == 0 || shrink[r] == 1)
                continue;
            for (size_t j = 0; j < d; j += LANES)
                store_upto(o + j, load_upto(o + j, d - j) * shrink[r], d - j);
        }
        store_upto(top + r0, now, rows);
        store_upto(sum + r0, load_upto(sum + r0, rows) * load(shrink) + load(sums), rows);
    }
}

static void attention(float *out, float *lse, const float *q, const float *k, const float *v,
    size_t t, size_t d, size_t q_stride, size_t kv_stride, size_t out_stride, float *scratch)
{
    _Alignas(64) float columns[BLOCK_D * BLOCK_K], rows[BLOCK_K * BLOCK_D], s[BLOCK_Q * BLOCK_K];
    float *top = lse, *sum = scratch, scale_d = 1 / sqrtf((float)d);

    for (size_t i = 0; i < t; i++) {
        top[i] = -INFINITY;
        sum[i] = 0;
    }
    for (size_t k0 = 0; k0 < t; k0 += BLOCK_K) {
        struct block b;
        for (size_t q0 = k0; q0 < t; q0 += b.queries) {
            b = block_at(q0, k0, t);
            block_scores(s, q, q_stride, k, kv_stride, columns, &b, d);
            softmax_block(s, &b, scale_d, top + q0, sum + q0, out + q0 * out_stride, out_stride, d);
            for (size_t j = 0; j < d; j += BLOCK_D) {
                size_t width = fewer(BLOCK_D, d - j);
                if (q0 == k0 || d > BLOCK_D)
                    pack_rows(rows, BLOCK_D, v + k0 * kv_stride + j, b.keys, width, kv_stride);
                product_add(&(struct product){ .c = out + q0 * out_stride + j,
                    .c_row = out_stride,
                    .a = s,
                    .a_row = BLOCK_K,
                    .a_col = 1,
                    .b = rows,
                    .b_row = BLOCK_D,
                    .m = b.queries,
                    .n = width,
                    .k = b.seen,
                    .fresh = k0 == 0 });
            }
        }
    }
    for (size_t i = 0; i < t; i++) {
        float over = 1 / sum[i];
        for (size_t j = 0; j < d; j += LANES)
            store_upto(
                out + i * out_stride + j, load_upto(out + i * out_stride + j, d - j) * over, d - j);
        lse[i] = (float)(top[i] + elementary_log(sum[i]));
    }
}

/* With P the probabilities and D_i = dout_i . out_i (Dao et al. 2022, section B.4):
 * dv = P^T dout,  dS = P (dout v^T - D) / sqrt d,  dq = dS k,  dk = dS^T q. */
struct backward {
    float *dq, *dk, *dv;
    const float *dout, *q, *k, *v, *lse, *correction;
    size_t d, q_stride, kv_stride, out_stride;
    float scale;
    _Alignas(64) float k_columns[BLOCK_D * BLOCK_K], v_columns[BLOCK_D * BLOCK_K];
    _Alignas(64) float rows[BLOCK_K * BLOCK_D];
    _Alignas(64) float p[BLOCK_Q * BLOCK_K], ds[BLOCK_Q * BLOCK_K];
};

/* p becomes P, ds (holding dout v^T) becomes dS. */
static void block_gradients(struct backward *w, const struct block *b)
{
    for (size_t r = 0; r < b->queries; r++) {
        float *p = w->p + r * BLOCK_K, *ds = w->ds + r * BLOCK_K;
        size_t n = mask_future(p, b, r), i = b->q0 + r;
        exp_row(p, n, w->scale, w->lse[i]);
        for (size_t j = 0; j < n; j += LANES)
            store(ds + j, load(p + j) * (load(ds + j) - w->correction[i]) * w->scale);
    }
}

/* c[rows] += a b for one slice j of the head, b packed from x. */
static void slice_product(
    struct backward *w, struct product *g, const float *x, size_t x_rows, size_t x_stride)
{
    pack_rows(w->rows, BLOCK_D, x, x_rows, g->n, x_stride);
    g->b = w->rows;
    g->b_row = BLOCK_D;
    product_add(g);
}

static void block_backward(struct backward *w, const struct block *b)
{
    size_t q = b->q0 * w->q_stride, kv = b->k0 * w->kv_stride, o = b->q0 * w->out_stride;

    block_scores(w->p, w->q, w->q_stride, w->k, w->kv_stride, w->k_columns, b, w->d);
    block_scores(w->ds, w->dout, w->out_stride, w->v, w->kv_stride, w->v_columns, b, w->d);
    block_gradients(w, b);
    for (size_t j = 0; j < w->d; j += BLOCK_D) {
        size_t width = fewer(BLOCK_D, w->d - j);
        struct product g = { .c = w->dv + kv + j,
            .c_row = w->kv_stride,
            .a = w->p,
            .a_row = 1,
            .a_col = BLOCK_K,
            .m = b->seen,
            .n = width,
            .k = b->queries };
        slice_product(w, &g, w->dout + o + j, b->queries, w->out_stride);
        g.c = w->dk + kv + j;
        g.a = w->ds;
        slice_product(w, &g, w->q + q + j, b->queries, w->q_stride);
        g = (struct product){ .c = w->dq + q + j,
            .c_row = w->q_stride,
            .a = w->ds,
            .a_row = BLOCK_K,
            .a_col = 1,
            .m = b->queries,
            .n = width,
            .k = b->seen };
        slice_product(w, &g, w->k + kv + j, b->seen, w->kv_stride);
    }
}

static void attention_backward(float *dq, float *dk, float *dv, const float *dout, const float *q,
    const float *k, const float *v, const float *out, const float *lse, size_t t, size_t d,
    size_t q_stride, size_t kv_stride, size_t out_stride, float *scratch)
{
    struct backward w;
    w.dq = dq, w.dk = dk, w.dv = dv, w.dout = dout, w.q = q, w.k = k, w.v = v, w.lse = lse;
    w.correction = scratch, w.d = d, w.scale = 1 / sqrtf((float)d);
    w.q_stride = q_stride, w.kv_stride = kv_stride, w.out_stride = out_stride;

    for (size_t i = 0; i < t; i++)
        scratch[i] = sum_products(dout + i * out_stride, out + i * out_stride, NULL, d);
    for (size_t k0 = 0; k0 < t; k0 += BLOCK_K) {
        struct block b;
        for (size_t q0 = k0; q0 < t; q0 += b.queries) {
            b = block_at(q0, k0, t);
            block_backward(&w, &b);
        }
    }
}
