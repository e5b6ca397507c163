#include "workers/math/arena.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGNMENT 64
#define HUGE_PAGE ((size_t)2 << 20)

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Large arenas ask for huge pages: the optimiser and whoever walks over columns wait less for
 * translations of addresses. NULL: no memory. */
static char *reserve(size_t bytes)
{
    void *p = NULL;
    bool large = bytes >= 4 * HUGE_PAGE;

    if (posix_memalign(&p, large ? HUGE_PAGE : ALIGNMENT, bytes) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (large)
        (void)madvise(p, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a refusal is no loss */
#endif
    return p;
}

int arena_init(struct arena *a, size_t bytes, struct err *e)
{
    char *p = NULL;

    bool possible = bytes <= PTRDIFF_MAX - ALIGNMENT;
    if (possible)
        bytes = round_up(bytes);
    if (possible && bytes > 0)
        p = reserve(bytes);
    if (bytes > 0 && p == NULL)
        return err_set(e, E_NOMEM, "no memory for %.1f MiB", (double)bytes / (1 << 20));
    if (p != NULL)
        memset(p, 0, bytes); /* also touches every page once, before time counts */
    *a = (struct arena){ .p = p, .n = bytes, .used = 0 };
    return OK;
}

void arena_free(struct arena *a)
{
    if (a == NULL)
        return;
    free(a->p);
    *a = (struct arena){ 0 };
}

size_t arena_size(size_t count)
{
    return round_up(count * sizeof(float));
}

static void *take(struct arena *a, size_t count)
{
    size_t bytes = arena_size(count);
    char *p = a->p + a->used;

    assert(bytes <= a->n - a->used);
    a->used += bytes;
    return p;
}

float *arena_floats(struct arena *a, size_t count)
{
    return take(a, count);
}

int32_t *arena_ints(struct arena *a, size_t count)
{
    _Static_assert(sizeof(int32_t) == sizeof(float), "arena_size serves both");
    return take(a, count);
}
