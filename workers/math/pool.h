#ifndef WORKERS_MATH_POOL_H
#define WORKERS_MATH_POOL_H

#include <stddef.h>

#include "proto/err.h"

/* Threads that work on tiles. The tile grid comes from the problem's shape, never from the
 * number of threads, so results do not depend on it. Threads wait on a futex-backed condition
 * after a short spin: no busy polling. */
struct pool;

int pool_new(struct pool **out, int threads, struct err *e); /* threads includes the caller; >= 1 */
void pool_free(struct pool *p);
int pool_threads(const struct pool *p);

/* Calls work(ctx, tile) once for each tile 0..tiles-1, on any thread, and returns when all are
 * done. Not reentrant. */
void pool_run(struct pool *p, size_t tiles, void (*work)(void *ctx, size_t tile), void *ctx);

#endif
