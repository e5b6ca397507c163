#include "workers/usage.h"

#include <math.h>
#include <stdio.h>

#include "proto/bytes.h"
#include "proto/err.h"
#include "workers/generate.h"

int usage_bad(const struct usage *u, const char *why)
{
    fprintf(stderr,
        "error: %s\nusage: jielong %s %s\n  = help: `jielong %s --help` lists the options\n", why,
        u->name, u->operands, u->name);
    return 2;
}

void usage_memory(double mib)
{
    fprintf(stderr, "(needs %.0f MiB of memory)\n", ceil(mib));
}

int usage_help(const struct usage *u, const struct option_row *rows, size_t n)
{
    struct buf text = { 0 };
    int rc = options_help(&text, rows, n);

    if (rc == OK)
        printf("usage: jielong %s %s\n\n%s\noptions:\n%s%s"
               "  -h, --help                this text\n",
            u->name, u->operands, u->about, text.p, u->more);
    buf_free(&text);
    return rc == OK ? 0 : exit_code(rc);
}
