#include "tests/bench/bench.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/options.h"
#include "workers/math/blas.h"

/* The table of how fast the learning engine is. Run it by the script `learning` beside it. */

static const struct size s1 = { "S1", 4, 128, 4, 4096, 128, 16 };
static const struct size s2 = { "S2", 6, 384, 6, 8192, 256, 8 };
static const struct size s3 = { "S3", 12, 768, 12, 50257, 64, 4 };
static const struct size s3l = { "S3L", 12, 768, 12, 50257, 256, 4 };

static const struct work works[] = {
    { TRAIN, "train S1 fp32", &s1, "fp32", 16 },
    { TRAIN, "train S2 fp32", &s2, "fp32", 8 },
    { TRAIN, "train S3 fp32", &s3, "fp32", 4 },
    { TRAIN, "train S3L fp32", &s3l, "fp32", 4 },
    { TRAIN, "train S2 bf16", &s2, "bf16", 8 },
    { TRAIN, "train S3L bf16", &s3l, "bf16", 4 },
    { DECODE, "decode S2 batch 1", &s2, "bf16", 1 },
    { DECODE, "decode S2 batch 16", &s2, "bf16", 16 },
    { DECODE, "decode S2 batch 64", &s2, "bf16", 64 },
    { DECODE, "decode S3 batch 1", &s3l, "bf16", 1 },
    { DECODE, "decode S3 batch 16", &s3l, "bf16", 16 },
    { DECODE, "decode S3 batch 64", &s3l, "bf16", 64 },
    { PPO, "PPO iteration S2", &s2, "fp32", 64 },
    { PPO, "PPO iter. S2 bf16", &s2, "bf16", 64 },
};
#define WORKS (sizeof works / sizeof *works)

/* Seconds that a side of a row may take, seconds of a turn at least, turns at most. */
struct patience {
    double row, turn;
    size_t turns;
};
static const struct patience patient = { 10, .5, 7 }, quick = { 1.5, .1, 3 };

struct bench {
    const char *only;
    uint32_t threads;
    bool with_torch, profile, quick, help;
    struct patience patience;
    struct machine machine;
    struct engine engine;
};

ModelConfig size_config(const struct size *s)
{
    ModelConfig c = MODEL_CONFIG__INIT;

    c.has_family = c.has_layers = c.has_width = c.has_heads = c.has_context = c.has_vocab_size = 1;
    c.family = MODEL_CONFIG__FAMILY__GPT2;
    c.layers = s->layers;
    c.width = s->width;
    c.heads = s->heads;
    c.context = s->context;
    c.vocab_size = s->vocabulary;
    return c;
}

double size_parameters(const struct size *s)
{
    double c = s->width;

    return s->layers * (12 * c * c + 13 * c) + s->vocabulary * c + 2 * c;
}

double size_train_flops(const struct size *s)
{
    return 6 * size_parameters(s) + 12.0 * s->layers * s->width * s->context;
}

/* ---- one row ---- */

struct side {
    struct runner *r;
    double each[16][PARTS_MAX]; /* seconds of each part of a unit, turn by turn */
    size_t n;
    double median[PARTS_MAX], total; /* total: of the parts that are compared */
    double peak, computed;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void side_medians(struct side *s, const struct work *w)
{
    size_t compared = w->kind == PPO ? 3 : 1; /* a peer stores nothing */

    for (size_t part = 0; part < PARTS_MAX; part++) {
        double x[16];
        for (size_t i = 0; i < s->n; i++)
            x[i] = s->each[i][part];
        qsort(x, s->n, sizeof *x, by_value);
        s->median[part] = s->n % 2 ? x[s->n / 2] : (x[s->n / 2 - 1] + x[s->n / 2]) / 2;
        s->total += part < compared ? s->median[part] : 0;
    }
}

/* Another turn of n units. */
static int side_turn(struct side *s, unsigned n, struct err *e)
{
    int rc = runner_turn(s->r, n, s->each[s->n], e);

    for (size_t i = 0; i < PARTS_MAX; i++)
        s->each[s->n][i] /= n ? n : 1;
    s->n += n > 0;
    return rc;
}

static double side_last(const struct side *s)
{
    double sum = 0;

    for (size_t i = 0; i < PARTS_MAX; i++)
        sum += s->each[s->n - 1][i];
    return sum;
}

/* Warms up, sees how long a unit takes, then goes on in turns with the other side. */
static int sides_run(struct side *sides, size_t n, const struct patience *p, struct err *e)
{
    unsigned units = 1;
    size_t turns = 1;
    int rc = OK;

    for (size_t i = 0; i < n && rc == OK; i++)
        rc = side_turn(&sides[i], 0, e);
    for (size_t turn = 0; turn < turns && rc == OK; turn++) {
        for (size_t i = 0; i < n && rc == OK; i++)
            rc = side_turn(&sides[i], units, e);
        if (turn > 0 || rc != OK)
            continue;
        double unit = side_last(&sides[0]);
        units = unit < p->turn ? (unsigned)(p->turn / unit) + 1 : 1;
        turns = (size_t)(p->row / (unit * units)) + 1;
        turns = turns < p->turns ? turns : p->turns;
    }
    return rc;
}

static void peer_open_line(char *line, size_t size, const struct work *w)
{
    static const char *const kinds[] = { [TRAIN] = "train", [DECODE] = "decode", [PPO] = "ppo" };
    const struct size *s = w->size;
    int n = snprintf(line, size, "open %s %u %u %u %u %u %u", kinds[w->kind], s->layers, s->width,
        s->heads, s->vocabulary, s->context, w->sequences);

    switch (w->kind) {
    case TRAIN:
        snprintf(line + n, size - (size_t)n, " %s", w->precision);
        break;
    case DECODE:
        snprintf(line + n, size - (size_t)n, " %d %d", PROMPT_DECODE, NEW_TOKENS);
        break;
    case PPO:
        snprintf(line + n, size - (size_t)n, " %d %d %d %s", PROMPT_PPO, NEW_TOKENS, MINIBATCHES,
            w->precision);
        break;
    }
}

static int row_measure(
    struct side sides[2], size_t n, struct bench *b, const struct work *w, struct err *e)
{
    char line[256];
    int rc = runner_open(&sides[0].r, w, (int)b->threads, false, e);

    peer_open_line(line, sizeof line, w);
    if (rc == OK && n > 1)
        rc = runner_open_peer(&sides[1].r, line, (int)b->threads, e);
    if (rc == OK)
        rc = sides_run(sides, n, &b->patience, e);
    for (size_t i = 0; i < n; i++) {
        if (rc == OK)
            side_medians(&sides[i], w);
        if (sides[i].r) {
            struct err later = ERR_INIT;
            int closed = runner_close(sides[i].r, &sides[i].peak, &sides[i].computed, &later);
            rc = rc == OK && closed != OK ? err_set(e, closed, "%s", later.msg) : rc;
        }
    }
    return rc;
}

/* ---- printing ---- */

static double row_tokens(const struct work *w)
{
    return w->kind == TRAIN ? (double)w->sequences * w->size->context
                            : (double)w->sequences * NEW_TOKENS;
}

static void print_share(double share)
{
    if (share > 0)
        printf(" %5.0f %%", 100 * share);
    else
        printf("      - ");
}

static void print_count(double count)
{
    if (count > 0)
        printf(" %8.0f", count);
    else
        printf("        -");
}

/* Of the row's own peak, and of what memory can give: in decoding, weights and the cache's mean
 * half are read for every token of the batch. */
static void print_limits(const struct bench *b, const struct work *w, double rate)
{
    const struct size *s = w->size;
    double n = size_parameters(s), bytes;
    double peak = b->machine.fp32;
    bool bf16 = strcmp(w->precision, "bf16") == 0;

    if (bf16 && b->machine.bf16 > 0)
        peak = b->machine.bf16;

    switch (w->kind) {
    case TRAIN:
        print_share(rate * size_train_flops(s) / peak);
        print_share(0);
        break;
    case DECODE:
        print_share(rate * 2 * n / peak);
        bytes = n / w->sequences + 2.0 * s->layers * s->width * (PROMPT_DECODE + NEW_TOKENS / 2.0);
        bytes *= bf16 ? 2 : 4;
        print_share(rate * bytes / b->machine.reads);
        break;
    case PPO:
        print_share(0);
        print_share(0);
        break;
    }
}

static void print_parts(const char *who, const struct side *s, size_t n)
{
    static const char *const names[] = { "rollout", "scoring", "update", "storing" };

    printf("  %-8s", who);
    for (size_t i = 0; i < n; i++)
        printf("  %s %.2f s", names[i], s->median[i]);
    printf("\n");
}

static void print_row(
    const struct bench *b, const struct work *w, const struct side sides[2], size_t n, double gemms)
{
    double rate = row_tokens(w) / sides[0].total;

    printf("%-20s", w->name);
    print_count(rate);
    print_limits(b, w, rate);
    print_count(gemms > 0 ? row_tokens(w) / gemms : 0);
    printf(" %8.0f", sides[0].peak / 1e6);
    if (sides[0].computed > 0)
        printf(" %6.2f", sides[0].peak / sides[0].computed);
    else
        printf("      -");
    if (n > 1)
        printf(" %10.0f %7.0f %7.2f", row_tokens(w) / sides[1].total, sides[1].peak / 1e6,
            sides[1].total / sides[0].total);
    double others = machine_others();
    if (others > .1)
        printf("  disturbed: others used %.1f cores", others);
    printf("\n");
    if (w->kind == PPO) {
        print_parts("ours", &sides[0], 4);
        if (n > 1)
            print_parts("PyTorch", &sides[1], 3);
    }
    fflush(stdout);
}

static void print_head(const struct bench *b)
{
    char processor[64];

    machine_name(processor, sizeof processor);
    printf("%s, %u threads, %s/%s\n", processor, b->threads, blas_setup(), b->engine.k->name);
    printf("limits measured: fp32 %.0f GFLOP/s, ", b->machine.fp32 / 1e9);
    if (b->machine.bf16 > 0)
        printf("bf16 %.0f GFLOP/s, ", b->machine.bf16 / 1e9);
    else
        printf("bf16: no instruction, ");
    printf("memory reads %.1f GB/s (others used %.1f cores)\n\n", b->machine.reads / 1e9,
        machine_others());
    printf("%-20s     ours      of      of    GEMMs   memory  of com-%s\n", "",
        b->with_torch ? "    PyTorch  memory  ours /" : "");
    printf("%-20s    tok/s    peak   reads    alone       MB   puted%s\n", "work",
        b->with_torch ? "      tok/s      MB PyTorch" : "");
    fflush(stdout);
}

static bool wanted(const struct bench *b, const struct work *w)
{
    char pattern[128];

    snprintf(pattern, sizeof pattern, "*%s*", b->only ? b->only : "");
    if (b->quick && w->size == &s3l && w->kind == TRAIN)
        return false;
    return fnmatch(pattern, w->name, FNM_CASEFOLD) == 0;
}

static int row_profile(const struct bench *b, const struct work *w, struct err *e)
{
    struct runner *r = NULL;
    double parts[PARTS_MAX], peak, computed;
    int rc = runner_open(&r, w, (int)b->threads, true, e);

    if (rc != OK)
        return rc;
    rc = runner_turn(r, 0, parts, e);
    if (rc == OK)
        rc = runner_turn(r, w->kind == TRAIN ? 3 : 1, parts, e);
    struct err later = ERR_INIT;
    int closed = runner_close(r, &peak, &computed, &later);
    return rc == OK && closed != OK ? err_set(e, closed, "%s", later.msg) : rc;
}

static int row(struct bench *b, const struct work *w, struct err *e)
{
    struct side sides[2] = { { 0 } };
    bool bf16 = strcmp(w->precision, "bf16") == 0;
    size_t n = b->with_torch && (!bf16 || b->machine.bf16 > 0) ? 2 : 1;
    double gemms = 0;
    int rc = OK;

    if (w->kind == TRAIN && !b->profile)
        rc = machine_gemms(&gemms, w, &b->engine, e);
    if (rc == OK)
        rc = b->profile ? row_profile(b, w, e) : row_measure(sides, n, b, w, e);
    if (rc == E_INPUT) { /* what the product refuses to do here */
        printf("%-20s %s\n", w->name, e->msg);
        return OK;
    }
    if (rc == OK && !b->profile)
        print_row(b, w, sides, n, gemms);
    return rc == OK ? OK : err_wrap(e, "%s", w->name);
}

/* ---- the program ---- */

/* OpenBLAS reads its core type when it is loaded: choose it as a worker does, and start again. */
static void choose_core(char **argv)
{
    const char *core = numeric_class_core(numeric_classes()[0]);

    if (!core || getenv("JIELONG_CORE_CHOSEN"))
        return;
    setenv("OPENBLAS_CORETYPE", core, 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    unsetenv("OPENBLAS_L2_SIZE");
    setenv("JIELONG_CORE_CHOSEN", "1", 1);
    execv("/proc/self/exe", argv);
}

static int bench_run(struct bench *b, struct err *e)
{
    int rc = engine_init(&b->engine, NULL, (int)b->threads, e);

    b->patience = b->quick ? quick : patient;
    if (rc == OK && !b->profile) {
        machine_others();
        machine_measure(&b->machine, &b->engine);
        print_head(b);
    }
    for (size_t i = 0; i < WORKS && rc == OK; i++)
        if (wanted(b, &works[i]))
            rc = row(b, &works[i], e);
    engine_free(&b->engine);
    return rc;
}

/* -1: go on. */
static int options(struct bench *b, int argc, char **argv)
{
    const struct option_row rows[] = {
        { "with-torch", 0, OPTION_FLAG, &b->with_torch, NULL, "compare with PyTorch", 0, 0, NULL },
        { "profile", 0, OPTION_FLAG, &b->profile, NULL, "where the time goes", 0, 0, NULL },
        { "quick", 0, OPTION_FLAG, &b->quick, NULL, "less repetition, no S3L", 0, 0, NULL },
        { "only", 0, OPTION_TEXT, &b->only, "PATTERN", "rows whose name holds it", 0, 0, NULL },
        { "threads", 0, OPTION_COUNT, &b->threads, "N", "to compute with (2)", 1, 256, NULL },
        { "help", 'h', OPTION_FLAG, &b->help, NULL, "this text", 0, 0, NULL },
    };
    struct err e = ERR_INIT;
    struct buf help = { 0 };
    int n = argc - 1, rc = options_read(rows, sizeof rows / sizeof *rows, argv + 1, &n, &e);

    if (rc != OK || n > 0) {
        fprintf(stderr, "error: %s\n", rc != OK ? e.msg : "only options are known");
        return 2;
    }
    if (!b->help)
        return -1;
    if (options_help(&help, rows, sizeof rows / sizeof *rows) == OK)
        printf("usage: tests/bench/learning [OPTIONS]\n\noptions:\n%s", help.p);
    buf_free(&help);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench b = { .threads = 2 };
    struct err e = ERR_INIT;

    choose_core(argv);
    int status = options(&b, argc, argv);
    if (status >= 0)
        return status;
    if (b.with_torch && access("/usr/lib/python3/dist-packages/torch", R_OK) != 0) {
        printf("PyTorch is not here: apt-get install python3-torch libopenblas0-openmp\n");
        b.with_torch = false;
    }
    if (bench_run(&b, &e) != OK) {
        fprintf(stderr, "error: %s\n", e.msg);
        return 1;
    }
    return 0;
}
