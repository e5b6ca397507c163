#include "proto/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for n more bytes and a NUL. */
static int buf_reserve(struct buf *b, size_t n)
{
    size_t cap = b->cap ? b->cap : 64;
    char *p;

    if (n >= SIZE_MAX / 2 - b->n)
        return E_NOMEM;
    while (cap < b->n + n + 1)
        cap *= 2;
    if (cap == b->cap)
        return OK;
    p = realloc(b->p, cap);
    if (!p)
        return E_NOMEM;
    b->p = p;
    b->cap = cap;
    return OK;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    if (buf_reserve(b, n) != OK)
        return E_NOMEM;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
    return OK;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || buf_reserve(b, (size_t)n) != OK)
        return E_NOMEM;
    va_start(ap, fmt);
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
    return OK;
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ 0 };
}

void id_hex(char out[ID_HEX], const struct id *id)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < sizeof id->b; i++) {
        out[2 * i] = digits[id->b[i] >> 4];
        out[2 * i + 1] = digits[id->b[i] & 15];
    }
    out[ID_HEX - 1] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool id_parse(struct id *out, const char *hex)
{
    struct id id;

    if (strlen(hex) != ID_HEX - 1)
        return false;
    for (size_t i = 0; i < sizeof id.b; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        id.b[i] = (uint8_t)(high << 4 | low);
    }
    *out = id;
    return true;
}

bool id_from_span(struct id *out, const void *p, size_t n)
{
    if (n != sizeof out->b)
        return false;
    memcpy(out->b, p, n);
    return true;
}

bool id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}
