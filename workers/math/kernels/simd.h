#ifndef WORKERS_MATH_KERNELS_SIMD_H
#define WORKERS_MATH_KERNELS_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Vectors of LANES floats. Compiled without contraction: a multiplication and an addition are
 * fused where it says vfma, and nowhere else, so a set's bits do not depend on the compiler.
 * What is not an operator is an intrinsic of the set. */
#define LANES_generic 4
#define LANES_avx2 8
#define LANES_avx512 16
#define LANES_avx512bf16 16
#define LANES_OF_(set) LANES_##set
#define LANES_OF(set) LANES_OF_(set)
#define LANES LANES_OF(KERNEL_SET)

#if LANES > 4
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* The loop behind it is unrolled, n times at most: its vectors stay in registers. clang would keep
 * them in memory if it were told a number. */
#ifdef __clang__
#define UNROLL(n) _Pragma("clang loop unroll(full)")
#else
#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n) PRAGMA(GCC unroll n)
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));  /* masks of comparisons */
typedef uint32_t uvec __attribute__((vector_size(4 * LANES))); /* bit patterns */
typedef float vec_unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vec load(const float *p)
{
    return *(const vec_unaligned *)p;
}

INLINE void store(float *p, vec v)
{
    *(vec_unaligned *)p = v;
}

INLINE vec splat(float x)
{
    return x - (vec){ 0 };
}

#if LANES == 16

INLINE vec vfma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

INLINE vec vmax(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

INLINE vec vsqrt(vec a)
{
    return _mm512_sqrt_ps(a);
}

INLINE vec load_few(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

INLINE void store_few(float *p, vec v, size_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}

#else

#if LANES == 8

INLINE vec vfma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE vec vmax(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

INLINE vec vsqrt(vec a)
{
    return _mm256_sqrt_ps(a);
}

#else

/* Two roundings where not every machine of the architecture has the instruction. */
INLINE vec vfma(vec a, vec b, vec c)
{
#ifdef __aarch64__
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

INLINE vec vmax(vec a, vec b)
{
    ivec greater = a > b;
    return (vec)((greater & (ivec)a) | (~greater & (ivec)b));
}

INLINE vec vsqrt(vec a)
{
    for (int l = 0; l < LANES; l++)
        a[l] = sqrtf(a[l]);
    return a;
}

#endif

INLINE vec load_few(const float *p, size_t n)
{
    vec v = { 0 };
    for (size_t l = 0; l < LANES && l < n; l++)
        v[l] = p[l];
    return v;
}

INLINE void store_few(float *p, vec v, size_t n)
{
    for (size_t l = 0; l < LANES && l < n; l++)
        p[l] = v[l];
}

#endif

/* The first n floats of p, at most LANES; zeros beyond. */
INLINE vec load_upto(const float *p, size_t n)
{
    return n >= LANES ? load(p) : load_few(p, n);
}

INLINE void store_upto(float *p, vec v, size_t n)
{
    if (n >= LANES)
        store(p, v);
    else
        store_few(p, v, n);
}

INLINE vec vselect(ivec mask, vec yes, vec no)
{
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

typedef float vec4 __attribute__((vector_size(16)));
typedef int32_t ivec4 __attribute__((vector_size(16)));

/* Lanes first..first+3. */
INLINE vec4 four_lanes(vec v, size_t first)
{
    vec4 out;

    memcpy(&out, (const char *)&v + first * sizeof(float), sizeof out);
    return out;
}

/* Halves are added to halves: a fixed tree. */
INLINE float sum_lanes(vec v)
{
    vec4 s = four_lanes(v, 0);

#if LANES == 8
    s += four_lanes(v, 4);
#elif LANES == 16
    s = (s + four_lanes(v, 8)) + (four_lanes(v, 4) + four_lanes(v, 12));
#endif
    return (s[0] + s[2]) + (s[1] + s[3]);
}

INLINE vec4 larger(vec4 a, vec4 b)
{
    ivec4 greater = a > b;

    return (vec4)((greater & (ivec4)a) | (~greater & (ivec4)b));
}

INLINE float max_lanes(vec v)
{
    vec4 m = four_lanes(v, 0);

#if LANES >= 8
    m = larger(m, four_lanes(v, 4));
#endif
#if LANES == 16
    m = larger(m, larger(four_lanes(v, 8), four_lanes(v, 12)));
#endif
    m = larger(m, __builtin_shufflevector(m, m, 2, 3, 0, 1));
    return m[0] > m[1] ? m[0] : m[1];
}

/* ---- bfloat16: the upper half of a float ----
 *
 * A vector of pairs has two in each lane: the one with the even index in the lower half. Where
 * the set has the instructions, subnormal numbers count as zeros in and out; elsewhere they are
 * numbers like others. Apart from those, all sets give the same bits. */

/* The nearest bfloat16, ties to even, in the upper half; the lower half is undefined. */
INLINE uvec bf16_round(vec x)
{
    uvec bits = (uvec)x, nan = (uvec)(x != x);
    uvec nearest = bits + (bits >> 16 & 1) + 0x7fff;

    return (nearest & ~nan) | ((bits | 0x400000) & nan);
}

INLINE vec bf16_even(uvec pairs)
{
    return (vec)(pairs << 16);
}

INLINE vec bf16_odd(uvec pairs)
{
    return (vec)(pairs & 0xffff0000u);
}

/* Orders of the elements of two vectors. Those of LOW_TWO to HIGH_PAIRS stay within 16 bytes. */
#if LANES == 4
#define LOW_TWO 0, 4, 1, 5
#define HIGH_TWO 2, 6, 3, 7
#define LOW_PAIRS 0, 1, 4, 5
#define HIGH_PAIRS 2, 3, 6, 7
#define EVEN_OF_TWO 0, 2, 4, 6
#define ODD_OF_TWO 1, 3, 5, 7
#elif LANES == 8
#define LOW_TWO 0, 8, 1, 9, 4, 12, 5, 13
#define HIGH_TWO 2, 10, 3, 11, 6, 14, 7, 15
#define LOW_PAIRS 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_PAIRS 2, 3, 10, 11, 6, 7, 14, 15
#define LOW_HALVES 0, 1, 2, 3, 8, 9, 10, 11
#define HIGH_HALVES 4, 5, 6, 7, 12, 13, 14, 15
#define NARROW_FIRST 0, 1, 2, 3, 4, 5, 8, 9
#define NARROW_SECOND 2, 3, 4, 5, 8, 9, 10, 11
#define NARROW_THIRD 4, 5, 8, 9, 10, 11, 12, 13
#define EVEN_OF_TWO 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_OF_TWO 1, 3, 5, 7, 9, 11, 13, 15
#else
#define LOW_TWO 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH_TWO 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define LOW_PAIRS 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_PAIRS 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LOW_HALVES 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH_HALVES 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define EVEN_FOURS 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define ODD_FOURS 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#define NARROW_FIRST 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19
#define NARROW_SECOND 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23
#define NARROW_THIRD 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27
#define EVEN_OF_TWO 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_OF_TWO 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#endif

#ifdef __AVX512BF16__

/* Pairs of lane l of `even` and lane l of `odd`. */
INLINE uvec bf16_pairs(vec even, vec odd)
{
    static const uint16_t order[32] = { 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8,
        24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31 };

    return (uvec)_mm512_permutexvar_epi16(
        _mm512_loadu_si512(order), (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

/* Neighbours become pairs: 2 LANES numbers in a row, `low` first. */
INLINE uvec bf16_row(vec low, vec high)
{
    return (uvec)_mm512_cvtne2ps_pbh(high, low);
}

/* s + a(odd) b(odd), then + a(even) b(even), each rounded: VDPBF16PS as Intel defines it. */
INLINE vec vdot_bf16(vec s, uvec a, uvec b)
{
    return _mm512_dpbf16_ps(s, (__m512bh)a, (__m512bh)b);
}

#else

INLINE uvec bf16_pairs(vec even, vec odd)
{
    return bf16_round(even) >> 16 | (bf16_round(odd) & 0xffff0000u);
}

INLINE uvec bf16_row(vec low, vec high)
{
#if LANES == 16 /* gcc makes no one instruction of the shuffle */
    static const uint32_t order[32] = { EVEN_OF_TWO, ODD_OF_TWO };
    return bf16_pairs(_mm512_permutex2var_ps(low, _mm512_loadu_si512(order), high),
        _mm512_permutex2var_ps(low, _mm512_loadu_si512(order + 16), high));
#else
    return bf16_pairs(__builtin_shufflevector(low, high, EVEN_OF_TWO),
        __builtin_shufflevector(low, high, ODD_OF_TWO));
#endif
}

/* A product of two bfloat16 is exact: fused or not, the bits are the same. */
INLINE vec vdot_bf16(vec s, uvec a, uvec b)
{
    s = vfma(bf16_odd(a), bf16_odd(b), s);
    return vfma(bf16_even(a), bf16_even(b), s);
}

#endif

/* exp(x), error below 1.5 ulp; x above 88.37 counts as 88.37, below -87.33 gives 0. NaN stays.
 * x = n ln2 + r, |r| <= ln2 / 2; polynomial of Cephes' expf. */
INLINE vec vexp(vec x)
{
    const float magic = 0x1.8p23f; /* adding it rounds to an integer, left in the low bits */

    ivec underflow = x < -87.33f;
    x = vselect(x > 88.37f, splat(88.37f), x);
    vec t = vfma(x, splat(1.44269504f), splat(magic));
    vec n = t - magic;
    vec r = vfma(n, splat(-0x1.62e400p-1f), x); /* n times the high part is exact */
    r = vfma(n, splat(-0x1.7f7d1cp-20f), r);
    vec p = splat(1.9875691500e-4f);
    p = vfma(p, r, splat(1.3981999507e-3f));
    p = vfma(p, r, splat(8.3334519073e-3f));
    p = vfma(p, r, splat(4.1665795894e-2f));
    p = vfma(p, r, splat(1.6666665459e-1f));
    p = vfma(p, r, splat(5.0000001201e-1f));
    p = vfma(p, r * r, r) + 1.0f;
    uvec scaled = (uvec)p + ((uvec)t << 23);
    return (vec)((ivec)scaled & ~underflow);
}

/* 1 / (1 + exp(-x)) */
INLINE vec vsigmoid(vec x)
{
    return 1.0f / (1.0f + vexp(-x));
}

#endif
