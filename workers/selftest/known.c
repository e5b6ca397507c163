#include "workers/selftest/known.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static const struct known_table *const tables[] = {
    &known_math,
    &known_losses,
    &known_gradient,
    &known_bits,
    &known_sampler,
    &known_floor,
    &known_reward,
    &known_labels,
    &known_outcomes,
    &known_gate,
};
#define TABLES (sizeof tables / sizeof *tables)

size_t known_count(void)
{
    size_t n = 0;

    for (size_t i = 0; i < TABLES; i++)
        n += tables[i]->n;
    return n;
}

const struct known *known_at(size_t i)
{
    for (size_t k = 0; k < TABLES; k++) {
        if (i < tables[k]->n)
            return &tables[k]->rows[i];
        i -= tables[k]->n;
    }
    return NULL;
}

void verdict_near(struct verdict *v, double got, double expected, double tolerance)
{
    snprintf(v->expected, sizeof v->expected, "%.6g ± %.2g", expected, tolerance);
    snprintf(v->got, sizeof v->got, "%.6g", got);
    v->holds = fabs(got - expected) <= tolerance;
}

void verdict_at_most(struct verdict *v, double got, double limit)
{
    snprintf(v->expected, sizeof v->expected, "at most %.2g", limit);
    snprintf(v->got, sizeof v->got, "%.3g", got);
    v->holds = got <= limit;
}

void verdict_say(struct verdict *v, bool holds, const char *expected, const char *got, ...)
{
    va_list args;

    snprintf(v->expected, sizeof v->expected, "%s", expected);
    va_start(args, got);
    vsnprintf(v->got, sizeof v->got, got, args);
    va_end(args);
    v->holds = holds;
}
