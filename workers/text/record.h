#ifndef WORKERS_TEXT_RECORD_H
#define WORKERS_TEXT_RECORD_H

#include "proto/message.h"
#include "workers/text/source.h"

/* A record of a person's file: an object of JSON or JSON Lines, or a row of CSV or TSV under its
 * header. */
struct record {
    const struct json *json;
    const Format *format; /* NULL: fields are called what they are called */
    uint64_t *read;       /* NULL, or bit i gets set when the i-th of the first 64 fields is read */
};

/* The field that a pipeline calls `name`; NULL: there is none, or it is null. With a format no
 * field counts but those it names. */
const struct json *record_get(const struct record *r, const char *name);
/* All fields are looked at. */
void record_read_all(const struct record *r);
/* *out borrows from the record; NULL when the field is absent. E_INPUT: no string. */
int record_text(const char **out, const struct record *r, const char *name, struct err *e);
/* The same for the first of `names` (NULL-terminated) that is there; *name: which. */
int record_text_of(const char **out, const char **name, const struct record *r,
    const char *const *names, struct err *e);
/* The names of its fields, quoted, with commas between them, cut to a line. */
int record_fields(struct buf *out, const struct record *r);

struct intake;
enum fate;
/* Calls each() for all records of s and settles each with the intake: E_INPUT is a broken record,
 * and what was broken in the file itself is one too. Objects of an array, JSON Lines (blank lines
 * are skipped), one object, or rows by a file's name (.csv, .tsv); nothing else of the name counts.
 * A nonzero return but E_INPUT stops and is returned. */
int records_each(struct source *s, struct intake *im, const Format *format,
    int (*each)(void *ctx, const struct record *r, enum fate *fate, struct err *e), void *ctx,
    struct err *e);

#endif
