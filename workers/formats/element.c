#include "workers/formats/element.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define Q8_BLOCK 32
#define Q8_BYTES (2 + Q8_BLOCK)

static uint32_t float_bits(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u;
}

static float bits_float(uint32_t u)
{
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

/* ---- binary16 ---- */

static uint16_t half_of(float x)
{
    uint32_t u = float_bits(x), sign = u >> 16 & 0x8000, m = u & 0x7fffff;
    int exponent = (int)(u >> 23 & 0xff) - 127 + 15;

    if (exponent == 0xff - 127 + 15) /* infinite, or no number */
        return (uint16_t)(sign | 0x7c00 | (m ? 0x200 : 0));
    if (exponent >= 31)
        return (uint16_t)(sign | 0x7c00);
    if (exponent < -10)
        return (uint16_t)sign;
    unsigned drop = 13;
    if (exponent <= 0) { /* subnormal: the leading one is written out */
        m |= 0x800000;
        drop += (unsigned)(1 - exponent);
        exponent = 0;
    }
    uint32_t kept = (uint32_t)exponent << 10, whole = m >> drop;
    uint32_t rest = m & ((1u << drop) - 1), tie = 1u << (drop - 1);
    if (rest > tie || (rest == tie && (whole & 1)))
        whole++; /* may carry into the exponent, which is right */
    return (uint16_t)(sign | (kept + whole));
}

static float half_value(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, m = h & 0x3ff;

    if (exponent == 31)
        return bits_float(sign | 0x7f800000 | m << 13);
    if (exponent == 0) {
        float x = (float)m * 0x1p-24F;
        return sign ? -x : x;
    }
    return bits_float(sign | (exponent + 127 - 15) << 23 | m << 13);
}

/* ---- bfloat16 ---- */

static uint16_t upper_half(float x)
{
    uint32_t u = float_bits(x);

    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* ---- rows ---- */

static void put16(uint8_t *out, uint16_t v)
{
    out[0] = (uint8_t)v;
    out[1] = (uint8_t)(v >> 8);
}

static uint16_t get16(const uint8_t *in)
{
    return (uint16_t)(in[0] | in[1] << 8);
}

static void write_f32(uint8_t *out, const float *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = float_bits(p[i]);
        put16(out + 4 * i, (uint16_t)u);
        put16(out + 4 * i + 2, (uint16_t)(u >> 16));
    }
}

static void read_f32(float *out, const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = bits_float(get16(in + 4 * i) | (uint32_t)get16(in + 4 * i + 2) << 16);
}

static void write_f16(uint8_t *out, const float *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put16(out + 2 * i, half_of(p[i]));
}

static void read_f16(float *out, const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = half_value(get16(in + 2 * i));
}

static void write_bf16(uint8_t *out, const float *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put16(out + 2 * i, upper_half(p[i]));
}

static void read_bf16(float *out, const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = bits_float((uint32_t)get16(in + 2 * i) << 16);
}

static void write_q8(uint8_t *out, const float *p, size_t n)
{
    for (; n > 0; n -= Q8_BLOCK, p += Q8_BLOCK, out += Q8_BYTES) {
        float most = 0;
        for (int i = 0; i < Q8_BLOCK; i++)
            most = fmaxf(most, fabsf(p[i]));
        float scale = most / 127, inverse = scale > 0 ? 1 / scale : 0;
        put16(out, half_of(scale));
        for (int i = 0; i < Q8_BLOCK; i++)
            out[2 + i] = (uint8_t)(int8_t)lrintf(p[i] * inverse);
    }
}

static void read_q8(float *out, const uint8_t *in, size_t n)
{
    for (; n > 0; n -= Q8_BLOCK, out += Q8_BLOCK, in += Q8_BYTES) {
        float scale = half_value(get16(in));
        for (int i = 0; i < Q8_BLOCK; i++)
            out[i] = scale * (float)(int8_t)in[2 + i];
    }
}

static const struct row {
    const char *name;
    size_t block, bytes; /* of a block */
    void (*write)(uint8_t *out, const float *p, size_t n);
    void (*read)(float *out, const uint8_t *in, size_t n);
} rows[] = {
    [ELEMENT_F32] = { "f32", 1, 4, write_f32, read_f32 },
    [ELEMENT_F16] = { "f16", 1, 2, write_f16, read_f16 },
    [ELEMENT_BF16] = { "bf16", 1, 2, write_bf16, read_bf16 },
    [ELEMENT_Q8_0] = { "q8_0", Q8_BLOCK, Q8_BYTES, write_q8, read_q8 },
};
_Static_assert(sizeof rows / sizeof *rows == ELEMENTS, "one row for each");

const char *element_name(enum element t)
{
    return rows[t].name;
}

bool element_named(enum element *out, const char *name)
{
    for (size_t i = 0; i < ELEMENTS; i++)
        if (strcmp(rows[i].name, name) == 0) {
            *out = (enum element)i;
            return true;
        }
    return false;
}

size_t element_block(enum element t)
{
    return rows[t].block;
}

bool element_bytes(enum element t, uint64_t n, uint64_t *bytes)
{
    assert(n % rows[t].block == 0);
    return !__builtin_mul_overflow(n / rows[t].block, (uint64_t)rows[t].bytes, bytes);
}

void element_write(enum element t, void *out, const float *p, size_t n)
{
    assert(n % rows[t].block == 0);
    rows[t].write(out, p, n);
}

void element_read(enum element t, float *out, const void *in, size_t n)
{
    assert(n % rows[t].block == 0);
    rows[t].read(out, in, n);
}
