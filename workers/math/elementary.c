#include "workers/math/elementary.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Only + - * / and exact operations (floor, bit patterns) are used: IEEE 754 fixes every bit. */

#define LN2_HIGH 0x1.62e42fee00000p-1 /* 20 trailing zero bits: n * LN2_HIGH is exact */
#define LN2_LOW 0x1.a39ef35793c76p-33

static double from_bits(uint64_t bits)
{
    double x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

double elementary_log(double x)
{
    if (!(x > 0 && x < INFINITY))
        return x == 0 ? -INFINITY : x > 0 ? x : NAN;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    double m = from_bits((bits & 0xFFFFFFFFFFFFF) | (uint64_t)1023 << 52);

    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent++;
    }
    /* ln m = 2 artanh s = 2 (s + s^3/3 + s^5/5 + …), |s| < 0.172 */
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int k = 23; k >= 3; k -= 2)
        sum = (sum + 1.0 / k) * s2;
    return exponent * LN2_HIGH + (2 * s + (2 * s * sum + exponent * LN2_LOW));
}

double elementary_exp(double x)
{
    if (!(x < 709))
        return x != x ? x : INFINITY;
    if (x < -708)
        return 0;
    double n = floor(x * 1.4426950408889634 + 0.5);
    double r = (x - n * LN2_HIGH) - n * LN2_LOW, sum = 1; /* |r| < 0.35 */

    for (int k = 14; k >= 1; k--)
        sum = sum * r / k + 1;
    return sum * from_bits((uint64_t)((int64_t)n + 1023) << 52);
}

double elementary_pow(double base, double exponent)
{
    return elementary_exp(exponent * elementary_log(base));
}

void elementary_sincos_turns(double *sine, double *cosine, double turns)
{
    turns -= floor(turns);
    int quarter = (int)(turns * 4 + 0.5);
    double x = (turns - quarter * 0.25) * 6.283185307179586, x2 = x * x; /* |x| <= pi/4 */
    double s = 1, c = 1;

    for (int k = 18; k >= 2; k -= 2) {
        s = 1 - s * x2 / (k * (k + 1));
        c = 1 - c * x2 / (k * (k - 1));
    }
    s *= x;
    double circle[5] = { s, c, -s, -c, s };
    *sine = circle[quarter % 4];
    *cosine = circle[quarter % 4 + 1];
}

void elementary_sincos(double *sine, double *cosine, double x)
{
    /* 2 pi in two parts, so that the remainder is right to the last bits of x */
    double n = floor(x * 0.15915494309189535 + 0.5);
    double r = (x - n * 0x1.921fb54000000p+2) - n * 0x1.10b4611a62633p-28;

    elementary_sincos_turns(sine, cosine, r * 0.15915494309189535);
}
