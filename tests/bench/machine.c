#include "tests/bench/bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "workers/math/arena.h"
#include "workers/math/blas.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

void machine_name(char *out, size_t size)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256], name[64] = "unknown processor";

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %63[^\n]", name) == 1)
            break;
    if (f)
        fclose(f);
    snprintf(out, size, "%s", name);
}

#define REPEATS 7      /* the best counts: a limit is what nothing disturbs */
#define ROUNDS 8000000 /* of a loop of LANES independent chains */
#define LANES 12       /* hides four cycles of latency at two instructions each cycle */

/* A loop that only computes, in registers; returns its floating-point operations. */
typedef double burn_function(float *sink);

typedef float vector16 __attribute__((vector_size(16)));

/* Multiplication and addition, fused only where the machine's base instruction set has that. */
static double burn_generic(float *sink)
{
    vector16 sum[LANES], a = { 1, 1, 1, 1 }, b = a * *sink;

    for (int k = 0; k < LANES; k++)
        sum[k] = a * (float)k;
    for (int i = 0; i < ROUNDS; i++)
        for (int k = 0; k < LANES; k++)
            sum[k] = sum[k] * b + a;
    for (int k = 1; k < LANES; k++)
        sum[0] += sum[k];
    *sink = sum[0][0];
    return 2.0 * 4 * LANES * ROUNDS;
}

#if defined(__x86_64__)
/* The chains stand in an asm statement's registers: no compiler may merge or spill them. */
#define BURN(name, target_, vector, start, operations, ASM)                                        \
    __attribute__((target(target_))) static double name(float *sink)                               \
    {                                                                                              \
        vector s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, a = start, b = start;             \
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = s9 = s10 = s11 = a;                           \
        for (int i = 0; i < ROUNDS; i++)                                                           \
            __asm__ volatile(ASM(0) ASM(1) ASM(2) ASM(3) ASM(4) ASM(5) ASM(6) ASM(7) ASM(8) ASM(9) \
                                 ASM(10) ASM(11)                                                   \
                             : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5),         \
                             "+x"(s6), "+x"(s7), "+x"(s8), "+x"(s9), "+x"(s10), "+x"(s11)          \
                             : "x"(a), "x"(b));                                                    \
        memcpy(sink, &s0, sizeof *sink);                                                           \
        return 2.0 * (operations)*LANES * ROUNDS;                                                  \
    }
#define FMA(n) "vfmadd231ps %12, %13, %" #n "\n\t"
#define DOT(n) "vdpbf16ps %12, %13, %" #n "\n\t"
BURN(burn_avx2, "avx2,fma", __m256, _mm256_set1_ps(1e-9F), 8, FMA)
BURN(burn_avx512, "avx512f", __m512, _mm512_set1_ps(1e-9F), 16, FMA)
BURN(burn_bf16, "avx512f", __m512, _mm512_set1_ps(1e-9F), 32, DOT)
#undef BURN
#undef FMA
#undef DOT
#endif

static burn_function *fp32_loop(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return burn_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return burn_avx2;
#endif
    return burn_generic;
}

static burn_function *bf16_loop(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16"))
        return burn_bf16;
#endif
    return NULL;
}

struct burning {
    burn_function *loop;
    double operations[256];
};

static void burn_tile(void *ctx, size_t tile)
{
    struct burning *b = ctx;
    float sink = 1e-9F;

    b->operations[tile] = b->loop(&sink);
}

static double burn(const struct engine *en, burn_function *loop)
{
    struct burning b = { .loop = loop };
    size_t threads = (size_t)pool_threads(en->pool);
    double best = 0;

    for (int i = 0; i < REPEATS && loop; i++) {
        double began = seconds(), all = 0;
        pool_run(en->pool, threads, burn_tile, &b);
        double spent = seconds() - began;
        for (size_t k = 0; k < threads; k++)
            all += b.operations[k];
        best = all / spent > best ? all / spent : best;
    }
    return best;
}

/* ---- memory ---- */

#define READ_BYTES ((size_t)256 << 20) /* for each thread: more than a cache holds */

typedef uint64_t words __attribute__((vector_size(32)));

struct reading {
    const char *p;
    uint64_t sums[256];
};

static void read_tile(void *ctx, size_t tile)
{
    struct reading *r = ctx;
    const words *p = (const words *)(const void *)(r->p + tile * READ_BYTES);
    words sum[4] = { { 0 } };

    for (size_t i = 0; i < READ_BYTES / sizeof *p; i += 4)
        for (size_t k = 0; k < 4; k++)
            sum[k] += p[i + k];
    sum[0] += sum[1] + sum[2] + sum[3];
    r->sums[tile] = sum[0][0] + sum[0][1] + sum[0][2] + sum[0][3];
}

static double read_memory(const struct engine *en)
{
    size_t threads = (size_t)pool_threads(en->pool), bytes = threads * READ_BYTES;
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct reading r = { .p = p };
    double best = 0;

    if (p == MAP_FAILED)
        return 0;
    memset(p, 1, bytes);
    for (int i = 0; i < REPEATS; i++) {
        double began = seconds();
        pool_run(en->pool, threads, read_tile, &r);
        double rate = (double)bytes / (seconds() - began);
        best = rate > best ? rate : best;
    }
    munmap(p, bytes); /* measured processes start from here */
    return best;
}

void machine_measure(struct machine *m, const struct engine *en)
{
    m->fp32 = burn(en, fp32_loop());
    m->bf16 = burn(en, bf16_loop());
    m->reads = read_memory(en);
}

/* ---- the others ---- */

/* CPU seconds of the whole machine, idle ones left out. */
static double all_busy(void)
{
    FILE *f = fopen("/proc/stat", "r");
    double user = 0, nice = 0, system = 0, idle, wait, irq = 0, soft = 0;

    if (!f)
        return 0;
    if (fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &system, &idle, &wait, &irq,
            &soft) != 7)
        user = nice = system = irq = soft = 0;
    fclose(f);
    return (user + nice + system + irq + soft) / (double)sysconf(_SC_CLK_TCK);
}

static double own_busy(void)
{
    static const int whose[] = { RUSAGE_SELF, RUSAGE_CHILDREN };
    double sum = 0;

    for (int i = 0; i < 2; i++) {
        struct rusage u;
        getrusage(whose[i], &u);
        sum += (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    }
    return sum;
}

double machine_others(void)
{
    static double then, busy, own;
    double now = seconds(), busy_now = all_busy(), own_now = own_busy();
    double cores = (busy_now - busy - (own_now - own)) / (now - then);

    then = now;
    busy = busy_now;
    own = own_now;
    return cores > 0 ? cores : 0;
}

/* ---- the matrix products of a training step ---- */

struct buffers {
    struct products products;
    float *x, *y, *w;
};

/* Forward, and backward to what came in and to the weights. */
static void layer_products(const struct buffers *b, size_t n, size_t i, size_t o)
{
    gemm_nt(&b->products, b->y, b->x, b->w, n, i, o, 0);
    gemm_nn(&b->products, b->x, b->y, b->w, n, o, i, 0);
    gemm_tn(&b->products, b->w, b->y, b->x, n, o, i);
}

#define CHUNK 480 /* rows of logits at once */

static double step_products(const struct buffers *b, const struct size *s)
{
    const size_t n = (size_t)s->batch * s->context, c = s->width;
    double began = seconds();

    for (uint32_t layer = 0; layer < s->layers; layer++) {
        layer_products(b, n, c, 3 * c);
        layer_products(b, n, c, c);
        layer_products(b, n, c, 4 * c);
        layer_products(b, n, 4 * c, c);
    }
    for (size_t row = 0; row < n; row += CHUNK)
        layer_products(b, n - row < CHUNK ? n - row : CHUNK, c, s->vocabulary);
    return seconds() - began;
}

static size_t largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

int machine_gemms(double *out, const struct work *w, const struct engine *en, struct err *e)
{
    const struct size *s = w->size;
    size_t n = (size_t)s->batch * s->context, rows = gemm_rows(n), c = s->width, v = s->vocabulary;
    size_t x = rows * 4 * c, y = largest(x, gemm_rows(CHUNK) * v), weights = largest(v, 4 * c) * c;
    size_t room = largest(gemm_room(n, c, 4 * c), gemm_room(n, 4 * c, c));
    bool bf16 = strcmp(w->precision, "bf16") == 0;
    struct arena a;

    room = largest(room, gemm_room(CHUNK, c, v));
    int rc =
        arena_init(&a, arena_size(x) + arena_size(y) + arena_size(weights) + arena_size(room), e);
    if (rc != OK)
        return rc;
    struct buffers b = {
        .x = arena_floats(&a, x), .y = arena_floats(&a, y), .w = arena_floats(&a, weights)
    };
    b.products = (struct products){ .pool = en->pool,
        .k = en->k,
        .precision = bf16 ? PRECISION_BF16 : PRECISION_FP32,
        .room = arena_floats(&a, room) };
    double first = step_products(&b, s);
    double second = first < 3 ? step_products(&b, s) : first;
    double third = first < 1 ? step_products(&b, s) : second;
    *out = second < third ? second : third;
    arena_free(&a);
    return OK;
}
