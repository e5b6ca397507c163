#ifndef TESTS_UNIT_WORKERS_PEOPLE_H
#define TESTS_UNIT_WORKERS_PEOPLE_H

/* People's files, read from memory: what they give as text, or what is wrong with them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "workers/text/documents_int.h"

/* ---- what a file gives, written as text ---- */

struct seen {
    struct buf text;
    size_t n, stop_after; /* stop_after 0: never */
};

static inline int see_document(void *ctx, const char *text, size_t n, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    buf_printf(&s->text, "%s%.*s", s->n ? "|" : "", (int)n, text);
    return ++s->n == s->stop_after;
}

static inline void write_turns(struct buf *out, Turn *const *turns, size_t n)
{
    static const char letters[] = {
        [ROLE__SYSTEM] = 's', [ROLE__USER] = 'u', [ROLE__ASSISTANT] = 'a', [ROLE__TOOL] = 't'
    };

    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%c:%s", i ? " " : "", letters[turns[i]->role], turns[i]->text);
}

static inline int see_conversation(void *ctx, const struct conversation *c, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    buf_printf(&s->text, "%s", s->n ? "|" : "");
    write_turns(&s->text, c->turns, c->n);
    return ++s->n == s->stop_after;
}

static inline void write_prompt(struct buf *out, const Prompt *p)
{
    buf_printf(out, "%s(%s) ", p->id, p->lang);
    write_turns(out, p->turns, p->n_turns);
    for (size_t i = 0; i < p->n_accepted; i++)
        buf_printf(out, " =%s", p->accepted[i]);
}

static inline int see_prompt(void *ctx, Prompt *p, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    buf_printf(&s->text, "%s", s->n ? "|" : "");
    write_prompt(&s->text, p);
    message_free(p);
    return ++s->n == s->stop_after;
}

static inline int see_ranking(void *ctx, Ranking *r, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    buf_printf(&s->text, "%s", s->n ? "|" : "");
    write_prompt(&s->text, r->prompt);
    for (size_t i = 0; i < r->n_tiers; i++) {
        for (size_t k = 0; k < r->tiers[i]->n_answers; k++)
            buf_printf(&s->text, "%s%s",
                k   ? "="
                : i ? ">"
                    : " ",
                r->answers[r->tiers[i]->answers[k]]->text);
    }
    assert_string_equal(r->source, "file");
    message_free(r);
    return ++s->n == s->stop_after;
}

enum what { FILE_TEXT, LINES, PARAGRAPHS, DEMONSTRATIONS, PROMPTS, RANKINGS };

/* A file's bytes, in pieces of a few: no reader may depend on where they end. */
struct pieces {
    struct span left;
    size_t size;
};

static inline int next_piece(void *ctx, struct span *out, struct err *e)
{
    struct pieces *p = ctx;

    (void)e;
    *out = (struct span){ p->left.p, p->left.n < p->size ? p->left.n : p->size };
    p->left.p = (const char *)p->left.p + out->n;
    p->left.n -= out->n;
    return OK;
}

static inline int read_as(enum what what, const char *path, struct span bytes, const Reading *as,
    size_t piece, struct intake *im, struct seen *s, struct err *e)
{
    struct pieces p = { bytes, piece };
    struct content c = { .ctx = s, .im = im };
    Reading how = *as;

    switch (what) {
    case FILE_TEXT:
    case LINES:
    case PARAGRAPHS:
        how.split = what == LINES        ? SPLIT__LINE
                    : what == PARAGRAPHS ? SPLIT__PARAGRAPH
                                         : SPLIT__FILE;
        c.gives = GIVES_TEXT;
        c.each.document = see_document;
        break;
    case DEMONSTRATIONS:
        c.gives = GIVES_DEMONSTRATION;
        c.each.demonstration = see_conversation;
        break;
    case PROMPTS:
        c.gives = GIVES_PROMPT;
        c.each.prompt = see_prompt;
        break;
    case RANKINGS:
        c.gives = GIVES_RANKING;
        c.each.ranking = see_ranking;
        break;
    }
    im->how = &how;
    int rc = content_read(&c, path, (struct bytes_in){ next_piece, &p }, e);
    if (rc == OK)
        rc = intake_verdict(im, e);
    im->how = NULL;
    return rc;
}

static inline int read_bytes(
    enum what what, const char *path, struct span bytes, struct seen *s, struct err *e)
{
    Reading how = READING__INIT;
    struct intake *im = NULL;

    how.keep_duplicates = true;
    assert_int_equal(intake_new(&im, e), OK);
    int rc = read_as(what, path, bytes, &how, 7, im, s, e);
    intake_free(im);
    return rc;
}

static inline void expect(enum what what, const char *path, const char *bytes, const char *want)
{
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    if (read_bytes(what, path, (struct span){ bytes, strlen(bytes) }, &s, &e) != OK)
        fail_msg("%s", e.msg);
    assert_string_equal(s.text.p ? s.text.p : "", want);
    buf_free(&s.text);
}

static inline void expect_error(
    enum what what, const char *path, const char *bytes, const char *want)
{
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    assert_int_equal(
        read_bytes(what, path, (struct span){ bytes, strlen(bytes) }, &s, &e), E_INPUT);
    if (strncmp(e.msg, want, strlen(want)) != 0)
        fail_msg("'%s' does not begin with '%s'", e.msg, want);
    buf_free(&s.text);
}

/* A file of ../shared/data; false where there is none. */
static inline bool read_shared(struct span *out, const char *name)
{
    const char *shared = getenv("JIELONG_SHARED");
    char path[1024], *text = NULL;
    struct err e = ERR_INIT;

    snprintf(path, sizeof path, "%s/data/%s", shared ? shared : "", name);
    if (file_read(&text, &out->n, path, 1 << 24, &e) != OK)
        return false;
    out->p = text;
    return true;
}

#endif
