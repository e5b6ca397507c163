#ifndef TESTS_BENCH_PROFILE_INT_H
#define TESTS_BENCH_PROFILE_INT_H

#include <stdbool.h>
#include <stdio.h>

#include "workers/math/kernels.h"
#include "workers/math/pool.h"

bool profile_is_on(void);

/* profile_kernels.c */
void profile_kernels_start(void);
void profile_kernels_print(FILE *out, double spent, unsigned units, int threads);

/* Made by the linker: __real_X is X, and who calls X calls __wrap_X. */
void __real_pool_run(struct pool *p, size_t tiles, void (*work)(void *ctx, size_t tile), void *ctx);
void __wrap_pool_run(struct pool *p, size_t tiles, void (*work)(void *ctx, size_t tile), void *ctx);
const struct kernels *__real_kernels_get(const char *name);
const struct kernels *__wrap_kernels_get(const char *name);

#endif
