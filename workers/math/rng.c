#include "workers/math/rng.h"

#include <math.h>

#include "workers/math/elementary.h"

#define PHILOX_ROUNDS 10

void philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53 * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9; /* golden ratio */
        k1 += 0xBB67AE85; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void rng_words(
    uint32_t out[4], uint64_t seed, enum rng_purpose purpose, uint32_t step, uint64_t item)
{
    uint32_t counter[4] = { (uint32_t)item, (uint32_t)(item >> 32), step, (uint32_t)purpose };
    uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };

    philox4x32(out, counter, key);
}

double rng_uniform(uint64_t seed, enum rng_purpose purpose, uint32_t step, uint64_t item)
{
    uint32_t r[4];

    rng_words(r, seed, purpose, step, item);
    return (double)(((uint64_t)r[0] << 32 | r[1]) >> 11) * 0x1p-53;
}

void rng_normal(float *out, size_t n, uint64_t seed, enum rng_purpose purpose, uint32_t step)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t r[4];
        double z[4];
        rng_words(r, seed, purpose, step, i / 4);
        for (int k = 0; k < 4; k += 2) {
            /* Box & Muller 1958: sqrt(-2 ln u1) (cos, sin)(2 pi u2), u1 in (0, 1]. */
            double radius = sqrt(-2 * elementary_log((r[k] + 1.0) * 0x1p-32));
            double s, c;
            elementary_sincos_turns(&s, &c, r[k + 1] * 0x1p-32);
            z[k] = radius * c;
            z[k + 1] = radius * s;
        }
        for (size_t k = 0; k < 4 && i + k < n; k++)
            out[i + k] = (float)z[k];
    }
}

void rng_permutation(
    uint32_t *out, uint32_t n, uint64_t seed, enum rng_purpose purpose, uint32_t step)
{
    uint32_t r[4] = { 0 };

    for (uint32_t i = 0; i < n; i++)
        out[i] = i;
    for (uint32_t i = 0; i + 1 < n; i++) {
        uint32_t k = i % 2 * 2;
        if (k == 0)
            rng_words(r, seed, purpose, step, i / 2);
        /* floor(64 random bits * left / 2^64): biased by less than 2^-32 */
        uint64_t left = n - i;
        uint32_t j = i + (uint32_t)((r[k] * left + (r[k + 1] * left >> 32)) >> 32);
        uint32_t t = out[i];
        out[i] = out[j];
        out[j] = t;
    }
}
