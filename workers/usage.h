#ifndef WORKERS_USAGE_H
#define WORKERS_USAGE_H

#include <stddef.h>

#include "proto/options.h"

/* What a command of jielong that runs here says of itself. Each returns an exit code. */
struct usage {
    const char *name, *operands; /* import, --inspect FILE… */
    const char *about;           /* whole lines */
    const char *more;            /* lines for options that `jielong` has read; "": none */
};

int usage_bad(const struct usage *u, const char *why);
/* What is about to be taken, on stderr. */
void usage_memory(double mib);
int usage_help(const struct usage *u, const struct option_row *rows, size_t n);

#endif
