#include "workers/formats/alphabet.h"

#include "proto/utf8.h"

static bool prints(uint32_t byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
}

/* code[b] of byte b, the bytes that do not print numbered in order. */
static uint32_t code_of(uint8_t byte)
{
    uint32_t before = 0;

    if (prints(byte))
        return byte;
    for (uint32_t b = 0; b < byte; b++)
        before += !prints(b);
    return 256 + before;
}

int alphabet_write(struct buf *out, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < n; i++) {
        uint32_t code = code_of(p[i]);
        const char two[2] = { (char)(0xc0 | code >> 6), (char)(0x80 | (code & 63)) };
        const char one = (char)code;
        if (buf_add(out, code < 128 ? &one : two, code < 128 ? 1 : 2) != OK)
            return E_NOMEM;
    }
    return OK;
}

static bool byte_of(uint32_t code, uint8_t *out)
{
    if (code < 256) {
        *out = (uint8_t)code;
        return prints(code);
    }
    for (unsigned b = 0; b < 256; b++)
        if (code_of((uint8_t)b) == code) {
            *out = (uint8_t)b;
            return true;
        }
    return false;
}

bool alphabet_read(struct buf *out, const void *text, size_t n, int *rc)
{
    const char *p = text;
    size_t before = out->n, length;
    uint32_t code;
    uint8_t byte;

    *rc = OK;
    for (size_t at = 0; at < n; at += length) {
        length = utf8_decode(&code, p + at, n - at);
        if (length == 0 || !byte_of(code, &byte)) {
            out->n = before;
            return false;
        }
        if (buf_add(out, &byte, 1) != OK) {
            *rc = E_NOMEM;
            return true;
        }
    }
    return true;
}
