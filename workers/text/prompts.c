#include "workers/text/documents_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

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
    } else if (id && text == digits) {
        return err_set(e, E_INPUT, "'id' is neither a string nor a number");
    }
    *out = strdup(text);
    return *out ? OK : err_set(e, E_NOMEM, "out of memory");
}

/* ---- accepted answers ---- */

static int accept(Prompt *p, const char *key, const struct json *v, struct err *e)
{
    size_t n;
    const char *text = v ? json_text(v, &n) : NULL;

    if (!text)
        return err_set(e, E_INPUT, "'%s' must be a text or a list of texts", key);
    p->accepted[p->n_accepted] = strdup(text);
    return p->accepted[p->n_accepted++] ? OK : err_set(e, E_NOMEM, "out of memory");
}

static int add_accepted(Prompt *p, const struct record *r, struct err *e)
{
    const char *key = record_get(r, "answers") ? "answers" : "answer";
    const struct json *v = record_get(r, key);
    int rc = OK;

    if (!v)
        return OK;
    p->accepted = calloc(json_size(v) + 1, sizeof *p->accepted);
    if (!p->accepted)
        return err_set(e, E_NOMEM, "out of memory");
    if (json_kind(v) != JSON_ARRAY_)
        return accept(p, key, v, e);
    for (size_t i = 0; rc == OK && i < json_size(v); i++)
        rc = accept(p, key, json_at(v, i), e);
    return rc;
}

/* ---- a prompt ---- */

static int read_fields(Prompt *p, const struct record *r, const char **lang, uint64_t number,
    bool accepted, struct err *e)
{
    const struct json *id = r ? record_get(r, "id") : NULL;
    int rc = r ? record_text(lang, r, "lang", e) : OK;

    if (rc == OK)
        rc = write_id(&p->id, id || !r ? id : record_get(r, "id_"), number, e);
    if (rc == OK && r && accepted)
        rc = add_accepted(p, r, e);
    return rc;
}

static int copy_turns(Prompt *p, const struct conversation *c, struct err *e)
{
    ProtobufCMessage *copy = NULL;
    int rc = OK;

    p->turns = calloc(c->n, sizeof *p->turns);
    if (!p->turns)
        return err_set(e, E_NOMEM, "out of memory");
    for (; rc == OK && p->n_turns < c->n; p->n_turns += rc == OK) {
        rc = message_copy(&copy, &c->turns[p->n_turns]->base, e);
        if (rc == OK)
            p->turns[p->n_turns] = (Turn *)copy;
    }
    return rc;
}

int prompt_make(Prompt **out, const struct conversation *c, const struct record *r, uint64_t number,
    bool accepted, struct err *e)
{
    const Turn *last = c->n > 0 ? c->turns[c->n - 1] : NULL;
    const char *lang = NULL;
    Prompt *p;
    int rc;

    if (!last || last->role == ROLE__ASSISTANT || last->role == ROLE__SYSTEM)
        return err_set(e, E_INPUT, "the last turn is not the user's");
    p = malloc(sizeof *p);
    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    prompt__init(p);
    rc = read_fields(p, r, &lang, number, accepted, e);
    if (rc == OK)
        rc = copy_turns(p, c, e);
    if (rc == OK) {
        p->lang = strdup(lang && *lang ? lang : guess_lang(last->text));
        rc = p->lang ? OK : err_set(e, E_NOMEM, "out of memory");
    }
    if (rc == OK)
        *out = p;
    else
        message_free(p);
    return rc;
}
