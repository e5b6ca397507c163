#include "tests/bench/profile.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/profile_int.h"
#include "workers/math/blas.h"

/* What the pool does is known by its work's address or, within a matrix product, by that product.
 * The pool is called by one thread at a time; tiles add their time atomically. */

#define REGIONS 512

struct region {
    void (*work)(void *ctx, size_t tile); /* NULL: a product */
    const char *product;                  /* gemm_nt, … */
    size_t n, i, o;
    unsigned long calls;
    double wall, flops; /* seconds */
    atomic_ullong busy; /* nanoseconds, of all threads */
};

static bool on;
static struct region regions[REGIONS];
static size_t n_regions;
static struct region *product; /* the one that runs */

void profile_on(void)
{
    on = true;
}

bool profile_is_on(void)
{
    return on;
}

void profile_start(void)
{
    memset(regions, 0, sizeof regions);
    n_regions = 0;
    profile_kernels_start();
}

static struct region *region_add(struct region like)
{
    if (n_regions == REGIONS) {
        fprintf(stderr, "error: more than %d kinds of work to profile\n", REGIONS);
        exit(70);
    }
    struct region *r = &regions[n_regions++];
    r->work = like.work;
    r->product = like.product;
    r->n = like.n;
    r->i = like.i;
    r->o = like.o;
    return r;
}

static struct region *region_of_work(void (*work)(void *ctx, size_t tile))
{
    for (size_t i = 0; i < n_regions; i++)
        if (regions[i].work == work)
            return &regions[i];
    return region_add((struct region){ .work = work });
}

static struct region *region_of_product(const char *name, size_t n, size_t i, size_t o)
{
    for (size_t k = 0; k < n_regions; k++) {
        const struct region *r = &regions[k];
        if (r->product == name && r->n == n && r->i == i && r->o == o)
            return &regions[k];
    }
    return region_add((struct region){ .product = name, .n = n, .i = i, .o = o });
}

/* ---- what is wrapped ---- */

struct timed {
    void (*work)(void *ctx, size_t tile);
    void *ctx;
    struct region *region;
};

static void timed_tile(void *ctx, size_t tile)
{
    struct timed *t = ctx;
    double began = seconds();

    t->work(t->ctx, tile);
    atomic_fetch_add(&t->region->busy, (unsigned long long)(1e9 * (seconds() - began)));
}

void __wrap_pool_run(struct pool *p, size_t tiles, void (*work)(void *ctx, size_t tile), void *ctx)
{
    if (!on) {
        __real_pool_run(p, tiles, work, ctx);
        return;
    }
    struct region *r = product ? product : region_of_work(work);
    struct timed t = { work, ctx, r };
    double began = seconds();
    __real_pool_run(p, tiles, timed_tile, &t);
    r->wall += seconds() - began;
    r->calls++;
}

/* One matrix product of 2 n i o operations. */
#define PRODUCT(name, parameters, arguments, n, i, o)                        \
    void __real_##name parameters;                                           \
    void __wrap_##name parameters;                                           \
    void __wrap_##name parameters                                            \
    {                                                                        \
        static const char called[] = #name;                                  \
        if (on) {                                                            \
            product = region_of_product(called, n, i, o);                    \
            product->flops += 2.0 * (double)(n) * (double)(i) * (double)(o); \
        }                                                                    \
        __real_##name arguments;                                             \
        product = NULL;                                                      \
    }
PRODUCT(gemm_nt,
    (struct pool * p, float *y, const float *x, const float *w, size_t n, size_t i, size_t o,
        int add),
    (p, y, x, w, n, i, o, add), n, i, o)
PRODUCT(gemm_nn,
    (struct pool * p, float *dx, const float *dy, const float *w, size_t n, size_t o, size_t i,
        int add),
    (p, dx, dy, w, n, o, i, add), n, i, o)
PRODUCT(gemm_tn,
    (struct pool * p, float *dw, const float *dy, const float *x, size_t n, size_t o, size_t i),
    (p, dw, dy, x, n, o, i), n, i, o)
#undef PRODUCT

/* ---- printing ---- */

/* "attention_tile transformer.c"; the work's functions are static, so only debug information
 * knows their names. */
static void work_name(char *out, size_t size, const struct region *r)
{
    char exe[256], command[400], function[64] = "?", file[64] = "?";
    Dl_info where;
    void *address;

    memcpy(&address, &r->work, sizeof address);
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    if (dladdr(address, &where)) {
        snprintf(command, sizeof command, "addr2line -fse '%s' 0x%zx 2>/dev/null", exe,
            (size_t)((char *)address - (char *)where.dli_fbase));
        FILE *f = popen(command, "r");
        if (f) {
            if (fscanf(f, "%63s %63[^:]", function, file) != 2)
                strcpy(file, "?");
            pclose(f);
        }
    }
    snprintf(out, size, "%.28s (%.24s)", function, file);
}

static void region_name(char *out, size_t size, const struct region *r)
{
    if (r->product)
        snprintf(out, size, "%s rows %zu, %zu -> %zu", r->product, r->n, r->i, r->o);
    else
        work_name(out, size, r);
}

static int by_wall(const void *a, const void *b)
{
    const struct region *x = a, *y = b;

    return (x->wall < y->wall) - (x->wall > y->wall);
}

void profile_print(FILE *out, const char *what, double spent, unsigned units, int threads)
{
    double pooled = 0, products = 0, busy = 0;

    qsort(regions, n_regions, sizeof *regions, by_wall);
    fprintf(out, "\n%s: %.2f ms\n  %-48s    calls        ms  share   busy  GFLOP/s\n", what,
        1e3 * spent / units, "work of the pool");
    for (size_t k = 0; k < n_regions; k++) {
        const struct region *r = &regions[k];
        double at_work = 1e-9 * (double)r->busy / threads;
        char name[64];
        pooled += r->wall;
        busy += at_work;
        products += r->product ? r->wall : 0;
        if (r->wall < .002 * spent)
            continue;
        region_name(name, sizeof name, r);
        fprintf(out, "  %-48s %8.1f %9.3f %4.1f %% %4.0f %%", name, (double)r->calls / units,
            1e3 * r->wall / units, 100 * r->wall / spent, 100 * at_work / r->wall);
        if (r->flops > 0)
            fprintf(out, " %8.1f", r->flops / r->wall / 1e9);
        fprintf(out, "\n");
    }
    fprintf(out,
        "  matrix products %.1f %%, other work of the pool %.1f %%, one thread alone %.1f %%;"
        " threads busy %.1f %%\n",
        100 * products / spent, 100 * (pooled - products) / spent, 100 * (spent - pooled) / spent,
        100 * busy / spent);
    profile_kernels_print(out, spent, units, threads);
    fflush(out);
}
