#include "workers/generate.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/math/engine.h"
#include "workers/tasks/task.h"

/* OpenBLAS reads its core type when it is loaded: choose it for this machine and start again. */
static void choose_core(char **argv)
{
    const char *core = numeric_class_core(numeric_classes()[0]);

    if (!core || getenv("JIELONG_CORE_CHOSEN"))
        return;
    setenv("OPENBLAS_CORETYPE", core, 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    unsetenv("OPENBLAS_L2_SIZE");
    setenv("JIELONG_CORE_CHOSEN", "1", 1);
    char *args[64] = { "jielong-worker" };
    size_t n = 1;
    for (; argv[n - 1] && n < 63; n++)
        args[n] = argv[n - 1];
    execv("/proc/self/exe", args);
}

static int run(
    const char *home, int threads, const struct generate_request *r, struct buf *out, struct err *e)
{
    struct store *s = NULL;
    struct engine en = { 0 };
    struct warm *warm = NULL;
    int rc = store_open(&s, home, false, e);

    if (rc == OK)
        rc = engine_init(&en, NULL, threads, e);
    if (rc == OK)
        rc = warm_new(&warm, e);
    if (rc == OK) {
        struct task_context c = { .store = s, .engine = &en, .warm = warm };
        rc = generate_print(out, &c, r, e);
    }
    warm_free(warm);
    engine_free(&en);
    store_close(s);
    return rc;
}

static const struct option options[] = {
    { "home", required_argument, NULL, 'h' },
    { "checkpoint", required_argument, NULL, 'c' },
    { "prompt", required_argument, NULL, 'p' },
    { "system", required_argument, NULL, 'S' },
    { "temperature", required_argument, NULL, 'T' },
    { "top-k", required_argument, NULL, 'k' },
    { "top-p", required_argument, NULL, 'P' },
    { "min-p", required_argument, NULL, 'm' },
    { "seed", required_argument, NULL, 's' },
    { "max-new-tokens", required_argument, NULL, 'n' },
    { "count", required_argument, NULL, 'N' },
    { "show-probabilities", optional_argument, NULL, 'w' },
    { "raw", no_argument, NULL, 'r' },
    { "threads", required_argument, NULL, 't' },
    { "json", no_argument, NULL, 'j' },
    { NULL, 0, NULL, 0 },
};

int generate_main(int argc, char **argv)
{
    struct generate_request r = {
        .temperature = 1, .top_p = 1, .max_new_tokens = 64, .count = 1, .seed = 1
    };
    const char *home = NULL, *id = NULL;
    int threads = (int)sysconf(_SC_NPROCESSORS_ONLN), c;
    struct buf out = { 0 };
    struct err e = ERR_INIT;

    choose_core(argv);
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'h':
            home = optarg;
            break;
        case 'c':
            id = optarg;
            break;
        case 'p':
            r.prompt = optarg;
            break;
        case 'S':
            r.system = optarg;
            break;
        case 'T':
            r.temperature = atof(optarg);
            break;
        case 'k':
            r.top_k = (uint32_t)atoi(optarg);
            break;
        case 'P':
            r.top_p = atof(optarg);
            break;
        case 'm':
            r.min_p = atof(optarg);
            break;
        case 's':
            r.seed = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            r.max_new_tokens = (uint32_t)atoi(optarg);
            break;
        case 'N':
            r.count = (uint32_t)atoi(optarg);
            break;
        case 'w':
            r.show_probabilities = optarg ? atoi(optarg) : 10;
            break;
        case 'r':
            r.raw = true;
            break;
        case 't':
            threads = atoi(optarg);
            break;
        case 'j':
            r.json = true;
            break;
        default:
            return 2;
        }
    }
    if (!home || !id || !r.prompt || !id_parse(&r.checkpoint, id) || r.temperature < 0 ||
        r.max_new_tokens < 1 || r.count < 1 || threads < 1) {
        fprintf(stderr, "usage: jielong generate RUN/STAGE --prompt TEXT [OPTIONS]\n");
        return 2;
    }
    int rc = run(home, threads, &r, &out, &e);
    if (rc == OK)
        fwrite(out.p, 1, out.n, stdout);
    else
        fprintf(stderr, "error: %s\n", e.msg);
    buf_free(&out);
    return exit_code(rc);
}
