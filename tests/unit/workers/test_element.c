#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "workers/formats/element.h"

static uint16_t written(enum element t, float x)
{
    uint8_t b[2];

    element_write(t, b, &x, 1);
    return (uint16_t)(b[0] | b[1] << 8);
}

static float read_back(enum element t, uint16_t bits)
{
    const uint8_t b[2] = { (uint8_t)bits, (uint8_t)(bits >> 8) };
    float x;

    element_read(t, &x, b, 1);
    return x;
}

static void halves_are_the_known_ones(void **state)
{
    static const struct {
        float value;
        uint16_t bits;
    } known[] = {
        { 0, 0x0000 },
        { 1, 0x3c00 },
        { -2, 0xc000 },
        { 65504, 0x7bff },
        { 65520, 0x7c00 },         /* rounds to infinity */
        { 65519.996F, 0x7bff },    /* does not */
        { 0x1p-14F, 0x0400 },      /* the smallest normal */
        { 0x1p-24F, 0x0001 },      /* the smallest */
        { 0x1p-25F, 0x0000 },      /* a tie: to even */
        { 0x1.8p-24F, 0x0002 },    /* a tie: to even */
        { 0x1.000002p-25F, 0x01 }, /* above the tie */
        { 0x1.ffcp-15F, 0x0400 },  /* a subnormal that rounds up to a normal */
        { 1 + 0x1p-11F, 0x3c00 },
        { 1 + 0x1.8p-10F, 0x3c02 },
        { 0.1F, 0x2e66 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(written(ELEMENT_F16, known[i].value), known[i].bits);
    assert_int_equal(written(ELEMENT_F16, INFINITY), 0x7c00);
    assert_true(isnan(read_back(ELEMENT_F16, written(ELEMENT_F16, NAN))));
}

static void every_half_and_every_bfloat_reads_back_as_itself(void **state)
{
    static const enum element types[] = { ELEMENT_F16, ELEMENT_BF16 };

    (void)state;
    for (size_t k = 0; k < 2; k++)
        for (uint32_t bits = 0; bits < 65536; bits++) {
            float x = read_back(types[k], (uint16_t)bits);
            if (!isnan(x))
                assert_int_equal(written(types[k], x), bits);
        }
}

static void bfloat_rounds_to_the_nearest_and_ties_to_even(void **state)
{
    (void)state;
    assert_int_equal(written(ELEMENT_BF16, 1), 0x3f80);
    assert_int_equal(written(ELEMENT_BF16, 1 + 0x1p-8F), 0x3f80);
    assert_int_equal(written(ELEMENT_BF16, 1 + 0x1.8p-7F), 0x3f82);
    assert_int_equal(written(ELEMENT_BF16, 1 + 0x1.0002p-8F), 0x3f81);
    assert_int_equal(written(ELEMENT_BF16, 3.4e38F), 0x7f80);
}

static void blocks_of_eight_bits_keep_a_scale_and_whole_multiples(void **state)
{
    uint8_t block[34];
    float x[32], y[32];

    (void)state;
    for (int i = 0; i < 32; i++)
        x[i] = (float)(i - 16) * 0.25F;
    x[0] = -127 * 0.125F; /* the scale is 1/8 */
    element_write(ELEMENT_Q8_0, block, x, 32);
    assert_int_equal(block[0] | block[1] << 8, 0x3000);
    assert_int_equal((int8_t)block[2], -127);
    element_read(ELEMENT_Q8_0, y, block, 32);
    assert_memory_equal(x, y, sizeof x);
    memset(x, 0, sizeof x);
    element_write(ELEMENT_Q8_0, block, x, 32);
    element_read(ELEMENT_Q8_0, y, block, 32);
    assert_memory_equal(x, y, sizeof x);
}

static void sizes_that_overflow_are_told(void **state)
{
    uint64_t bytes = 0;

    (void)state;
    assert_true(element_bytes(ELEMENT_Q8_0, 64, &bytes));
    assert_int_equal(bytes, 68);
    assert_false(element_bytes(ELEMENT_F32, UINT64_MAX / 4 + 1, &bytes));
}

static void types_have_names(void **state)
{
    enum element t;

    (void)state;
    for (int i = 0; i < ELEMENTS; i++) {
        assert_true(element_named(&t, element_name((enum element)i)));
        assert_int_equal(t, i);
    }
    assert_false(element_named(&t, "q4_0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_are_the_known_ones),
        cmocka_unit_test(every_half_and_every_bfloat_reads_back_as_itself),
        cmocka_unit_test(bfloat_rounds_to_the_nearest_and_ties_to_even),
        cmocka_unit_test(blocks_of_eight_bits_keep_a_scale_and_whole_multiples),
        cmocka_unit_test(sizes_that_overflow_are_told),
        cmocka_unit_test(types_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
