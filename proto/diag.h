#ifndef PROTO_DIAG_H
#define PROTO_DIAG_H

#include <stddef.h>
#include <stdio.h>

#include "proto/bytes.h"

/* Everything that is wrong with one file, found in one pass.
 *
 *   error: unknown key 'stepps'
 *     --> chat.yaml:12:5
 *      |
 *   12 |     stepps: 600
 *      |     ^^^^^^
 *      = help: did you mean 'steps'?
 */
struct diags;

struct diags *diags_new(void); /* NULL: out of memory */
void diags_free(struct diags *d);

/* Names the text that later positions are about; copies both. Several files may be named, in
 * turn: diags_add is about the last one. */
int diags_file(struct diags *d, const char *name, const char *text, size_t n);

/* line and column count from 1, column in characters; 0, 0: about the file as a whole.
 * width: columns that the caret underlines, at least 1. help may be NULL. Copies. At most
 * 100 are kept; the rest are counted. */
void diags_add(struct diags *d, int line, int column, int width, const char *help, const char *fmt,
    ...) __attribute__((format(printf, 6, 7)));

size_t diags_count(const struct diags *d);
int diags_print(const struct diags *d, struct buf *out); /* sorted by file and place */

/* The word of words[0..n) nearest to `word` by edit distance, or NULL when none is near. */
const char *diag_nearest(const char *word, const char *const *words, size_t n);

#endif
