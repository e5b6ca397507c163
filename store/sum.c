#include <pthread.h>
#include <string.h>

#include "store/store_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* NH (Black, Halevi, Krawczyk, Krovetz, Rogaway 1999, UMAC, section 4) of each block under keys
 * that are always the same, and a polynomial in the blocks' results: against accidents, which are
 * missed with a chance of about 2^-32. Against people there is SHA-256. */
#define BLOCK 1024
#define ODD 0x9e3779b97f4a7c15ull /* 2^64 / golden ratio */

static _Alignas(64) uint32_t keys[BLOCK / 4];

static void make_keys(void)
{
    uint64_t z = 0;

    for (size_t i = 0; i < BLOCK / 4; i++) { /* splitmix64 (Steele, Lea, Flood 2014) */
        uint64_t x = z += ODD;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
        x = (x ^ x >> 27) * 0x94d049bb133111ebull;
        keys[i] = (uint32_t)(x >> 32);
    }
}

/* The sum of (x[i] + k[i]) (x[i + 1] + k[i + 1]) over pairs of 32-bit words, modulo 2^64. to: gets
 * a copy of as many bytes that begin so far ahead of p, past the caches where there are
 * instructions for it, at a multiple of ALIGNED; or NULL. */
#define ALIGNED 64

#if defined(__x86_64__)

static uint64_t nh_sse2(const uint8_t *p, uint8_t *to, size_t ahead)
{
    __m128i sum = _mm_setzero_si128();
    uint64_t halves[2];

    for (size_t i = 0; i < BLOCK; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        __m128i a = _mm_add_epi32(x, _mm_load_si128((const __m128i *)(const void *)(keys + i / 4)));
        sum = _mm_add_epi64(sum, _mm_mul_epu32(a, _mm_srli_epi64(a, 32)));
        if (to)
            _mm_stream_si128((__m128i *)(void *)(to + i),
                _mm_loadu_si128((const __m128i *)(const void *)(p + ahead + i)));
    }
    _mm_storeu_si128((__m128i *)(void *)halves, sum);
    return halves[0] + halves[1];
}

__attribute__((target("avx512f"))) static uint64_t nh_avx512(
    const uint8_t *p, uint8_t *to, size_t ahead)
{
    __m512i sum = _mm512_setzero_si512();
    uint64_t eighths[8];

    for (size_t i = 0; i < BLOCK; i += 64) {
        __m512i x = _mm512_loadu_si512(p + i);
        __m512i a = _mm512_add_epi32(x, _mm512_load_si512(keys + i / 4));
        sum = _mm512_add_epi64(sum, _mm512_mul_epu32(a, _mm512_srli_epi64(a, 32)));
        if (to)
            _mm512_stream_si512((void *)(to + i), _mm512_loadu_si512(p + ahead + i));
    }
    _mm512_storeu_si512(eighths, sum);
    for (int i = 1; i < 8; i++)
        eighths[0] += eighths[i];
    return eighths[0];
}

static uint64_t (*nh)(const uint8_t *p, uint8_t *to, size_t ahead) = nh_sse2;

static void choose(void)
{
    if (__builtin_cpu_supports("avx512f"))
        nh = nh_avx512;
}

#else

static uint64_t nh(const uint8_t *p, uint8_t *to, size_t ahead)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < BLOCK; i += 8) {
        uint32_t x[2];
        memcpy(x, p + i, sizeof x);
        sum += (uint64_t)(x[0] + keys[i / 4]) * (uint32_t)(x[1] + keys[i / 4 + 1]);
    }
    if (to)
        memcpy(to, p + ahead, BLOCK);
    return sum;
}

static void choose(void)
{
}

#endif

static uint64_t mix(uint64_t h, uint64_t x)
{
    h ^= x;
    return (h << 29 | h >> 35) * ODD;
}

static uint64_t sum_rest(uint64_t sum, const uint8_t *p, size_t n)
{
    uint8_t rest[BLOCK] = { 0 };

    if (n == 0)
        return sum;
    memcpy(rest, p, n);
    return mix(sum, nh(rest, NULL, 0));
}

static void prepare(void)
{
    make_keys();
    choose();
}

static uint64_t begin(size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, prepare);
    return n;
}

uint64_t sum64(const void *p, size_t n)
{
    const uint8_t *at = p, *end = at + n / BLOCK * BLOCK;
    uint64_t sum = begin(n);

    for (; at < end; at += BLOCK)
        sum = mix(sum, nh(at, NULL, 0));
    sum = sum_rest(sum, at, n % BLOCK);
    return sum ^ sum >> 32;
}

uint64_t sum64_copy(void *to, const void *p, size_t n)
{
    const uint8_t *from = p;
    uint64_t sum = begin(n);
    uint8_t *out = to;
    size_t i = 0, ahead = -(uintptr_t)to % ALIGNED, copied = ahead < n ? ahead : n;

    memcpy(out, from, copied);
    for (; i + BLOCK <= n; i += BLOCK) {
        bool fits = i + ahead + BLOCK <= n;
        sum = mix(sum, nh(from + i, fits ? out + i + ahead : NULL, ahead));
        if (fits)
            copied += BLOCK;
    }
    memcpy(out + copied, from + copied, n - copied);
#if defined(__x86_64__)
    _mm_sfence();
#endif
    sum = sum_rest(sum, from + i, n % BLOCK);
    return sum ^ sum >> 32;
}
