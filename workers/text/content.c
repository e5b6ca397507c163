#include "workers/text/documents_int.h"

#include <string.h>

#include "workers/text/decoder.h"

#define DOCUMENT_LIMIT ((size_t)8 << 20) /* bytes */

/* ---- what is taken from records ---- */

static int take_document(struct content *c, struct span text, enum fate *fate, struct err *e)
{
    bool seen = false;
    int rc = OK;

    *fate = FATE_USED;
    if (text_blank(text.p, text.n)) {
        *fate = FATE_EMPTY;
        return OK;
    }
    if (!c->im->how->keep_duplicates)
        rc = intake_seen(&seen, c->im, text, e);
    if (rc == OK && seen)
        *fate = FATE_DUPLICATE;
    if (rc != OK || seen || c->im->spoilt)
        return rc;
    c->im->counts.items++;
    return c->each.document(c->ctx, text.p, text.n, e);
}

/* Somebody asks first, the assistant speaks last. */
static int take_demonstration(struct content *c, const struct conversation *turns, struct err *e)
{
    size_t first = 0, n = turns->n;

    while (first + 1 < n && turns->turns[first]->role == ROLE__SYSTEM)
        first++;
    if (n == 0 || turns->turns[first]->role != ROLE__USER)
        return err_set(e, E_INPUT, "the first turn is not the user's");
    while (n > 0 && turns->turns[n - 1]->role != ROLE__ASSISTANT)
        n--;
    if (n == 0)
        return err_set(e, E_INPUT, "the last turn is not the assistant's");
    if (c->im->spoilt)
        return OK;
    c->im->counts.items++;
    return c->each.demonstration(c->ctx, &(struct conversation){ turns->turns, n }, e);
}

/* What is asked last; of a demonstration the answers behind it are not part of it. */
static int take_prompt(
    struct content *c, const struct conversation *turns, const struct record *r, struct err *e)
{
    struct conversation asked = *turns;
    Prompt *p = NULL;
    int rc;

    while (asked.n > 1 && asked.turns[asked.n - 1]->role == ROLE__ASSISTANT)
        asked.n--;
    rc = prompt_make(&p, &asked, r, c->number + 1, true, e);
    if (rc != OK)
        return rc;
    c->number++;
    if (c->im->spoilt) {
        message_free(p);
        return OK;
    }
    c->im->counts.items++;
    return c->each.prompt(c->ctx, p, e);
}

static int take_ranking(struct content *c, const struct conversation *turns, const Ranking *answers,
    const struct record *r, struct err *e)
{
    ProtobufCMessage *copy = NULL;
    Ranking *ranking;
    int rc = message_copy(&copy, &answers->base, e);

    if (rc != OK)
        return rc;
    ranking = (Ranking *)copy;
    rc = prompt_make(&ranking->prompt, turns, r, c->number + 1, false, e);
    if (rc == OK)
        c->number++;
    if (rc != OK || c->im->spoilt) {
        message_free(ranking);
        return rc;
    }
    c->im->counts.items++;
    return c->each.ranking(c->ctx, ranking, e);
}

static int take(struct shaping *x, struct conversation *turns, Ranking *answers, struct span text,
    struct err *e)
{
    struct content *c = x->ctx;
    enum fate fate = FATE_USED;
    int rc;

    switch (c->gives) {
    case GIVES_TEXT: /* documents are counted, not the records that they come from */
        rc = take_document(c, text, &fate, e);
        if (rc == OK) {
            c->im->counts.read++;
            c->im->counts.fates[fate]++;
            *x->fate = FATE_IN_PARTS;
        }
        return rc;
    case GIVES_DEMONSTRATION:
        return take_demonstration(c, turns, e);
    case GIVES_PROMPT:
        return take_prompt(c, turns, x->record, e);
    case GIVES_RANKING:
        return take_ranking(c, turns, answers, x->record, e);
    }
    return err_set(e, E_PROTOCOL, "no such content");
}

static int read_record(void *ctx, const struct record *r, enum fate *fate, struct err *e)
{
    struct content *c = ctx;
    struct shaping x = { .want = c->gives, .take = take, .ctx = c };
    uint64_t read = 0;
    const struct record marked = { r->json, r->format, c->look ? &read : NULL };
    int rc = shape_read(&x, &marked, fate, e);

    if (c->look)
        c->look(c->ctx, &marked, shape_find(r, c->gives));
    return rc;
}

/* ---- what is taken from plain text ---- */

static int undecodable(const struct source *s, struct err *e)
{
    return err_set(e, E_INPUT, "it holds bytes that are no %s", encoding_name(source_encoding(s)));
}

/* The line in which `found` stands, when the first of the text is `line`. */
static size_t line_of(const char *found, struct span text, size_t line)
{
    for (const char *p = text.p; p < found; p++)
        line += *p == '\n';
    return line;
}

static int settle_document(
    struct content *c, struct source *s, struct span text, size_t line, struct err *e)
{
    const char *bad = text.n > 0 ? memchr(text.p, UNDECODABLE, text.n) : NULL;
    const char *nul = text.n > 0 ? memchr(text.p, '\0', text.n) : NULL;
    enum fate fate = FATE_UNDECODABLE;
    int rc;

    if (bad) {
        rc = undecodable(s, e);
    } else if (nul) {
        fate = FATE_BROKEN;
        rc = err_set(e, E_INPUT, "it holds a NUL byte: is it text?");
    } else {
        rc = take_document(c, text, &fate, e);
    }
    return intake_settle(c->im, s,
        line_of(bad   ? bad
                : nul ? nul
                      : text.p,
            text, line),
        0, rc, fate, e);
}

static int settle_prompt(
    struct content *c, struct source *s, struct span text, size_t line, struct err *e)
{
    struct conversation turns = { 0 };
    struct buf copy = { 0 };
    enum fate fate = text_undecodable(text) ? FATE_UNDECODABLE : FATE_USED;
    int rc = fate == FATE_USED ? OK : undecodable(s, e);

    if (rc == OK && memchr(text.p, '\0', text.n))
        rc = err_set(e, E_INPUT, "the line holds a NUL byte");
    if (rc == OK && buf_add(&copy, text.p, text.n) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        rc = conversation_add(&turns, ROLE__USER, copy.p, e);
    if (rc == OK)
        rc = take_prompt(c, &turns, NULL, e);
    conversation_free(&turns);
    buf_free(&copy);
    return intake_settle(c->im, s, line, 0, rc, fate, e);
}

static int each_line(struct content *c, struct source *s,
    int (*settle)(struct content *, struct source *, struct span, size_t, struct err *),
    struct err *e)
{
    struct span text = { "", 0 };
    int rc = OK;

    while (rc == OK) {
        size_t line = source_line(s);
        rc = source_next_line(s, &text, e);
        if (rc != OK || !text.p)
            break;
        if (!text_blank(text.p, text.n))
            rc = settle(c, s, text, line, e);
    }
    return rc;
}

/* Lines are gathered up to a blank one, or to the file's end. A whole file keeps its blank lines.
 */
static int each_passage(struct content *c, struct source *s, bool whole, struct err *e)
{
    struct buf text = { 0 };
    struct span one = { "", 0 };
    size_t begin = 1;
    int rc = OK;

    while (rc == OK && one.p) {
        size_t line = source_line(s);
        rc = source_next_line(s, &one, e);
        bool blank = rc == OK && one.p && text_blank(one.p, one.n);
        bool end = !one.p || (blank && !whole) || text.n + one.n > DOCUMENT_LIMIT;
        if (rc == OK && end && text.n > 0) {
            rc = settle_document(c, s, (struct span){ text.p, text.n - !whole }, begin, e);
            text.n = 0;
        }
        if (rc != OK || !one.p || (blank && !whole))
            continue;
        begin = text.n == 0 ? line : begin;
        if (buf_add(&text, one.p, one.n) != OK || buf_add(&text, "\n", 1) != OK)
            rc = err_set(e, E_NOMEM, "out of memory");
    }
    buf_free(&text);
    return rc;
}

static int read_text(struct content *c, struct source *s, struct err *e)
{
    if (c->gives == GIVES_PROMPT)
        return each_line(c, s, settle_prompt, e);
    if (c->im->how->split == SPLIT__LINE)
        return each_line(c, s, settle_document, e);
    return each_passage(c, s, c->im->how->split == SPLIT__FILE, e);
}

/* ---- a file ---- */

static bool holds_records(const struct content *c, const struct source *s)
{
    if (c->gives == GIVES_PROMPT)
        return !source_has_ending(s, ".txt");
    return c->gives != GIVES_TEXT || source_named_records(s);
}

int content_read(struct content *c, const char *path, struct bytes_in in, struct err *e)
{
    struct source *s = NULL;
    size_t line = 1;
    int rc = source_open(&s, path, in, c->im->how->encoding, e);

    c->im->counts.files++;
    if (rc == OK)
        rc = intake_note(c->im, s, e);
    if (rc == OK && holds_records(c, s)) {
        rc = records_each(s, c->im, c->im->how->format, read_record, c, e);
    } else if (rc == OK) {
        rc = read_text(c, s, e);
        line = source_line(s);
    }
    source_close(s);
    return rc == E_INPUT && !intake_judged(c->im) ? intake_refuse(c->im, path, line, e) : rc;
}
