#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "workers/math/elementary.h"

static void logarithm_agrees_with_the_library(void **state)
{
    (void)state;

    for (double x = 1e-300; x < 1e300; x *= 1.37) {
        double expected = log(x);
        assert_true(fabs(elementary_log(x) - expected) <= 2e-15 * fabs(expected));
    }
    for (double x = 0.5; x < 2; x += 0.001)
        assert_true(fabs(elementary_log(x) - log(x)) <= 2e-15 * fabs(log(x)) + 1e-18);
    assert_true(elementary_log(1) == 0);
    assert_true(elementary_log(0) == -INFINITY);
    assert_true(elementary_log(INFINITY) == INFINITY);
    assert_true(isnan(elementary_log(-1)) && isnan(elementary_log(NAN)));
}

static void exponential_agrees_with_the_library(void **state)
{
    (void)state;

    for (double x = -708; x < 709; x += 0.317)
        assert_true(fabs(elementary_exp(x) - exp(x)) <= 2e-15 * exp(x));
    assert_true(elementary_exp(0) == 1);
    assert_true(elementary_exp(-800) == 0 && elementary_exp(-INFINITY) == 0);
    assert_true(elementary_exp(800) == INFINITY);
    assert_true(isnan(elementary_exp(NAN)));
}

static void power_agrees_with_the_library(void **state)
{
    (void)state;

    for (double x = -1; x <= 1; x += 0.03)
        assert_true(fabs(elementary_pow(10000, x) - pow(10000, x)) <= 2e-14 * pow(10000, x));
}

static void sine_and_cosine_agree_with_the_library(void **state)
{
    double s, c;
    (void)state;

    for (double x = -2000; x < 2000; x += 0.0917) {
        elementary_sincos(&s, &c, x);
        assert_true(fabs(s - sin(x)) < 2e-15 && fabs(c - cos(x)) < 2e-15);
    }
    for (double x = 1e5; x < 1e6; x += 1234.567) {
        elementary_sincos(&s, &c, x);
        assert_true(fabs(s - sin(x)) < 1e-13 && fabs(c - cos(x)) < 1e-13);
    }
    elementary_sincos_turns(&s, &c, 0.25);
    assert_true(s == 1 && c == 0);
    elementary_sincos_turns(&s, &c, -3);
    assert_true(s == 0 && c == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logarithm_agrees_with_the_library),
        cmocka_unit_test(exponential_agrees_with_the_library),
        cmocka_unit_test(power_agrees_with_the_library),
        cmocka_unit_test(sine_and_cosine_agree_with_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
