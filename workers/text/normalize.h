#ifndef WORKERS_TEXT_NORMALIZE_H
#define WORKERS_TEXT_NORMALIZE_H

#include "proto/bytes.h"

/* Unicode's normal form C (Unicode Standard Annex #15), of the version that the library knows: what
 * a form is never changes once its characters are assigned. Appends to out; bytes that are no UTF-8
 * stay as they are. E_NOMEM. */
int normalize_nfc(struct buf *out, const char *text, size_t n);

#endif
