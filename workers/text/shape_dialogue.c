#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/text/shape_int.h"

/* Comparisons that hold whole dialogues as one string (HH), or as a tree (OASST). */

/* ---- "\n\nHuman: …\n\nAssistant: …" ---- */

#define MARKS 3

static const struct mark {
    const char *text;
    Role role;
} hh[MARKS] = { { "\n\nHuman:", ROLE__USER }, { "\n\nAssistant:", ROLE__ASSISTANT },
    { "\n\nSystem:", ROLE__SYSTEM } },
  belle[MARKS] = { { "\nHuman:", ROLE__USER }, { "\nAssistant:", ROLE__ASSISTANT },
      { "\nSystem:", ROLE__SYSTEM } };

/* The first mark in p; NULL: there is none. */
static const char *find_mark(const char *p, const struct mark *marks, const struct mark **out)
{
    const char *first = NULL;

    for (size_t i = 0; i < MARKS; i++) {
        const char *at = strstr(p, marks[i].text);
        if (at && (!first || at < first)) {
            first = at;
            *out = &marks[i];
        }
    }
    return first;
}

static int add_turn(struct conversation *c, Role role, const char *p, size_t n, struct err *e)
{
    while (n > 0 && strchr(" \n", *p)) {
        p++;
        n--;
    }
    while (n > 0 && strchr(" \n", p[n - 1]))
        n--;
    char *text = strndup(p, n);
    int rc = text ? conversation_add(c, role, text, e) : err_set(e, E_NOMEM, "out of memory");
    free(text);
    return rc;
}

static int read_dialogue(
    struct conversation *c, const char *text, const struct mark *marks, struct err *e)
{
    const struct mark *mark = NULL, *next = NULL;
    const char *at = find_mark(text, marks, &mark);
    int rc = OK;

    if (!at || !text_blank(text, (size_t)(at - text)))
        return err_set(e, E_INPUT, "it does not begin with \"\\n\\nHuman:\"");
    while (rc == OK && at) {
        const char *begin = at + strlen(mark->text);
        at = find_mark(begin, marks, &next);
        rc = add_turn(c, mark->role, begin, at ? (size_t)(at - begin) : strlen(begin), e);
        mark = next;
    }
    return rc;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* BELLE's: "Human:…\nAssistant:…\nHuman:…\nAssistant:", in an instruction. */
static bool is_belle(const char *text)
{
    static const char end[] = "\nAssistant:";
    size_t n = strlen(text);

    while (n > 0 && strchr(" \n", text[n - 1]))
        n--;
    return begins(text, belle[0].text + 1) && n >= sizeof end &&
           memcmp(text + n - (sizeof end - 1), end, sizeof end - 1) == 0;
}

bool is_dialogue(const char *text)
{
    return begins(text, hh[0].text) || is_belle(text);
}

int conversation_add_dialogue(struct conversation *c, const char *text, struct err *e)
{
    const struct mark *marks = is_belle(text) ? belle : hh;
    struct buf whole = { 0 };
    size_t before = c->n;
    int rc = buf_printf(&whole, "%s%s", marks == belle ? "\n" : "", text) == OK
                 ? read_dialogue(c, whole.p, marks, e)
                 : err_set(e, E_NOMEM, "out of memory");
    const Turn *last = rc == OK && c->n > before ? c->turns[c->n - 1] : NULL;

    buf_free(&whole);
    if (!last)
        return rc;
    if (last->role == ROLE__ASSISTANT && !*last->text)
        conversation_drop(c);
    return c->n > before && c->turns[c->n - 1]->role == ROLE__USER
               ? OK
               : err_set(e, E_INPUT, "the dialogue does not end with what is to be answered");
}

int shape_pair_of_dialogues(struct shaping *x, const struct record *r, struct err *e)
{
    static const char *const names[] = { "chosen", "rejected" };
    struct conversation both[2] = { 0 };
    const char *text;
    int rc = OK;

    for (size_t i = 0; rc == OK && i < 2; i++) {
        rc = record_text(&text, r, names[i], e);
        if (rc == OK)
            rc = read_dialogue(&both[i], text, hh, e);
        if (rc == E_INPUT)
            err_wrap(e, "'%s'", names[i]);
    }
    if (rc == OK)
        rc = shaping_give_pair(x, r, both, false, e);
    conversation_free(&both[0]);
    conversation_free(&both[1]);
    return rc;
}

/* ---- trees ---- */

static int walk(
    struct shaping *x, struct conversation *path, const struct json *node, struct err *e);

static bool is_deleted(const struct json *node)
{
    const struct json *deleted = json_get(node, "deleted");

    return deleted && json_bool(deleted, false);
}

/* The answers to what the path ends with, by their ranks; unranked and deleted ones are left out.
 */
static int give_replies(
    struct shaping *x, struct conversation *path, const struct json *replies, struct err *e)
{
    size_t n = json_size(replies), ranked = 0, length;
    Ranking *answers = NULL;
    double *keys = calloc(n + 1, sizeof *keys);
    int rc = keys ? answers_new(&answers, n, e) : err_set(e, E_NOMEM, "out of memory");

    for (size_t i = 0; rc == OK && i < n; i++) {
        const struct json *reply = json_at(replies, i), *text = json_get(reply, "text");
        const struct json *rank = json_get(reply, "rank");
        keys[i] = rank && !is_deleted(reply) ? json_number(rank, NAN) : NAN;
        ranked += !isnan(keys[i]);
        if (!text || !json_text(text, &length))
            rc = err_set(e, E_INPUT, "a reply has no 'text'");
        else
            rc = answers_add(answers, json_text(text, &length), e);
    }
    if (rc == OK)
        rc = answers_rank(answers, keys, e);
    if (rc == OK && (ranked >= 2 || x->want == GIVES_PROMPT))
        rc = shaping_give(x, path, answers, e);
    message_free(answers);
    free(keys);
    return rc;
}

/* What follows on something deleted is left out with it. */
static int walk(
    struct shaping *x, struct conversation *path, const struct json *node, struct err *e)
{
    const struct json *replies = json_get(node, "replies");
    bool list = replies && json_kind(replies) == JSON_ARRAY_;
    int rc;

    if (is_deleted(node))
        return OK;
    rc = conversation_add_message(path, node, e);
    if (rc != OK)
        return rc;
    if (path->turns[path->n - 1]->role == ROLE__USER && (list || x->want == GIVES_PROMPT))
        rc = list ? give_replies(x, path, replies, e) : shaping_give(x, path, NULL, e);
    for (size_t i = 0; rc == OK && list && i < json_size(replies); i++)
        rc = walk(x, path, json_at(replies, i), e);
    if (rc == OK)
        conversation_drop(path);
    return rc;
}

int shape_tree(struct shaping *x, const struct record *r, struct err *e)
{
    struct conversation path = { 0 };
    int rc = walk(x, &path, record_get(r, "prompt"), e);

    if (rc == OK && x->given == 0)
        *x->fate = FATE_NOT_COMPARED;
    conversation_free(&path);
    return rc;
}

/* Its tree is in other records, in any order. */
int shape_single_message(struct shaping *x, const struct record *r, struct err *e)
{
    (void)x, (void)r;
    return err_set(e, E_INPUT,
        "it is a single message of a tree (OASST): give the file of whole trees; or, as raw text, "
        "`format: {text: text}`");
}
