#include "workers/selftest.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "workers/core.h"
#include "workers/generate.h"
#include "workers/selftest/runner.h"
#include "workers/usage.h"

static const struct usage usage = {
    .name = "selftest",
    .operands = "[OPTIONS]",
    .about = "Computes what is known exactly, on this machine, with the code that trains: from\n"
             "the random numbers to PPO, RLOO, GRPO and DPO reaching a computable optimum. Takes\n"
             "less than two minutes on two cores. Exit code: 0 when all hold, else 1.\n",
    .more = "",
};

int selftest_main(int argc, char **argv)
{
    struct option_texts only = { .n = 0 };
    const char *output = "table", *broken = NULL;
    uint32_t threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    struct selftest_options o = { .only = &only };
    bool help = false;
    const struct option_row rows[] = {
        { "only", 0, OPTION_TEXTS, &only, "NAME",
            "this test, or all that begin so; may be repeated", 0, 0, NULL },
        { "list", 0, OPTION_FLAG, &o.list, NULL, "names only, run nothing", 0, 0, NULL },
        { "threads", 't', OPTION_COUNT, &threads, "N", "tests side by side (default: all cores)", 1,
            1024, NULL },
        { "output", 0, OPTION_TEXT, &output, "FORM", "table, for people, or json, for programs", 0,
            0, NULL },
        { "break", 0, OPTION_TEXT, &broken, "WHAT", NULL, 0, 0, NULL },
        { "help", 'h', OPTION_FLAG, &help, NULL, NULL, 0, 0, NULL },
    };
    struct err e = ERR_INIT;
    int n = argc - 1, verdict = 0;

    core_choose(argc, argv);
    int rc = options_read(rows, sizeof rows / sizeof *rows, argv + 1, &n, &e);
    if (help)
        return usage_help(&usage, rows, sizeof rows / sizeof *rows);
    if (rc != OK || n > 0)
        return usage_bad(&usage, rc != OK ? e.msg : "there are no operands");
    o.json = strcmp(output, "json") == 0;
    if (!o.json && strcmp(output, "table") != 0)
        return usage_bad(&usage, "--output: table or json");
    if (broken && strcmp(broken, "kl") != 0)
        return usage_bad(&usage, "--break: kl");
    o.wrong_kl = broken != NULL;
    o.processes = (int)threads;
    rc = selftest_run(&verdict, &o, &e);
    if (rc == E_INPUT)
        return usage_bad(&usage, e.msg);
    if (rc != OK)
        fprintf(stderr, "error: %s\n", e.msg);
    return rc == OK ? verdict : exit_code(rc);
}
