#ifndef WORKERS_TEXT_ENCODING_H
#define WORKERS_TEXT_ENCODING_H

#include "proto/message.h"

/* How a file's characters are written as bytes. */

/* The name that iconv knows; NULL: UTF8 or DETECT. */
const char *encoding_iconv_name(Reading__Encoding encoding);
/* What people call it: "GBK", "Shift-JIS". */
const char *encoding_name(Reading__Encoding encoding);

/* Of a byte-order mark at the start: *n is its length; 0: there is none, and DETECT. */
Reading__Encoding encoding_of_mark(struct span start, size_t *n);

/* Tells the encoding of a file by its first bytes, when that is safe: UTF-8 that is well-formed but
 * for a few bytes, UTF-16 by its zeros, else the one encoding in which nearly all that is no ASCII
 * is what people write often. E_INPUT says what it is, or how to declare it. */
int encoding_detect(Reading__Encoding *out, struct span start, struct err *e);

#endif
