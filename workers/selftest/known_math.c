#include <math.h>
#include <string.h>

#include "workers/math/elementary.h"
#include "workers/math/rng.h"
#include "workers/selftest/known.h"

/* Salmon et al. 2011: the known answers of Random123 for Philox4x32-10. */
static int philox(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    static const struct {
        uint32_t counter[4], key[2], words[4];
    } answers[] = {
        { { 0 }, { 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
            { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
            { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    size_t equal = 0, n = sizeof answers / sizeof *answers;

    (void)t, (void)k, (void)e;
    for (size_t i = 0; i < n; i++) {
        uint32_t words[4];
        philox4x32(words, answers[i].counter, answers[i].key);
        equal += memcmp(words, answers[i].words, sizeof words) == 0;
    }
    verdict_say(v, equal == n, "3 of 3 equal", "%zu of %zu equal", equal, n);
    return OK;
}

/* Mean, variance and kurtosis of 100,000 normals are 0, 1, 3 within 4 standard errors. */
static int normals(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    enum { N = 100000 };
    static float x[N];
    double moment[5] = { 0 }, worst = 0;
    static const double mean[5] = { 1, 0, 1, 0, 3 }, deviation[5] = { 1, 1, 1.4142, 3.873, 9.798 };

    (void)t, (void)k, (void)e;
    rng_normal(x, N, 5, RNG_INIT, 0);
    for (size_t i = 0; i < N; i++)
        for (int p = 0; p < 5; p++)
            moment[p] += pow(x[i], p) / N;
    for (int p = 1; p < 5; p++)
        worst = fmax(worst, fabs(moment[p] - mean[p]) / deviation[p] * sqrt(N));
    verdict_say(v, worst <= 4, "within 4 std. errors", "%.1f", worst);
    return OK;
}

static double apart(double got, long double want, long double scale)
{
    return (double)fabsl((got - want) / scale);
}

/* Against the C library in extended precision; where long double is no wider than double, its
 * own error counts too. */
static int elementary(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    const long double turn = 6.283185307179586476925286766559L;
    double worst = 0;

    (void)t, (void)k, (void)e;
    for (int i = -2000; i <= 2000; i++) {
        double x = i * .3437, y = exp2(x / 2), angle = x / 700, s, c;
        worst = fmax(worst, apart(elementary_exp(x), expl(x), expl(x)));
        if (i != 0)
            worst = fmax(worst, apart(elementary_log(y), logl(y), logl(y)));
        elementary_sincos_turns(&s, &c, angle);
        worst = fmax(worst, apart(s, sinl(turn * angle), 1));
        worst = fmax(worst, apart(c, cosl(turn * angle), 1));
    }
    verdict_at_most(v, worst, 2e-15);
    return OK;
}

static const struct known rows[] = {
    { "math/philox", "Philox4x32-10: the known answers of Random123", philox, 0 },
    { "math/normal", "Box-Muller: moments of 100,000 normals", normals, 0 },
    { "math/elementary", "exp, log, sin, cos: error against extended precision", elementary, 0 },
};
const struct known_table known_math = { rows, sizeof rows / sizeof *rows };
