#include "workers/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/options.h"
#include "proto/utf8.h"
#include "workers/core.h"
#include "workers/math/engine.h"
#include "workers/tasks/memory.h"
#include "workers/tasks/task.h"
#include "workers/usage.h"

/* Before the model is loaded. */
static int tell(void *ctx, const Progress *p)
{
    (void)ctx;
    for (size_t i = 0; i < p->n_metrics; i++)
        if (strcmp(p->metrics[i]->name, "memory_mib") == 0)
            usage_memory(p->metrics[i]->value);
    return 0;
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
        struct task_context c = { .store = s,
            .engine = &en,
            .warm = warm,
            .progress = tell,
            .memory = memory_limit(""),
            .resident = memory_resident() };
        rc = generate_print(out, &c, r, e);
    }
    warm_free(warm);
    engine_free(&en);
    store_close(s);
    return rc;
}

/* What is typed, before it is checked. */
struct typed {
    struct generate_request r;
    const char *home, *checkpoint;
    uint32_t rows, threads;
    bool help;
};

static const struct usage usage = {
    .name = "generate",
    .operands = "[RUN/]STAGE --prompt TEXT [OPTIONS]",
    .about = "Lets the model that a stage has made answer. The sampler's order is temperature,\n"
             "then top-k, then top-p, then min-p; the same seed gives the same answer.\n",
    .more = "  --output table|json       for people, or for programs\n"
            "  --home DIR                where state and store lie\n",
};

/* NULL: all is well. */
static const char *wrong(struct typed *t, int operands)
{
    if (!t->home || !t->checkpoint || !id_parse(&t->r.checkpoint, t->checkpoint) || operands > 0)
        return "one model is named, before the options";
    if (!t->r.prompt || !*t->r.prompt)
        return "--prompt TEXT is missing";
    if (!utf8_valid(t->r.prompt, strlen(t->r.prompt)))
        return "--prompt: the text is not UTF-8";
    return NULL;
}

static int print(const struct typed *t)
{
    struct buf out = { 0 };
    struct err e = ERR_INIT;
    int rc = run(t->home, (int)t->threads, &t->r, &out, &e);

    if (rc == OK && fwrite(out.p, 1, out.n, stdout) != out.n)
        rc = err_errno(&e, "writing the answer");
    if (rc != OK)
        fprintf(stderr, "error: %s\n", e.msg);
    else if (!t->r.json && t->r.temperature > 0)
        fprintf(stderr, "(seed %llu)\n", (unsigned long long)t->r.seed);
    buf_free(&out);
    return exit_code(rc);
}

int generate_main(int argc, char **argv)
{
    struct typed t = {
        .r = { .temperature = 1, .top_p = 1, .max_new_tokens = 64, .count = 1, .seed = 1 },
        .threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)
    };
    const struct option_row rows[] = {
        { "prompt", 'p', OPTION_TEXT, &t.r.prompt, "TEXT", "what to answer", 0, 0, NULL },
        { "system", 'S', OPTION_TEXT, &t.r.system, "TEXT", "the system's turn before it", 0, 0,
            NULL },
        { "raw", 0, OPTION_FLAG, &t.r.raw, NULL, "continue the text itself, without chat template",
            0, 0, NULL },
        { "count", 'c', OPTION_COUNT, &t.r.count, "N", "so many answers (default 1)", 1, 1000,
            NULL },
        { "max-new-tokens", 'n', OPTION_COUNT, &t.r.max_new_tokens, "N", "at most (default 64)", 1,
            1e6, NULL },
        { "temperature", 'T', OPTION_REAL, &t.r.temperature, "X", "0: greedy (default 1)", 0, 1e6,
            NULL },
        { "top-k", 0, OPTION_COUNT, &t.r.top_k, "N", "the likeliest N; 0: all (default)", 0, 1e9,
            NULL },
        { "top-p", 0, OPTION_REAL, &t.r.top_p, "X", "the likeliest that sum to X (default 1)", 1e-9,
            1, NULL },
        { "min-p", 0, OPTION_REAL, &t.r.min_p, "X",
            "X times as likely as the likeliest (default 0)", 0, 1, NULL },
        { "seed", 's', OPTION_WIDE, &t.r.seed, "N", "of the draw (default 1)", 0, 0, NULL },
        { "show-probabilities", 0, OPTION_COUNT, &t.rows, "N",
            "for each token: the N likeliest (default 10), and the rest", 1, 1e6, "10" },
        { "threads", 't', OPTION_COUNT, &t.threads, "N", "to compute with (default: all cores)", 1,
            1024, NULL },
        { "home", 0, OPTION_TEXT, &t.home, "DIR", NULL, 0, 0, NULL },
        { "checkpoint", 0, OPTION_TEXT, &t.checkpoint, "ID", NULL, 0, 0, NULL },
        { "json", 0, OPTION_FLAG, &t.r.json, NULL, NULL, 0, 0, NULL },
        { "help", 'h', OPTION_FLAG, &t.help, NULL, NULL, 0, 0, NULL },
    };
    size_t n_rows = sizeof rows / sizeof *rows;
    struct err e = ERR_INIT;
    int n = argc - 1;

    core_choose(argc, argv);
    int rc = options_read(rows, n_rows, argv + 1, &n, &e);
    if (t.help)
        return usage_help(&usage, rows, n_rows);
    if (rc != OK)
        return usage_bad(&usage, e.msg);
    const char *why = wrong(&t, n);
    if (why)
        return usage_bad(&usage, why);
    t.r.show_probabilities = (int)t.rows;
    return print(&t);
}
