#include "workers/model/sampler.h"

#include <math.h>
#include <string.h>

#include "workers/math/elementary.h"

/* Every operation here is of IEEE 754 in the order written, so that the same logits give the
 * same probabilities on any machine. */

#define LANES 4
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));

/* exp(x) for x <= 0, within 2e-7 relative; 0 below -87 and for what is not a number. exp(x) =
 * 2^n e^r, |r| <= ln 2 / 2. */
static vec exp_below(vec x)
{
    ivec fits = x >= -87;
    vec y = (vec)((ivec)x & fits);
    vec n = (y * 1.44269504F + 12582912.0F) - 12582912.0F; /* 1.5 x 2^23: rounds to whole numbers */
    vec r = (y - n * 0.693359375F) + n * 2.12194440e-4F;
    vec e = r * 1.9875691500e-4F + 1.3981999507e-3F;

    e = e * r + 8.3334519073e-3F; /* Cephes' expf */
    e = e * r + 4.1665795894e-2F;
    e = e * r + 1.6666665459e-1F;
    e = e * r + 5.0000001201e-1F;
    e = e * (r * r) + r + 1;
    return (vec)(((ivec)e + (__builtin_convertvector(n, ivec) << 23)) & fits);
}

/* The first n floats of p, at most LANES; `beyond` in the other lanes. */
static inline vec load(const float *p, size_t n, float beyond)
{
    vec x = { beyond, beyond, beyond, beyond };

    if (n >= LANES)
        memcpy(&x, p, sizeof x);
    else
        memcpy(&x, p, n * sizeof *p);
    return x;
}

static inline void store(float *p, vec x, size_t n)
{
    if (n >= LANES)
        memcpy(p, &x, sizeof x);
    else
        memcpy(p, &x, n * sizeof *p);
}

static float largest(const float *x, size_t n)
{
    vec top = { -INFINITY, -INFINITY, -INFINITY, -INFINITY };
    float best = -INFINITY;

    for (size_t i = 0; i < n; i += LANES) {
        vec y = load(x + i, n - i, -INFINITY);
        ivec above = y > top;
        top = (vec)((above & (ivec)y) | (~above & (ivec)top));
    }
    for (int l = 0; l < LANES; l++)
        best = top[l] > best ? top[l] : best;
    return best;
}

/* term = exp((logit - top) / temperature) */
static void terms(float *term, const float *logits, size_t v, float top, float inverse_temperature)
{
    for (size_t i = 0; i < v; i += LANES) {
        vec x = load(logits + i, v - i, top);
        store(term + i, exp_below((x - top) * inverse_temperature), v - i);
    }
}

static void multiply(float *x, float by, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        store(x + i, load(x + i, n - i, 0) * by, n - i);
}

static double sum_of(const float *x, size_t n)
{
    double s[4] = { 0 };
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; j++)
            s[j] += (double)x[i + j];
    for (; i < n; i++)
        s[0] += (double)x[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* ---- ids in order of their logits: a heap that gives the best first ---- */

struct heap {
    int32_t *id;
    size_t n; /* still in the heap; what was taken stands behind it, the last taken first */
    const float *logits;
};

static bool better(const float *logits, int32_t a, int32_t b)
{
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

static void sift_down(struct heap *h, size_t i)
{
    int32_t id = h->id[i];

    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && better(h->logits, h->id[child + 1], h->id[child]))
            child++;
        if (!better(h->logits, h->id[child], id))
            break;
        h->id[i] = h->id[child];
    }
    h->id[i] = id;
}

static void heap_make(struct heap *h, int32_t *id, const float *logits, size_t v)
{
    *h = (struct heap){ .id = id, .n = v, .logits = logits };
    for (size_t i = 0; i < v; i++)
        id[i] = (int32_t)i;
    for (size_t i = v / 2; i-- > 0;)
        sift_down(h, i);
}

static int32_t heap_take(struct heap *h)
{
    int32_t best = h->id[0];

    h->id[0] = h->id[--h->n];
    h->id[h->n] = best;
    sift_down(h, 0);
    return best;
}

/* Sets what the sampler cuts to 0. top-p: the fewest best tokens that have this share of what
 * top-k left (Holtzman et al. 2020); min-p: what has this share of the best token's probability
 * (Nguyen et al. 2024). The best token always stays. */
static void cut(float *term, const float *logits, size_t v, const struct sampler *s, int32_t *ids)
{
    struct heap h;
    size_t k = s->top_k > 0 && s->top_k < v ? s->top_k : v, kept = 0;
    double all = sum_of(term, v), sum = 0;

    heap_make(&h, ids, logits, v);
    if (k < v) {
        all = 0;
        for (size_t i = 0; i < k; i++)
            all += (double)term[heap_take(&h)];
    }
    for (; kept < k; kept++) {
        int32_t id = k < v ? ids[v - 1 - kept] : heap_take(&h);
        double p = (double)term[id];
        if (kept > 0 && ((s->top_p < 1 && sum >= s->top_p * all) || p < s->min_p))
            break;
        sum += p;
    }
    for (size_t i = 0; i < v - kept; i++)
        term[ids[i]] = 0;
}

static bool cuts(const struct sampler *s, size_t v)
{
    return (s->top_k > 0 && s->top_k < v) || s->top_p < 1 || s->min_p > 0;
}

bool sampler_is_greedy(double temperature)
{
    return temperature < 1e-6;
}

void sampler_probabilities(
    float *probability, const float *logits, size_t v, const struct sampler *s, int32_t *scratch)
{
    float top = largest(logits, v);

    if (!isfinite(top)) { /* logits that are not numbers give no token a probability */
        memset(probability, 0, v * sizeof *probability);
        return;
    }
    if (sampler_is_greedy(s->temperature)) {
        size_t best = 0;
        memset(probability, 0, v * sizeof *probability);
        while (logits[best] != top)
            best++;
        probability[best] = 1;
        return;
    }
    terms(probability, logits, v, top, (float)(1 / s->temperature));
    if (cuts(s, v))
        cut(probability, logits, v, s, scratch);
    multiply(probability, (float)(1 / sum_of(probability, v)), v);
}

int32_t sampler_pick(const float *probability, size_t v, double u)
{
    double sum = 0;
    int32_t last = -1; /* rounding may leave the sum a little below u */

    for (size_t i = 0; i < v; i++) {
        if (!(probability[i] > 0))
            continue;
        sum += (double)probability[i];
        last = (int32_t)i;
        if (sum > u)
            return last;
    }
    return last;
}

static int32_t greedy(float *log_prob, const float *logits, size_t v)
{
    float top = largest(logits, v);
    int32_t best = 0;

    if (!isfinite(top))
        return -1;
    while (logits[best] != top)
        best++;
    *log_prob = 0;
    return best;
}

int32_t sampler_draw(const struct kernels *k, float *log_prob, const float *logits, size_t v,
    const struct sampler *s, double u, float *scratch)
{
    if (sampler_is_greedy(s->temperature))
        return greedy(log_prob, logits, v);
    if (!cuts(s, v))
        return k->softmax_draw(log_prob, logits, v, (float)(1 / s->temperature), u, scratch);
    sampler_probabilities(scratch, logits, v, s, (int32_t *)(scratch + v));
    int32_t id = sampler_pick(scratch, v, u);
    if (id >= 0)
        *log_prob = (float)elementary_log((double)scratch[id]);
    return id;
}

size_t sampler_scratch(const struct sampler *s, size_t v)
{
    return cuts(s, v) ? 2 * v : (v + DRAW_BLOCK - 1) / DRAW_BLOCK;
}
