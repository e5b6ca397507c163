#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "workers/math/kernels.h"
#include "workers/math/rng.h"

/* What tests/gradient/test_kernels.c leaves: kernels without a backward, extremes, and where bits
 * must not change. Each for every set that this machine runs. */

#define N 20000
static float x[N], y[N], z[N], w[N];
static _Alignas(64) float scratch[1024];

static void assert_near(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance * (1 + fabs(expected))))
        fail_msg("%.9g instead of %.9g", got, expected);
}

/* Calls test for each set, with x and w normal and y a copy of w. */
static void for_sets(void (*test)(const struct kernels *k))
{
    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        rng_normal(x, N, 1, RNG_INIT, 0);
        rng_normal(w, N, 1, RNG_INIT, 1);
        memcpy(y, w, sizeof y);
        test(kernels_get(*name));
    }
}

static const size_t counts[] = { 0, 1, 3, 7, 16, 31, 33, 64, 65, 127, 500 };
#define COUNTS (sizeof counts / sizeof *counts)

static void check_vectors(const struct kernels *k)
{
    for (size_t c = 0; c < COUNTS; c++) {
        size_t n = counts[c];
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += (double)x[i] * w[i];
        assert_near(k->dot(x, w, n), sum, 1e-14);
        memcpy(y, w, sizeof y);
        k->add(y, x, n);
        for (size_t i = 0; i < n; i++)
            assert_true(y[i] == w[i] + x[i]);
        k->scale(y, 3, n);
        for (size_t i = 0; i < n; i++)
            assert_true(y[i] == (w[i] + x[i]) * 3);
        memcpy(y, w, sizeof y);
        k->lerp(y, x, 0.9f, n);
        for (size_t i = 0; i < n; i++)
            assert_near(y[i], 0.9 * w[i] + 0.1 * x[i], 1e-6);
        assert_true(y[n] == w[n]);
    }
}

static uint16_t plain_bf16(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    if (isnan(f))
        return (uint16_t)(u >> 16 | 0x40);
    uint32_t rest = u & 0xffff, up = rest > 0x8000 || (rest == 0x8000 && (u >> 16 & 1));
    return (uint16_t)((u >> 16) + up);
}

static void check_bf16(const struct kernels *k)
{
    static const uint32_t extremes[] = { 0, 0x80000000, 0x3f800000, 0x3f808000, 0x3f818000,
        0x3f808001, 0x3f817fff, 0x7f800000, 0xff800000, 0x7f7fffff, 0xff7f8000, 0x7f800001,
        0xffc01234, 0x7fffffff, 0x00800000, 0x80ffffff };
    enum { EXTREMES = sizeof extremes / sizeof *extremes };
    static uint16_t out[N + 1];

    memcpy(x + 33, extremes, sizeof extremes);
    for (size_t n = 0; n <= N; n = n < 140 ? n + 1 : 4 * n + 3) {
        out[n] = 42;
        k->bf16(out, x, n);
        assert_int_equal(out[n], 42);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(out[i], plain_bf16(x[i]));
    }
}

/* Three steps of the textbook, in double. */
static void check_adamw_form(const struct kernels *k, size_t n, int eps_outside)
{
    static float m[512], v[512];
    static double rw[512], rm[512], rv[512];
    const double b1 = 0.9f, b2 = 0.95f, lr = 0.01f;
    struct adamw_step s = { .learning_rate = 0.01f,
        .beta1 = 0.9f,
        .beta2 = 0.95f,
        .eps = 1e-3f,
        .weight_decay = 0.1f,
        .scale = 0.5f,
        .eps_outside = eps_outside };

    for (size_t i = 0; i < n; i++) {
        rw[i] = y[i] = x[i];
        m[i] = v[i] = 0;
        rm[i] = rv[i] = 0;
    }
    for (int t = 1; t <= 3; t++) {
        const float *g = w + t * 1000;
        double c1 = 1 - pow(b1, t), c2 = 1 - pow(b2, t);
        s.correction1 = (float)c1;
        s.correction2 = (float)c2;
        k->adamw(y, m, v, g, n, &s);
        for (size_t i = 0; i < n; i++) {
            rm[i] = b1 * rm[i] + (1 - b1) * g[i] * 0.5;
            rv[i] = b2 * rv[i] + (1 - b2) * g[i] * g[i] * 0.25;
            double step = eps_outside ? sqrt(c2) / c1 * rm[i] / (sqrt(rv[i]) + s.eps)
                                      : rm[i] / c1 / (sqrt(rv[i] / c2) + s.eps);
            rw[i] -= lr * (step + s.weight_decay * rw[i]);
            assert_near(y[i], rw[i], 1e-6);
        }
    }
}

static void check_adamw(const struct kernels *k)
{
    for (size_t c = 0; c < COUNTS; c++) {
        check_adamw_form(k, counts[c], 0);
        check_adamw_form(k, counts[c], 1);
    }
}

/* g = 2, b1 = b2 = 0.5: m = 1, v = 2, corrected 2 and 4.
 * inside:  1 - 0.1 (2 / (2 + 1)) - 0.1 x 0.5 x 1            = 0.88333…
 * outside: 1 - 0.1 sqrt(.5) / .5 x 1 / (sqrt 2 + 1) - 0.05  = 0.89142… */
static void check_adamw_by_hand(const struct kernels *k)
{
    static const double expected[2] = { 0.8833333333, 0.8914213562 };

    for (int outside = 0; outside < 2; outside++) {
        float weight = 1, m = 0, v = 0, g = 2;
        struct adamw_step s = { .learning_rate = 0.1f,
            .beta1 = 0.5f,
            .beta2 = 0.5f,
            .eps = 1,
            .weight_decay = 0.5f,
            .scale = 1,
            .correction1 = 0.5f,
            .correction2 = 0.5f,
            .eps_outside = outside };
        k->adamw(&weight, &m, &v, &g, 1, &s);
        assert_true(m == 1 && v == 2);
        assert_near(weight, expected[outside], 1e-7);
    }
}

static void check_extreme_logits(const struct kernels *k)
{
    float log_prob, entropy, logits[40], banned[40];
    int32_t target = 3;

    for (size_t j = 0; j < 40; j++) {
        logits[j] = j == 3 ? 30000 : -30000;
        banned[j] = j < 2 ? 1 : -INFINITY;
    }
    k->log_softmax_pick(&log_prob, &entropy, logits, &target, 1, 40, 40, 1);
    assert_true(log_prob == 0 && entropy == 0);
    target = 4;
    k->log_softmax_pick(&log_prob, &entropy, logits, &target, 1, 40, 40, 1);
    assert_true(log_prob == -60000);
    target = 1;
    k->log_softmax_pick(&log_prob, &entropy, banned, &target, 1, 40, 40, 1);
    assert_near(log_prob, -log(2), 1e-7);
    assert_near(entropy, log(2), 1e-7);
    logits[7] = NAN;
    k->log_softmax_pick(&log_prob, &entropy, logits, &target, 1, 40, 40, 1);
    assert_true(isnan(log_prob));
}

static void check_large_vocabulary(const struct kernels *k)
{
    enum { V = 50257 };
    float *logits = malloc(V * sizeof *logits), log_prob;
    int32_t target = V - 1;
    double sum = 0;

    rng_normal(logits, V, 3, RNG_INIT, 0);
    for (size_t j = 0; j < V; j++)
        sum += exp(logits[j]);
    k->log_softmax_pick(&log_prob, NULL, logits, &target, 1, V, V, 1);
    assert_near(log_prob, logits[V - 1] - log(sum), 1e-7);
    free(logits);
}

static void check_gelu_everywhere(const struct kernels *k)
{
    for (size_t i = 0; i < 4000; i++)
        x[i] = ((float)i - 2000) / 100;
    k->gelu(y, x, 4000);
    for (size_t i = 0; i < 4000; i++) {
        double u = 0.7978845608028654 * (x[i] + 0.044715 * pow(x[i], 3));
        double expected = x[i] / (1 + exp(-2 * u));
        assert_true(fabs(y[i] - expected) <= 2e-5 * fabs(expected) + 1e-30);
    }
}

/* Callers cut arrays into tiles where they like. */
static void check_cuts(const struct kernels *k)
{
    enum { COUNT = 333 };

    for (size_t cut = 0; cut <= COUNT; cut += 37) {
        k->gelu(y, x, COUNT);
        k->gelu(z, x, cut);
        k->gelu(z + cut, x + cut, COUNT - cut);
        assert_memory_equal(z, y, COUNT * sizeof *y);
        k->gelu_backward(y, w, x, COUNT);
        k->gelu_backward(z, w, x, cut);
        k->gelu_backward(z + cut, w + cut, x + cut, COUNT - cut);
        assert_memory_equal(z, y, COUNT * sizeof *y);
    }
}

#define T 150
#define D 24
#define STRIDE (3 * D)

static void check_attention_prefixes(const struct kernels *k)
{
    static float lse[T], part_lse[T];

    k->attention(y, lse, x, x + D, x + 2 * D, T, D, STRIDE, STRIDE, D, scratch);
    for (size_t t = 1; t < T; t++) {
        k->attention(z, part_lse, x, x + D, x + 2 * D, t, D, STRIDE, STRIDE, D, scratch);
        assert_memory_equal(z, y, t * D * sizeof *y);
        assert_memory_equal(part_lse, lse, t * sizeof *lse);
    }
}

/* Queries, keys and values in three arrays with strides of their own give what they give side by
 * side; backward too. */
static void check_attention_strides(const struct kernels *k)
{
    enum { Q = D + 5, KV = D + 2, OUT = D + 1, ROOM = T * STRIDE };
    static float q[T * Q], keys[T * KV], v[T * KV], out[T * OUT], dout[T * OUT], lse[T];
    static float dq[T * Q], dk[T * KV], dv[T * KV], expected[ROOM];

    for (size_t i = 0; i < T * D; i++) {
        q[i / D * Q + i % D] = x[i / D * STRIDE + i % D];
        keys[i / D * KV + i % D] = x[i / D * STRIDE + D + i % D];
        v[i / D * KV + i % D] = x[i / D * STRIDE + 2 * D + i % D];
        dout[i / D * OUT + i % D] = w[i];
    }
    memset(dq, 0, sizeof dq);
    memset(dk, 0, sizeof dk);
    memset(dv, 0, sizeof dv);
    memset(expected, 0, sizeof expected);
    k->attention(y, lse, x, x + D, x + 2 * D, T, D, STRIDE, STRIDE, D, scratch);
    k->attention_backward(expected, expected + D, expected + 2 * D, w, x, x + D, x + 2 * D, y, lse,
        T, D, STRIDE, STRIDE, D, scratch);
    k->attention(out, lse, q, keys, v, T, D, Q, KV, OUT, scratch);
    k->attention_backward(dq, dk, dv, dout, q, keys, v, out, lse, T, D, Q, KV, OUT, scratch);
    for (size_t i = 0; i < T * D; i++) {
        const float *e = expected + i / D * STRIDE + i % D;
        assert_true(out[i / D * OUT + i % D] == y[i]);
        assert_true(dq[i / D * Q + i % D] == e[0]);
        assert_true(dk[i / D * KV + i % D] == e[D] && dv[i / D * KV + i % D] == e[2 * D]);
    }
}

static void a_set_is_found_by_its_name(void **state)
{
    const char *const *names = kernels_available();
    (void)state;

    assert_non_null(names[0]);
    for (size_t i = 0; names[i] != NULL; i++)
        assert_string_equal(kernels_get(names[i])->name, names[i]);
    assert_ptr_equal(kernels_get(NULL), kernels_get(names[0]));
    assert_null(kernels_get("no such set"));
}

#define SETS(name, check)          \
    static void name(void **state) \
    {                              \
        (void)state;               \
        for_sets(check);           \
    }
SETS(vectors_add_scale_mix_and_multiply, check_vectors)
SETS(bfloat16_is_the_nearest_ties_to_even, check_bf16)
SETS(adamw_follows_the_paper, check_adamw)
SETS(first_step_of_adamw_is_as_computed_by_hand, check_adamw_by_hand)
SETS(softmax_survives_extreme_logits, check_extreme_logits)
SETS(log_of_a_sum_over_a_large_vocabulary_keeps_its_digits, check_large_vocabulary)
SETS(gelu_is_accurate_everywhere, check_gelu_everywhere)
SETS(an_element_has_the_same_bits_wherever_the_array_is_cut, check_cuts)
SETS(attention_of_a_row_depends_on_earlier_rows_alone, check_attention_prefixes)
SETS(attention_takes_any_strides, check_attention_strides)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_found_by_its_name),
        cmocka_unit_test(vectors_add_scale_mix_and_multiply),
        cmocka_unit_test(bfloat16_is_the_nearest_ties_to_even),
        cmocka_unit_test(adamw_follows_the_paper),
        cmocka_unit_test(first_step_of_adamw_is_as_computed_by_hand),
        cmocka_unit_test(softmax_survives_extreme_logits),
        cmocka_unit_test(log_of_a_sum_over_a_large_vocabulary_keeps_its_digits),
        cmocka_unit_test(gelu_is_accurate_everywhere),
        cmocka_unit_test(an_element_has_the_same_bits_wherever_the_array_is_cut),
        cmocka_unit_test(attention_of_a_row_depends_on_earlier_rows_alone),
        cmocka_unit_test(attention_takes_any_strides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
