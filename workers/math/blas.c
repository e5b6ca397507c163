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

/* Whether the library computes for a core type. Haswell's and Zen's kernel breaks the invariant of
 * blas.h: it adds up rows 0..5 of each twelve in another order than rows 6..11. SkylakeX keeps it,
 * but gemm of kernels.h is faster. A core type that is not here has not been tried. */
static const struct core {
    const char *name;
    bool library;
} cores[] = {
    { "Prescott", true },
    { NULL, false },
};

static struct {
    char name[64]; /* openblas-VERSION/CORE */
    bool library;
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

/* c[m,n] = a b (+ c when add) */
struct product {
    float *c;
    struct operand a, b;
    size_t k;
    bool add;
};

/* ---- by our own gemm ---- */

/* The smaller operand is packed once and shared; the larger is cut into strips, which pack their
 * own part. Where the shared one is large the sum is cut into parts. */
struct own {
    const struct kernels *k;
    struct gemm g;
    struct split strips, packs;
    size_t n, k_packs;
};

#define SHARED_MAX (1u << 20) /* floats of the shared operand, if one block of k fits */
#define PART_MAX 4608         /* of the sum */
#define STRIPS 24
#define PACK_UNITS 96 /* rows or columns that are packed together */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t part_of_sum(size_t shared, size_t k)
{
    size_t part = smaller(SHARED_MAX / shared, PART_MAX) / GEMM_ALIGN_K * GEMM_ALIGN_K;

    return smaller(part > 0 ? part : GEMM_ALIGN_K, k);
}

/* Not less than gemm_packed for this or a smaller m, n or k. */
static size_t own_room(size_t m, size_t n, size_t k)
{
    size_t shared = smaller(m, n), most = shared * GEMM_ALIGN_K;

    if (most < SHARED_MAX)
        most = SHARED_MAX;
    return smaller(shared * k, most) + gemm_packed(shared, 0) +
           gemm_packed(0, smaller(k, PART_MAX));
}

static void pack_tile(void *ctx, size_t tile)
{
    const struct own *o = ctx;
    size_t unit = tile / o->k_packs, k0 = o->g.k0 + tile % o->k_packs * GEMM_ALIGN_K;

    o->k->gemm_pack(
        &o->g, &(struct gemm_range){ split_at(&o->packs, unit), split_at(&o->packs, unit + 1), k0,
                   smaller(k0 + GEMM_ALIGN_K, o->g.k1) });
}

static void strip_tile(void *ctx, size_t tile)
{
    const struct own *o = ctx;

    o->k->gemm(&o->g, split_at(&o->strips, tile), split_at(&o->strips, tile + 1));
}

static size_t pieces(size_t n, size_t each)
{
    return (n + each - 1) / each;
}

/* As many strips as threads like, but neither too thin to be worth their packing nor so thick
 * that they do not end together. */
static struct split strips_of(size_t n, size_t unit, size_t thin, size_t thick)
{
    size_t strips = STRIPS;

    if (n / strips < thin)
        strips = n / thin > 0 ? n / thin : 1;
    if (n / strips > thick)
        strips = pieces(n, thick);
    return (struct split){ n, unit, strips > 1 ? strips + strips % 2 : 1 };
}

static void own_run(const struct products *p, const struct product *x)
{
    size_t m = x->a.n, n = x->b.n, shared = smaller(m, n);
    bool share_b = n <= m;
    struct own o = { .k = p->k,
        .g = { .c = x->c,
            .a = x->a,
            .b = x->b,
            .room = p->room,
            .share_b = share_b,
            .add = x->add,
            .bf16 = p->precision == PRECISION_BF16 },
        .strips = share_b ? strips_of(m, GEMM_ALIGN_ROWS, x->a.along == 1 ? 24 : 48, 96)
                          : strips_of(n, GEMM_ALIGN_COLUMNS, 64, 384),
        .packs = {
            shared, share_b ? GEMM_ALIGN_COLUMNS : GEMM_ALIGN_ROWS, pieces(shared, PACK_UNITS) } };
    size_t part = part_of_sum(shared, x->k);

    for (size_t k = 0; k < x->k; k += part) {
        o.g.k0 = k;
        o.g.k1 = smaller(k + part, x->k);
        o.k_packs = pieces(o.g.k1 - k, GEMM_ALIGN_K);
        pool_run(p->pool, o.packs.tiles * o.k_packs, pack_tile, &o);
        pool_run(p->pool, o.strips.tiles, strip_tile, &o);
    }
}

/* ---- by the library ---- */

struct library {
    struct product p;
    bool a_transposed, b_transposed;
    struct split m, n;
};

/* The largest power of two that is at most n and `limit`; at least 1. */
static size_t power_of_two(size_t n, size_t limit)
{
    size_t p = 1;

    while (2 * p <= n && 2 * p <= limit)
        p *= 2;
    return p;
}

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

static bool use_library(const struct products *p, size_t n, size_t k)
{
    return setup.library && p->precision == PRECISION_FP32 && n > SMALL_COLUMNS &&
           GEMM_ROWS * n * k > SMALL_PRODUCT;
}

/* Few rows: columns are split too, in tiles that are not small. */
static size_t column_tiles(size_t row_tiles, size_t n, size_t k)
{
    size_t narrowest = SMALL_PRODUCT / 2 / GEMM_ROWS / k + COLUMN_UNIT;

    if (row_tiles >= TILES)
        return 1;
    if (narrowest < TILE_COLUMNS)
        narrowest = TILE_COLUMNS;
    return power_of_two(n / narrowest, TILES / row_tiles);
}

static void library_tile(void *ctx, size_t tile)
{
    const struct library *l = ctx;
    const struct operand *a = &l->p.a, *b = &l->p.b;
    size_t row = split_at(&l->m, tile / l->n.tiles), col = split_at(&l->n, tile % l->n.tiles);
    size_t rows = split_at(&l->m, tile / l->n.tiles + 1) - row;
    size_t cols = split_at(&l->n, tile % l->n.tiles + 1) - col;

    cblas_sgemm(CblasRowMajor, l->a_transposed ? CblasTrans : CblasNoTrans,
        l->b_transposed ? CblasTrans : CblasNoTrans, (int)rows, (int)cols, (int)l->p.k, 1,
        a->x + row * a->across, (int)(l->a_transposed ? a->along : a->across),
        b->x + col * b->across, (int)(l->b_transposed ? b->across : b->along), l->p.add ? 1 : 0,
        l->p.c + row * l->n.n + col, (int)l->n.n);
}

static void library_run(const struct products *p, const struct library *l)
{
    assert(l->m.n <= INT_MAX && l->n.n <= INT_MAX && l->p.k <= INT_MAX);
    pool_run(p->pool, l->m.tiles * l->n.tiles, library_tile, (void *)l);
}

/* ---- products ---- */

size_t gemm_room(size_t n, size_t i, size_t o)
{
    size_t nt = own_room(n, o, i), nn = own_room(n, i, o), tn = own_room(o, i, n);
    size_t most = nt > nn ? nt : nn;

    return most > tn ? most : tn;
}

/* c[rows,n] = x[rows,k] w */
static void gemm_by_rows(const struct products *p, const struct product *x, bool transposed)
{
    size_t rows = x->a.n, n = x->b.n;

    blas_setup();
    assert(x->k > 0);
    if (rows == 0 || n == 0)
        return;
    if (!use_library(p, n, x->k)) {
        own_run(p, x);
        return;
    }
    rows = gemm_rows(rows);
    size_t tiles = power_of_two(rows / TILE_ROWS, TILES);
    if (rows / tiles > TILE_ROWS_MAX)
        tiles = pieces(rows, TILE_ROWS_MAX);
    library_run(p, &(struct library){ .p = *x,
                       .b_transposed = transposed,
                       .m = { rows, GEMM_ROWS, tiles },
                       .n = { n, COLUMN_UNIT, column_tiles(tiles, n, x->k) } });
}

void gemm_nt(const struct products *p, float *y, const float *x, const float *w, size_t n, size_t i,
    size_t o, int add)
{
    gemm_by_rows(p, &(struct product){ y, { x, i, 1, n }, { w, i, 1, o }, i, add != 0 }, true);
}

void gemm_nn(const struct products *p, float *dx, const float *dy, const float *w, size_t n,
    size_t o, size_t i, int add)
{
    gemm_by_rows(p, &(struct product){ dx, { dy, o, 1, n }, { w, 1, i, i }, o, add != 0 }, false);
}

void gemm_tn(const struct products *p, float *dw, const float *dy, const float *x, size_t n,
    size_t o, size_t i)
{
    struct product product = { dw, { dy, 1, o, o }, { x, 1, i, i }, n, true };

    blas_setup();
    if (n == 0 || o == 0 || i == 0)
        return;
    if (!setup.library || p->precision != PRECISION_FP32) {
        own_run(p, &product);
        return;
    }
    size_t row_tiles = power_of_two(o / 128, TILES);
    if (row_tiles == 1 && o >= 64)
        row_tiles = 2;
    size_t columns = row_tiles >= TILES ? 1 : power_of_two(i / TILE_COLUMNS, TILES / row_tiles);
    library_run(p, &(struct library){ .p = product,
                       .a_transposed = true,
                       .m = { o, 16, row_tiles },
                       .n = { i, COLUMN_UNIT, columns } });
}
