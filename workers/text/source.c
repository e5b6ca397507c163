#include "workers/text/source.h"

#include <string.h>

#include "proto/utf8.h"

/* ---- encoding ---- */

static const struct signature {
    const char *bytes;
    size_t n;
    const char *what, *remedy;
} signatures[] = {
    { "\xff\xfe", 2, "UTF-16 (little-endian)", "convert it to UTF-8" },
    { "\xfe\xff", 2, "UTF-16 (big-endian)", "convert it to UTF-8" },
    { "\x1f\x8b", 2, "gzip", "unpack it" },
    { "\x28\xb5\x2f\xfd", 4, "zstd", "unpack it" },
    { "PK\x03\x04", 4, "a zip archive", "unpack it" },
};
static const struct signature utf16 = { "", 0, "UTF-16 without BOM", "convert it to UTF-8" };
static const struct signature binary = { "", 0, "a binary file", "give a text file" };
static const struct signature gbk = { "", 0, "GBK (GB 18030)", "convert it to UTF-8" };
static const struct signature latin = { "", 0, "Latin-1 or Windows-1252", "convert it to UTF-8" };

/* In GBK text bytes above 0xA0 come two by two, in Latin-1 text mostly alone. */
static const struct signature *guess_8_bit(const uint8_t *p, size_t n)
{
    size_t even = 0, odd = 0;

    for (size_t i = 0; i < n;) {
        size_t run = 0;
        while (i + run < n && p[i + run] > 0xa0)
            run++;
        if (run > 0 && run % 2 == 0)
            even++;
        odd += run % 2;
        i += run + 1;
    }
    return even > odd ? &gbk : &latin;
}

static const struct signature *guess_encoding(const uint8_t *p, size_t n)
{
    size_t zeros = 0;

    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        if (n >= signatures[i].n && memcmp(p, signatures[i].bytes, signatures[i].n) == 0)
            return &signatures[i];
    }
    for (size_t i = 0; i < n; i++)
        zeros += p[i] == 0;
    if (zeros > n / 4)
        return &utf16;
    return zeros > 0 ? &binary : guess_8_bit(p, n);
}

static int not_utf8(const char *path, struct span bytes, size_t at, struct err *e)
{
    const uint8_t *p = bytes.p;
    const struct signature *s = guess_encoding(p, bytes.n);
    size_t line = 1;

    for (size_t i = 0; i < at; i++)
        line += p[i] == '\n';
    if (utf8_whole(p, bytes.n) == at)
        return err_set(e, E_INPUT, "%s:%zu: ends inside a character at byte %zu: was it cut off?",
            path, line, at);
    return err_set(e, E_INPUT, "%s:%zu: not UTF-8 at byte %zu (0x%02x): looks like %s: %s", path,
        line, at, p[at], s->what, s->remedy);
}

/* CR LF becomes LF. */
static int unify_line_ends(struct buf *out, const char *p, size_t n)
{
    size_t from = 0;
    int rc = OK;

    for (size_t i = 0; rc == OK && i + 1 < n; i++) {
        if (p[i] != '\r' || p[i + 1] != '\n')
            continue;
        rc = buf_add(out, p + from, i - from);
        from = i + 1;
    }
    return rc == OK ? buf_add(out, p + from, n - from) : rc;
}

int source_open(struct source *out, const char *path, struct span bytes, struct err *e)
{
    const char *p = bytes.p;
    size_t n = bytes.n, zeros = 0;
    uint32_t code;

    for (size_t i = 0, length; i < n; i += length) {
        length = (uint8_t)p[i] < 0x80 ? 1 : utf8_decode(&code, p + i, n - i);
        if (length == 0)
            return not_utf8(path, bytes, i, e);
        zeros += p[i] == 0;
    }
    if (zeros > n / 4)
        return not_utf8(path, bytes, strlen(p), e);
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
        n -= 3;
    }
    *out = (struct source){ .path = path, .p = p, .n = n };
    if (n == 0 || !memchr(p, '\r', n))
        return OK;
    if (unify_line_ends(&out->own, p, n) != OK) {
        buf_free(&out->own);
        return err_set(e, E_NOMEM, "%s: out of memory", path);
    }
    out->p = out->own.p;
    out->n = out->own.n;
    return OK;
}

void source_close(struct source *s)
{
    buf_free(&s->own);
}

bool source_has_ending(const struct source *s, const char *ending)
{
    size_t n = strlen(s->path), m = strlen(ending);

    return n >= m && strcasecmp(s->path + n - m, ending) == 0;
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

/* ---- lines ---- */

size_t line_length(const char *p, size_t n)
{
    const char *end = n ? memchr(p, '\n', n) : NULL;

    return end ? (size_t)(end - p) : n;
}

/* Only what is wrong with the file is told with its place. */
static int at_line(int rc, const struct source *s, size_t line, struct err *e)
{
    return rc == E_INPUT ? err_wrap(e, "%s:%zu", s->path, line) : rc;
}

int source_lines(const struct source *s,
    int (*each)(void *ctx, const char *line, size_t n, struct err *e), void *ctx, struct err *e)
{
    size_t line = 1;
    int rc = OK;

    for (size_t at = 0, n; at < s->n && rc == OK; at += n + 1, line++) {
        n = line_length(s->p + at, s->n - at);
        if (!text_blank(s->p + at, n))
            rc = at_line(each(ctx, s->p + at, n, e), s, line, e);
    }
    return rc;
}

/* ---- JSON records ---- */

struct records {
    const struct source *s;
    int (*each)(void *ctx, const struct json *record, struct err *e);
    void *ctx;
    size_t at, line, number;
};

static int give_record(struct records *r, const struct json *record, struct err *e)
{
    if (json_kind(record) != JSON_OBJECT_)
        return err_set(e, E_INPUT, "a record must be an object, {\"field\": value, …}");
    return r->each(r->ctx, record, e);
}

static void skip_space(struct records *r)
{
    const struct source *s = r->s;

    for (; r->at < s->n && is_space(s->p[r->at]); r->at++)
        r->line += s->p[r->at] == '\n';
}

/* Where the value that begins at p ends, by its brackets and quotes; what is between them is left
 * to the parser. n when it does not end. */
static size_t value_length(const char *p, size_t n)
{
    size_t depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < n; i++) {
        if (quoted) {
            quoted = p[i] != '"';
            i += p[i] == '\\';
        } else if (p[i] == '{' || p[i] == '[') {
            depth++;
        } else if (p[i] == '}' || p[i] == ']') {
            if (depth == 0)
                return i;
            if (--depth == 0)
                return i + 1;
        } else if (depth == 0 && (p[i] == ',' || is_space(p[i]))) {
            return i;
        } else {
            quoted = p[i] == '"';
        }
    }
    return n;
}

/* The file as one value: the parser tells the place in it. */
static int parse_whole(struct json **out, const struct source *s, struct err *e)
{
    int rc = json_parse(out, s->p, s->n, e);

    return rc == E_INPUT ? err_set(e, rc, "%s:%s", s->path, e->msg) : rc;
}

static int whole_is_wrong(const struct records *r, struct err *e)
{
    struct json *whole = NULL;
    int rc = parse_whole(&whole, r->s, e);

    json_free(whole);
    if (rc == OK)
        rc = err_set(e, E_INPUT, "%s:%zu: malformed JSON", r->s->path, r->line);
    return rc;
}

/* One element of an array, parsed by itself: memory is needed for one record at a time. */
static int array_element(struct records *r, struct err *e)
{
    const char *p = r->s->p + r->at;
    size_t n = value_length(p, r->s->n - r->at);
    struct json *record = NULL;
    int rc = json_parse(&record, p, n, e);

    if (rc != OK)
        return rc == E_INPUT ? whole_is_wrong(r, e) : rc;
    r->number++;
    rc = give_record(r, record, e);
    json_free(record);
    if (rc == E_INPUT)
        return err_wrap(e, "%s:%zu: record %zu", r->s->path, r->line, r->number);
    for (size_t i = 0; i < n; i++)
        r->line += p[i] == '\n';
    r->at += n;
    return rc;
}

static int read_array(struct records *r, struct err *e)
{
    const struct source *s = r->s;
    char next = '[';
    int rc;

    while (next != ']') {
        r->at++;
        skip_space(r);
        if (next == '[' && r->at < s->n && s->p[r->at] == ']')
            break;
        rc = array_element(r, e);
        if (rc != OK)
            return rc;
        skip_space(r);
        next = r->at < s->n ? s->p[r->at] : '\0';
        if (next != ',' && next != ']')
            return whole_is_wrong(r, e);
    }
    r->at++;
    skip_space(r);
    return r->at == s->n ? OK : whole_is_wrong(r, e);
}

static int read_line(struct records *r, const char *line, size_t n, struct err *e)
{
    struct json *record = NULL;
    int rc = json_parse(&record, line, n, e);

    if (rc == E_INPUT) /* "1:COLUMN: what": the parser has seen this line only */
        return err_set(e, rc, "%s:%zu%s", r->s->path, r->line, e->msg + strcspn(e->msg, ":"));
    if (rc == OK)
        rc = at_line(give_record(r, record, e), r->s, r->line, e);
    json_free(record);
    return rc;
}

static int read_json_lines(struct records *r, struct err *e)
{
    const struct source *s = r->s;
    int rc = OK;

    for (size_t n; r->at < s->n && rc == OK; r->at += n + 1, r->line++) {
        n = line_length(s->p + r->at, s->n - r->at);
        if (!text_blank(s->p + r->at, n))
            rc = read_line(r, s->p + r->at, n, e);
    }
    return rc;
}

static int read_object(struct records *r, struct err *e)
{
    struct json *record = NULL;
    int rc = parse_whole(&record, r->s, e);

    if (rc != OK)
        return rc;
    rc = at_line(give_record(r, record, e), r->s, r->line, e);
    json_free(record);
    return rc;
}

int source_records(const struct source *s,
    int (*each)(void *ctx, const struct json *record, struct err *e), void *ctx, struct err *e)
{
    struct records r = { .s = s, .each = each, .ctx = ctx, .line = 1 };
    size_t line, n;

    skip_space(&r);
    if (r.at == s->n)
        return err_set(e, E_INPUT, "%s:1: the file is empty", s->path);
    if (s->p[r.at] == '[')
        return read_array(&r, e);
    if (s->p[r.at] != '{')
        return err_set(e, E_INPUT, "%s:%zu: neither a JSON array nor JSON Lines", s->path, r.line);
    /* JSON Lines when the first line is a whole value; else one object over several lines. */
    line = line_length(s->p + r.at, s->n - r.at);
    n = value_length(s->p + r.at, s->n - r.at);
    return n <= line ? read_json_lines(&r, e) : read_object(&r, e);
}
