#include "workers/model/transformer_int.h"

#include <assert.h>

#include "workers/math/elementary.h"

static void rms_norm(const struct kernels *k, float *y, float *mean, float *rstd, const float *x,
    const float *w, const float *b, size_t n, size_t c, float eps)
{
    (void)mean;
    (void)b;
    k->rmsnorm(y, rstd, x, w, n, c, eps);
}

static void rms_norm_backward(const struct kernels *k, float *dx, float *dw, float *db,
    const float *dy, const float *x, const float *w, const float *mean, const float *rstd, size_t n,
    size_t c)
{
    (void)db;
    (void)mean;
    k->rmsnorm_backward(dx, dw, dy, x, w, rstd, n, c);
}

static void layer_norm(const struct kernels *k, float *y, float *mean, float *rstd, const float *x,
    const float *w, const float *b, size_t n, size_t c, float eps)
{
    k->layernorm(y, mean, rstd, x, w, b, n, c, eps);
}

static void layer_norm_backward(const struct kernels *k, float *dx, float *dw, float *db,
    const float *dy, const float *x, const float *w, const float *mean, const float *rstd, size_t n,
    size_t c)
{
    k->layernorm_backward(dx, dw, db, dy, x, w, mean, rstd, n, c);
}

static void swiglu(const struct kernels *k, float *y, const float *x, size_t n, size_t h)
{
    k->swiglu(y, x, n, h);
}

static void swiglu_backward(
    const struct kernels *k, float *dx, const float *dy, const float *x, size_t n, size_t h)
{
    k->swiglu_backward(dx, dy, x, n, h);
}

static void gelu(const struct kernels *k, float *y, const float *x, size_t n, size_t h)
{
    k->gelu(y, x, n * h);
}

static void gelu_backward(
    const struct kernels *k, float *dx, const float *dy, const float *x, size_t n, size_t h)
{
    k->gelu_backward(dx, dy, x, n * h);
}

static uint32_t two_thirds_of_four(uint32_t width)
{
    return (uint32_t)(((uint64_t)width * 8 + 47) / 48 * 16); /* 8/3 width, up to a multiple of 16 */
}

static uint32_t four_times(uint32_t width)
{
    return 4 * width;
}

static const struct family families[] = {
    [MODEL_CONFIG__FAMILY__LLAMA] = {
        .up_factor = 2,
        .rotary = true,
        .default_hidden = two_thirds_of_four,
        .norm = rms_norm,
        .norm_backward = rms_norm_backward,
        .activation = swiglu,
        .activation_backward = swiglu_backward,
    },
    [MODEL_CONFIG__FAMILY__GPT2] = {
        .up_factor = 1,
        .biases = true,
        .default_hidden = four_times,
        .norm = layer_norm,
        .norm_backward = layer_norm_backward,
        .activation = gelu,
        .activation_backward = gelu_backward,
    },
};
_Static_assert(
    sizeof families / sizeof *families == MODEL_CONFIG__FAMILY__GPT2 + 1, "one row per family");

const struct family *family_of(const ModelConfig *c)
{
    size_t i = (size_t)c->family;

    if (i >= sizeof families / sizeof *families || families[i].norm == NULL)
        return NULL;
    return &families[i];
}

/* Llama 3.1's: waves longer than original / low tokens are stretched, those shorter than original /
 * high are not, and between the two it is a mixture (Grattafiori et al. 2024, sec. 3.4.2;
 * apply_scaling of Meta's llama-models). */
static double stretch(double frequency, const ModelConfig *c)
{
    const double two_pi = 6.283185307179586;
    double waves = c->rope_original_context * frequency / two_pi;
    double low = c->rope_low_freq_factor, high = c->rope_high_freq_factor;
    double kept = (waves - low) / (high - low);

    kept = kept < 0 ? 0 : kept > 1 ? 1 : kept;
    return frequency * ((1 - kept) / c->rope_factor + kept);
}

double rope_frequency(const ModelConfig *c, size_t i)
{
    double frequency = elementary_pow(c->rope_theta, -(double)i / (double)c->head_dim);

    switch (c->rope_scaling) {
    case MODEL_CONFIG__ROPE_SCALING__LINEAR:
        return frequency / c->rope_factor;
    case MODEL_CONFIG__ROPE_SCALING__LLAMA3:
        return stretch(frequency, c);
    case MODEL_CONFIG__ROPE_SCALING__NONE:
    case _MODEL_CONFIG__ROPE_SCALING_IS_INT_SIZE:
        break;
    }
    return frequency;
}

/* Su et al. 2021, eq. 15: pair i turns by position x theta^(-2i/d). */
void rope_table(float *table, size_t context, const ModelConfig *c)
{
    size_t head = c->head_dim;

    for (size_t i = 0; i < head; i += 2) {
        double frequency = rope_frequency(c, i);
        for (size_t position = 0; position < context; position++) {
            double sine, cosine;
            elementary_sincos(&sine, &cosine, (double)position * frequency);
            table[position * head + i] = (float)cosine;
            table[position * head + i + 1] = (float)sine;
        }
    }
}
