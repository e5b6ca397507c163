#include "workers/text/decoder.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

#define SAMPLE ((size_t)1 << 20) /* bytes that an encoding is told by */

struct decoder {
    struct bytes_in in;
    Reading__Encoding encoding;
    iconv_t convert;    /* (iconv_t)-1: UTF-8 */
    struct buf pending; /* came in, not yet converted */
    struct buf out;
    bool ended, return_held; /* a CR waits for what comes behind it */
};

/* ---- opening: a sample, and what it is in ---- */

static int read_sample(struct decoder *d, struct err *e)
{
    struct span part;
    int rc = OK;

    while (rc == OK && !d->ended && d->pending.n < SAMPLE) {
        rc = d->in.next(d->in.ctx, &part, e);
        d->ended = rc == OK && part.n == 0;
        if (rc == OK && buf_add(&d->pending, part.p, part.n) != OK)
            rc = err_set(e, E_NOMEM, "out of memory");
    }
    return rc;
}

static void drop_pending(struct decoder *d, size_t n)
{
    memmove(d->pending.p, d->pending.p + n, d->pending.n - n);
    d->pending.n -= n;
}

static int choose(struct decoder *d, Reading__Encoding declared, struct err *e)
{
    struct span sample = { d->pending.p, d->pending.n };
    size_t mark;
    int rc = OK;

    d->encoding = encoding_of_mark(sample, &mark);
    if (d->encoding == READING__ENCODING__DETECT)
        d->encoding = declared;
    if (d->encoding == READING__ENCODING__DETECT)
        rc = encoding_detect(&d->encoding, sample, e);
    if (rc != OK)
        return rc;
    if (mark > 0)
        drop_pending(d, mark);
    const char *name = encoding_iconv_name(d->encoding);
    if (name && (d->convert = iconv_open("UTF-8", name)) == (iconv_t)-1)
        return err_set(e, E_INPUT, "this system's iconv cannot convert from %s", name);
    return OK;
}

int decoder_new(struct decoder **out, struct bytes_in in, Reading__Encoding declared, struct err *e)
{
    struct decoder *d = calloc(1, sizeof *d);
    int rc = d ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        d->in = in;
        d->convert = (iconv_t)-1;
        rc = read_sample(d, e);
    }
    if (rc == OK)
        rc = choose(d, declared, e);
    if (rc == OK)
        *out = d;
    else
        decoder_free(d);
    return rc;
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    if (d->convert != (iconv_t)-1)
        iconv_close(d->convert);
    buf_free(&d->pending);
    buf_free(&d->out);
    free(d);
}

Reading__Encoding decoder_encoding(const struct decoder *d)
{
    return d->encoding;
}

/* ---- converting ---- */

static int add_undecodable(struct decoder *d)
{
    return buf_add(&d->out, (const char[]){ (char)UNDECODABLE }, 1);
}

/* Copies what is well-formed; *taken: all but a character that may go on in the next piece. */
static int copy_utf8(struct decoder *d, size_t *taken)
{
    const char *p = d->pending.p;
    size_t n = d->ended ? d->pending.n : utf8_whole(p, d->pending.n), from = 0, at = 0;
    uint32_t code;
    int rc = OK;

    while (at < n && rc == OK) {
        size_t length = (uint8_t)p[at] < 0x80 ? 1 : utf8_decode(&code, p + at, n - at);
        if (length == 0) {
            rc = buf_add(&d->out, p + from, at - from);
            if (rc == OK)
                rc = add_undecodable(d);
            from = at + 1;
            length = 1;
        }
        at += length;
    }
    *taken = n;
    return rc == OK ? buf_add(&d->out, p + from, n - from) : rc;
}

static int convert(struct decoder *d, size_t *taken)
{
    char block[65536], *in = d->pending.p;
    bool wide =
        d->encoding == READING__ENCODING__UTF16LE || d->encoding == READING__ENCODING__UTF16BE;
    size_t left = d->pending.n, unit = wide ? 2 : 1;
    int rc = OK;

    while (left > 0 && rc == OK) {
        char *out = block;
        size_t room = sizeof block;
        size_t converted = iconv(d->convert, &in, &left, &out, &room);
        int why = converted == (size_t)-1 ? errno : 0;
        rc = buf_add(&d->out, block, (size_t)(out - block));
        if (why == EINVAL && !d->ended)
            break; /* goes on in the next piece */
        if (rc == OK && (why == EILSEQ || why == EINVAL)) {
            rc = add_undecodable(d);
            in += left < unit ? left : unit;
            left -= left < unit ? left : unit;
        }
    }
    *taken = d->pending.n - left;
    return rc;
}

/* CR LF → LF within out; a CR at its end is held back. */
static void unify_line_ends(struct decoder *d)
{
    char *p = d->out.p;
    size_t n = d->out.n, to = 0;

    d->return_held = !d->ended && n > 0 && p[n - 1] == '\r';
    n -= d->return_held;
    if (n == 0 || !memchr(p, '\r', n)) {
        d->out.n = n;
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (p[i] != '\r' || i + 1 >= n || p[i + 1] != '\n')
            p[to++] = p[i];
    d->out.n = to;
}

static int step(struct decoder *d, struct err *e)
{
    size_t taken = 0;
    int rc = OK;

    d->out.n = 0;
    if (d->return_held)
        rc = buf_add(&d->out, "\r", 1);
    if (rc == OK && d->pending.n > 0)
        rc = d->convert == (iconv_t)-1 ? copy_utf8(d, &taken) : convert(d, &taken);
    if (rc != OK)
        return err_set(e, E_NOMEM, "out of memory");
    if (taken > 0)
        drop_pending(d, taken);
    unify_line_ends(d);
    return OK;
}

int decoder_next(void *decoder, struct span *out, struct err *e)
{
    struct decoder *d = decoder;
    struct span part;
    bool last;
    int rc;

    do {
        last = d->ended;
        rc = step(d, e);
        if (rc == OK && !last) {
            rc = d->in.next(d->in.ctx, &part, e);
            d->ended = rc == OK && part.n == 0;
            if (rc == OK && part.n > 0 && buf_add(&d->pending, part.p, part.n) != OK)
                rc = err_set(e, E_NOMEM, "out of memory");
        }
    } while (rc == OK && d->out.n == 0 && !last);
    *out = (struct span){ d->out.p, d->out.n };
    return rc;
}
