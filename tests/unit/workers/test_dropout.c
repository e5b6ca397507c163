#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/model/transformer_int.h"

#define SEED 9

enum { WIDTH = 50, ROWS = 400, LAYERS = 3 };

static struct workspace workspace = { .s = { .width = WIDTH, .layers = LAYERS } };
static float ones[ROWS * WIDTH];

static int start(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS * WIDTH; i++)
        ones[i] = 1;
    return 0;
}

static void drop(float *y, double rate, uint32_t step, size_t layer, size_t first, size_t n)
{
    const struct dropout d = { .rate = rate, .seed = SEED, .step = step, .first = 7 };
    const struct pass p = { .w = &workspace, .dropout = &d, .layer = layer };

    dropout_rows(&p, DROP_ATTENTION, y, ones, first, n);
}

static void a_number_is_dropped_or_scaled(void **state)
{
    float y[ROWS * WIDTH];
    size_t zeros = 0;

    (void)state;
    drop(y, 0.25, 0, 0, 0, ROWS);
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        assert_true(y[i] == 0 || y[i] == (float)(1 / 0.75));
        zeros += y[i] == 0;
    }
    /* within five standard deviations of a quarter */
    double n = ROWS * WIDTH;
    assert_true(fabs((double)zeros - 0.25 * n) < 5 * sqrt(n * 0.25 * 0.75));
}

static void the_expectation_is_what_came_in(void **state)
{
    float y[ROWS * WIDTH];
    double sum = 0;
    enum { STEPS = 20 };

    (void)state;
    for (uint32_t step = 0; step < STEPS; step++) {
        drop(y, 0.9, step, 1, 0, ROWS);
        for (size_t i = 0; i < ROWS * WIDTH; i++)
            sum += (double)y[i];
    }
    /* variance of one number: rate / (1 - rate) = 9 */
    double n = (double)STEPS * ROWS * WIDTH;
    assert_true(fabs(sum / n - 1) < 5 * sqrt(9 / n));
}

static void nothing_is_dropped_at_rate_zero(void **state)
{
    float y[ROWS * WIDTH];

    (void)state;
    drop(y, 0, 0, 0, 0, ROWS);
    assert_memory_equal(y, ones, sizeof y);
}

static void a_row_is_dropped_alike_in_any_cut(void **state)
{
    float whole[ROWS * WIDTH], parts[ROWS * WIDTH];

    (void)state;
    drop(whole, 0.5, 4, 2, 0, ROWS);
    for (size_t first = 0, n; first < ROWS; first += n) {
        n = first % 3 + 1;
        n = n < ROWS - first ? n : ROWS - first;
        drop(parts + first * WIDTH, 0.5, 4, 2, first, n);
    }
    assert_memory_equal(whole, parts, sizeof whole);
}

static void steps_layers_and_rows_draw_anew(void **state)
{
    float a[2 * WIDTH], b[2 * WIDTH];

    (void)state;
    drop(a, 0.5, 0, 0, 0, 2);
    assert_memory_not_equal(a, a + WIDTH, WIDTH * sizeof *a);
    drop(b, 0.5, 1, 0, 0, 2);
    assert_memory_not_equal(a, b, sizeof a);
    drop(b, 0.5, 0, 1, 0, 2);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_dropped_or_scaled),
        cmocka_unit_test(the_expectation_is_what_came_in),
        cmocka_unit_test(nothing_is_dropped_at_rate_zero),
        cmocka_unit_test(a_row_is_dropped_alike_in_any_cut),
        cmocka_unit_test(steps_layers_and_rows_draw_anew),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
