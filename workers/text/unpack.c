#include "workers/text/unpack.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define OUT_SIZE ((size_t)256 << 10)

struct unpacker {
    struct bytes_in in;
    const struct method *method; /* NULL: not packed */
    struct span left;            /* of what came in */
    struct span first, rest;     /* the bytes that tell the method, and those behind them */
    uint8_t head[4];
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool open, inside; /* inside: a stream has begun and has not ended */
    bool behind;       /* a whole stream came before, and of this one nothing has come out */
    bool ended;        /* nothing more comes in */
    uint8_t out[OUT_SIZE];
};

/* ---- the methods ---- */

static int gzip_open(struct unpacker *u)
{
    return inflateInit2(&u->gzip, 15 + 16) == Z_OK ? OK : E_NOMEM;
}

static void gzip_close(struct unpacker *u)
{
    inflateEnd(&u->gzip);
}

static const char *gzip_step(struct unpacker *u, size_t *n)
{
    u->gzip.next_in = (uint8_t *)(uintptr_t)u->left.p;
    u->gzip.avail_in = (uInt)u->left.n;
    u->gzip.next_out = u->out;
    u->gzip.avail_out = OUT_SIZE;
    int rc = inflate(&u->gzip, Z_NO_FLUSH);
    u->left = (struct span){ u->gzip.next_in, u->gzip.avail_in };
    *n = OUT_SIZE - u->gzip.avail_out;
    u->inside = rc != Z_STREAM_END;
    if (rc == Z_STREAM_END)
        inflateReset(&u->gzip);
    if (rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR)
        return NULL;
    return u->gzip.msg ? u->gzip.msg : "damaged";
}

static int zstd_open(struct unpacker *u)
{
    u->zstd = ZSTD_createDStream();
    return u->zstd ? OK : E_NOMEM;
}

static void zstd_close(struct unpacker *u)
{
    ZSTD_freeDStream(u->zstd);
}

static const char *zstd_step(struct unpacker *u, size_t *n)
{
    ZSTD_inBuffer in = { u->left.p, u->left.n, 0 };
    ZSTD_outBuffer out = { u->out, OUT_SIZE, 0 };
    size_t rc = ZSTD_decompressStream(u->zstd, &out, &in);

    u->left = (struct span){ (const uint8_t *)in.src + in.pos, in.size - in.pos };
    *n = out.pos;
    u->inside = rc != 0;
    return ZSTD_isError(rc) ? ZSTD_getErrorName(rc) : NULL;
}

/* A step takes from `left` and gives *n bytes in `out`; NULL, or what is wrong. */
static const struct method {
    const char *name, *magic;
    size_t n;
    int (*open)(struct unpacker *u);
    void (*close)(struct unpacker *u);
    const char *(*step)(struct unpacker *u, size_t *n);
} methods[] = {
    { "gzip", "\x1f\x8b", 2, gzip_open, gzip_close, gzip_step },
    { "zstd", "\x28\xb5\x2f\xfd", 4, zstd_open, zstd_close, zstd_step },
};

/* ---- the stream ---- */

static int more(struct unpacker *u, struct err *e)
{
    u->left = (struct span){ 0 };
    int rc = u->ended ? OK : u->in.next(u->in.ctx, &u->left, e);

    u->ended |= rc == OK && u->left.n == 0;
    return rc;
}

/* A piece may be shorter than the longest magic. */
static int read_head(struct unpacker *u, struct err *e)
{
    size_t n = 0, take;
    int rc = more(u, e);

    while (rc == OK && !u->ended && n < sizeof u->head) {
        take = u->left.n < sizeof u->head - n ? u->left.n : sizeof u->head - n;
        memcpy(u->head + n, u->left.p, take);
        u->left.p = (const uint8_t *)u->left.p + take;
        u->left.n -= take;
        n += take;
        if (u->left.n == 0 && n < sizeof u->head)
            rc = more(u, e);
    }
    u->first = (struct span){ u->head, n };
    u->rest = u->left;
    u->left = (struct span){ 0 };
    return rc;
}

int unpacker_new(struct unpacker **out, struct bytes_in in, struct err *e)
{
    struct unpacker *u = calloc(1, sizeof *u);
    int rc = u ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        u->in = in;
        rc = read_head(u, e);
    }
    for (size_t i = 0; rc == OK && i < sizeof methods / sizeof *methods && !u->method; i++)
        if (u->first.n >= methods[i].n && memcmp(u->head, methods[i].magic, methods[i].n) == 0)
            u->method = &methods[i];
    if (rc == OK && u->method) {
        u->open = u->method->open(u) == OK;
        rc = u->open ? OK : err_set(e, E_NOMEM, "out of memory");
    }
    if (rc == OK)
        *out = u;
    else
        unpacker_free(u);
    return rc;
}

void unpacker_free(struct unpacker *u)
{
    if (u && u->open)
        u->method->close(u);
    free(u);
}

const char *unpacker_name(const struct unpacker *u)
{
    return u->method ? u->method->name : NULL;
}

/* What comes in, the head again before all. */
static int raw_next(struct unpacker *u, struct err *e)
{
    struct span *kept = u->first.n > 0 ? &u->first : &u->rest;

    if (kept->n == 0)
        return more(u, e);
    u->left = *kept;
    *kept = (struct span){ 0 };
    return OK;
}

int unpacker_next(void *unpacker, struct span *out, struct err *e)
{
    struct unpacker *u = unpacker;
    const char *why = NULL;
    size_t n = 0;
    int rc = OK;

    if (!u->method) {
        rc = raw_next(u, e);
        *out = u->left;
        return rc;
    }
    while (rc == OK && n == 0) {
        if (u->left.n == 0)
            rc = raw_next(u, e);
        bool starved = u->left.n == 0;
        if (rc != OK || (starved && !u->inside))
            break;
        why = u->method->step(u, &n);
        if (why && u->behind)
            why = "other bytes stand behind what is packed";
        if (why)
            return err_set(e, E_INPUT, "%s: %s", u->method->name, why);
        u->behind = !u->inside || (u->behind && n == 0);
        if (n == 0 && starved && u->inside)
            return err_set(e, E_INPUT, "%s: it ends too early: was it cut off?", u->method->name);
    }
    *out = (struct span){ u->out, n };
    return rc;
}
