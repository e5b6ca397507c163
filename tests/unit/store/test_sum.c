#include "tests/unit/store/home.h"

static void sum_changes_with_every_bit(void **unused)
{
    static uint8_t bytes[1000];
    uint64_t plain;

    (void)unused;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    plain = sum64(bytes, sizeof bytes);
    for (size_t i = 0; i < 8 * sizeof bytes; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_true(sum64(bytes, sizeof bytes) != plain);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    assert_true(sum64(bytes, sizeof bytes) == plain);
}

static void sum_tells_lengths_and_orders_apart(void **unused)
{
    static uint8_t zeros[200], words[128];

    (void)unused;
    for (size_t i = 0; i < 200; i++)
        assert_true(sum64(zeros, i) != sum64(zeros, i + 1));
    words[7] = 128; /* the same bit of the same lane, in two blocks */
    uint64_t first = sum64(words, sizeof words);
    words[7] = 0;
    words[71] = 128;
    assert_true(sum64(words, sizeof words) != first);
}

static void copy_has_the_same_sum_and_bytes_wherever_it_goes(void **unused)
{
    static _Alignas(64) uint8_t from[5000], to[5100];

    (void)unused;
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)(i * i >> 3);
    for (size_t shift = 0; shift < 66; shift++)
        for (size_t n = 5000 - 70 * shift; n > 4990 - 70 * shift; n--) {
            memset(to, 0, sizeof to);
            assert_true(sum64_copy(to + shift, from, n) == sum64(from, n));
            assert_memory_equal(to + shift, from, n);
            assert_int_equal(to[shift + n], 0);
        }
}

static void sum_is_the_same_on_every_machine(void **unused)
{
    static uint8_t bytes[3000];

    (void)unused;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    assert_true(sum64(bytes, sizeof bytes) == 0x54ecd5cf00ac6cedull);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum_changes_with_every_bit),
        cmocka_unit_test(sum_tells_lengths_and_orders_apart),
        cmocka_unit_test(copy_has_the_same_sum_and_bytes_wherever_it_goes),
        cmocka_unit_test(sum_is_the_same_on_every_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
