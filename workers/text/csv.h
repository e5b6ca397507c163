#ifndef WORKERS_TEXT_CSV_H
#define WORKERS_TEXT_CSV_H

#include "workers/text/source.h"

/* Rows under a header, as RFC 4180 has them: cells in double quotes may hold line ends, and quotes
 * by doubling them. Cells are parted by tabs in .tsv, else by commas, or by semicolons when the
 * header has no comma. Calls each() with a row as an object of strings, or with NULL when e says
 * what is wrong with it (E_CORRUPT: bytes that are no characters); line: where it began. E_INPUT:
 * there is no usable header. */
int csv_each(struct source *s,
    int (*each)(void *ctx, const struct json *row, size_t line, struct err *e), void *ctx,
    struct err *e);

#endif
