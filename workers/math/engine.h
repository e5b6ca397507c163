#ifndef WORKERS_MATH_ENGINE_H
#define WORKERS_MATH_ENGINE_H

#include "workers/math/kernels.h"
#include "workers/math/pool.h"

/* What computes: threads and kernels of one numeric class. A numeric class is named
 * "openblas-VERSION/CORE/SET", e.g. "openblas-0.3.21/SkylakeX/avx512": machines that agree on it
 * give the same bits. */
struct engine {
    struct pool *pool;
    const struct kernels *k;
};

/* Classes this machine can provide, best first, NULL-terminated; borrows static memory. Finds the
 * library's version without starting it with a core type. */
const char *const *numeric_classes(void);

/* The OPENBLAS_CORETYPE that gives `numeric_class`, to be set before exec (with
 * OPENBLAS_NUM_THREADS=1: the library starts threads when it is loaded); NULL: not of this
 * machine. Static memory. */
const char *numeric_class_core(const char *numeric_class);

/* E_INPUT when the loaded library is not of that class (NULL: take what is loaded, best set). */
int engine_init(struct engine *out, const char *numeric_class, int threads, struct err *e);
void engine_free(struct engine *e);

#endif
