#include "workers/selftest/page.h"

#include <stdio.h>
#include <string.h>

#include "proto/json.h"
#include "proto/utf8.h"
#include "workers/math/engine.h"

enum { NAME = 25, WHAT = 56, EXPECTED = 22, GOT = 24 };

/* Text, and blanks up to `columns`. */
static void cell(const char *text, int columns)
{
    int n = utf8_columns(text);

    printf("%s%*s  ", text, n < columns ? columns - n : 0, "");
}

void page_name(size_t test)
{
    printf("T%-3zu ", test + 1);
    cell(known_at(test)->name, NAME);
    printf("%s\n", known_at(test)->what);
}

void page_head(void)
{
    printf("in numeric class %s\n\n     ", numeric_classes()[0]);
    cell("test", NAME);
    cell("what", WHAT);
    cell("expected", EXPECTED);
    cell("got", GOT);
    printf("seconds\n");
}

void page_row(size_t test, const struct result *r)
{
    printf("T%-3zu ", test + 1);
    cell(known_at(test)->name, NAME);
    cell(known_at(test)->what, WHAT);
    cell(r->v.expected, EXPECTED);
    cell(r->v.got, GOT);
    printf("%s %6.1f\n", r->v.holds ? "✓" : "✗", r->seconds);
    fflush(stdout);
}

void page_foot(const struct result *results, size_t done, size_t chosen, double seconds)
{
    size_t hold = 0;

    for (size_t i = 0; i < done; i++)
        hold += results[i].v.holds;
    printf("\n%zu of %zu hold", hold, chosen);
    if (done < chosen)
        printf(", %zu were not run", chosen - done);
    printf(" (%.0f s)\n", seconds);
}

static int json_row(struct buf *out, size_t test, const struct result *r)
{
    const struct known *k = known_at(test);
    const struct {
        const char *key, *text;
    } texts[] = { { "name", k->name }, { "what", k->what }, { "expected", r->v.expected },
        { "got", r->v.got } };
    int rc = buf_printf(out, "{\"test\":\"T%zu\"", test + 1);

    for (size_t i = 0; i < sizeof texts / sizeof *texts && rc == OK; i++) {
        rc = buf_printf(out, ",\"%s\":", texts[i].key);
        if (rc == OK)
            rc = json_string(out, texts[i].text, strlen(texts[i].text));
    }
    if (rc == OK)
        rc = buf_printf(
            out, ",\"holds\":%s,\"seconds\":%.3f}", r->v.holds ? "true" : "false", r->seconds);
    return rc;
}

int page_json(
    const size_t *tests, const struct result *results, size_t n, double seconds, struct err *e)
{
    struct buf out = { 0 };
    bool holds = true;
    int rc = buf_printf(
        &out, "{\"schema\":1,\"numeric_class\":\"%s\",\"tests\":[", numeric_classes()[0]);

    for (size_t i = 0; i < n && rc == OK; i++) {
        rc = i ? buf_add(&out, ",", 1) : OK;
        if (rc == OK)
            rc = json_row(&out, tests[i], &results[i]);
        holds = holds && results[i].v.holds;
    }
    if (rc == OK)
        rc = buf_printf(
            &out, "],\"holds\":%s,\"seconds\":%.3f}\n", holds ? "true" : "false", seconds);
    if (rc == OK)
        fwrite(out.p, 1, out.n, stdout);
    buf_free(&out);
    return rc == OK ? OK : err_set(e, E_NOMEM, "no memory for the page");
}
