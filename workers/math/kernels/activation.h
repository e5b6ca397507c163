/* Part of kernels.c. GELU, SwiGLU, rotary positions: each element by itself. */

#define GELU_A 0.7978845608f /* sqrt(2 / pi) */
#define GELU_B (0.044715f * GELU_A)

/* exp(-2u) for u = sqrt(2/pi) (x + 0.044715 x^3), finite */
INLINE vec gelu_exp(vec x)
{
    vec u = x * vfma(x * x, splat(GELU_B), splat(GELU_A));
    return vexp(-2.0f * u);
}

/* 0.5 (1 + tanh u) = 1 / (1 + exp(-2u)): no cancellation */
static void gelu(float *y, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i += LANES) {
        vec a = load_upto(x + i, count - i);
        store_upto(y + i, a / (1.0f + gelu_exp(a)), count - i);
    }
}

/* s + x s (1 - s) 2 du/dx, where 1 - s = exp(-2u) s */
static void gelu_backward(float *dx, const float *dy, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i += LANES) {
        vec a = load_upto(x + i, count - i), e = gelu_exp(a), s = 1.0f / (1.0f + e);
        vec du = vfma(a * a, splat(6 * GELU_B), splat(2 * GELU_A));
        vec d = s * vfma(a * du, e * s, splat(1));
        store_upto(dx + i, load_upto(dy + i, count - i) * d, count - i);
    }
}

static void swiglu(float *y, const float *x, size_t n, size_t h)
{
    for (size_t r = 0; r < n; r++, x += 2 * h, y += h) {
        for (size_t j = 0; j < h; j += LANES) {
            vec gate = load_upto(x + j, h - j), up = load_upto(x + h + j, h - j);
            store_upto(y + j, gate * vsigmoid(gate) * up, h - j);
        }
    }
}

/* silu' = s (1 + x (1 - s)) */
static void swiglu_backward(float *dx, const float *dy, const float *x, size_t n, size_t h)
{
    for (size_t r = 0; r < n; r++, x += 2 * h, dx += 2 * h, dy += h) {
        for (size_t j = 0; j < h; j += LANES) {
            vec gate = load_upto(x + j, h - j), up = load_upto(x + h + j, h - j);
            vec g = load_upto(dy + j, h - j), s = vsigmoid(gate);
            vec d = s * vfma(gate, 1.0f - s, splat(1));
            store_upto(dx + j, g * up * d, h - j);
            store_upto(dx + h + j, g * gate * s, h - j);
        }
    }
}

#if LANES == 4
#define EVEN 0, 0, 2, 2
#define ODD 1, 1, 3, 3
#define SWAPPED 1, 0, 3, 2
#elif LANES == 8
#define EVEN 0, 0, 2, 2, 4, 4, 6, 6
#define ODD 1, 1, 3, 3, 5, 5, 7, 7
#define SWAPPED 1, 0, 3, 2, 5, 4, 7, 6
#else
#define EVEN 0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14
#define ODD 1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15
#define SWAPPED 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#endif

static void rope(float *x, const float *table, const int32_t *position, size_t n, size_t heads,
    size_t d, size_t stride, int sign)
{
    vec signs;

    for (int l = 0; l < LANES; l++)
        signs[l] = (float)(l % 2 == 0 ? -sign : sign);
    for (size_t r = 0; r < n; r++) {
        const float *t = table + (size_t)position[r] * d;
        for (size_t head = 0; head < heads; head++) {
            float *y = x + r * stride + head * d;
            for (size_t j = 0; j < d; j += LANES) {
                vec a = load_upto(y + j, d - j), cs = load_upto(t + j, d - j);
                vec c = __builtin_shufflevector(cs, cs, EVEN);
                vec s = __builtin_shufflevector(cs, cs, ODD) * signs;
                vec b = __builtin_shufflevector(a, a, SWAPPED);
                store_upto(y + j, vfma(b, s, a * c), d - j);
            }
        }
    }
}
