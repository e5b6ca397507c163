#ifndef TESTS_UNIT_WORKERS_ALLOCATIONS_H
#define TESTS_UNIT_WORKERS_ALLOCATIONS_H

/* Counts what is allocated in this process, times and bytes, shared libraries included; not under
 * the sanitizers, which have an allocator of their own: COUNTED says. For one .c file of a program.
 */

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#endif

#if defined(__GLIBC__) && !defined(SANITIZED)
#define COUNTED 1
static size_t allocations;
static _Atomic size_t allocated, most_allocated; /* bytes: now, and at the peak */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);

static void *count_in(void *p)
{
    size_t more = malloc_usable_size(p), now = atomic_fetch_add(&allocated, more) + more;
    size_t most = most_allocated;

    while (now > most && !atomic_compare_exchange_weak(&most_allocated, &most, now)) {
    }
    return p;
}

void *malloc(size_t n)
{
    allocations++;
    return count_in(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    allocations++;
    return count_in(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    size_t before = malloc_usable_size(p);
    void *q = __libc_realloc(p, n);

    allocations++;
    if (q == NULL && n > 0)
        return NULL;
    allocated -= before;
    return count_in(q);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    allocations++;
    return count_in(__libc_memalign(alignment, n));
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    allocations++;
    *out = count_in(__libc_memalign(alignment, n));
    return *out != NULL ? 0 : ENOMEM;
}

void free(void *p)
{
    allocated -= malloc_usable_size(p);
    __libc_free(p);
}
#else
#define COUNTED 0
static const size_t allocations;
static size_t allocated __attribute__((unused)), most_allocated __attribute__((unused));
#endif

#endif
