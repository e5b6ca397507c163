#ifndef WORKERS_TEXT_SOURCE_H
#define WORKERS_TEXT_SOURCE_H

#include "proto/json.h"

/* A person's text file made ready: UTF-8 without BOM, lines ended by LF. */
struct source {
    const char *path; /* borrowed */
    const char *p;
    size_t n;
    struct buf own; /* holds p when line ends had to change */
};

/* Borrows path and bytes until source_close. A file that is not UTF-8 is E_INPUT with line and
 * byte, and a guess at what it is. */
int source_open(struct source *out, const char *path, struct span bytes, struct err *e);
void source_close(struct source *s);

bool source_has_ending(const struct source *s, const char *ending); /* of its name: ".jsonl" */
size_t line_length(const char *p, size_t n);                        /* up to the first LF, or n */
bool text_blank(const char *p, size_t n); /* nothing but spaces, tabs and line ends */

/* Calls each() for the objects of a JSON array, of JSON Lines (blank lines are skipped), or for
 * the one object that the file is; its name does not matter. E_INPUT of each() and of the JSON
 * itself begin with path and line. A nonzero return of each() stops and is returned. */
int source_records(const struct source *s,
    int (*each)(void *ctx, const struct json *record, struct err *e), void *ctx, struct err *e);

/* Calls each() for every line that is not blank, without its line end; E_INPUT as above. */
int source_lines(const struct source *s,
    int (*each)(void *ctx, const char *line, size_t n, struct err *e), void *ctx, struct err *e);

#endif
