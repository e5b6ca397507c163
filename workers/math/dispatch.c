#include "workers/math/kernels.h"

#include <string.h>

extern const struct kernels kernels_generic;
static int always(void)
{
    return 1;
}

#ifdef HAVE_KERNELS_avx2
extern const struct kernels kernels_avx2, kernels_avx512, kernels_avx512bf16;
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static int has_avx512bf16(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512bf16");
}
#endif

/* Best first; a machine that can run one can run those below it. */
static const struct {
    const struct kernels *table;
    int (*usable)(void);
} sets[] = {
#ifdef HAVE_KERNELS_avx2
    { &kernels_avx512bf16, has_avx512bf16 },
    { &kernels_avx512, has_avx512 },
    { &kernels_avx2, has_avx2 },
#endif
    { &kernels_generic, always },
};
static const char *const names[] = {
#ifdef HAVE_KERNELS_avx2
    "avx512bf16",
    "avx512",
    "avx2",
#endif
    "generic",
    NULL,
};
_Static_assert(sizeof sets / sizeof *sets + 1 == sizeof names / sizeof *names, "one name per set");

const char *const *kernels_available(void)
{
    size_t i = 0;

    while (!sets[i].usable())
        i++;
    return names + i;
}

const struct kernels *kernels_get(const char *name)
{
    size_t i = 0;

    while (names[i] != NULL && (!sets[i].usable() || (name != NULL && strcmp(name, names[i]) != 0)))
        i++;
    return names[i] == NULL ? NULL : sets[i].table;
}
