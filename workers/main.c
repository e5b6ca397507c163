#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "proto/log.h"
#include "proto/options.h"
#include "workers/executor.h"
#include "workers/export.h"
#include "workers/generate.h"
#include "workers/import.h"
#include "workers/selftest.h"
#include "workers/worker.h"

/* The program `jielong-worker`: the daemon, its executor, and what else needs the mathematics.
 * People type `jielong worker`, `jielong generate`, `jielong selftest`: they come here. */

enum { EXIT_FAILED = 1, EXIT_BAD_USAGE = 2, EXIT_BAD_DATA = 65, EXIT_INTERNAL = 70, EXIT_IO = 74 };

int exit_code(int rc)
{
    return rc == OK                           ? 0
           : rc == E_TOO_LARGE                ? EXIT_FAILED
           : rc == E_INPUT || rc == E_MISSING ? EXIT_BAD_DATA
           : rc == E_IO || rc == E_CORRUPT    ? EXIT_IO
                                              : EXIT_INTERNAL;
}

static int bad_usage(const char *why)
{
    fprintf(stderr, "error: %s\n  = help: `jielong worker --help` lists the options\n", why);
    return EXIT_BAD_USAGE;
}

static int worker_main(int argc, char **argv)
{
    struct worker_options o = { .name = "w1", .cache_bytes = 10240 };
    struct option_texts labels = { .n = 0 };
    const char *format = "text";
    uint32_t threads = 0, share = 0, parent = 0;
    const struct option_row rows[] = {
        { "connect", 0, OPTION_TEXT, &o.connect, "URL", "the orchestrator's", 0, 0, NULL },
        { "home", 0, OPTION_TEXT, &o.home, "DIR", "whose store is used", 0, 0, NULL },
        { "name", 0, OPTION_TEXT, &o.name, "NAME", "what people see", 0, 0, NULL },
        { "threads", 0, OPTION_COUNT, &threads, "N", "0: as many as cores", 0, 1024, NULL },
        { "log-format", 0, OPTION_TEXT, &format, "FORMAT", "text or json", 0, 0, NULL },
        { "share", 0, OPTION_COUNT, &share, "N", NULL, 0, 1024, NULL },
        { "key", 0, OPTION_TEXT, &o.key_file, "FILE", "that the orchestrator allows", 0, 0, NULL },
        { "label", 0, OPTION_TEXTS, &labels, "LABEL", "by which tasks ask for it", 0, 0, NULL },
        { "cache", 0, OPTION_WIDE, &o.cache_bytes, "MB", "of a store that is a cache", 1, 1e9,
            NULL },
        { "end-with", 0, OPTION_COUNT, &parent, "PID", NULL, 1, INT_MAX, NULL },
    };
    struct err e = ERR_INIT;
    int n = argc - 1;

    if (options_read(rows, sizeof rows / sizeof *rows, argv + 1, &n, &e) != OK)
        return bad_usage(e.msg);
    if (!o.connect || !o.home || n > 0)
        return bad_usage("a worker needs --connect URL and --home DIR, and nothing else");
    if (!*o.name || strlen(o.name) > 64)
        return bad_usage("--name: a name has from 1 to 64 bytes");
    if (!log_format(format))
        return bad_usage("--log-format: text or json");
    for (size_t i = 0; i < labels.n; i++)
        if (!*labels.items[i] || strlen(labels.items[i]) > 64)
            return bad_usage("--label: a label has from 1 to 64 bytes");
    o.labels = labels.items;
    o.n_labels = labels.n;
    o.cache_bytes <<= 20;
    o.threads = (int)threads;
    o.share = (int)share;
    o.parent = (int)parent;
    log_setup(o.name, LOG_INFO);
    int rc = worker_run(&o, &e);
    if (rc != OK)
        log_error("%s", e.msg);
    return exit_code(rc);
}

static int executor_main(int argc, char **argv)
{
    struct executor_options o = { .numeric_class = "", .threads = 1, .fd = 3 };
    uint32_t threads = 1;
    const struct option_row rows[] = {
        { "home", 0, OPTION_TEXT, &o.home, "DIR", "whose store is used", 0, 0, NULL },
        { "numeric-class", 0, OPTION_TEXT, &o.numeric_class, "CLASS", "to compute in", 0, 0, NULL },
        { "threads", 0, OPTION_COUNT, &threads, "N", "to compute with", 1, 1024, NULL },
    };
    struct err e = ERR_INIT;
    int n = argc - 1;

    if (options_read(rows, sizeof rows / sizeof *rows, argv + 1, &n, &e) != OK)
        return bad_usage(e.msg);
    if (!o.home || n > 0)
        return bad_usage("an executor is started by its worker");
    o.threads = (int)threads;
    log_setup("executor", LOG_INFO);
    int rc = executor_run(&o, &e);
    if (rc != OK)
        log_error("%s", e.msg);
    return exit_code(rc);
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} programs[] = {
    { "worker", worker_main },
    { "executor", executor_main },
    { "generate", generate_main },
    { "export", export_main },
    { "import", import_main },
    { "selftest", selftest_main },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof programs / sizeof *programs; i++)
        if (strcmp(argv[1], programs[i].name) == 0)
            return programs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "error: this is the part of jielong that computes\n"
                    "  = help: `jielong worker --help`, `jielong generate --help`\n");
    return EXIT_BAD_USAGE;
}
