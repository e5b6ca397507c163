#include "workers/text/documents_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

struct reading {
    uint64_t *count;
    int (*each)(void *ctx, Prompt *p, struct err *e);
    void *ctx;
};

/* ---- a prompt ---- */

static bool is_ideograph(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff);
}

static const char *guess_lang(const char *text)
{
    size_t n = strlen(text), length;
    uint32_t code;

    for (size_t i = 0; i < n; i += length) {
        length = utf8_decode(&code, text + i, n - i);
        if (length > 0 && is_ideograph(code))
            return "zh";
        length += length == 0;
    }
    return "en";
}

/* A record's own id, a string or a number (or NULL); otherwise its number. */
static int write_id(char **out, const struct json *id, uint64_t number, struct err *e)
{
    char digits[32];
    const char *text;
    size_t n;

    snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    text = id && json_kind(id) == JSON_STRING_ ? json_text(id, &n) : digits;
    if (id && json_kind(id) == JSON_NUMBER_) {
        double d = json_number(id, 0);
        bool whole = d > -1e15 && d < 1e15 && d == (double)(int64_t)d;
        snprintf(digits, sizeof digits, whole ? "%.0f" : "%.17g", d);
    } else if (id && text == digits && json_kind(id) != JSON_NULL_) {
        return err_set(e, E_INPUT, "'id' is neither a string nor a number");
    }
    *out = strdup(text);
    return *out ? OK : err_set(e, E_NOMEM, "out of memory");
}

/* Takes the turns of c on success. lang may be NULL. */
static int prompt_new(Prompt **out, struct conversation *c, const char *lang, struct err *e)
{
    const Turn *last = c->turns[c->n - 1];
    Prompt *p;

    if (last->role != ROLE__USER)
        return err_set(e, E_INPUT, "the last turn is not the user's");
    p = malloc(sizeof *p);
    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    prompt__init(p);
    p->lang = strdup(lang && *lang ? lang : guess_lang(last->text));
    if (!p->lang) {
        message_free(p);
        return err_set(e, E_NOMEM, "out of memory");
    }
    p->turns = c->turns;
    p->n_turns = c->n;
    *c = (struct conversation){ 0 };
    *out = p;
    return OK;
}

int prompt_from_record(Prompt **out, const struct json *record, uint64_t number, struct err *e)
{
    const struct json *messages = json_get(record, "messages"), *id = json_get(record, "id");
    bool asked = json_get(record, "instruction") || json_get(record, "prompt") ||
                 json_get(record, "question");
    struct conversation c = { 0 };
    Prompt *p = NULL;
    const char *lang = NULL;
    int rc = field_text(&lang, record, "lang", e);

    if (rc == OK)
        rc = messages && !asked ? conversation_add_messages(&c, messages, e)
                                : conversation_add_question(&c, record, e);
    if (rc == OK)
        rc = prompt_new(&p, &c, lang, e);
    if (rc == OK)
        rc = write_id(&p->id, id ? id : json_get(record, "id_"), number, e);
    conversation_free(&c);
    if (rc == OK)
        *out = p;
    else
        message_free(p);
    return rc;
}

int prompt_from_text(Prompt **out, const char *text, size_t n, uint64_t number, struct err *e)
{
    struct conversation c = { 0 };
    struct buf line = { 0 };
    Prompt *p = NULL;
    int rc = OK;

    if (memchr(text, '\0', n))
        rc = err_set(e, E_INPUT, "the line holds a NUL byte");
    else if (buf_add(&line, text, n) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        rc = conversation_add(&c, ROLE__USER, line.p, e);
    if (rc == OK)
        rc = prompt_new(&p, &c, NULL, e);
    if (rc == OK)
        rc = write_id(&p->id, NULL, number, e);
    conversation_free(&c);
    buf_free(&line);
    if (rc == OK)
        *out = p;
    else
        message_free(p);
    return rc;
}

/* ---- accepted answers ---- */

static int accept(Prompt *p, const struct json *v, struct err *e)
{
    size_t n;
    const char *text = v ? json_text(v, &n) : NULL;

    if (!text)
        return err_set(e, E_INPUT, "'answers' must be a text or a list of texts");
    p->accepted[p->n_accepted] = strdup(text);
    return p->accepted[p->n_accepted++] ? OK : err_set(e, E_NOMEM, "out of memory");
}

static int add_accepted(Prompt *p, const struct json *record, struct err *e)
{
    const struct json *v = json_get(record, "answers");
    int rc = OK;

    if (!v)
        v = json_get(record, "answer");
    if (!v || json_kind(v) == JSON_NULL_)
        return OK;
    p->accepted = calloc(json_size(v) + 1, sizeof *p->accepted);
    if (!p->accepted)
        return err_set(e, E_NOMEM, "out of memory");
    if (json_kind(v) != JSON_ARRAY_)
        return accept(p, v, e);
    for (size_t i = 0; rc == OK && i < json_size(v); i++)
        rc = accept(p, json_at(v, i), e);
    return rc;
}

/* ---- files ---- */

static int give(const struct reading *r, Prompt *p, struct err *e)
{
    ++*r->count;
    return r->each(r->ctx, p, e);
}

static int read_record(void *ctx, const struct json *record, struct err *e)
{
    const struct reading *r = ctx;
    Prompt *p = NULL;
    int rc = prompt_from_record(&p, record, *r->count + 1, e);

    if (rc == OK)
        rc = add_accepted(p, record, e);
    if (rc == OK)
        return give(r, p, e);
    message_free(p);
    return rc;
}

static int read_line(void *ctx, const char *line, size_t n, struct err *e)
{
    const struct reading *r = ctx;
    Prompt *p = NULL;
    int rc = prompt_from_text(&p, line, n, *r->count + 1, e);

    return rc == OK ? give(r, p, e) : rc;
}

int prompts_read(const char *path, struct span bytes, uint64_t *count,
    int (*each)(void *ctx, Prompt *p, struct err *e), void *ctx, struct err *e)
{
    struct reading r = { count, each, ctx };
    struct source s;
    int rc = source_open(&s, path, bytes, e);

    if (rc != OK)
        return rc;
    if (source_has_ending(&s, ".txt"))
        rc = source_lines(&s, read_line, &r, e);
    else
        rc = source_records(&s, read_record, &r, e);
    source_close(&s);
    return rc;
}

static int read_file(void *ctx, const char *path, struct span bytes, struct err *e)
{
    const struct reading *r = ctx;

    return prompts_read(path, bytes, r->count, r->each, r->ctx, e);
}

int prompts_each(struct store *s, const struct id *files,
    int (*each)(void *ctx, Prompt *p, struct err *e), void *ctx, struct err *e)
{
    uint64_t count = 0;
    struct reading r = { &count, each, ctx };
    int rc = files_each(s, files, ARTIFACT_KIND__FILES, read_file, &r, e);

    return rc > 0 ? OK : rc;
}
