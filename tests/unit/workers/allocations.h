#ifndef TESTS_UNIT_WORKERS_ALLOCATIONS_H
#define TESTS_UNIT_WORKERS_ALLOCATIONS_H

/* Counts what is allocated in this process, shared libraries included; not under the sanitizers,
 * which have an allocator of their own: COUNTED says. For one .c file of a program. */

#include <errno.h>
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

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

void *malloc(size_t n)
{
    allocations++;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    allocations++;
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    allocations++;
    return __libc_memalign(alignment, n);
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    allocations++;
    *out = __libc_memalign(alignment, n);
    return *out != NULL ? 0 : ENOMEM;
}
#else
#define COUNTED 0
static const size_t allocations;
#endif

#endif
