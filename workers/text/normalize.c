#include "workers/text/normalize.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "proto/utf8.h"

/* Below U+0300 all is in normal form C, by itself and side by side; its first bytes are below this
 * one. */
#define FIRST_TO_COMPOSE 0xcc

static size_t plain_length(const uint8_t *p, size_t n)
{
    size_t i = 0;

    while (i < n && p[i] < FIRST_TO_COMPOSE)
        i++;
    return i;
}

static size_t valid_length(const uint8_t *p, size_t n)
{
    uint32_t code;
    size_t i = 0;

    for (size_t length; i < n && (length = utf8_decode(&code, p + i, n - i)) > 0;)
        i += length;
    return i;
}

static int add_composed(struct buf *out, const uint8_t *text, size_t n)
{
    uint8_t *composed = NULL;
    utf8proc_ssize_t length =
        utf8proc_map(text, (utf8proc_ssize_t)n, &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    int rc = length < 0 ? E_NOMEM : buf_add(out, composed, (size_t)length);

    free(composed);
    return rc;
}

int normalize_nfc(struct buf *out, const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    int rc = OK;

    if (plain_length(p, n) == n)
        return buf_add(out, text, n);
    for (size_t at = 0, length; rc == OK && at < n; at += length) {
        length = valid_length(p + at, n - at);
        rc = length > 0 ? add_composed(out, p + at, length) : buf_add(out, text + at, 1);
        length += length == 0;
    }
    return rc;
}
