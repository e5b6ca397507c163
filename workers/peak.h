#ifndef WORKERS_PEAK_H
#define WORKERS_PEAK_H

#include "workers/math/engine.h"

/* GFLOP/s that the engine reaches in a float32 product that suits it, the best of a few tries; 0:
 * not known. Takes about a tenth of a second. For people: nothing is computed from it. */
double peak_gflops(const struct engine *en);

#endif
