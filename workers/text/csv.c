#include "workers/text/csv.h"

#include <stdlib.h>
#include <string.h>

#define CELLS_MAX 1024
#define ROW_LIMIT ((size_t)64 << 20) /* bytes, however many lines */

struct cells {
    char *at[CELLS_MAX]; /* NUL-terminated, in the row's own bytes */
    size_t n;
};

struct table {
    struct source *s;
    char separator;
    struct buf header, row, object;
    struct cells names, cells;
};

/* ---- a row: one or more lines ---- */

/* Follows a row's quotes: one opens a cell only where the cell begins, as take_cell reads it. */
struct quotes {
    bool within; /* a cell in quotes */
    bool begun;  /* a cell: a quote is a character of it */
};

static bool is_separator(const struct table *t, char c)
{
    return t->separator ? c == t->separator : c == ',' || c == ';' || c == '\t';
}

/* True when the row ends with this line. */
static bool ends_row(const struct table *t, struct quotes *q, struct span line)
{
    const char *p = line.p;

    for (size_t i = 0; i < line.n; i++) {
        if (p[i] == '"' && (q->within || !q->begun))
            q->within = !q->within; /* a doubled one: out and in again */
        else if (q->within)
            continue;
        else
            q->begun = !is_separator(t, p[i]);
    }
    return !q->within;
}

/* *out gets the row's lines with LF between them; *line: the first's number. n = 0: the end. */
static int read_row(struct table *t, struct buf *out, size_t *line, struct err *e)
{
    struct span text = { 0 };
    struct quotes quotes = { 0 };
    int rc = OK;

    out->n = 0;
    do {
        if (out->n == 0)
            *line = source_line(t->s);
        rc = source_next_line(t->s, &text, e);
        if (rc != OK || !text.p)
            break;
        if (out->n == 0 && text_blank(text.p, text.n))
            continue;
        if ((out->n > 0 && buf_add(out, "\n", 1) != OK) || buf_add(out, text.p, text.n) != OK)
            return err_set(e, E_NOMEM, "out of memory");
        if (out->n > ROW_LIMIT)
            return err_set(e, E_INPUT, "a row of more than %zu MiB", ROW_LIMIT >> 20);
    } while (out->n == 0 || !ends_row(t, &quotes, text));
    return rc;
}

/* One cell of p, unquoted in place; *end: what comes behind it. */
static int take_cell(char **end, char *p, char separator, struct err *e)
{
    char *to = p, *from = p;

    if (*p != '"') {
        *end = p + strcspn(p, (const char[]){ separator, '\0' });
        return OK;
    }
    for (from++; *from && !(*from == '"' && from[1] != '"'); from++) {
        from += *from == '"';
        *to++ = *from;
    }
    if (!*from)
        return err_set(e, E_INPUT, "a cell in quotes does not end");
    from++;
    if (*from && *from != separator)
        return err_set(e, E_INPUT, "something stands behind a cell in quotes");
    *end = from;
    memset(to, '\0', (size_t)(from - to));
    return OK;
}

static int cut(struct cells *out, struct buf *row, char separator, struct err *e)
{
    char *p = row->p, *end = NULL;

    out->n = 0;
    if (memchr(row->p, '\0', row->n))
        return err_set(e, E_INPUT, "it holds a NUL byte");
    for (;;) {
        if (out->n == CELLS_MAX)
            return err_set(e, E_INPUT, "more than %d cells", CELLS_MAX);
        if (take_cell(&end, p, separator, e) != OK)
            return e->code;
        out->at[out->n++] = p;
        if (!*end)
            return OK;
        *end = '\0';
        p = end + 1;
    }
}

/* ---- a row as an object ---- */

static int make_object(struct table *t, struct err *e)
{
    struct buf *o = &t->object;
    size_t shown = 0;
    int rc = OK;

    if (t->cells.n != t->names.n)
        return err_set(e, E_INPUT, "%zu cells, and the header has %zu", t->cells.n, t->names.n);
    o->n = 0;
    rc = buf_add(o, "{", 1);
    for (size_t i = 0; rc == OK && i < t->names.n; i++) {
        if (!*t->names.at[i])
            continue; /* an index that has no name */
        rc = shown++ ? buf_add(o, ", ", 2) : OK;
        if (rc == OK)
            rc = json_string(o, t->names.at[i], strlen(t->names.at[i]));
        if (rc == OK)
            rc = buf_add(o, ": ", 2);
        if (rc == OK)
            rc = json_string(o, t->cells.at[i], strlen(t->cells.at[i]));
    }
    if (rc == OK)
        rc = buf_add(o, "}", 1);
    return rc == OK ? OK : err_set(e, E_NOMEM, "out of memory");
}

static int parse_row(struct json **out, struct table *t, struct err *e)
{
    int rc = OK;

    if (text_undecodable((struct span){ t->row.p, t->row.n }))
        return err_set(
            e, E_CORRUPT, "it holds bytes that are no %s", encoding_name(source_encoding(t->s)));
    rc = cut(&t->cells, &t->row, t->separator, e);
    if (rc == OK)
        rc = make_object(t, e);
    return rc == OK ? json_parse(out, t->object.p, t->object.n, e) : rc;
}

static int read_header(struct table *t, struct err *e)
{
    size_t line;
    int rc = read_row(t, &t->header, &line, e);

    if (rc != OK)
        return rc;
    if (text_undecodable((struct span){ t->header.p, t->header.n }))
        return err_set(e, E_INPUT, "the header is not text");
    if (memchr(t->header.p ? t->header.p : "", '\r', t->header.n))
        return err_set(e, E_INPUT, "its lines end with CR alone: save it with LF or CR LF");
    t->separator = source_has_ending(t->s, ".tsv") ? '\t'
                   : strchr(t->header.p, ',')      ? ','
                   : strchr(t->header.p, ';')      ? ';'
                                                   : ',';
    rc = cut(&t->names, &t->header, t->separator, e);
    for (size_t i = 0; rc == OK && i < t->names.n; i++)
        for (size_t k = 0; k < i; k++)
            if (*t->names.at[i] && strcmp(t->names.at[i], t->names.at[k]) == 0)
                return err_set(e, E_INPUT, "the header names '%.60s' twice", t->names.at[i]);
    return rc;
}

int csv_each(struct source *s,
    int (*each)(void *ctx, const struct json *row, size_t line, struct err *e), void *ctx,
    struct err *e)
{
    struct table *t = calloc(1, sizeof *t);
    size_t line;
    int rc = t ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        t->s = s;
        rc = read_header(t, e);
    }
    while (rc == OK) {
        struct json *row = NULL;
        rc = read_row(t, &t->row, &line, e);
        if (rc != OK || t->row.n == 0)
            break;
        rc = parse_row(&row, t, e);
        if (rc != E_NOMEM)
            rc = each(ctx, row, line, e);
        json_free(row);
    }
    if (t) {
        buf_free(&t->header);
        buf_free(&t->row);
        buf_free(&t->object);
    }
    free(t);
    return rc;
}
