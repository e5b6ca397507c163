#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define KERNEL_SET generic
#include "workers/math/kernels/simd.h"
#include "workers/math/rng.h"

/* bfloat16 of the set that every machine runs; of the others through kernels.h. */

static float x[4 * LANES];

static float plain_bf16(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000;
    memcpy(&f, &u, sizeof f);
    return f;
}

static void neighbours_become_pairs_in_order(void **state)
{
    uvec p = bf16_row(load(x), load(x + LANES));
    (void)state;

    for (int l = 0; l < LANES; l++) {
        assert_true(bf16_even(p)[l] == plain_bf16(x[2 * l]));
        assert_true(bf16_odd(p)[l] == plain_bf16(x[2 * l + 1]));
    }
}

static void lanes_of_two_vectors_become_pairs(void **state)
{
    uvec p = bf16_pairs(load(x), load(x + LANES));
    (void)state;

    for (int l = 0; l < LANES; l++) {
        assert_true(bf16_even(p)[l] == plain_bf16(x[l]));
        assert_true(bf16_odd(p)[l] == plain_bf16(x[l + LANES]));
    }
}

static void a_pair_of_products_is_added_odd_first(void **state)
{
    uvec a = bf16_row(load(x), load(x + LANES));
    uvec b = bf16_row(load(x + 2 * LANES), load(x + 3 * LANES));
    vec s = vdot_bf16(splat(1), a, b);
    (void)state;

    for (int l = 0; l < LANES; l++) {
        float sum = 1 + bf16_odd(a)[l] * bf16_odd(b)[l];
        assert_true(s[l] == sum + bf16_even(a)[l] * bf16_even(b)[l]);
    }
    /* 2^24 + 1 - 2^24: 1 is lost when it is added first */
    a = (uvec)splat(0) + 0xcb803f80u; /* even 1, odd -2^24 */
    b = (uvec)splat(0) + 0x3f803f80u;
    assert_true(vdot_bf16(splat(0x1p24f), a, b)[0] == 1);
}

static int fill(void **state)
{
    (void)state;

    rng_normal(x, 4 * LANES, 1, RNG_INIT, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_become_pairs_in_order),
        cmocka_unit_test(lanes_of_two_vectors_become_pairs),
        cmocka_unit_test(a_pair_of_products_is_added_odd_first),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
