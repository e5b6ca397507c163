#include "proto/hash_pair.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

/* One core's SHA instructions wait for each other: their latency is twice what they cost. Two
 * strings at once fill the gaps. OpenSSL's hash of several strings is not public, and that of
 * libipsec-mb ends at 64 KiB. */

#define BLOCK 64
#define PAIR __attribute__((target("sha,sse4.1")))

/* FIPS 180-4, 4.2.2 */
static const uint32_t k[64] = { 0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b,
    0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74,
    0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3,
    0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354,
    0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3,
    0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa,
    0xa4506ceb, 0xbef9a3f7, 0xc67178f2 };

/* The words as SHA256RNDS2 wants them, the first in the highest place. */
struct state {
    __m128i abef, cdgh;
};

struct lane {
    struct state s;
    __m128i w[4]; /* the last 16 words of the message schedule, a ring */
};

PAIR static void lane_begin(struct lane *l)
{
    l->s.abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
    l->s.cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
}

PAIR static inline void lane_load(struct lane *l, const uint8_t *p)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

    for (int i = 0; i < 4; i++)
        l->w[i] = _mm_shuffle_epi8(
            _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), big_endian);
}

/* Rounds 4i to 4i + 3, then the schedule's words for rounds 4i + 4 to 4i + 7, which lie in the
 * place of the oldest. */
PAIR static inline void lane_round(struct lane *l, int i)
{
    __m128i wk = _mm_add_epi32(
        l->w[i & 3], _mm_loadu_si128((const __m128i *)(const void *)(k + (size_t)4 * i)));

    l->s.cdgh = _mm_sha256rnds2_epu32(l->s.cdgh, l->s.abef, wk);
    l->s.abef = _mm_sha256rnds2_epu32(l->s.abef, l->s.cdgh, _mm_shuffle_epi32(wk, 0x0e));
    if (i < 3 || i == 15)
        return;
    __m128i *next = &l->w[(i + 1) & 3];
    __m128i minus7 = _mm_alignr_epi8(l->w[i & 3], l->w[(i + 3) & 3], 4);
    *next = _mm_sha256msg1_epu32(*next, l->w[(i + 2) & 3]);
    *next = _mm_sha256msg2_epu32(_mm_add_epi32(*next, minus7), l->w[i & 3]);
}

PAIR static inline void state_add(struct state *s, const struct state *before)
{
    s->abef = _mm_add_epi32(s->abef, before->abef);
    s->cdgh = _mm_add_epi32(s->cdgh, before->cdgh);
}

PAIR static void blocks(
    struct lane *a, struct lane *b, const uint8_t *p, const uint8_t *q, size_t n)
{
    struct lane x = *a, y = *b; /* in registers */

    for (; n > 0; n--, p += BLOCK, q += BLOCK) {
        struct state x0 = x.s, y0 = y.s;
        lane_load(&x, p);
        lane_load(&y, q);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            lane_round(&x, i);
            lane_round(&y, i);
        }
        state_add(&x.s, &x0);
        state_add(&y.s, &y0);
    }
    a->s = x.s;
    b->s = y.s;
}

/* What follows the last whole block, and the padding (5.1.1); returns its number of blocks. */
static size_t padded(uint8_t to[2 * BLOCK], const uint8_t *p, size_t n)
{
    size_t rest = n % BLOCK, blocks = rest + 9 <= BLOCK ? 1 : 2;

    memset(to, 0, 2 * BLOCK);
    memcpy(to, p + (n - rest), rest);
    to[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        to[blocks * BLOCK - 1 - (size_t)i] = (uint8_t)((uint64_t)n * 8 >> 8 * i);
    return blocks;
}

PAIR static void lane_end(const struct lane *l, struct id *out)
{
    const uint32_t words[8] = { (uint32_t)_mm_extract_epi32(l->s.abef, 3),
        (uint32_t)_mm_extract_epi32(l->s.abef, 2), (uint32_t)_mm_extract_epi32(l->s.cdgh, 3),
        (uint32_t)_mm_extract_epi32(l->s.cdgh, 2), (uint32_t)_mm_extract_epi32(l->s.abef, 1),
        (uint32_t)_mm_extract_epi32(l->s.abef, 0), (uint32_t)_mm_extract_epi32(l->s.cdgh, 1),
        (uint32_t)_mm_extract_epi32(l->s.cdgh, 0) };

    for (int i = 0; i < 32; i++)
        out->b[i] = (uint8_t)(words[i / 4] >> (24 - i % 4 * 8));
}

bool hash_pair_here(void)
{
    unsigned a, b, c, d;

    return __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (b & bit_SHA) != 0;
}

void hash_pair(struct id out[2], const void *p, const void *q, size_t n)
{
    uint8_t end[2][2 * BLOCK];
    struct lane x, y;

    lane_begin(&x);
    lane_begin(&y);
    blocks(&x, &y, p, q, n / BLOCK);
    padded(end[0], p, n);
    blocks(&x, &y, end[0], end[1], padded(end[1], q, n));
    lane_end(&x, &out[0]);
    lane_end(&y, &out[1]);
}

#else

bool hash_pair_here(void)
{
    return false;
}

void hash_pair(struct id out[2], const void *p, const void *q, size_t n)
{
    sha256(&out[0], p, n);
    sha256(&out[1], q, n);
}

#endif
