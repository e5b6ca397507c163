#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/log.h"
#include "workers/executor.h"
#include "workers/generate.h"
#include "workers/worker.h"

/* The program `jielong-worker`: the daemon, its executor, and what else needs the mathematics.
 * People type `jielong worker` and `jielong generate`, which come here. */

enum { EXIT_BAD_USAGE = 2, EXIT_BAD_DATA = 65, EXIT_INTERNAL = 70, EXIT_IO = 74 };

int exit_code(int rc)
{
    return rc == OK                           ? 0
           : rc == E_INPUT || rc == E_MISSING ? EXIT_BAD_DATA
           : rc == E_IO || rc == E_CORRUPT    ? EXIT_IO
                                              : EXIT_INTERNAL;
}

static int worker_main(int argc, char **argv)
{
    static const struct option options[] = {
        { "connect", required_argument, NULL, 'c' },
        { "home", required_argument, NULL, 'h' },
        { "name", required_argument, NULL, 'n' },
        { "threads", required_argument, NULL, 't' },
        { "die-with-parent", no_argument, NULL, 'd' },
        { NULL, 0, NULL, 0 },
    };
    struct worker_options o = { .name = "w1" };
    struct err e = ERR_INIT;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            o.connect = optarg;
            break;
        case 'h':
            o.home = optarg;
            break;
        case 'n':
            o.name = optarg;
            break;
        case 't':
            o.threads = atoi(optarg);
            break;
        case 'd':
            o.die_with_parent = true;
            break;
        default:
            return EXIT_BAD_USAGE;
        }
    }
    if (!o.connect || !o.home || optind < argc || strlen(o.name) > 64 || o.threads < 0) {
        fprintf(
            stderr, "usage: jielong worker --connect URL --home DIR [--name NAME] [--threads N]\n");
        return EXIT_BAD_USAGE;
    }
    log_setup(o.name, LOG_INFO);
    int rc = worker_run(&o, &e);
    if (rc != OK)
        log_error("%s", e.msg);
    return exit_code(rc);
}

static int executor_main(int argc, char **argv)
{
    static const struct option options[] = {
        { "home", required_argument, NULL, 'h' },
        { "numeric-class", required_argument, NULL, 'n' },
        { "threads", required_argument, NULL, 't' },
        { NULL, 0, NULL, 0 },
    };
    struct executor_options o = { .numeric_class = "", .threads = 1, .fd = 3 };
    struct err e = ERR_INIT;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'h':
            o.home = optarg;
            break;
        case 'n':
            o.numeric_class = optarg;
            break;
        case 't':
            o.threads = atoi(optarg);
            break;
        default:
            return EXIT_BAD_USAGE;
        }
    }
    if (!o.home)
        return EXIT_BAD_USAGE;
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
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof programs / sizeof *programs; i++)
        if (strcmp(argv[1], programs[i].name) == 0)
            return programs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "usage: jielong-worker worker|generate [OPTIONS]\n");
    return EXIT_BAD_USAGE;
}
