#include "tests/bench/orch.h"

#include <fnmatch.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/options.h"

/* The table of how fast tasks, results and artifacts move. Run it by the script `orchestration`
 * beside it. */

static const struct row {
    const char *name, *unit;
    measure_function *measure;
    enum { AT_LEAST, AT_MOST } sense;
    bool of_limit; /* must and aim are shares of the limit */
    double must, aim;
} rows[] = {
    { "no-op tasks", "1/s", tasks_row, AT_LEAST, false, 20000, 50000 },
    { "submit to known result", "ms", latency_row, AT_MOST, false, 3, 1.5 },
    { "chain of 1000, each hop", "ms", chain_row, AT_MOST, true, 3, 1.5 },
    { "100 pipelines of 4", "ms", pipelines_row, AT_MOST, false, 100, 25 },
    { "restart to first dispatch", "ms", restart_row, AT_MOST, false, 500, 100 },
    { "checkpoint into the store", "GB/s", put_row, AT_LEAST, true, .45, .6 },
    { "checkpoint read", "GB/s", get_row, AT_LEAST, true, .75, .85 },
    { "host to host, plain", "GB/s", carry_plain_row, AT_LEAST, false, .6, 1.2 },
    { "host to host, CURVE", "GB/s", carry_curve_row, AT_LEAST, false, .4, .55 },
    { "scheduler, each task", "us", sched_row, AT_MOST, false, 20, 5 },
    { "scheduler, growth", "x", sched_growth_row, AT_MOST, false, 1.5, 1.1 },
};
#define ROWS (sizeof rows / sizeof *rows)

static void print_head(const struct limits *l)
{
    char processor[64];

    machine_name(processor, sizeof processor);
    printf("%s, %ld cores; %d workers, TCP with CURVE\n", processor, sysconf(_SC_NPROCESSORS_ONLN),
        WORKERS);
    printf("limits measured: fdatasync %.0f us, TCP trip %.0f us, SHA-256 %.2f GB/s, "
           "socket %.2f GB/s\n  (others used %.1f cores)\n\n",
        1e6 * l->sync, 1e6 * l->trip, l->hash / 1e9, l->socket / 1e9, machine_others());
    printf("%-26s %9s %-5s %9s %6s %9s %9s\n", "work", "ours", "", "limit", "ratio", "must", "aim");
    fflush(stdout);
}

static const char *verdict(const struct row *r, double x)
{
    bool less = r->sense == AT_MOST;

    return (less ? x <= r->aim : x >= r->aim)     ? "aim met"
           : (less ? x <= r->must : x >= r->must) ? "met"
                                                  : "MISSED";
}

/* False: its must is missed. */
static bool print_row(const struct row *r, const struct figure *f)
{
    double ratio = f->limit > 0 ? f->value / f->limit : 0;
    const char *said = verdict(r, r->of_limit ? ratio : f->value);

    printf("%-26s %9.*f %-5s ", r->name, f->value < 100 ? 2 : 0, f->value, r->unit);
    if (f->limit > 0)
        printf("%9.*f %6.2f ", f->limit < 100 ? 2 : 0, f->limit, ratio);
    else
        printf("%9s %6s ", "-", "-");
    printf("%8g%s %8g%s  %-7s  %s", r->must, r->of_limit ? "x" : " ", r->aim,
        r->of_limit ? "x" : " ", said, f->note);
    printf("\n");
    fflush(stdout);
    return strcmp(said, "MISSED") != 0;
}

static bool wanted(const struct orch *o, const struct row *r)
{
    char pattern[128];

    snprintf(pattern, sizeof pattern, "*%s*", o->only ? o->only : "");
    return fnmatch(pattern, r->name, FNM_CASEFOLD) == 0;
}

static int run(struct orch *o, size_t *missed, struct err *e)
{
    machine_others();
    o->checkpoint_bytes = (size_t)(o->quick ? 128 : 512) << 20;
    int rc = limits_measure(&o->limits, o->folder, e);

    if (rc == OK)
        print_head(&o->limits);
    for (size_t i = 0; i < ROWS && rc == OK; i++) {
        struct figure f = { 0 };
        if (!wanted(o, &rows[i]))
            continue;
        rc = rows[i].measure(o, &f, e);
        if (rc == OK)
            *missed += !print_row(&rows[i], &f);
        else
            err_wrap(e, "%s", rows[i].name);
    }
    scene_close(o->scene);
    return rc;
}

/* -1: go on. */
static int options(struct orch *o, int argc, char **argv)
{
    const struct option_row known[] = {
        { "quick", 0, OPTION_FLAG, &o->quick, NULL, "less of everything", 0, 0, NULL },
        { "only", 0, OPTION_TEXT, &o->only, "PATTERN", "rows whose name holds it", 0, 0, NULL },
        { "help", 'h', OPTION_FLAG, &o->help, NULL, "this text", 0, 0, NULL },
    };
    struct err e = ERR_INIT;
    struct buf help = { 0 };
    int n = argc - 1, rc = options_read(known, sizeof known / sizeof *known, argv + 1, &n, &e);

    if (rc != OK || n > 0) {
        fprintf(stderr, "error: %s\n", rc != OK ? e.msg : "only options are known");
        return 2;
    }
    if (!o->help)
        return -1;
    if (options_help(&help, known, sizeof known / sizeof *known) == OK)
        printf("usage: tests/bench/orchestration [OPTIONS]\n\noptions:\n%s", help.p);
    buf_free(&help);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    struct orch o = { 0 };
    struct err e = ERR_INIT;
    size_t missed = 0;
    int status = daemon_main(argc, argv);

    if (status < 0)
        status = options(&o, argc, argv);
    if (status >= 0)
        return status;
    snprintf(o.folder, sizeof o.folder, "%s/jielong-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(o.folder)) {
        perror(o.folder);
        return 1;
    }
    int rc = run(&o, &missed, &e);
    if (rc != OK)
        fprintf(stderr, "error: %s\n", e.msg);
    else
        printf("\n%s\n", missed ? "not every must is met" : "every must is met");
    nftw(o.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return rc == OK ? 0 : 1;
}
