#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "workers/math/rng.h"

/* Random123's kat_vectors, philox 4x32 10. */
static void philox_gives_the_published_vectors(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } vectors[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { ~0u, ~0u, ~0u, ~0u }, { ~0u, ~0u },
            { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
            { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    (void)state;

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint32_t out[4];
        philox4x32(out, vectors[i].counter, vectors[i].key);
        assert_memory_equal(out, vectors[i].expected, sizeof out);
    }
}

static void every_argument_changes_the_words(void **state)
{
    uint32_t words[6][4];
    (void)state;

    rng_words(words[0], 1, RNG_INIT, 2, 3);
    rng_words(words[1], 2, RNG_INIT, 2, 3);
    rng_words(words[2], 1ull << 32 | 1, RNG_INIT, 2, 3);
    rng_words(words[3], 1, RNG_SHUFFLE, 2, 3);
    rng_words(words[4], 1, RNG_INIT, 3, 3);
    rng_words(words[5], 1, RNG_INIT, 2, 1ull << 32 | 3);
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(words[i], words[j], sizeof *words);
    }
}

static void uniforms_fill_the_unit_interval_evenly(void **state)
{
    enum { N = 100000, BINS = 20 };
    size_t bins[BINS] = { 0 };
    double chi2 = 0;
    (void)state;

    for (size_t i = 0; i < N; i++) {
        double u = rng_uniform(11, RNG_SAMPLE, 0, i);
        assert_true(u >= 0 && u < 1);
        bins[(size_t)(u * BINS)]++;
    }
    for (size_t b = 0; b < BINS; b++)
        chi2 += pow((double)bins[b] - N / BINS, 2) / (N / BINS);
    assert_true(chi2 < 43.8); /* 19 degrees of freedom: 1 in 1,000 */
}

static void normals_have_the_moments_of_a_standard_normal(void **state)
{
    enum { N = 200000 };
    float *z = malloc(N * sizeof *z);
    double m[5] = { 0 };
    (void)state;

    rng_normal(z, N, 5, RNG_INIT, 0);
    for (size_t i = 0; i < N; i++) {
        assert_true(fabsf(z[i]) < 7);
        for (int k = 1; k <= 4; k++)
            m[k] += pow(z[i], k) / N;
    }
    assert_true(fabs(m[1]) < 4 / sqrt(N)); /* four standard errors each */
    assert_true(fabs(m[2] - 1) < 4 * sqrt(2.0 / N));
    assert_true(fabs(m[3]) < 4 * sqrt(15.0 / N));
    assert_true(fabs(m[4] - 3) < 4 * sqrt(96.0 / N));
    free(z);
}

static void a_shorter_draw_of_normals_is_a_prefix(void **state)
{
    float whole[64], part[64];
    (void)state;

    rng_normal(whole, 64, 9, RNG_INIT, 4);
    for (size_t n = 0; n < 64; n++) {
        part[n] = 77;
        rng_normal(part, n, 9, RNG_INIT, 4);
        assert_memory_equal(part, whole, n * sizeof *part);
        assert_true(part[n] == 77);
    }
}

static void a_permutation_holds_every_number_once(void **state)
{
    static uint32_t p[1000];
    (void)state;

    rng_permutation(p, 0, 1, RNG_SHUFFLE, 0);
    for (uint32_t n = 1; n <= 1000; n += 37) {
        uint8_t seen[1000] = { 0 };
        rng_permutation(p, n, 1, RNG_SHUFFLE, n);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(p[i] < n && !seen[p[i]]);
            seen[p[i]] = 1;
        }
    }
}

static void permutations_of_four_are_equally_likely(void **state)
{
    enum { N = 48000, PERMUTATIONS = 24 };
    size_t count[256] = { 0 };
    double chi2 = 0;
    size_t kinds = 0;
    (void)state;

    for (uint32_t i = 0; i < N; i++) {
        uint32_t p[4];
        rng_permutation(p, 4, 3, RNG_SHUFFLE, i);
        count[p[0] << 6 | p[1] << 4 | p[2] << 2 | p[3]]++;
    }
    for (size_t i = 0; i < 256; i++) {
        if (count[i] > 0) {
            kinds++;
            chi2 += pow((double)count[i] - N / PERMUTATIONS, 2) / (N / PERMUTATIONS);
        }
    }
    assert_int_equal(kinds, PERMUTATIONS);
    assert_true(chi2 < 49.7); /* 23 degrees of freedom: 1 in 1,000 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_vectors),
        cmocka_unit_test(every_argument_changes_the_words),
        cmocka_unit_test(uniforms_fill_the_unit_interval_evenly),
        cmocka_unit_test(normals_have_the_moments_of_a_standard_normal),
        cmocka_unit_test(a_shorter_draw_of_normals_is_a_prefix),
        cmocka_unit_test(a_permutation_holds_every_number_once),
        cmocka_unit_test(permutations_of_four_are_equally_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
