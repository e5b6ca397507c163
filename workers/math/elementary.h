#ifndef WORKERS_MATH_ELEMENTARY_H
#define WORKERS_MATH_ELEMENTARY_H

/* Elementary functions in double precision whose bits do not depend on the C library: libm's
 * differ between versions, and between machines with and without FMA. Errors below 2e-15
 * relative (of sin and cos: absolute). For what reaches an artifact. */

double elementary_log(double x); /* not of subnormals */
double elementary_exp(double x); /* 0 below -708, infinity above 709 */
/* base > 0; the error grows with |exponent ln base| */
double elementary_pow(double base, double exponent);
/* sine and cosine of `turns` whole circles (2 pi turns) */
void elementary_sincos_turns(double *sine, double *cosine, double turns);
/* of an angle in radians, |x| < 1e9 */
void elementary_sincos(double *sine, double *cosine, double x);

#endif
