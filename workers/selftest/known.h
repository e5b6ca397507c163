#ifndef WORKERS_SELFTEST_KNOWN_H
#define WORKERS_SELFTEST_KNOWN_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"

/* Known answers: what this program must compute on any machine. A row of a table is a test; they
 * are numbered T1, T2, … over all tables. A test fills its verdict; an error of its own is a test
 * that does not hold, and the message says why. */
struct testbed;

struct verdict {
    bool holds;
    char expected[64], got[96];
};

struct known {
    const char *name; /* "loss/gae"; --only takes it, or what it begins with */
    const char *what;
    int (*run)(struct verdict *v, struct testbed *t, const struct known *k, struct err *e);
    int variant; /* whatever tells the rows that share a function apart */
};

struct known_table {
    const struct known *rows;
    size_t n;
};
extern const struct known_table known_math, known_losses, known_gradient, known_bits, known_sampler,
    known_floor, known_reward, known_labels, known_outcomes, known_gate;

/* All tables in the order of the page. */
size_t known_count(void);
const struct known *known_at(size_t i);

/* |got - expected| <= tolerance, and got is a number. */
void verdict_near(struct verdict *v, double got, double expected, double tolerance);
/* got <= limit */
void verdict_at_most(struct verdict *v, double got, double limit);
void verdict_say(struct verdict *v, bool holds, const char *expected, const char *got, ...)
    __attribute__((format(printf, 4, 5)));

#endif
