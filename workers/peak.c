#include "workers/peak.h"

#include <stddef.h>

#include "proto/clock.h"
#include "workers/math/arena.h"
#include "workers/math/blas.h"

enum { ROWS = 960, INNER = 384, COLUMNS = 960, TRIES = 3, LEAST_MS = 30 };

static double one_try(const struct products *p, float *y, const float *x, const float *w)
{
    int64_t began = clock_ms(), spent = 0;
    double flops = 0;

    while (spent < LEAST_MS) {
        gemm_nt(p, y, x, w, ROWS, INNER, COLUMNS, 0);
        flops += 2.0 * ROWS * INNER * COLUMNS;
        spent = clock_ms() - began;
    }
    return flops / (double)spent / 1e6;
}

double peak_gflops(const struct engine *en)
{
    const size_t room = gemm_room(ROWS, INNER, COLUMNS), x = (size_t)ROWS * INNER,
                 w = (size_t)COLUMNS * INNER, y = (size_t)ROWS * COLUMNS;
    struct arena a;
    struct err e = ERR_INIT;
    double best = 0;

    if (arena_init(&a, arena_size(room) + arena_size(x) + arena_size(w) + arena_size(y), &e) != OK)
        return 0;
    struct products p = { en->pool, en->k, PRECISION_FP32, arena_floats(&a, room) };
    float *xs = arena_floats(&a, x), *ws = arena_floats(&a, w), *ys = arena_floats(&a, y);
    for (int i = 0; i < TRIES; i++) {
        double now = one_try(&p, ys, xs, ws);
        best = now > best ? now : best;
    }
    arena_free(&a);
    return best;
}
