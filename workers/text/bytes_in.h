#ifndef WORKERS_TEXT_BYTES_IN_H
#define WORKERS_TEXT_BYTES_IN_H

#include "proto/bytes.h"

/* Where a file's bytes come from, piece by piece, so that memory does not grow with the file. */
struct bytes_in {
    /* The next bytes, borrowed until the next call; n = 0 with OK: the end. */
    int (*next)(void *ctx, struct span *out, struct err *e);
    void *ctx;
};

#endif
