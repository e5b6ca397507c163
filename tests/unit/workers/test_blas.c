#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "workers/math/blas.h"
#include "workers/math/engine.h"
#include "workers/math/rng.h"

/* The core type is read when the library is loaded, so the program runs itself once for each
 * numeric class of this machine, and once with what the library finds by itself. */
#define CHILD "JIELONG_TEST_CLASS"

#define ROWS_MAX 1008
#define WIDTH_MAX 2048

static float x[ROWS_MAX * WIDTH_MAX], w[WIDTH_MAX * WIDTH_MAX], y[ROWS_MAX * WIDTH_MAX];
static float expected[ROWS_MAX * WIDTH_MAX];
static struct products with[4]; /* as many threads */

typedef void gemm_by_rows(const struct products *p, float *y, const float *x, const float *w,
    size_t n, size_t k, size_t o, int add);

static double plain(const float *a, size_t a_step, const float *b, size_t b_step, size_t k)
{
    double sum = 0;

    for (size_t j = 0; j < k; j++)
        sum += (double)a[j * a_step] * b[j * b_step];
    return sum;
}

static void assert_near(float got, double wanted, size_t k)
{
    double digit = with[2].precision == PRECISION_BF16 ? 2e-2 : 1e-6;

    if (!(fabs(got - wanted) <= digit * sqrt((double)k) * (1 + sqrt((double)k))))
        fail_msg("%g instead of %g (k = %zu)", got, wanted, k);
}

static const size_t small[] = { 1, 2, 5, 16, 33, 64, 100, 257 };
#define SMALL (sizeof small / sizeof *small)

static void products_by_rows_agree_with_plain_sums(void **state)
{
    (void)state;

    for (size_t c = 0; c < SMALL * SMALL * 2; c++) {
        size_t n = 3 + c % 60, k = small[c / 2 % SMALL], o = small[c / 2 / SMALL];
        int add = (int)(c % 2);
        for (int nn = 0; nn < 2; nn++) {
            for (size_t i = 0; i < gemm_rows(n) * o; i++)
                y[i] = (float)i;
            (nn ? gemm_nn : gemm_nt)(&with[2], y, x, w, n, k, o, add);
            for (size_t i = 0; i < n * o; i++) {
                const float *b = nn ? w + i % o : w + i % o * k;
                double sum = plain(x + i / o * k, 1, b, nn ? o : 1, k);
                assert_near(y[i] - (add ? (float)i : 0), sum, k * (add ? 1000000 : 1));
            }
        }
    }
}

static void products_over_rows_agree_with_plain_sums_of_exactly_n_rows(void **state)
{
    (void)state;

    for (size_t c = 0; c < SMALL * SMALL; c++) {
        size_t n = 1 + c % 70, o = small[c % SMALL], i = small[c / SMALL];
        float after_x = x[n * i], after_w = w[n * o];
        x[n * i] = w[n * o] = NAN;
        for (size_t j = 0; j < o * i; j++)
            y[j] = 2;
        gemm_tn(&with[2], y, w, x, n, o, i);
        x[n * i] = after_x;
        w[n * o] = after_w;
        for (size_t j = 0; j < o * i; j++)
            assert_near(y[j] - 2, plain(w + j / i, o, x + j % i, i, n), 4 * n);
    }
    y[0] = 7;
    gemm_tn(&with[2], y, w, x, 0, 5, 5);
    assert_true(y[0] == 7);
}

/* KINDS different rows, in an order without period; KINDS fixes where each is alone. */
#define KINDS 3
static size_t kind_of(size_t row)
{
    return (row * 2654435761u >> 7) % KINDS;
}

static void fill_rows(size_t n, size_t k, const float *kinds)
{
    for (size_t r = 0; r < n; r++)
        memcpy(x + r * k, kinds + kind_of(r) * k, k * sizeof *x);
    memset(x + n * k, 0, (gemm_rows(n) - n) * k * sizeof *x);
}

static void assert_rows_same_bits(
    gemm_by_rows *gemm, const char *name, size_t k, size_t o, const size_t *counts, size_t n_counts)
{
    static float kinds[KINDS * WIDTH_MAX];

    rng_normal(kinds, KINDS * k, k * 10000 + o, RNG_INIT, 0);
    for (size_t i = 0; i < KINDS; i++) {
        memset(x, 0, GEMM_ROWS * k * sizeof *x);
        memcpy(x, kinds + i * k, k * sizeof *x);
        gemm(&with[1], y, x, w, 1, k, o, 0);
        memcpy(expected + i * o, y, o * sizeof *y);
    }
    for (size_t i = 0; i < n_counts; i++) {
        size_t n = counts[i];
        fill_rows(n, k, kinds);
        gemm(&with[2], y, x, w, n, k, o, 0);
        for (size_t r = 0; r < n; r++) {
            if (memcmp(y + r * o, expected + kind_of(r) * o, o * sizeof *y) != 0)
                fail_msg("%s: %s of %zu to %zu: row %zu of %zu has other bits than alone",
                    blas_setup(), name, k, o, r, n);
        }
    }
}

static void a_row_has_the_same_bits_in_any_company(void **state)
{
    static const size_t widths[] = { 1, 2, 24, 40, 64, 65, 96, 128, 160, 192, 250, 384, 512 };
    static const size_t wide[][2] = { { 384, 1152 }, { 384, 1536 }, { 1536, 384 }, { 1500, 500 },
        { 128, 2048 }, { 2048, 128 }, { 2048, 384 }, { 192, 2000 }, { 768, 768 }, { 64, 2048 },
        { 2048, 2048 } };
    static const size_t counts[] = { 2, 13, 48, 49, 96, 100, 193, 240 };
    const size_t widths_n = sizeof widths / sizeof *widths;
    const size_t counts_n = sizeof counts / sizeof *counts;
    (void)state;

    for (size_t i = 0; i < widths_n * widths_n; i++) {
        size_t k = widths[i / widths_n], o = widths[i % widths_n];
        assert_rows_same_bits(gemm_nt, "gemm_nt", k, o, counts, counts_n);
        assert_rows_same_bits(gemm_nn, "gemm_nn", k, o, counts, counts_n);
    }
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        assert_rows_same_bits(gemm_nt, "gemm_nt", wide[i][0], wide[i][1], counts + 2, 6);
        assert_rows_same_bits(gemm_nn, "gemm_nn", wide[i][0], wide[i][1], counts + 2, 6);
    }
}

static void a_row_has_the_same_bits_in_any_tile(void **state)
{
    static const size_t shapes[][2] = { { 128, 128 }, { 128, 384 }, { 384, 384 }, { 512, 2048 } };
    static const size_t counts[] = { 430, 576, 1000 };
    (void)state;

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        assert_rows_same_bits(gemm_nt, "gemm_nt", shapes[i][0], shapes[i][1], counts, 3);
        assert_rows_same_bits(gemm_nn, "gemm_nn", shapes[i][0], shapes[i][1], counts, 3);
    }
}

static void a_row_has_the_same_bits_for_every_number_of_rows(void **state)
{
    size_t counts[200];
    (void)state;

    for (size_t n = 0; n < 200; n++)
        counts[n] = n + 1;
    assert_rows_same_bits(gemm_nt, "gemm_nt", 96, 160, counts, 200);
    assert_rows_same_bits(gemm_nn, "gemm_nn", 96, 160, counts, 200);
    assert_rows_same_bits(gemm_nt, "gemm_nt", 128, 384, counts, 200);
    assert_rows_same_bits(gemm_nn, "gemm_nn", 384, 128, counts, 200);
}

static void the_number_of_threads_does_not_change_a_bit(void **state)
{
    static const size_t shapes[][3] = { { 200, 128, 384 }, { 48, 192, 1500 }, { 240, 384, 96 },
        { 7, 64, 2048 }, { 199, 65, 333 } };
    (void)state;

    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t n = shapes[s][0], k = shapes[s][1], o = shapes[s][2];
        for (int kind = 0; kind < 3; kind++) {
            size_t results = kind == 2 ? k * o : n * o;
            for (int threads = 1; threads <= 3; threads++) {
                for (size_t i = 0; i < 240 * WIDTH_MAX; i++)
                    y[i] = 1;
                if (kind == 2)
                    gemm_tn(&with[threads], y, x, w, n, k, o);
                else
                    (kind ? gemm_nn : gemm_nt)(&with[threads], y, x, w, n, k, o, 1);
                if (threads == 1)
                    memcpy(expected, y, results * sizeof *y);
                assert_memory_equal(y, expected, results * sizeof *y);
            }
        }
    }
}

static void nothing_is_written_beyond_the_padded_rows(void **state)
{
    (void)state;

    for (size_t n = 1; n <= 100; n += 33) {
        size_t end = gemm_rows(n) * 100;
        y[end] = 42;
        gemm_nt(&with[2], y, x, w, n, 64, 100, 0);
        assert_true(y[end] == 42);
        gemm_nn(&with[2], y, x, w, n, 64, 100, 0);
        assert_true(y[end] == 42);
    }
}

static void the_library_has_the_core_type_that_was_asked_for(void **state)
{
    const char *class = getenv(CHILD);
    (void)state;

    assert_int_equal(strncmp(blas_setup(), "openblas-", 9), 0);
    if (strcmp(class, "") != 0)
        assert_string_equal(strchr(blas_setup(), '/') + 1, numeric_class_core(class));
}

static int start(enum precision precision)
{
    const char *class = getenv(CHILD);
    struct err e = ERR_INIT;

    rng_normal(x, sizeof x / sizeof *x, 1, RNG_INIT, 0);
    rng_normal(w, sizeof w / sizeof *w, 1, RNG_INIT, 1);
    for (int threads = 1; threads <= 3; threads++) {
        with[threads] = (struct products){ .precision = precision,
            .k = kernels_get(strcmp(class, "") == 0 ? NULL : strrchr(class, '/') + 1),
            .room = aligned_alloc(64, gemm_room(ROWS_MAX, WIDTH_MAX, WIDTH_MAX) * sizeof(float)) };
        if (with[threads].room == NULL || pool_new(&with[threads].pool, threads, &e) != OK)
            return -1;
    }
    return 0;
}

static int finish(void **state)
{
    (void)state;

    for (int threads = 1; threads <= 3; threads++) {
        pool_free(with[threads].pool);
        free(with[threads].room);
    }
    return 0;
}

/* The verdict of this program with one numeric class. */
static int run_with(const char *program, const char *class)
{
    int status = -1;

    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setenv(CHILD, class, 1);
        if (strcmp(class, "") != 0)
            setenv("OPENBLAS_CORETYPE", numeric_class_core(class), 1);
        else
            unsetenv("OPENBLAS_CORETYPE");
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    return status;
}

static int run_with_every_class(const char *program)
{
    int failures = run_with(program, "") != 0;

    for (const char *const *name = numeric_classes(); *name != NULL; name++)
        failures += run_with(program, *name) != 0;
    return failures;
}

static int start_fp32(void **state)
{
    (void)state;

    return start(PRECISION_FP32);
}

static int start_bf16(void **state)
{
    (void)state;

    return start(PRECISION_BF16);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_has_the_core_type_that_was_asked_for),
        cmocka_unit_test(products_by_rows_agree_with_plain_sums),
        cmocka_unit_test(products_over_rows_agree_with_plain_sums_of_exactly_n_rows),
        cmocka_unit_test(a_row_has_the_same_bits_in_any_company),
        cmocka_unit_test(a_row_has_the_same_bits_in_any_tile),
        cmocka_unit_test(a_row_has_the_same_bits_for_every_number_of_rows),
        cmocka_unit_test(the_number_of_threads_does_not_change_a_bit),
        cmocka_unit_test(nothing_is_written_beyond_the_padded_rows),
    };
    const struct CMUnitTest in_bf16[] = {
        /* the rest is in test_gemm.c */
        cmocka_unit_test(products_by_rows_agree_with_plain_sums),
        cmocka_unit_test(products_over_rows_agree_with_plain_sums_of_exactly_n_rows),
        cmocka_unit_test(the_number_of_threads_does_not_change_a_bit),
    };
    (void)argc;

    if (getenv(CHILD) == NULL)
        return run_with_every_class(argv[0]);
    int failures = cmocka_run_group_tests_name(blas_setup(), tests, start_fp32, finish);
    return failures + cmocka_run_group_tests_name("in bfloat16", in_bf16, start_bf16, finish);
}
