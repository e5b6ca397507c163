#include <string.h>

#include "workers/text/shape_int.h"

/* Shapes of raw text. */

int shape_text(struct shaping *x, const struct record *r, struct err *e)
{
    static const char *const names[] = { "text", "content", NULL };
    const char *text, *name;
    int rc = record_text_of(&text, &name, r, names, e);

    if (rc == OK && text_blank(text, strlen(text))) {
        *x->fate = FATE_EMPTY;
        return OK;
    }
    return rc == OK ? shaping_give_text(x, text, strlen(text), e) : rc;
}

static bool is_text(const struct json *v)
{
    return v && json_kind(v) == JSON_STRING_;
}

static int add_line(struct buf *out, const struct json *v, struct err *e)
{
    size_t n = 0;
    const char *text = v ? json_text(v, &n) : NULL;

    if (!text)
        return err_set(e, E_INPUT, "a paragraph is no text");
    if (buf_add(out, text, n) != OK || buf_add(out, "\n", 1) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    return OK;
}

/* Title and author, a line each, then the paragraphs. */
static int give_poem(
    struct shaping *x, const struct json *v, const struct json *paragraphs, struct err *e)
{
    static const char *const heads[] = { "title", "chapter", "rhythmic", "author" };
    struct buf text = { 0 };
    int rc = OK;

    for (size_t i = 0; rc == OK && i < sizeof heads / sizeof *heads; i++)
        if (is_text(json_get(v, heads[i])))
            rc = add_line(&text, json_get(v, heads[i]), e);
    for (size_t i = 0; rc == OK && i < json_size(paragraphs); i++)
        rc = add_line(&text, json_at(paragraphs, i), e);
    if (rc == OK && json_size(paragraphs) > 0)
        rc = shaping_give_text(x, text.p, text.n - 1, e);
    buf_free(&text);
    return rc;
}

/* A part of a book: parts of its own, or paragraphs; an abstract is a text too. */
static int give_part(struct shaping *x, const struct json *v, struct err *e)
{
    static const char *const lists[] = { "abstract", "paragraphs", "content" };
    int rc = OK;

    for (size_t i = 0; rc == OK && i < sizeof lists / sizeof *lists; i++) {
        const struct json *list = json_get(v, lists[i]);
        if (list && is_text(json_at(list, 0)))
            rc = give_poem(x, v, list, e);
        else
            for (size_t k = 0; rc == OK && list && k < json_size(list); k++)
                rc = json_at(list, k) ? give_part(x, json_at(list, k), e) : OK;
    }
    return rc;
}

int shape_nested_text(struct shaping *x, const struct record *r, struct err *e)
{
    int rc = give_part(x, r->json, e);

    record_read_all(r);
    if (rc == OK && x->given == 0)
        *x->fate = FATE_EMPTY;
    return rc;
}

int shape_poem(struct shaping *x, const struct record *r, struct err *e)
{
    const struct json *paragraphs = record_get(r, "paragraphs");

    record_read_all(r);
    if (json_size(paragraphs) == 0) {
        *x->fate = FATE_EMPTY;
        return OK;
    }
    return give_poem(x, r->json, paragraphs, e);
}
