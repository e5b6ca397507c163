#include "workers/text/source.h"

#include <stdlib.h>
#include <string.h>

#include "workers/text/unpack.h"

#define RECORD_LIMIT ((size_t)64 << 20) /* bytes of one line or value */

struct source {
    const char *path;
    struct unpacker *unpacker;
    struct decoder *decoder;
    struct buf window; /* decoded; at: what was read of it */
    size_t at, line;
    bool ended;
};

int source_open(struct source **out, const char *path, struct bytes_in in,
    Reading__Encoding declared, struct err *e)
{
    struct source *s = calloc(1, sizeof *s);
    int rc = s ? unpacker_new(&s->unpacker, in, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = decoder_new(&s->decoder, (struct bytes_in){ unpacker_next, s->unpacker }, declared, e);
    if (rc != OK) {
        source_close(s);
        return rc;
    }
    if (buf_add(&s->window, "", 1) != OK) { /* from here on it has a place */
        source_close(s);
        return err_set(e, E_NOMEM, "out of memory");
    }
    s->window.n = 0;
    s->path = path;
    s->line = 1;
    *out = s;
    return OK;
}

void source_close(struct source *s)
{
    if (!s)
        return;
    decoder_free(s->decoder);
    unpacker_free(s->unpacker);
    buf_free(&s->window);
    free(s);
}

const char *source_path(const struct source *s)
{
    return s->path;
}

size_t source_line(const struct source *s)
{
    return s->line;
}

Reading__Encoding source_encoding(const struct source *s)
{
    return decoder_encoding(s->decoder);
}

const char *source_packed(const struct source *s)
{
    return unpacker_name(s->unpacker);
}

static size_t ends_with(const char *p, size_t n, const char *ending)
{
    size_t m = strlen(ending);

    return n >= m && strncasecmp(p + n - m, ending, m) == 0 ? m : 0;
}

bool source_has_ending(const struct source *s, const char *ending)
{
    size_t n = strlen(s->path);

    n -= ends_with(s->path, n, ".gz");
    n -= ends_with(s->path, n, ".zst");
    return ends_with(s->path, n, ending) > 0;
}

bool source_named_records(const struct source *s)
{
    static const char *const endings[] = { ".json", ".jsonl", ".ndjson", ".csv", ".tsv" };

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (source_has_ending(s, endings[i]))
            return true;
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool text_blank(const char *p, size_t n)
{
    while (n > 0 && is_space(*p)) {
        p++;
        n--;
    }
    return n == 0;
}

bool text_undecodable(struct span text)
{
    return text.n > 0 && memchr(text.p, UNDECODABLE, text.n);
}

/* ---- the window ---- */

/* More text behind what there is; what was read makes room when it is the larger part. */
static int fill(struct source *s, struct err *e)
{
    struct span part;
    int rc;

    if (s->window.n - s->at > RECORD_LIMIT)
        return err_set(e, E_INPUT, "a record of more than %zu MiB", RECORD_LIMIT >> 20);
    if (s->at > s->window.n / 2) {
        memmove(s->window.p, s->window.p + s->at, s->window.n - s->at);
        s->window.n -= s->at;
        s->at = 0;
    }
    rc = decoder_next(s->decoder, &part, e);
    if (rc == OK && buf_add(&s->window, part.p, part.n) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    s->ended = rc == OK && part.n == 0;
    return rc;
}

int source_next_line(struct source *s, struct span *out, struct err *e)
{
    size_t seen = 0;
    int rc = OK;

    *out = (struct span){ 0 };
    for (;;) {
        const char *p = s->window.p + s->at;
        size_t n = s->window.n - s->at;
        const char *end = n > seen ? memchr(p + seen, '\n', n - seen) : NULL;
        if (end || (s->ended && n > 0)) {
            n = end ? (size_t)(end - p) : n;
            *out = (struct span){ p, n };
            s->at += n + (end != NULL);
            s->line++;
            return OK;
        }
        if (s->ended)
            return OK;
        seen = n;
        rc = fill(s, e);
        if (rc != OK)
            return rc;
    }
}

int source_peek(struct source *s, char *out, struct err *e)
{
    int rc = OK;

    for (;;) {
        for (; s->at < s->window.n && is_space(s->window.p[s->at]); s->at++)
            s->line += s->window.p[s->at] == '\n';
        if (s->at < s->window.n || s->ended || rc != OK)
            break;
        rc = fill(s, e);
    }
    *out = s->at < s->window.n ? s->window.p[s->at] : '\0';
    return rc;
}

void source_skip(struct source *s)
{
    s->at++;
}

/* How far a value was scanned. */
struct scan {
    size_t at, depth;
    bool quoted;
};

/* True when the value's end was found: it is then `at`. */
static bool scan_value(struct scan *c, const char *p, size_t n)
{
    for (; c->at < n; c->at++) {
        char b = p[c->at];
        if (c->quoted) {
            if (b == '\\' && c->at + 1 >= n)
                return false; /* what is escaped comes with the next piece */
            c->quoted = b != '"';
            c->at += b == '\\';
        } else if (b == '{' || b == '[') {
            c->depth++;
        } else if (b == '}' || b == ']') {
            if (c->depth <= 1) {
                c->at += c->depth == 1;
                return true;
            }
            c->depth--;
        } else if (c->depth == 0 && (b == ',' || is_space(b))) {
            return true;
        } else {
            c->quoted = b == '"';
        }
    }
    return false;
}

int source_next_value(struct source *s, struct span *out, bool *ends, struct err *e)
{
    struct scan c = { 0 };
    int rc = OK;

    while (!(*ends = scan_value(&c, s->window.p + s->at, s->window.n - s->at)) && !s->ended &&
           rc == OK)
        rc = fill(s, e);
    if (rc != OK)
        return rc;
    *ends |= c.depth == 0 && !c.quoted; /* a number at the very end */
    *out = (struct span){ s->window.p + s->at, c.at };
    for (size_t i = 0; i < c.at; i++)
        s->line += s->window.p[s->at + i] == '\n';
    s->at += c.at;
    return OK;
}

int source_holds_lines(struct source *s, bool *out, struct err *e)
{
    struct scan c = { 0 };
    size_t n = s->window.n - s->at;
    const char *end = n > 0 ? memchr(s->window.p + s->at, '\n', n) : NULL;
    int rc = OK;

    while (!end && !s->ended && rc == OK) {
        rc = fill(s, e);
        n = s->window.n - s->at;
        end = n > 0 ? memchr(s->window.p + s->at, '\n', n) : NULL;
    }
    n = end ? (size_t)(end - (s->window.p + s->at)) : n;
    *out = scan_value(&c, s->window.p + s->at, n);
    return rc;
}
