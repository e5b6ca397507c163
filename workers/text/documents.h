#ifndef WORKERS_TEXT_DOCUMENTS_H
#define WORKERS_TEXT_DOCUMENTS_H

#include "store/records.h"
#include "workers/text/intake.h"
#include "workers/text/shape.h"

/* People's files (a FILES artifact) as typed records, in every shape of workers/text/shape.c, read
 * as the artifact's Reading says. Memory holds one record at a time, whatever the file's size.
 * The intake counts what becomes of each record. A broken one (E_INPUT of each() counts as such)
 * ends it, once ten are found or the input ends, with E_INPUT that names file, line and reason of
 * the first ten, and each() is not called any more; or with `on_bad_record: skip` it is left out.
 * each() gets the record to keep (freed by message_free) or borrows; a nonzero return but E_INPUT
 * stops: OK when it is positive.
 *
 * Raw text: any file that is not named as records (.json, .jsonl, .ndjson, .csv, .tsv), cut by the
 * reading's split into documents; or the texts of its records. A document of more than 8 MiB is cut
 * at the end of a line into documents. Documents that are equal byte for byte to one before, in
 * whatever input of this intake, are left out. */
int documents_each(struct intake *im, struct store *s, const struct id *files,
    int (*each)(void *ctx, const char *text, size_t n, struct err *e), void *ctx, struct err *e);

/* Turns that begin with the user's, or the system's before it, and end with the assistant's: turns
 * behind its last are left out, because nothing is learnt from them. */
int demonstrations_each(struct intake *im, struct store *s, const struct id *files,
    int (*each)(void *ctx, const struct conversation *c, struct err *e), void *ctx, struct err *e);

/* What is asked in demonstrations, rankings or records of prompts; or a text file with one for each
 * line. Accepted answers: `answers` or `answer`, a text or a list. lang is guessed from the script
 * (zh when it holds CJK ideographs, else en) when not given; id counts when not given. */
int prompts_each(struct intake *im, struct store *s, const struct id *files,
    int (*each)(void *ctx, Prompt *p, struct err *e), void *ctx, struct err *e);

/* At least two answers, ties welcome. */
int rankings_each(struct intake *im, struct store *s, const struct id *files,
    int (*each)(void *ctx, Ranking *r, struct err *e), void *ctx, struct err *e);

#endif
