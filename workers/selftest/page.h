#ifndef WORKERS_SELFTEST_PAGE_H
#define WORKERS_SELFTEST_PAGE_H

#include "workers/selftest/known.h"

/* The page on stdout: a line for each test, or one JSON value. */
struct result {
    bool done;
    double seconds;
    struct verdict v;
};

void page_name(size_t test); /* test: index of known_at */
void page_head(void);
void page_row(size_t test, const struct result *r);
void page_foot(const struct result *results, size_t done, size_t chosen, double seconds);
int page_json(
    const size_t *tests, const struct result *results, size_t n, double seconds, struct err *e);

#endif
