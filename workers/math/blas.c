#include "workers/math/blas.h"

#include <assert.h>
#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "workers/math/kernels.h"

/* Not every cblas.h declares these; they are OpenBLAS's. */
void openblas_set_num_threads(int threads);
char *openblas_get_config(void);
char *openblas_get_corename(void);

/* How each core type keeps the invariant of blas.h. The library's Haswell kernel adds up rows
 * 0..5 of each twelve in another order than rows 6..11, so there it is left to our own gemm,
 * which is as fast. `set` names that gemm's instructions: those of the numeric class. A core type
 * that is not here has not been tried: our own gemm with the best instructions. */
static const struct core {
    const char *name;
    bool library;
    const char *set;
} cores[] = {
    { "SkylakeX", true, "avx512" },
    { "Cooperlake", true, "avx512" },
    { "Haswell", false, "avx2" },
    { "Zen", false, "avx2" },
    { "Prescott", true, "generic" },
    { NULL, false, NULL },
};

static struct {
    char name[64]; /* openblas-VERSION/CORE */
    bool library;
    const struct kernels *own;
} setup;

static void set_up(void)
{
    char version[24] = "unknown";
    const char *core = openblas_get_corename();
    const struct core *c = cores;

    openblas_set_num_threads(1);
    sscanf(openblas_get_config(), "OpenBLAS %23s", version);
    snprintf(setup.name, sizeof setup.name, "openblas-%s/%s", version, core);
    while (c->name != NULL && strcmp(c->name, core) != 0)
        c++;
    setup.own = kernels_get(c->set);
    if (setup.own == NULL) /* a build without that set */
        setup.own = kernels_get(NULL);
    setup.library = c->library;
}

const char *blas_setup(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, set_up);
    return setup.name;
}

/* n elements in `tiles` pieces of whole units, as even as can be; the last takes what is left. */
struct split {
    size_t n, unit, tiles;
};

static size_t split_at(const struct split *s, size_t tile)
{
    return tile == s->tiles ? s->n : s->n / s->unit * tile / s->tiles * s->unit;
}

/* The largest power of two that is at most n and `limit`; at least 1. */
static size_t power_of_two(size_t n, size_t limit)
{
    size_t p = 1;

    while (2 * p <= n && 2 * p <= limit)
        p *= 2;
    return p;
}

/* c[m,n] = beta c + op(a) op(b) */
struct gemm {
    float *c;
    const float *a, *b;
    struct split m, n;
    size_t k, a_row, b_row; /* floats from one stored row to the next */
    bool a_transposed, b_transposed, add, library;
};

#define TILES 8       /* at least, where the shape allows: for as many threads */
#define TILE_ROWS 192 /* at least: less, and packing the other matrix takes over */
#define TILE_ROWS_MAX 480
#define TILE_COLUMNS 192
#define COLUMN_UNIT 64

/* OpenBLAS takes kernels with another order of sums for products of up to 1e6 multiplications
 * (or, transposed, 1,200 results). Shapes that could come near are left to our own gemm; its
 * answer must not depend on the number of rows, so GEMM_ROWS of them are looked at. */
#define SMALL_PRODUCT (2u << 20)
#define SMALL_COLUMNS 64

static bool use_library(size_t n, size_t k)
{
    return setup.library && n > SMALL_COLUMNS && GEMM_ROWS * n * k > SMALL_PRODUCT;
}

/* Few rows: columns are split too, in tiles that are not small. */
static size_t column_tiles(size_t row_tiles, size_t n, size_t k)
{
    size_t narrowest = SMALL_PRODUCT / 2 / GEMM_ROWS / k + COLUMN_UNIT;

    if (narrowest < TILE_COLUMNS)
        narrowest = TILE_COLUMNS;
    return power_of_two(n / narrowest, TILES / row_tiles);
}

static void gemm_tile(void *ctx, size_t tile)
{
    const struct gemm *g = ctx;
    size_t row = split_at(&g->m, tile / g->n.tiles), col = split_at(&g->n, tile % g->n.tiles);
    size_t rows = split_at(&g->m, tile / g->n.tiles + 1) - row;
    size_t cols = split_at(&g->n, tile % g->n.tiles + 1) - col;
    const float *a = g->a + (g->a_transposed ? row : row * g->a_row);
    const float *b = g->b + (g->b_transposed ? col * g->b_row : col);
    float *c = g->c + row * g->n.n + col;

    if (g->library)
        cblas_sgemm(CblasRowMajor, g->a_transposed ? CblasTrans : CblasNoTrans,
            g->b_transposed ? CblasTrans : CblasNoTrans, (int)rows, (int)cols, (int)g->k, 1, a,
            (int)g->a_row, b, (int)g->b_row, g->add ? 1 : 0, c, (int)g->n.n);
    else
        setup.own->gemm(c, g->n.n, a, g->a_row, b, g->b_transposed ? 1 : g->b_row,
            g->b_transposed ? g->b_row : 1, rows, cols, g->k, g->add);
}

static void gemm_run(struct pool *p, struct gemm *g)
{
    assert(g->m.n <= INT_MAX && g->n.n <= INT_MAX && g->k <= INT_MAX);
    if (g->m.n > 0 && g->n.n > 0)
        pool_run(p, g->m.tiles * g->n.tiles, gemm_tile, g);
}

/* c[rows,n] = x[rows,k] w */
static void gemm_by_rows(struct pool *p, float *c, const float *x, const float *w, size_t rows,
    size_t n, size_t k, bool transposed, bool add)
{
    blas_setup();
    assert(k > 0);
    rows = gemm_rows(rows);
    size_t tiles = power_of_two(rows / TILE_ROWS, TILES);
    if (rows / tiles > TILE_ROWS_MAX)
        tiles = (rows + TILE_ROWS_MAX - 1) / TILE_ROWS_MAX;
    gemm_run(p, &(struct gemm){ .c = c,
                    .a = x,
                    .b = w,
                    .k = k,
                    .a_row = k,
                    .b_row = transposed ? k : n,
                    .m = { rows, GEMM_ROWS, tiles },
                    .n = { n, COLUMN_UNIT, tiles >= TILES ? 1 : column_tiles(tiles, n, k) },
                    .b_transposed = transposed,
                    .add = add,
                    .library = use_library(n, k) });
}

void gemm_nt(
    struct pool *p, float *y, const float *x, const float *w, size_t n, size_t i, size_t o, int add)
{
    gemm_by_rows(p, y, x, w, n, o, i, true, add != 0);
}

void gemm_nn(struct pool *p, float *dx, const float *dy, const float *w, size_t n, size_t o,
    size_t i, int add)
{
    gemm_by_rows(p, dx, dy, w, n, i, o, false, add != 0);
}

void gemm_tn(
    struct pool *p, float *dw, const float *dy, const float *x, size_t n, size_t o, size_t i)
{
    blas_setup();
    if (n == 0)
        return;
    size_t row_tiles = power_of_two(o / 128, TILES);
    if (row_tiles == 1 && o >= 64)
        row_tiles = 2;
    size_t columns = row_tiles >= TILES ? 1 : power_of_two(i / TILE_COLUMNS, TILES / row_tiles);
    gemm_run(p, &(struct gemm){ .c = dw,
                    .a = dy,
                    .b = x,
                    .k = n,
                    .a_row = o,
                    .b_row = i,
                    .m = { o, 16, row_tiles },
                    .n = { i, COLUMN_UNIT, columns },
                    .a_transposed = true,
                    .add = true,
                    .library = true });
}
