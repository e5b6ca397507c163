#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "workers/math/kernels.h"
#include "workers/math/rng.h"

/* kernels/gemm.h of every set that this machine runs: the bits that a plain loop gives. */

#define M_MAX 300
#define N_MAX 300
#define K_MAX 3100

static float a[M_MAX * K_MAX], b[N_MAX * K_MAX]; /* stored as the case says */
static float c[M_MAX * N_MAX + 1], before[M_MAX * N_MAX + 1], expected[M_MAX * N_MAX + 1];
static float *room;

struct shape {
    size_t m, n, k;
    size_t part; /* of k at once */
};

static float at(const struct operand *x, size_t r, size_t k, int bf16)
{
    float f = x->x[r * x->across + k * x->along];
    uint32_t u;

    if (!bf16)
        return f;
    memcpy(&u, &f, sizeof u);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* One block of k; pairs of bfloat16 are added odd first, as VDPBF16PS does. */
static float block_sum(const struct gemm *g, size_t r, size_t column, size_t k0, size_t k1)
{
    float s = 0;

    for (size_t k = k0; k < k1; k++) {
        size_t j = !g->bf16 ? k : k ^ 1;
        if (j < k1)
            s = fmaf(at(&g->a, r, j, g->bf16), at(&g->b, column, j, g->bf16), s);
        else /* the last one's partner is zero, and comes first */
            s = fmaf(at(&g->a, r, k, 1), at(&g->b, column, k, 1), s);
    }
    return s;
}

static void compute_expected(const struct kernels *of, const struct gemm *g, size_t k)
{
    size_t block = g->bf16 ? 2 * of->gemm_block : of->gemm_block;

    for (size_t i = 0; i < g->a.n * g->b.n; i++) {
        float sum = before[i];
        for (size_t j = 0; j < k; j += block) {
            float s = block_sum(g, i / g->b.n, i % g->b.n, j, j + block < k ? j + block : k);
            sum = j > 0 || g->add ? sum + s : s;
        }
        expected[i] = sum;
    }
}

/* Packs and multiplies in several pieces. */
static void compute(const struct kernels *k, struct gemm *g, const struct shape *s)
{
    size_t cut = g->share_b ? GEMM_ALIGN_COLUMNS : 2 * GEMM_ALIGN_ROWS;
    size_t strip = g->share_b ? 15 * GEMM_ALIGN_ROWS : 5 * GEMM_ALIGN_COLUMNS;
    size_t shared = g->share_b ? g->b.n : g->a.n, other = g->share_b ? g->a.n : g->b.n;

    for (g->k0 = 0; g->k0 < s->k; g->k0 += s->part) {
        g->k1 = g->k0 + s->part < s->k ? g->k0 + s->part : s->k;
        for (size_t i = 0; i < shared; i += cut) {
            size_t end = i + cut < shared ? i + cut : shared;
            for (size_t k0 = g->k0; k0 < g->k1; k0 += GEMM_ALIGN_K) {
                size_t k1 = k0 + GEMM_ALIGN_K < g->k1 ? k0 + GEMM_ALIGN_K : g->k1;
                k->gemm_pack(g, &(struct gemm_range){ i, end, k0, k1 });
            }
        }
        for (size_t i = 0; i < other; i += strip)
            k->gemm(g, i, i + strip < other ? i + strip : other);
    }
}

/* One of 32 ways to store and share the operands. */
static struct gemm way_of(const struct shape *s, size_t way)
{
    return (struct gemm){ .c = c,
        .a = { a, way & 1 ? 1 : s->k, way & 1 ? s->m : 1, s->m },
        .b = { b, way & 2 ? 1 : s->k, way & 2 ? s->n : 1, s->n },
        .room = room,
        .share_b = (way & 4) != 0,
        .add = (way & 8) != 0,
        .bf16 = (way & 16) != 0 };
}

static void check_case(const struct kernels *k, const struct shape *s, size_t way)
{
    struct gemm g = way_of(s, way);
    int exact = g.bf16 || strcmp(k->name, "generic") != 0; /* else not fused on every machine */

    memcpy(c, before, sizeof c);
    compute(k, &g, s);
    assert_true(c[s->m * s->n] == before[s->m * s->n]);
    for (size_t i = 0; i < s->m * s->n; i++) {
        double wrong = fabs((double)c[i] - expected[i]);
        if (exact ? memcmp(c + i, expected + i, sizeof *c) != 0 : !(wrong < 1e-4))
            fail_msg("%s, way %zu, %zu x %zu, sum of %zu: %.9g instead of %.9g at %zu", k->name,
                way, s->m, s->n, s->k, c[i], expected[i], i);
    }
}

static void check_shapes(const struct shape *shapes, size_t n)
{
    for (size_t i = 0; i < 32 * n; i++) {
        struct gemm g = way_of(&shapes[i / 32], i % 32);
        size_t block = 0;
        for (const char *const *name = kernels_available(); *name != NULL; name++) {
            const struct kernels *k = kernels_get(*name);
            if (k->gemm_block != block)
                compute_expected(k, &g, shapes[i / 32].k);
            block = k->gemm_block;
            check_case(k, &shapes[i / 32], i % 32);
        }
    }
}

static void small_products_have_the_bits_of_a_plain_loop(void **state)
{
    static const struct shape shapes[] = { { 1, 1, 1, GEMM_ALIGN_K }, { 1, 1, 2, GEMM_ALIGN_K },
        { 2, 3, 3, GEMM_ALIGN_K }, { 6, 64, 16, GEMM_ALIGN_K }, { 7, 65, 5, GEMM_ALIGN_K },
        { 13, 17, 40, GEMM_ALIGN_K }, { 47, 67, 7, GEMM_ALIGN_K }, { 5, 3, 300, GEMM_ALIGN_K },
        { 2, 1, 1000, GEMM_ALIGN_K }, { 11, 33, 31, GEMM_ALIGN_K }, { 23, 31, 33, GEMM_ALIGN_K },
        { 12, 32, 257, GEMM_ALIGN_K }, { 5, 15, 513, GEMM_ALIGN_K } };
    (void)state;

    check_shapes(shapes, sizeof shapes / sizeof *shapes);
}

static void products_in_parts_have_the_bits_of_a_plain_loop(void **state)
{
    static const struct shape shapes[] = { { 185, 13, 21, GEMM_ALIGN_K },
        { 13, 170, 21, GEMM_ALIGN_K }, { 27, 35, 1700, GEMM_ALIGN_K },
        { 14, 67, 3099, 2 * GEMM_ALIGN_K }, { 13, 34, 3100, GEMM_ALIGN_K } };
    (void)state;

    check_shapes(shapes, sizeof shapes / sizeof *shapes);
}

static int fill(void **state)
{
    (void)state;

    rng_normal(a, M_MAX * K_MAX, 1, RNG_INIT, 0);
    rng_normal(b, N_MAX * K_MAX, 1, RNG_INIT, 1);
    rng_normal(before, M_MAX * N_MAX + 1, 1, RNG_INIT, 2);
    room = aligned_alloc(64, (gemm_packed(M_MAX, K_MAX) * sizeof *room + 63) / 64 * 64);
    return room == NULL ? -1 : 0;
}

static int empty(void **state)
{
    (void)state;

    free(room);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_products_have_the_bits_of_a_plain_loop),
        cmocka_unit_test(products_in_parts_have_the_bits_of_a_plain_loop),
    };
    return cmocka_run_group_tests(tests, fill, empty);
}
