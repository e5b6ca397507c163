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

/* Products with packed panels and attention over a packed cache, for each set that this machine
 * runs and both precisions, against plain sums. */

enum { ROWS_MAX = 26, DEPTH_MAX = 200, COLUMNS_MAX = 64, HEADS_MAX = 5, TOKENS_MAX = 150 };

/* What the kernels get, and in double what they are to make of it. */
static float x[ROWS_MAX * DEPTH_MAX], w[COLUMNS_MAX * DEPTH_MAX], b[COLUMNS_MAX];
static double exact_x[ROWS_MAX * DEPTH_MAX], exact_w[COLUMNS_MAX * DEPTH_MAX];
static _Alignas(64) char panel[COLUMNS_MAX * DEPTH_MAX * sizeof(float)];

static const char *const precision_names[PRECISIONS] = { "fp32", "bf16" };

static void assert_near(double got, double expected, double tolerance, const char *what)
{
    if (!(fabs(got - expected) <= tolerance))
        fail_msg("%s: %.9g instead of %.9g", what, got, expected);
}

/* To the nearest bfloat16, in the plainest way. */
static double rounded(float v, enum precision precision)
{
    int exponent;

    if (precision == PRECISION_FP32 || v == 0)
        return (double)v;
    double digits = frexp((double)v, &exponent);
    return ldexp(nearbyint(ldexp(digits, 8)), exponent - 8);
}

static void for_all(void (*test)(const struct kernels *k, enum precision precision))
{
    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        rng_normal(x, sizeof x / sizeof *x, 1, RNG_INIT, 0);
        rng_normal(w, sizeof w / sizeof *w, 1, RNG_INIT, 1);
        rng_normal(b, COLUMNS_MAX, 1, RNG_INIT, 2);
        for (int precision = 0; precision < PRECISIONS; precision++) {
            for (size_t i = 0; i < sizeof x / sizeof *x; i++)
                exact_x[i] = rounded(x[i], precision);
            for (size_t i = 0; i < sizeof w / sizeof *w; i++)
                exact_w[i] = rounded(w[i], precision);
            test(kernels_get(*name), precision);
        }
    }
}

static void pack(const struct kernels *k, enum precision precision, size_t i, size_t columns)
{
    const float *column[COLUMNS_MAX] = { NULL };

    for (size_t c = 0; c < columns; c++)
        column[c] = w + c * i;
    k->panel[precision].pack(panel, column, i);
}

static void check_product(
    const struct kernels *k, enum precision precision, size_t n, size_t i, size_t columns, int adds)
{
    static _Alignas(64) char operands[ROWS_MAX * (DEPTH_MAX + 1) * sizeof(float)];
    static float y[ROWS_MAX * (COLUMNS_MAX + 1)], alone[COLUMNS_MAX];
    const struct panel_kernels *p = &k->panel[precision];
    size_t stride = columns + 1, even = i + i % 2;

    memset(operands, 0, sizeof operands);
    p->round(operands, even, x, i, n, i);
    pack(k, precision, i, columns);
    for (size_t j = 0; j < n * stride; j++)
        y[j] = 0.5f;
    p->product(y, stride, operands, panel, b, n, i, columns, adds);
    for (size_t r = 0; r < n; r++) {
        for (size_t c = 0; c < columns; c++) {
            double sum = (double)b[c] + (adds ? 0.5 : 0);
            for (size_t j = 0; j < i; j++)
                sum += exact_x[r * i + j] * exact_w[c * i + j];
            assert_near(y[r * stride + c], sum, 1e-5 * sqrt((double)i), precision_names[precision]);
            alone[c] = 0.5f;
        }
        assert_true(y[r * stride + columns] == 0.5f);
        p->product(alone, columns, operands + r * even * p->operand, panel, b, 1, i, columns, adds);
        assert_memory_equal(alone, y + r * stride, columns * sizeof *alone);
    }
}

static void check_products(const struct kernels *k, enum precision precision)
{
    static const size_t depths[] = { 1, 2, 3, 8, 31, 62, 63, 64, 65, 66, 71, 128, 130, 200 };

    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
        for (size_t n = 1; n <= ROWS_MAX; n++) {
            size_t columns = 1 + (n * 7 + d * 3) % k->panel_columns;
            check_product(k, precision, n, depths[d], columns, n % 2 == 0);
        }
        check_product(k, precision, 12, depths[d], k->panel_columns, 0);
    }
}

/* out of q against the first t of keys and values in x and w, rows of d */
static void plain_attention(double *out, const float *q, size_t t, size_t d)
{
    double s[TOKENS_MAX], sum = 0;

    for (size_t j = 0; j < t; j++) {
        s[j] = 0;
        for (size_t c = 0; c < d; c++)
            s[j] += (double)q[c] * exact_x[j * d + c];
        s[j] = exp(s[j] / sqrt((double)d));
        sum += s[j];
    }
    for (size_t c = 0; c < d; c++) {
        out[c] = 0;
        for (size_t j = 0; j < t; j++)
            out[c] += s[j] / sum * exact_w[j * d + c];
    }
}

static void check_cache(const struct kernels *k, enum precision precision, size_t heads, size_t d)
{
    const struct panel_kernels *p = &k->panel[precision];
    size_t columns = k->panel_columns, tokens = DEPTH_MAX * ROWS_MAX / 4 / d;
    tokens = tokens < TOKENS_MAX ? tokens : TOKENS_MAX;
    size_t capacity = (tokens + columns - 1) / columns * columns;
    size_t room = (d + columns - 1) / columns * columns;
    char *keys = malloc(capacity * d * p->number), *values = malloc(capacity * room * p->number);
    float *scratch = calloc(heads * capacity, sizeof *scratch);
    float out[HEADS_MAX * 64], alone[64];
    double expected[64];

    assert_true(keys != NULL && values != NULL && scratch != NULL);
    memset(keys, 0x7f, capacity * d * p->number); /* an old sequence's: not numbers */
    memset(values, 0, capacity * room * p->number);
    for (size_t t = 1; t <= tokens; t++) {
        const float *q = b;
        p->remember(keys, values, x + (t - 1) * d, w + (t - 1) * d, t - 1, d, capacity);
        p->attend(out, q, keys, values, t, heads, d, capacity, scratch);
        for (size_t h = 0; h < heads; h++) {
            plain_attention(expected, q + h * d, t, d);
            for (size_t c = 0; c < d; c++)
                assert_near(out[h * d + c], expected[c], 1e-5, precision_names[precision]);
            p->attend(alone, q + h * d, keys, values, t, 1, d, capacity, scratch);
            assert_memory_equal(alone, out + h * d, d * sizeof *out);
        }
    }
    free(keys);
    free(values);
    free(scratch);
}

static void check_caches(const struct kernels *k, enum precision precision)
{
    check_cache(k, precision, 1, 2);
    check_cache(k, precision, 5, 6);
    check_cache(k, precision, 3, 16);
    check_cache(k, precision, 2, 32);
    check_cache(k, precision, 1, 64);
}

#define DRAWS 40000

/* Quantiles evenly apart: each token comes as often as its probability says, to the number. */
static void check_draw(const struct kernels *k, enum precision precision)
{
    enum { V = 1700 };
    static float logits[V], sums[V / DRAW_BLOCK + 1];
    static int count[V];
    double total = 0;
    float log_prob;

    if (precision != PRECISION_FP32)
        return;
    memset(count, 0, sizeof count);
    for (int i = 0; i < V; i++) {
        logits[i] = i % 5 == 4 ? -INFINITY : 3 * x[i];
        total += exp(0.8 * (double)logits[i]);
    }
    for (int i = 0; i < DRAWS; i++) {
        int32_t id = k->softmax_draw(&log_prob, logits, V, 0.8f, (i + 0.5) / DRAWS, sums);
        assert_in_range(id, 0, V - 1);
        count[id]++;
        assert_near(log_prob, 0.8 * (double)logits[id] - log(total), 1e-5, "log probability");
    }
    for (int i = 0; i < V; i++)
        assert_near(count[i], DRAWS * exp(0.8 * (double)logits[i]) / total, 1.1, "count");
    logits[V - 1] = NAN;
    assert_int_equal(k->softmax_draw(&log_prob, logits, V, 1, 0.5, sums), -1);
    logits[V - 1] = INFINITY;
    assert_int_equal(k->softmax_draw(&log_prob, logits, V, 1, 0.5, sums), -1);
    for (int i = 0; i < V; i++)
        logits[i] = -INFINITY;
    assert_int_equal(k->softmax_draw(&log_prob, logits, V, 1, 0.5, sums), -1);
    logits[700] = 3;
    assert_int_equal(k->softmax_draw(&log_prob, logits, V, 1, 0, sums), 700);
    assert_int_equal(k->softmax_draw(&log_prob, logits, V, 1, 1 - 1e-16, sums), 700);
    assert_true(log_prob == 0);
}

#define ALL(name, check)           \
    static void name(void **state) \
    {                              \
        (void)state;               \
        for_all(check);            \
    }
ALL(products_are_sums_and_rows_do_not_depend_on_each_other, check_products)
ALL(attention_over_a_cache_agrees_with_plain_sums_as_it_grows, check_caches)
ALL(quantiles_evenly_apart_draw_the_exact_distribution, check_draw)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_sums_and_rows_do_not_depend_on_each_other),
        cmocka_unit_test(attention_over_a_cache_agrees_with_plain_sums_as_it_grows),
        cmocka_unit_test(quantiles_evenly_apart_draw_the_exact_distribution),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
