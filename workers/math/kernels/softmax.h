/* Part of kernels.c. log softmax over a vocabulary: the head of the language model. */

#define SUM_BLOCK (64 * LANES) /* summed in float, then carried on in double */

INLINE float max_of(const float *x, size_t n)
{
    vec m[4] = { splat(-INFINITY), splat(-INFINITY), splat(-INFINITY), splat(-INFINITY) };
    size_t j = 0;

    for (; j + 4 * LANES <= n; j += 4 * LANES) {
        for (size_t u = 0; u < 4; u++)
            m[u] = vmax(load(x + j + u * LANES), m[u]);
    }
    for (; j + LANES <= n; j += LANES)
        m[0] = vmax(load(x + j), m[0]);
    float most = max_lanes(vmax(vmax(m[0], m[1]), vmax(m[2], m[3])));
    for (; j < n; j++)
        most = x[j] > most ? x[j] : most;
    return most;
}

/* The vector of exp(x - top), zeros beyond n. */
INLINE vec exp_below(vec x, float inv_temperature, float top, size_t n, vec *shifted)
{
    *shifted = vfma(x, splat(inv_temperature), splat(-top));
    vec e = vexp(*shifted);
    if (n < LANES) {
        float room[LANES];
        store(room, e);
        e = load_few(room, n);
    }
    return e;
}

/* Returns the sum of exp(x[j] - top) and, unless NULL, in *weighted that of exp(x[j] - top)
 * (x[j] - top); keep: the exponentials replace x. The sum has the same bits either way. */
INLINE double sum_exp(
    float *x, size_t n, float inv_temperature, float top, double *weighted, int keep)
{
    double sum = 0, sum_w = 0;

    for (size_t j = 0; j < n;) {
        vec s = { 0 }, sw = { 0 }, shifted;
        size_t end = n - j < SUM_BLOCK ? n : j + SUM_BLOCK;
        for (; j < end; j += LANES) {
            vec e = exp_below(load_upto(x + j, n - j), inv_temperature, top, n - j, &shifted);
            s += e;
            if (weighted != NULL) /* a banned token's -inf counts for nothing */
                sw = vfma(e, vmax(shifted, splat(-1e30f)), sw);
            if (keep)
                store_upto(x + j, e, n - j);
        }
        sum += sum_lanes(s);
        sum_w += sum_lanes(sw);
    }
    if (weighted != NULL)
        *weighted = sum_w;
    return sum;
}

static void log_softmax_pick(float *log_prob, float *entropy, const float *logits,
    const int32_t *target, size_t n, size_t v, size_t stride, float inv_temperature)
{
    for (size_t r = 0; r < n; r++, logits += stride) {
        double weighted = 0, sum, log_sum;
        log_prob[r] = 0;
        if (entropy != NULL)
            entropy[r] = 0;
        if (target[r] < 0)
            continue;
        float top = max_of(logits, v) * inv_temperature;
        if (entropy != NULL)
            sum = sum_exp((float *)logits, v, inv_temperature, top, &weighted, 0);
        else
            sum = sum_exp((float *)logits, v, inv_temperature, top, NULL, 0);
        log_sum = elementary_log(sum);
        log_prob[r] = (float)((double)logits[target[r]] * inv_temperature - top - log_sum);
        if (entropy != NULL) /* H = ln Z - sum p (l - top) */
            entropy[r] = (float)(log_sum - weighted / sum);
    }
}

static void log_softmax_backward(float *logits, float *log_prob, const float *g,
    const int32_t *target, size_t n, size_t v, size_t stride, float inv_temperature)
{
    for (size_t r = 0; r < n; r++, logits += stride) {
        log_prob[r] = 0;
        if (target[r] < 0) {
            memset(logits, 0, v * sizeof *logits);
            continue;
        }
        float top = max_of(logits, v) * inv_temperature;
        double picked = (double)logits[target[r]] * inv_temperature;
        double sum = sum_exp(logits, v, inv_temperature, top, NULL, 1);
        log_prob[r] = (float)(picked - top - elementary_log(sum));
        float factor = (float)(-(double)g[r] * inv_temperature / sum);
        for (size_t j = 0; j < v; j += LANES)
            store_upto(logits + j, load_upto(logits + j, v - j) * factor, v - j);
        logits[target[r]] += g[r] * inv_temperature;
    }
}

/* The first j of n at which the sum from `from` on exceeds `target`; if rounding hides it, the last
 * that has a share. */
INLINE size_t where_exceeds(
    const float *x, size_t n, float inv_temperature, float top, double from, double target)
{
    float e[DRAW_BLOCK + LANES];
    size_t last = 0;
    vec shifted;

    for (size_t j = 0; j < n; j += LANES)
        store(e + j, exp_below(load_upto(x + j, n - j), inv_temperature, top, n - j, &shifted));
    for (size_t j = 0; j < n; j++) {
        from += (double)e[j];
        last = e[j] > 0 ? j : last;
        if (from > target)
            return j;
    }
    return last;
}

static int32_t softmax_draw(
    float *log_prob, const float *logits, size_t v, float inv_temperature, double u, float *sums)
{
    float top = max_of(logits, v) * inv_temperature;
    size_t blocks = (v + DRAW_BLOCK - 1) / DRAW_BLOCK, b = 0, last = 0;
    double total = 0, sum = 0;

    if (!isfinite(top))
        return -1;
    for (size_t i = 0; i < blocks; i++) {
        size_t n = v - i * DRAW_BLOCK < DRAW_BLOCK ? v - i * DRAW_BLOCK : DRAW_BLOCK;
        sums[i] =
            (float)sum_exp((float *)logits + i * DRAW_BLOCK, n, inv_temperature, top, NULL, 0);
        last = sums[i] > 0 ? i : last;
        total += (double)sums[i];
    }
    if (!isfinite(total))
        return -1;
    for (; b < last && sum + (double)sums[b] <= u * total; b++)
        sum += (double)sums[b];
    size_t first = b * DRAW_BLOCK, n = v - first < DRAW_BLOCK ? v - first : DRAW_BLOCK;
    size_t id = first + where_exceeds(logits + first, n, inv_temperature, top, sum, u * total);
    *log_prob = (float)((double)logits[id] * inv_temperature - top - elementary_log(total));
    return (int32_t)id;
}
