#ifndef TESTS_BENCH_PROFILE_H
#define TESTS_BENCH_PROFILE_H

#include <stdio.h>

/* Where a row's time goes: by work of the pool, by matrix product, by kernel. The program is
 * linked with --wrap for what is timed, so the product knows nothing of it and pays nothing.
 *
 * INVARIANT  Off, every wrapper calls what it wraps and does no more. */

void profile_on(void);    /* before the engine is made: kernels are looked up there */
void profile_start(void); /* forgets what was counted before */
/* Prints what was counted since the start, in `spent` seconds, as the cost of one of `units`. */
void profile_print(FILE *out, const char *what, double spent, unsigned units, int threads);

#endif
