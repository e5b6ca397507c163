#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

/* Bytes that belong to someone else. */
struct span {
    const void *p;
    size_t n;
};

/* A buffer that grows. Zero-initialise; buf_free when done. */
struct buf {
    char *p; /* always NUL-terminated once anything was added */
    size_t n, cap;
};
int buf_add(struct buf *b, const void *p, size_t n); /* copies; OK or E_NOMEM, b unchanged then */
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_free(struct buf *b);

/* An artifact's, chunk's or task's name: SHA-256. */
struct id {
    uint8_t b[32];
};
#define ID_HEX 65 /* with the NUL */
void id_hex(char out[ID_HEX], const struct id *id);
bool id_parse(struct id *out, const char *hex);             /* exactly 64 lower-case hex digits */
bool id_from_span(struct id *out, const void *p, size_t n); /* n must be 32 */
bool id_equal(const struct id *a, const struct id *b);

/* SHA-256, in one go or streamed. */
void sha256(struct id *out, const void *p, size_t n);
void sha256_each(struct id *out, const struct span *in, size_t n); /* quicker than one by one */
struct sha256;
int sha256_new(struct sha256 **out, struct err *e);
void sha256_add(struct sha256 *h, const void *p, size_t n);
void sha256_end(struct sha256 *h, struct id *out); /* frees h */

/* Reads a whole file of at most `limit` bytes; *out is malloc'ed and NUL-terminated. */
int file_read(char **out, size_t *n, const char *path, size_t limit, struct err *e);
/* Writes path by way of a temporary file, fsync and rename: path has the old or the new bytes. */
int file_write(const char *path, const void *p, size_t n, struct err *e);

#endif
