#include "proto/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/diag.h"

#define ROWS_MAX 64
#define HELP_COLUMN 28

struct given {
    const struct option_row *row;
    char shown[80];    /* as people wrote it, without a value */
    const char *value; /* in the same word; NULL: none */
};

static int unknown(const struct option_row *rows, size_t n_rows, const char *shown, struct err *e)
{
    const char *names[ROWS_MAX], *near;
    size_t n = 0;

    for (size_t i = 0; i < n_rows && n < ROWS_MAX; i++)
        if (rows[i].help)
            names[n++] = rows[i].name;
    near = strncmp(shown, "--", 2) == 0 ? diag_nearest(shown + 2, names, n) : NULL;
    if (near)
        return err_set(
            e, E_INPUT, "unknown option '%s'\n  = help: did you mean '--%s'?", shown, near);
    return err_set(e, E_INPUT, "unknown option '%s'", shown);
}

/* Which row a word that begins with a dash names. */
static int find_row(
    struct given *g, const struct option_row *rows, size_t n_rows, const char *word, struct err *e)
{
    bool is_long = word[1] == '-';
    size_t length = is_long ? strcspn(word + 2, "=") : 1;
    const char *name = word + (is_long ? 2 : 1), *rest = name + length;

    snprintf(g->shown, sizeof g->shown, "%.*s", (int)(length + (is_long ? 2 : 1)), word);
    for (size_t i = 0; i < n_rows; i++) {
        bool same = is_long ? strlen(rows[i].name) == length && !strncmp(rows[i].name, name, length)
                            : rows[i].letter == *name;
        if (!same)
            continue;
        g->row = &rows[i];
        g->value = !*rest ? NULL : is_long || *rest == '=' ? rest + 1 : rest;
        return OK;
    }
    return unknown(rows, n_rows, g->shown, e);
}

static int out_of_range(const struct given *g, const char *text, struct err *e)
{
    const struct option_row *r = g->row;

    if (isinf(r->most))
        return err_set(e, E_INPUT, "%s: '%s' is not at least %.15g", g->shown, text, r->least);
    return err_set(
        e, E_INPUT, "%s: '%s' is not within %.15g and %.15g", g->shown, text, r->least, r->most);
}

static bool has_limits(const struct option_row *r)
{
    return r->least != 0 || r->most != 0;
}

static int read_whole(const struct given *g, const char *text, uint64_t *out, struct err *e)
{
    uint64_t top = g->row->kind == OPTION_COUNT ? UINT32_MAX : UINT64_MAX;
    char *end;

    if (*text < '0' || *text > '9')
        return err_set(e, E_INPUT, "%s: '%s' is not a whole number", g->shown, text);
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (*end)
        return err_set(e, E_INPUT, "%s: '%s' is not a whole number", g->shown, text);
    if (errno == ERANGE || *out > top)
        return err_set(e, E_INPUT, "%s: '%s' is too large", g->shown, text);
    if (has_limits(g->row) && ((double)*out < g->row->least || (double)*out > g->row->most))
        return out_of_range(g, text, e);
    return OK;
}

static int read_real(const struct given *g, const char *text, double *out, struct err *e)
{
    char *end;
    double x = strtod(text, &end);

    /* strtod takes "0x1p3", "inf" and leading blanks as well */
    if (end == text || *end || strspn(text, "+-.0123456789eE") != strlen(text) || !isfinite(x))
        return err_set(e, E_INPUT, "%s: '%s' is not a number", g->shown, text);
    if (has_limits(g->row) && (x < g->row->least || x > g->row->most))
        return out_of_range(g, text, e);
    *out = x;
    return OK;
}

static int take_text(const struct given *g, const char *text, struct err *e)
{
    struct option_texts *list = g->row->value;

    if (list->n == OPTION_TEXTS_MAX)
        return err_set(e, E_INPUT, "%s: at most %d are taken", g->shown, OPTION_TEXTS_MAX);
    list->items[list->n++] = text;
    return OK;
}

static int take(const struct given *g, const char *text, struct err *e)
{
    uint64_t whole = 0;
    int rc = OK;

    switch (g->row->kind) {
    case OPTION_FLAG:
        *(bool *)g->row->value = true;
        break;
    case OPTION_TEXT:
        *(const char **)g->row->value = text;
        break;
    case OPTION_TEXTS:
        rc = take_text(g, text, e);
        break;
    case OPTION_COUNT:
        rc = read_whole(g, text, &whole, e);
        if (rc == OK)
            *(uint32_t *)g->row->value = (uint32_t)whole;
        break;
    case OPTION_WIDE:
        rc = read_whole(g, text, &whole, e);
        if (rc == OK)
            *(uint64_t *)g->row->value = whole;
        break;
    case OPTION_REAL:
        rc = read_real(g, text, g->row->value, e);
        break;
    }
    return rc;
}

/* Where the value is, if not in the option's own word; *next: the word after it, NULL: none. A
 * flag's and a lone option's is what it stands for. */
static int find_value(struct given *g, char **next, bool *used, struct err *e)
{
    const struct option_row *r = g->row;

    *used = false;
    if (r->kind == OPTION_FLAG)
        return g->value ? err_set(e, E_INPUT, "%s takes no value", g->shown) : OK;
    if (g->value)
        return OK;
    if (r->alone && (!*next || **next < '0' || **next > '9')) {
        g->value = r->alone;
        return OK;
    }
    if (!*next)
        return err_set(e, E_INPUT, "%s needs a value: %s %s", g->shown, g->shown, r->word);
    g->value = *next;
    *used = true;
    return OK;
}

int options_read(const struct option_row *rows, size_t n_rows, char **args, int *n, struct err *e)
{
    int operands = 0, rc = OK;
    bool over = false; /* "--" has been seen */

    for (int i = 0; i < *n && rc == OK; i++) {
        struct given g = { 0 };
        char *none = NULL;
        bool used = false;
        if (!over && strcmp(args[i], "--") == 0) {
            over = true;
            continue;
        }
        if (over || args[i][0] != '-' || !args[i][1]) {
            args[operands++] = args[i];
            continue;
        }
        rc = find_row(&g, rows, n_rows, args[i], e);
        if (rc == OK)
            rc = find_value(&g, i + 1 < *n ? &args[i + 1] : &none, &used, e);
        if (rc == OK)
            rc = take(&g, g.value, e);
        i += used;
    }
    if (rc == OK)
        *n = operands;
    return rc;
}

int options_help(struct buf *out, const struct option_row *rows, size_t n_rows)
{
    int rc = OK;

    for (size_t i = 0; i < n_rows && rc == OK; i++) {
        const struct option_row *r = &rows[i];
        char left[80], letter[8] = "";
        if (!r->help)
            continue;
        if (r->letter)
            snprintf(letter, sizeof letter, "-%c, ", r->letter);
        snprintf(left, sizeof left, "%s--%s%s%s%s", letter, r->name,
            r->kind == OPTION_FLAG ? ""
            : r->alone             ? "[="
                                   : " ",
            r->kind == OPTION_FLAG ? "" : r->word, r->alone ? "]" : "");
        if (strlen(left) < HELP_COLUMN - 2)
            rc = buf_printf(out, "  %-*s%s\n", HELP_COLUMN - 2, left, r->help);
        else
            rc = buf_printf(out, "  %s\n%*s%s\n", left, HELP_COLUMN, "", r->help);
    }
    return rc;
}
