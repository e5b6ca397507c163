#ifndef WORKERS_TEXT_UNPACK_H
#define WORKERS_TEXT_UNPACK_H

#include "workers/text/bytes_in.h"

/* Files that were packed with gzip or zstd, known by their first bytes; what is neither goes
 * through as it is. Several packed streams one after the other are one file. */
struct unpacker;
int unpacker_new(struct unpacker **out, struct bytes_in in, struct err *e);
void unpacker_free(struct unpacker *u);
/* unpacker: a struct unpacker *, as bytes_in wants it. E_INPUT: damaged, or it ends too early. */
int unpacker_next(void *unpacker, struct span *out, struct err *e);
const char *unpacker_name(const struct unpacker *u); /* "gzip", "zstd"; NULL: not packed */

#endif
