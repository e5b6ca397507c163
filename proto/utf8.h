#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

/* Decodes one character of p[0..n): its length in bytes (1-4) and *code, or 0 when the bytes are
 * no well-formed UTF-8 character (overlong, surrogate, above U+10FFFF, cut). n > 0. */
size_t utf8_decode(uint32_t *code, const void *p, size_t n);

bool utf8_valid(const void *p, size_t n);

/* Length of the longest prefix that ends at a character boundary: cuts a trailing, incomplete
 * character. Malformed bytes elsewhere count as characters of one byte. */
size_t utf8_whole(const void *p, size_t n);

/* Characters in p[0..n); a malformed byte counts as one. */
size_t utf8_count(const void *p, size_t n);

/* Columns on a terminal, from a width table of our own: East Asian wide and fullwidth 2,
 * combining 0, all else 1. */
int utf8_columns(const char *s);

/* Longest prefix of s of at most `columns` columns, in bytes. */
size_t utf8_fit(const char *s, int columns);

/* Appends p[0..n) with control bytes and malformed bytes escaped (\n, \t, \x1b …), so that
 * text from models and files cannot drive a terminal. */
int utf8_escape(struct buf *out, const void *p, size_t n);

#endif
