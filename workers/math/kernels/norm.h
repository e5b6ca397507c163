/* Part of kernels.c. Norms and biases: reductions over a row, sums over rows. */

/* sum of x[j] (times y[j]) (times z[j]); y and z may be NULL. Four partial vectors hide the
 * latency of additions; their order is fixed by c. */
INLINE float sum_products(const float *x, const float *y, const float *z, size_t c)
{
    vec s[4] = { { 0 } };
    size_t j = 0;

    for (; j + 4 * LANES <= c; j += 4 * LANES) {
        for (size_t u = 0; u < 4; u++) {
            vec a = load(x + j + u * LANES);
            if (z != NULL)
                a *= load(z + j + u * LANES);
            s[u] = y == NULL ? s[u] + a : vfma(a, load(y + j + u * LANES), s[u]);
        }
    }
    for (; j < c; j += LANES) {
        vec a = load_upto(x + j, c - j);
        if (z != NULL)
            a *= load_upto(z + j, c - j);
        s[0] = y == NULL ? s[0] + a : vfma(a, load_upto(y + j, c - j), s[0]);
    }
    return sum_lanes((s[0] + s[1]) + (s[2] + s[3]));
}

/* sum of (x[j] - mean) g[j] w[j], or of (x[j] - mean)^2 where g is NULL */
INLINE float sum_centred(const float *x, float mean, const float *g, const float *w, size_t c)
{
    vec s[4] = { { 0 } };
    size_t j = 0;

    for (; j + 4 * LANES <= c; j += 4 * LANES) {
        for (size_t u = 0; u < 4; u++) {
            vec a = load(x + j + u * LANES) - mean;
            vec b = g == NULL ? a : load(g + j + u * LANES) * load(w + j + u * LANES);
            s[u] = vfma(a, b, s[u]);
        }
    }
    for (; j < c; j += LANES) {
        float room[LANES];
        store(room, load_upto(x + j, c - j) - mean);
        vec a = load_upto(room, c - j);
        vec b = g == NULL ? a : load_upto(g + j, c - j) * load_upto(w + j, c - j);
        s[0] = vfma(a, b, s[0]);
    }
    return sum_lanes((s[0] + s[1]) + (s[2] + s[3]));
}

static void rmsnorm(
    float *y, float *rstd, const float *x, const float *w, size_t n, size_t c, float eps)
{
    for (size_t r = 0; r < n; r++, x += c, y += c) {
        float scale = 1 / sqrtf(sum_products(x, x, NULL, c) / (float)c + eps);
        rstd[r] = scale;
        for (size_t j = 0; j < c; j += LANES)
            store_upto(y + j, load_upto(x + j, c - j) * scale * load_upto(w + j, c - j), c - j);
    }
}

/* dx = rstd (w dy - x rstd^2 mean(w dy x)) */
static void rmsnorm_backward(float *dx, float *dw, const float *dy, const float *x, const float *w,
    const float *rstd, size_t n, size_t c)
{
    for (size_t r = 0; r < n; r++, x += c, dx += c, dy += c) {
        float s = rstd[r];
        float mean = sum_products(dy, x, w, c) / (float)c * s * s;
        for (size_t j = 0; j < c; j += LANES) {
            vec g = load_upto(dy + j, c - j), a = load_upto(x + j, c - j);
            vec d = g * load_upto(w + j, c - j) - a * mean;
            store_upto(dx + j, vfma(d, splat(s), load_upto(dx + j, c - j)), c - j);
            store_upto(dw + j, vfma(g, a * s, load_upto(dw + j, c - j)), c - j);
        }
    }
}

static void layernorm(float *y, float *mean, float *rstd, const float *x, const float *w,
    const float *b, size_t n, size_t c, float eps)
{
    for (size_t r = 0; r < n; r++, x += c, y += c) {
        float m = sum_products(x, NULL, NULL, c) / (float)c;
        float scale = 1 / sqrtf(sum_centred(x, m, NULL, NULL, c) / (float)c + eps);
        mean[r] = m;
        rstd[r] = scale;
        for (size_t j = 0; j < c; j += LANES) {
            vec a = (load_upto(x + j, c - j) - m) * scale;
            store_upto(y + j, vfma(a, load_upto(w + j, c - j), load_upto(b + j, c - j)), c - j);
        }
    }
}

/* With u = (x - mean) rstd:  dx = rstd (w dy - mean(w dy) - u mean(w dy u)) */
static void layernorm_backward(float *dx, float *dw, float *db, const float *dy, const float *x,
    const float *w, const float *mean, const float *rstd, size_t n, size_t c)
{
    for (size_t r = 0; r < n; r++, x += c, dx += c, dy += c) {
        float m = mean[r], s = rstd[r];
        float mean_g = sum_products(dy, w, NULL, c) / (float)c;
        float mean_gu = sum_centred(x, m, dy, w, c) / (float)c * s;
        for (size_t j = 0; j < c; j += LANES) {
            vec g = load_upto(dy + j, c - j), u = (load_upto(x + j, c - j) - m) * s;
            vec d = vfma(g, load_upto(w + j, c - j), splat(-mean_g)) - u * mean_gu;
            store_upto(dx + j, vfma(d, splat(s), load_upto(dx + j, c - j)), c - j);
            store_upto(dw + j, vfma(g, u, load_upto(dw + j, c - j)), c - j);
            store_upto(db + j, g + load_upto(db + j, c - j), c - j);
        }
    }
}

static void bias(float *x, const float *b, size_t n, size_t o)
{
    for (size_t r = 0; r < n; r++, x += o) {
        for (size_t j = 0; j < o; j += LANES)
            store_upto(x + j, load_upto(x + j, o - j) + load_upto(b + j, o - j), o - j);
    }
}

static void bias_backward(float *db, const float *dy, size_t n, size_t o)
{
    size_t j = 0;

    for (; j + 4 * LANES <= o; j += 4 * LANES) {
        vec s[4] = { { 0 } };
        for (size_t r = 0; r < n; r++) {
            for (size_t u = 0; u < 4; u++)
                s[u] += load(dy + r * o + j + u * LANES);
        }
        for (size_t u = 0; u < 4; u++)
            store(db + j + u * LANES, load(db + j + u * LANES) + s[u]);
    }
    for (; j < o; j += LANES) {
        vec s = { 0 };
        for (size_t r = 0; r < n; r++)
            s += load_upto(dy + r * o + j, o - j);
        store_upto(db + j, load_upto(db + j, o - j) + s, o - j);
    }
}
