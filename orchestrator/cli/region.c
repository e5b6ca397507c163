#include "orchestrator/cli/region.h"

#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

/* INVARIANT: between calls the cursor stands at the start of the line below the region. */

void region_free(struct region *r)
{
    for (int i = 0; i < r->n; i++)
        free(r->lines[i]);
    r->n = 0;
}

/* To the region's first line. */
static int climb(const struct region *r, struct buf *out)
{
    return r->n ? buf_printf(out, "\033[%dA", r->n) : OK;
}

/* Cuts text into lines[]; returns how many there are, or E_NOMEM. */
static int cut(char *lines[REGION_LINES], const char *text, int rows, int columns)
{
    int n = 0;

    if (rows > REGION_LINES)
        rows = REGION_LINES;
    while (*text && n < rows) {
        size_t length = strcspn(text, "\n"), fits;
        lines[n] = strndup(text, length);
        if (!lines[n])
            break;
        fits = utf8_fit(lines[n], columns);
        lines[n++][fits < length ? fits : length] = '\0';
        text += length + (text[length] == '\n');
    }
    return *text && n < rows ? E_NOMEM : n;
}

int region_draw(struct region *r, struct buf *out, const char *text, int rows, int columns)
{
    struct region now = { { NULL }, 0 };
    int n = cut(now.lines, text, rows, columns), rc = n < 0 ? n : OK;

    if (rc == OK)
        rc = climb(r, out);
    for (int i = 0; i < n && rc == OK; i++) {
        bool same = i < r->n && strcmp(r->lines[i], now.lines[i]) == 0;
        rc = same ? buf_printf(out, "\n") : buf_printf(out, "\033[K%s\n", now.lines[i]);
    }
    if (rc == OK && n < r->n)
        rc = buf_printf(out, "\033[J");
    region_free(r);
    *r = now;
    r->n = n < 0 ? 0 : n;
    return rc;
}

int region_say(struct region *r, struct buf *out, const char *text)
{
    int rc = climb(r, out);

    if (rc == OK)
        rc = buf_printf(out, "\033[J%s", text);
    for (int i = 0; i < r->n && rc == OK; i++)
        rc = buf_printf(out, "%s\n", r->lines[i]);
    return rc;
}
