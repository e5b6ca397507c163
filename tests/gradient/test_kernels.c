#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "workers/math/kernels.h"
#include "workers/math/rng.h"

/* Every kernel that has a backward, of every set that this machine runs: forward against a plain
 * one in double precision, backward against central differences of that. */

#define ROOM 32768
#define EPS 1e-5f

/* Inputs laid end to end; the loss is sum of weight[i] y[i]. */
struct problem {
    const struct kernels *k;
    size_t n, c; /* rows, columns; of attention: tokens, head size */
    double in[ROOM], weight[ROOM];
    float x[ROOM], w[ROOM], grad[ROOM]; /* in and weight as floats; the kernel's gradient */
};
static struct problem P;

typedef void forward(double *y, const struct problem *p, const double *in);

static void set_up(const struct kernels *k, size_t n, size_t c, size_t inputs, size_t outputs)
{
    P.k = k;
    P.n = n;
    P.c = c;
    assert_in_range(inputs, 1, ROOM);
    assert_in_range(outputs, 1, ROOM);
    rng_normal(P.x, inputs, n * 1000 + c, RNG_INIT, 0);
    rng_normal(P.w, outputs, n * 1000 + c, RNG_INIT, 1);
    for (size_t i = 0; i < inputs; i++)
        P.in[i] = P.x[i];
    for (size_t i = 0; i < outputs; i++)
        P.weight[i] = P.w[i];
    for (size_t i = 0; i < inputs; i++)
        P.grad[i] = 0.25f; /* kernels that add must keep it */
}

static double loss(forward *f, size_t outputs)
{
    static double y[ROOM];
    double sum = 0;

    f(y, &P, P.in);
    for (size_t i = 0; i < outputs; i++)
        sum += P.weight[i] * y[i];
    return sum;
}

static void assert_close(double got, double expected, double tolerance, const char *what, size_t i)
{
    if (!(fabs(got - expected) <= tolerance * (1 + fabs(expected))))
        fail_msg("%s/%s n=%zu c=%zu: [%zu] is %.9g, expected %.9g", P.k->name, what, P.n, P.c, i,
            got, expected);
}

static void assert_forward(const char *what, forward *f, const float *got, size_t outputs)
{
    static double y[ROOM];

    f(y, &P, P.in);
    for (size_t i = 0; i < outputs; i++)
        assert_close(got[i], y[i], 3e-6, what, i);
}

/* P.grad - already against (loss(x + h) - loss(x - h)) / 2h */
static void assert_gradient(
    const char *what, forward *f, size_t inputs, size_t outputs, double already)
{
    const double h = 1e-5;

    for (size_t i = 0; i < inputs; i++) {
        double x = P.in[i];
        P.in[i] = x + h;
        double up = loss(f, outputs);
        P.in[i] = x - h;
        double down = loss(f, outputs);
        P.in[i] = x;
        assert_close(P.grad[i] - already, (up - down) / (2 * h), 2e-5, what, i);
    }
}

/* Calls test for each set and each shape. */
static void for_shapes(void (*test)(const struct kernels *k, size_t n, size_t c))
{
    static const size_t shapes[][2] = { { 1, 1 }, { 2, 3 }, { 3, 16 }, { 2, 17 }, { 5, 64 },
        { 3, 65 }, { 2, 100 }, { 1, 257 } };

    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            test(kernels_get(*name), shapes[i][0], shapes[i][1]);
    }
}

/* in: x[n,c], w[c] */
static void plain_rmsnorm(double *y, const struct problem *p, const double *in)
{
    const double *w = in + p->n * p->c;

    for (size_t r = 0; r < p->n; r++, in += p->c, y += p->c) {
        double sum = 0;
        for (size_t j = 0; j < p->c; j++)
            sum += in[j] * in[j];
        for (size_t j = 0; j < p->c; j++)
            y[j] = in[j] / sqrt(sum / (double)p->c + EPS) * w[j];
    }
}

static void check_rmsnorm(const struct kernels *k, size_t n, size_t c)
{
    float y[ROOM], rstd[16];

    set_up(k, n, c, n * c + c, n * c);
    k->rmsnorm(y, rstd, P.x, P.x + n * c, n, c, EPS);
    assert_forward("rmsnorm", plain_rmsnorm, y, n * c);
    k->rmsnorm_backward(P.grad, P.grad + n * c, P.w, P.x, P.x + n * c, rstd, n, c);
    assert_gradient("rmsnorm", plain_rmsnorm, n * c + c, n * c, 0.25);
}

/* in: x[n,c], w[c], b[c] */
static void plain_layernorm(double *y, const struct problem *p, const double *in)
{
    const double *w = in + p->n * p->c, *b = w + p->c;

    for (size_t r = 0; r < p->n; r++, in += p->c, y += p->c) {
        double sum = 0, square = 0;
        for (size_t j = 0; j < p->c; j++)
            sum += in[j];
        double mean = sum / (double)p->c;
        for (size_t j = 0; j < p->c; j++)
            square += (in[j] - mean) * (in[j] - mean);
        for (size_t j = 0; j < p->c; j++)
            y[j] = (in[j] - mean) / sqrt(square / (double)p->c + EPS) * w[j] + b[j];
    }
}

static void check_layernorm(const struct kernels *k, size_t n, size_t c)
{
    float y[ROOM], mean[16], rstd[16];
    size_t x = n * c;

    if (c < 3)
        return; /* the variance of one or two is degenerate */
    set_up(k, n, c, x + 2 * c, x);
    k->layernorm(y, mean, rstd, P.x, P.x + x, P.x + x + c, n, c, EPS);
    assert_forward("layernorm", plain_layernorm, y, x);
    k->layernorm_backward(P.grad, P.grad + x, P.grad + x + c, P.w, P.x, P.x + x, mean, rstd, n, c);
    assert_gradient("layernorm", plain_layernorm, x + 2 * c, x, 0.25);
}

/* in: x[n,c], b[c] */
static void plain_bias(double *y, const struct problem *p, const double *in)
{
    for (size_t i = 0; i < p->n * p->c; i++)
        y[i] = in[i] + in[p->n * p->c + i % p->c];
}

static void check_bias(const struct kernels *k, size_t n, size_t c)
{
    float y[ROOM];

    set_up(k, n, c, n * c + c, n * c);
    memcpy(y, P.x, n * c * sizeof *y);
    k->bias(y, P.x + n * c, n, c);
    assert_forward("bias", plain_bias, y, n * c);
    for (size_t i = 0; i < n * c; i++)
        P.grad[i] = P.w[i] + 0.25f;
    k->bias_backward(P.grad + n * c, P.w, n, c);
    assert_gradient("bias", plain_bias, n * c + c, n * c, 0.25);
}

static void plain_gelu(double *y, const struct problem *p, const double *in)
{
    for (size_t i = 0; i < p->n * p->c; i++)
        y[i] = 0.5 * in[i] *
               (1 + tanh(sqrt(2 / 3.14159265358979323846) * (in[i] + 0.044715 * pow(in[i], 3))));
}

static void check_gelu(const struct kernels *k, size_t n, size_t c)
{
    float y[ROOM];

    set_up(k, n, c, n * c, n * c);
    for (size_t i = 0; i < n * c; i++)
        P.in[i] = P.x[i] *= 4; /* tails too */
    k->gelu(y, P.x, n * c);
    assert_forward("gelu", plain_gelu, y, n * c);
    k->gelu_backward(P.grad, P.w, P.x, n * c);
    assert_gradient("gelu", plain_gelu, n * c, n * c, 0);
    memcpy(y, P.w, n * c * sizeof *y);
    k->gelu_backward(y, y, P.x, n * c);
    assert_memory_equal(y, P.grad, n * c * sizeof *y);
}

/* in: x[n,2c] */
static void plain_swiglu(double *y, const struct problem *p, const double *in)
{
    for (size_t r = 0; r < p->n; r++, in += 2 * p->c, y += p->c) {
        for (size_t j = 0; j < p->c; j++)
            y[j] = in[j] / (1 + exp(-in[j])) * in[p->c + j];
    }
}

static void check_swiglu(const struct kernels *k, size_t n, size_t c)
{
    float y[ROOM];

    set_up(k, n, c, 2 * n * c, n * c);
    for (size_t i = 0; i < 2 * n * c; i++)
        P.in[i] = P.x[i] *= 3;
    k->swiglu(y, P.x, n, c);
    assert_forward("swiglu", plain_swiglu, y, n * c);
    k->swiglu_backward(P.grad, P.w, P.x, n, c);
    assert_gradient("swiglu", plain_swiglu, 2 * n * c, n * c, 0);
}

#define ROPE_HEADS 2
static int32_t rope_position(size_t row)
{
    return (int32_t)(row * 7 % 5);
}

static double rope_angle(int32_t position, size_t j, size_t d)
{
    return position * pow(10000, -2.0 * (double)(j / 2) / (double)d);
}

/* in: n rows of two heads of c and 3 floats more */
static void plain_rope(double *y, const struct problem *p, const double *in)
{
    size_t stride = ROPE_HEADS * p->c + 3;

    memcpy(y, in, p->n * stride * sizeof *y);
    for (size_t i = 0; i < p->n * ROPE_HEADS * p->c / 2; i++) {
        size_t r = i / (ROPE_HEADS * p->c / 2), j = i % (ROPE_HEADS * p->c / 2) * 2;
        double a = rope_angle(rope_position(r), j % p->c, p->c);
        const double *x = in + r * stride + j;
        y[r * stride + j] = x[0] * cos(a) - x[1] * sin(a);
        y[r * stride + j + 1] = x[0] * sin(a) + x[1] * cos(a);
    }
}

static void check_rope(const struct kernels *k, size_t n, size_t c)
{
    float y[ROOM], table[5 * 512];
    int32_t position[16];
    size_t stride = ROPE_HEADS * (c += c % 2) + 3, count = n * stride;

    set_up(k, n, c, count, count);
    for (size_t i = 0; i < 5 * c; i++) {
        double a = rope_angle((int32_t)(i / c), i % c, c);
        table[i] = (float)(i % 2 == 0 ? cos(a) : sin(a));
    }
    for (size_t r = 0; r < n; r++)
        position[r] = rope_position(r);
    memcpy(y, P.x, count * sizeof *y);
    k->rope(y, table, position, n, ROPE_HEADS, c, stride, 1);
    assert_forward("rope", plain_rope, y, count);
    memcpy(P.grad, P.w, count * sizeof *P.grad);
    k->rope(P.grad, table, position, n, ROPE_HEADS, c, stride, -1);
    assert_gradient("rope", plain_rope, count, count, 0);
}

/* in: q[t,c], k[t,c], v[t,c] side by side in rows of 3c; y: out[t,c] */
static void plain_attention(double *y, const struct problem *p, const double *in)
{
    size_t d = p->c, stride = 3 * d;
    double s[512];

    for (size_t i = 0; i < p->n; i++) {
        const double *q = in + i * stride;
        double sum = 0;
        for (size_t j = 0; j <= i; j++) {
            s[j] = 0;
            for (size_t c = 0; c < d; c++)
                s[j] += q[c] * in[j * stride + d + c] / sqrt((double)d);
            s[j] = exp(s[j]);
            sum += s[j];
        }
        for (size_t c = 0; c < d; c++) {
            y[i * d + c] = 0;
            for (size_t j = 0; j <= i; j++)
                y[i * d + c] += s[j] / sum * in[j * stride + 2 * d + c];
        }
    }
}

static _Alignas(64) float scratch[1024];

static void check_attention(const struct kernels *k, size_t t, size_t d, int differences)
{
    static float out[ROOM], lse[512];
    size_t stride = 3 * d;

    set_up(k, t, d, t * stride, t * d);
    k->attention(out, lse, P.x, P.x + d, P.x + 2 * d, t, d, stride, stride, d, scratch);
    assert_forward("attention", plain_attention, out, t * d);
    if (!differences)
        return;
    k->attention_backward(P.grad, P.grad + d, P.grad + 2 * d, P.w, P.x, P.x + d, P.x + 2 * d, out,
        lse, t, d, stride, stride, d, scratch);
    assert_gradient("attention", plain_attention, t * stride, t * d, 0.25);
}

static void attention_and_its_gradient(void **state)
{
    static const size_t shapes[][2] = { { 1, 1 }, { 2, 4 }, { 5, 7 }, { 13, 16 }, { 17, 20 },
        { 3, 130 }, { 4, 256 }, { 66, 2 }, { 97, 3 }, { 129, 1 } };
    (void)state;

    for (const char *const *name = kernels_available(); *name != NULL; name++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_attention(kernels_get(*name), shapes[i][0], shapes[i][1], 1);
        check_attention(kernels_get(*name), 400, 3, 0);
        check_attention(kernels_get(*name), 150, 64, 0);
    }
}

#define INV_TEMPERATURE 0.8f
static int32_t target_of(size_t row, size_t v)
{
    return row % 3 == 1 ? -1 : (int32_t)(row * 31 % v);
}

/* in: logits[n, c + 3] of which c count; y: log_prob[n], entropy[n] */
static void plain_log_softmax(double *y, const struct problem *p, const double *in)
{
    for (size_t r = 0; r < p->n; r++, in += p->c + 3) {
        int32_t target = target_of(r, p->c);
        double sum = 0, entropy = 0;
        for (size_t j = 0; j < p->c; j++)
            sum += exp(in[j] * (double)INV_TEMPERATURE);
        for (size_t j = 0; j < p->c; j++) {
            double l = in[j] * (double)INV_TEMPERATURE - log(sum);
            entropy -= exp(l) * l;
        }
        y[r] = target < 0 ? 0 : in[target] * (double)INV_TEMPERATURE - log(sum);
        y[p->n + r] = target < 0 ? 0 : entropy;
    }
}

static void check_log_softmax(const struct kernels *k, size_t n, size_t c)
{
    float y[64], backward[64];
    int32_t target[16];
    size_t stride = c + 3;

    set_up(k, n, c, n * stride, 2 * n);
    for (size_t r = 0; r < n; r++)
        target[r] = target_of(r, c);
    k->log_softmax_pick(y, y + n, P.x, target, n, c, stride, INV_TEMPERATURE);
    assert_forward("log_softmax_pick", plain_log_softmax, y, 2 * n);
    k->log_softmax_pick(backward, NULL, P.x, target, n, c, stride, INV_TEMPERATURE);
    assert_memory_equal(backward, y, n * sizeof *y);
    memcpy(P.grad, P.x, n * stride * sizeof *P.grad);
    k->log_softmax_backward(P.grad, backward, P.w, target, n, c, stride, INV_TEMPERATURE);
    assert_memory_equal(backward, y, n * sizeof *y);
    for (size_t r = 0; r < n; r++) {
        assert_memory_equal(P.grad + r * stride + c, P.x + r * stride + c, 3 * sizeof *P.grad);
        memset(P.grad + r * stride + c, 0, 3 * sizeof *P.grad);
    }
    assert_gradient("log_softmax_backward", plain_log_softmax, n * stride, n, 0);
}

#define SHAPES(name, check)        \
    static void name(void **state) \
    {                              \
        (void)state;               \
        for_shapes(check);         \
    }
SHAPES(rmsnorm_and_its_gradient, check_rmsnorm)
SHAPES(layernorm_and_its_gradient, check_layernorm)
SHAPES(bias_and_its_gradient, check_bias)
SHAPES(gelu_and_its_gradient, check_gelu)
SHAPES(swiglu_and_its_gradient, check_swiglu)
SHAPES(rotary_positions_and_their_inverse, check_rope)
SHAPES(log_probability_and_entropy_and_gradient, check_log_softmax)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rmsnorm_and_its_gradient),
        cmocka_unit_test(layernorm_and_its_gradient),
        cmocka_unit_test(bias_and_its_gradient),
        cmocka_unit_test(gelu_and_its_gradient),
        cmocka_unit_test(swiglu_and_its_gradient),
        cmocka_unit_test(rotary_positions_and_their_inverse),
        cmocka_unit_test(attention_and_its_gradient),
        cmocka_unit_test(log_probability_and_entropy_and_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
