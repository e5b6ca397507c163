#ifndef WORKERS_SELFTEST_RUNNER_H
#define WORKERS_SELFTEST_RUNNER_H

#include "proto/options.h"

/* Runs known answers, each in a process of its own, several side by side, and prints them in the
 * order of the tables as soon as they and all before them are there. */
struct selftest_options {
    const struct option_texts *only; /* names, or what they begin with; none: all */
    int processes;                   /* side by side */
    bool wrong_kl;                   /* a switch that must make the gate fail */
    bool json, list;                 /* list: names only, nothing runs */
};

enum { SELFTEST_HOLDS = 0, SELFTEST_FAILS = 1, SELFTEST_INTERRUPTED = 130 };

/* *verdict: one of the above. E_INPUT when `only` names nothing. */
int selftest_run(int *verdict, const struct selftest_options *o, struct err *e);

#endif
