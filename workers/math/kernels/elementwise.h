/* Part of kernels.c. Vectors as wholes, and the optimiser. */

static void add(float *y, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i += LANES)
        store_upto(y + i, load_upto(y + i, count - i) + load_upto(x + i, count - i), count - i);
}

static void scale(float *y, float a, size_t count)
{
    for (size_t i = 0; i < count; i += LANES)
        store_upto(y + i, load_upto(y + i, count - i) * a, count - i);
}

static void lerp(float *y, const float *x, float a, size_t count)
{
    float b = 1 - a;

    for (size_t i = 0; i < count; i += LANES) {
        vec old = load_upto(y + i, count - i);
        store_upto(y + i, vfma(old, splat(a), load_upto(x + i, count - i) * b), count - i);
    }
}

static void bf16(uint16_t *y, const float *x, size_t count)
{
    size_t i = 0;

    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        uvec v = bf16_row(load(x + i), load(x + i + LANES));
        memcpy(y + i, &v, sizeof v);
    }
    for (; i < count; i++) {
        uvec v = bf16_row(splat(x[i]), splat(x[i]));
        memcpy(y + i, &v, sizeof *y);
    }
}

typedef double dvec __attribute__((vector_size(4 * LANES)));
typedef float half_vec __attribute__((vector_size(2 * LANES)));
typedef float half_vec_unaligned __attribute__((vector_size(2 * LANES), aligned(4), may_alias));

INLINE dvec load_double(const float *p)
{
    half_vec v = *(const half_vec_unaligned *)p;
    return __builtin_convertvector(v, dvec);
}

/* Products of floats are exact in double. */
static double dot(const float *x, const float *y, size_t count)
{
    dvec s[4] = { { 0 } };
    size_t i = 0;

    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        for (size_t u = 0; u < 4; u++)
            s[u] += load_double(x + i + u * (LANES / 2)) * load_double(y + i + u * (LANES / 2));
    }
    dvec v = (s[0] + s[1]) + (s[2] + s[3]);
    double sum = 0;
    for (int l = 0; l < LANES / 2; l++)
        sum += v[l];
    for (; i < count; i++)
        sum += (double)x[i] * y[i];
    return sum;
}

/* With rate and eps of the form at hand, w -= rate m / (sqrt(v root_scale) + eps) + lr decay w.
 * Kingma & Ba 2015, algorithm 1 (eps inside: of the corrected v) and the end of section 2
 * (outside); decay decoupled as in Loshchilov & Hutter 2019. */
static void adamw(
    float *w, float *m, float *v, const float *g, size_t count, const struct adamw_step *s)
{
    double c1 = s->correction1, c2 = s->correction2, lr = s->learning_rate;
    float rate = (float)(s->eps_outside ? lr * sqrt(c2) / c1 : lr / c1);
    float v_scale = s->eps_outside ? 1 : (float)(1 / c2);
    float one_b1 = (float)(1 - (double)s->beta1), one_b2 = (float)(1 - (double)s->beta2);
    float decay = s->learning_rate * s->weight_decay;

    for (size_t i = 0; i < count; i += LANES) {
        size_t n = count - i;
        vec grad = load_upto(g + i, n) * s->scale, weight = load_upto(w + i, n);
        vec m1 = vfma(load_upto(m + i, n), splat(s->beta1), grad * one_b1);
        vec v1 = vfma(load_upto(v + i, n), splat(s->beta2), grad * grad * one_b2);
        vec step = rate * m1 / (vsqrt(v1 * v_scale) + s->eps);
        store_upto(m + i, m1, n);
        store_upto(v + i, v1, n);
        store_upto(w + i, weight - vfma(weight, splat(decay), step), n);
    }
}
