#include "workers/text/documents_int.h"

#include <string.h>

struct reading {
    Split split;
    int (*each)(void *ctx, const char *text, size_t n, struct err *e);
    void *ctx;
};

static int read_record(void *ctx, const struct json *record, struct err *e)
{
    const struct reading *r = ctx;
    const char *text = NULL;
    int rc = field_text(&text, record, "text", e);

    if (rc == OK && !text)
        rc = err_set(e, E_INPUT, "no field 'text'");
    if (rc != OK || text_blank(text, strlen(text)))
        return rc;
    return r->each(r->ctx, text, strlen(text), e);
}

/* A blank line ends a paragraph. */
static int read_paragraphs(const struct source *s, const struct reading *r, struct err *e)
{
    size_t begin = 0, end = 0;
    int rc = OK;

    for (size_t at = 0, n; at < s->n && rc == OK; at += n + 1) {
        n = line_length(s->p + at, s->n - at);
        if (!text_blank(s->p + at, n)) {
            end = at + n;
            continue;
        }
        if (end > begin)
            rc = r->each(r->ctx, s->p + begin, end - begin, e);
        begin = end = at + n + 1;
    }
    if (rc == OK && end > begin)
        rc = r->each(r->ctx, s->p + begin, end - begin, e);
    return rc;
}

int documents_read(const char *path, struct span bytes, Split split,
    int (*each)(void *ctx, const char *text, size_t n, struct err *e), void *ctx, struct err *e)
{
    struct reading r = { split, each, ctx };
    struct source s;
    int rc = source_open(&s, path, bytes, e);

    if (rc != OK)
        return rc;
    if (source_has_ending(&s, ".jsonl") || source_has_ending(&s, ".json"))
        rc = source_records(&s, read_record, &r, e);
    else if (split == SPLIT__LINE)
        rc = source_lines(&s, each, ctx, e);
    else if (split == SPLIT__PARAGRAPH)
        rc = read_paragraphs(&s, &r, e);
    else if (!text_blank(s.p, s.n))
        rc = each(ctx, s.p, s.n, e);
    source_close(&s);
    return rc;
}

static int read_file(void *ctx, const char *path, struct span bytes, struct err *e)
{
    const struct reading *r = ctx;

    return documents_read(path, bytes, r->split, r->each, r->ctx, e);
}

static int find_split(Split *out, struct store *s, const struct id *files, struct err *e)
{
    Manifest *m = NULL;
    int rc = store_manifest(&m, s, files, e);

    *out = SPLIT__FILE;
    for (size_t i = 0; rc == OK && i < m->n_facts; i++) {
        if (m->facts[i]->name && strcmp(m->facts[i]->name, "split") == 0)
            *out = (Split)m->facts[i]->value;
    }
    message_free(m);
    return rc;
}

int documents_each(struct store *s, const struct id *files,
    int (*each)(void *ctx, const char *text, size_t n, struct err *e), void *ctx, struct err *e)
{
    struct reading r = { .each = each, .ctx = ctx };
    int rc = find_split(&r.split, s, files, e);

    if (rc == OK)
        rc = files_each(s, files, ARTIFACT_KIND__FILES, read_file, &r, e);
    return rc > 0 ? OK : rc;
}
