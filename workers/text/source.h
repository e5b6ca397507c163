#ifndef WORKERS_TEXT_SOURCE_H
#define WORKERS_TEXT_SOURCE_H

#include "proto/json.h"
#include "workers/text/bytes_in.h"
#include "workers/text/decoder.h"

/* A person's file as text: unpacked, in UTF-8, with lines ended by LF; read line by line or value
 * by value, so that memory holds one of them at a time. */
struct source;

/* Borrows path, and in until source_close. E_INPUT: no text, or damaged. */
int source_open(struct source **out, const char *path, struct bytes_in in,
    Reading__Encoding declared, struct err *e);
void source_close(struct source *s);

const char *source_path(const struct source *s);
size_t source_line(const struct source *s); /* number of the line that comes next, from 1 */
Reading__Encoding source_encoding(const struct source *s);
const char *source_packed(const struct source *s); /* "gzip", "zstd"; NULL: it is not */
/* Of its name, without .gz and .zst: ".jsonl". */
bool source_has_ending(const struct source *s, const char *ending);

bool source_named_records(const struct source *s); /* .json, .jsonl, .ndjson, .csv, .tsv */

/* The next line without its end, blank ones too; borrowed until the next call. out->p NULL with OK:
 * there is none. E_INPUT: it is longer than 64 MiB. */
int source_next_line(struct source *s, struct span *out, struct err *e);
/* Skips spaces and line ends; the character that comes then, still to be read; 0: the end. */
int source_peek(struct source *s, char *out, struct err *e);
void source_skip(struct source *s); /* one character that source_peek has shown */
/* The JSON value that begins here, cut by its brackets and quotes and not yet parsed. *ends: false
 * when the file ends inside it. */
int source_next_value(struct source *s, struct span *out, bool *ends, struct err *e);
/* True when the value that begins here ends on its own line: JSON Lines. */
int source_holds_lines(struct source *s, bool *out, struct err *e);

bool text_blank(const char *p, size_t n); /* nothing but spaces, tabs and line ends */
bool text_undecodable(struct span text);  /* holds UNDECODABLE */

#endif
