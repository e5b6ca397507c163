#ifndef WORKERS_FORMATS_ALPHABET_H
#define WORKERS_FORMATS_ALPHABET_H

#include "proto/bytes.h"

/* GPT-2's way to write bytes as text (Radford et al. 2019, encoder.py, bytes_to_unicode): bytes
 * that print stand for themselves as Latin-1, the other 68 for U+0100 and what follows. */

int alphabet_write(struct buf *out, const void *bytes, size_t n); /* E_NOMEM */
/* Appends the bytes; false: a character that stands for none, or no UTF-8. *out is then as it was.
 * A want of memory is told as E_NOMEM in *rc. */
bool alphabet_read(struct buf *out, const void *text, size_t n, int *rc);

#endif
