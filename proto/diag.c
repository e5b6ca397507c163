#include "proto/diag.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

#define KEPT_MAX 100
#define WORD_MAX 64
#define SHOWN_COLUMNS 96 /* of a source line; what is longer is cut around the caret */

struct source {
    char *name, *text;
    size_t n;
};

struct diag {
    size_t source; /* from 1; 0: about no file */
    size_t number; /* as they came */
    int line, column, width;
    char *what, *help;
};

struct diags {
    struct source *sources;
    size_t n_sources;
    struct diag kept[KEPT_MAX];
    size_t n_kept, n;
};

struct diags *diags_new(void)
{
    return calloc(1, sizeof(struct diags));
}

void diags_free(struct diags *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_sources; i++) {
        free(d->sources[i].name);
        free(d->sources[i].text);
    }
    for (size_t i = 0; i < d->n_kept; i++) {
        free(d->kept[i].what);
        free(d->kept[i].help);
    }
    free(d->sources);
    free(d);
}

int diags_file(struct diags *d, const char *name, const char *text, size_t n)
{
    struct source *more = realloc(d->sources, (d->n_sources + 1) * sizeof *more);
    struct source s = { .n = n };

    if (!more)
        return E_NOMEM;
    d->sources = more;
    s.name = strdup(name);
    s.text = malloc(n + 1);
    if (!s.name || !s.text) {
        free(s.name);
        free(s.text);
        return E_NOMEM;
    }
    if (n)
        memcpy(s.text, text, n);
    s.text[n] = '\0';
    d->sources[d->n_sources++] = s;
    return OK;
}

void diags_add(
    struct diags *d, int line, int column, int width, const char *help, const char *fmt, ...)
{
    struct diag *one = &d->kept[d->n_kept];
    struct buf what = { 0 };
    char text[1024];
    va_list ap;

    d->n++;
    if (d->n_kept == KEPT_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (utf8_escape(&what, text, utf8_whole(text, strlen(text))) != OK) {
        buf_free(&what);
        return;
    }
    *one = (struct diag){ d->n_sources, d->n, line, column, width < 1 ? 1 : width, what.p,
        help ? strdup(help) : NULL };
    d->n_kept++;
}

size_t diags_count(const struct diags *d)
{
    return d->n;
}

static int by_place(const void *a, const void *b)
{
    const struct diag *x = a, *y = b;

    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* The line's text, without its end. */
static struct span line_of(const struct source *s, int line)
{
    const char *p = s->text, *end = s->text + s->n, *stop;

    for (int i = 1; i < line; i++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p)
            return (struct span){ NULL, 0 };
        p++;
    }
    stop = memchr(p, '\n', (size_t)(end - p));
    if (!stop)
        stop = end;
    if (stop > p && stop[-1] == '\r')
        stop--;
    return (struct span){ p, (size_t)(stop - p) };
}

/* The first character to show, so that character `at` is on the part that is shown. */
static size_t first_shown(struct span line, size_t at)
{
    size_t bytes = 0, number = 0;
    uint32_t code;
    int columns = 0;

    while (number < at && bytes < line.n) {
        char one[5] = { 0 };
        size_t length = utf8_decode(&code, (const char *)line.p + bytes, line.n - bytes);
        memcpy(one, (const char *)line.p + bytes, length > 0 ? length : 1);
        columns += utf8_columns(one);
        bytes += length > 0 ? length : 1;
        number++;
    }
    if (columns < SHOWN_COLUMNS - 16)
        return 0;
    return number - SHOWN_COLUMNS / 4; /* columns <= 2 x number: no underflow */
}

/* Appends the characters [from, from + SHOWN) of a line as they are shown: tabs as a blank,
 * controls escaped. *caret is the column at which character number `at` begins. */
static int show_line(struct buf *out, struct span line, size_t from, size_t at, int *caret)
{
    const char *p = line.p;
    size_t start = out->n, number = 0;
    int columns = 0, rc = OK;

    *caret = 0;
    if (from > 0)
        rc = buf_add(out, "…", strlen("…"));
    for (size_t i = 0; i < line.n && rc == OK && columns < SHOWN_COLUMNS; number++) {
        uint32_t code;
        size_t length = utf8_decode(&code, p + i, line.n - i);
        if (length == 0)
            length = 1;
        if (number >= from)
            rc = p[i] == '\t' ? buf_add(out, " ", 1) : utf8_escape(out, p + i, length);
        i += length;
        if (out->n > start)
            columns = utf8_columns(out->p + start);
        if (number < at)
            *caret = columns;
        if (columns >= SHOWN_COLUMNS && i < line.n && rc == OK)
            rc = buf_add(out, "…", strlen("…"));
    }
    if (at > number) /* past the line's end: a key that is missing there */
        *caret = columns;
    return rc;
}

static int print_place(struct buf *out, const struct source *s, const struct diag *one)
{
    struct span line = line_of(s, one->line);
    size_t at = one->column > 0 ? (size_t)one->column - 1 : 0;
    size_t from = first_shown(line, at);
    char number[16];
    int gutter = snprintf(number, sizeof number, "%d", one->line);
    int caret, rc, width = one->width;

    if (buf_printf(out, "%*s--> %s:%d:%d\n%*s |\n%s | ", gutter, "", s->name, one->line,
            one->column, gutter, "", number) != OK)
        return E_NOMEM;
    rc = show_line(out, line, from, at, &caret);
    if (width > SHOWN_COLUMNS - caret)
        width = SHOWN_COLUMNS - caret > 1 ? SHOWN_COLUMNS - caret : 1;
    if (rc == OK)
        rc = buf_printf(out, "\n%*s | %*s", gutter, "", caret, "");
    for (int i = 0; i < width && rc == OK; i++)
        rc = buf_add(out, "^", 1);
    if (rc == OK)
        rc = buf_add(out, "\n", 1);
    if (rc == OK && one->help)
        rc = buf_printf(out, "%*s = help: %s\n", gutter, "", one->help);
    return rc;
}

static int print_one(struct buf *out, const struct diags *d, const struct diag *one)
{
    int rc = buf_printf(out, "error: %s\n", one->what);

    if (rc != OK)
        return rc;
    if (one->source > 0 && one->line > 0)
        return print_place(out, &d->sources[one->source - 1], one);
    if (one->source > 0)
        rc = buf_printf(out, " --> %s\n", d->sources[one->source - 1].name);
    if (rc == OK && one->help)
        rc = buf_printf(out, "  = help: %s\n", one->help);
    return rc;
}

int diags_print(const struct diags *d, struct buf *out)
{
    struct diag sorted[KEPT_MAX];
    int rc = OK;

    memcpy(sorted, d->kept, sizeof sorted);
    qsort(sorted, d->n_kept, sizeof *sorted, by_place);
    for (size_t i = 0; i < d->n_kept && rc == OK; i++) {
        if (i > 0)
            rc = buf_add(out, "\n", 1);
        if (rc == OK)
            rc = print_one(out, d, &sorted[i]);
    }
    if (rc == OK && d->n > d->n_kept)
        rc = buf_printf(out, "\nerror: %zu more not shown\n", d->n - d->n_kept);
    return rc;
}

static int letter(char c)
{
    return c == '-' ? '_' : tolower((unsigned char)c);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap neighbours, each for 1. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= nb; j++)
        last[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *spare = before;
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            row[j] = least(least(last[j], row[j - 1]) + 1,
                last[j - 1] + (letter(a[i - 1]) != letter(b[j - 1])));
            if (i > 1 && j > 1 && letter(a[i - 1]) == letter(b[j - 2]) &&
                letter(a[i - 2]) == letter(b[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        before = last;
        last = row;
        row = spare;
    }
    return last[nb];
}

const char *diag_nearest(const char *word, const char *const *words, size_t n)
{
    size_t length = strlen(word), best = SIZE_MAX;
    const char *nearest = NULL;

    if (length == 0 || length > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t other = strlen(words[i]), longer = length > other ? length : other;
        size_t limit = (longer + 2) / 3, away;
        if (other == 0 || other > WORD_MAX)
            continue;
        away = distance(word, length, words[i], other);
        if (away <= limit && away < longer && away < best) {
            best = away;
            nearest = words[i];
        }
    }
    return nearest;
}
