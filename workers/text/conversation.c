#include "workers/text/documents_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- fields ---- */

int field_text(const char **out, const struct json *record, const char *key, struct err *e)
{
    const struct json *v = json_get(record, key);
    size_t n;

    *out = NULL;
    if (!v || json_kind(v) == JSON_NULL_)
        return OK;
    *out = json_text(v, &n);
    return *out ? OK : err_set(e, E_INPUT, "'%s' is no string", key);
}

int field_text_of(const char **out, const char **key, const struct json *record,
    const char *const *keys, struct err *e)
{
    int rc = OK;

    *out = *key = NULL;
    for (; rc == OK && !*out && *keys; keys++) {
        *key = *keys;
        rc = field_text(out, record, *keys, e);
    }
    return rc;
}

/* ---- conversations ---- */

void conversation_free(struct conversation *c)
{
    for (size_t i = 0; i < c->n; i++)
        message_free(c->turns[i]);
    free(c->turns);
    *c = (struct conversation){ 0 };
}

int conversation_add(struct conversation *c, Role role, const char *text, struct err *e)
{
    Turn **turns = realloc(c->turns, (c->n + 1) * sizeof *turns);
    Turn *turn = malloc(sizeof *turn);

    if (turns)
        c->turns = turns;
    if (!turns || !turn) {
        free(turn);
        return err_set(e, E_NOMEM, "out of memory");
    }
    turn__init(turn);
    turn->has_role = 1;
    turn->role = role;
    turn->text = strdup(text);
    c->turns[c->n++] = turn;
    return turn->text ? OK : err_set(e, E_NOMEM, "out of memory");
}

static int add_message(struct conversation *c, const struct json *message, struct err *e)
{
    static const struct {
        const char *word;
        Role role;
    } roles[] = { { "system", ROLE__SYSTEM }, { "user", ROLE__USER },
        { "assistant", ROLE__ASSISTANT } };
    const char *word, *content;
    int rc = field_text(&word, message, "role", e);

    if (rc == OK)
        rc = field_text(&content, message, "content", e);
    if (rc != OK)
        return rc;
    if (!word || !content)
        return err_set(e, E_INPUT, "no field '%s'", word ? "content" : "role");
    if (text_blank(content, strlen(content)))
        return err_set(e, E_INPUT, "'content' is empty");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strcmp(roles[i].word, word) == 0)
            return conversation_add(c, roles[i].role, content, e);
    }
    return err_set(e, E_INPUT, "unknown role '%.40s': known are system, user, assistant", word);
}

int conversation_add_messages(struct conversation *c, const struct json *messages, struct err *e)
{
    if (json_kind(messages) != JSON_ARRAY_ || json_size(messages) == 0)
        return err_set(e, E_INPUT, "'messages' is no list of messages");
    for (size_t i = 0; i < json_size(messages); i++) {
        if (add_message(c, json_at(messages, i), e) != OK)
            return e->code == E_INPUT ? err_wrap(e, "message %zu", i + 1) : e->code;
    }
    return OK;
}

/* [[question, answer], …] */
static int add_history(struct conversation *c, const struct json *history, struct err *e)
{
    static const Role roles[] = { ROLE__USER, ROLE__ASSISTANT };

    if (!history || json_kind(history) == JSON_NULL_)
        return OK;
    if (json_kind(history) != JSON_ARRAY_)
        return err_set(e, E_INPUT, "'history' is no list");
    for (size_t i = 0; i < json_size(history); i++) {
        const struct json *pair = json_at(history, i);
        for (size_t k = 0; k < 2; k++) {
            const struct json *v = json_size(pair) == 2 ? json_at(pair, k) : NULL;
            size_t n = 0;
            const char *text = v ? json_text(v, &n) : NULL;
            if (!text || text_blank(text, n))
                return err_set(e, E_INPUT, "'history' %zu is no [question, answer]", i + 1);
            if (conversation_add(c, roles[k], text, e) != OK)
                return e->code;
        }
    }
    return OK;
}

/* Alpaca: what the instruction is about stands in `input`. */
static int add_instruction(
    struct conversation *c, const char *instruction, const char *input, struct err *e)
{
    struct buf both = { 0 };
    int rc;

    if (!input || text_blank(input, strlen(input)))
        return conversation_add(c, ROLE__USER, instruction, e);
    if (text_blank(instruction, strlen(instruction)))
        return conversation_add(c, ROLE__USER, input, e);
    rc = buf_printf(&both, "%s\n%s", instruction, input);
    rc = rc == OK ? conversation_add(c, ROLE__USER, both.p, e) : err_set(e, rc, "out of memory");
    buf_free(&both);
    return rc;
}

int conversation_add_question(struct conversation *c, const struct json *record, struct err *e)
{
    static const char *const keys[] = { "instruction", "prompt", "question", NULL };
    const char *system = NULL, *question = NULL, *input = NULL, *key;
    int rc = field_text(&system, record, "system", e);

    if (rc == OK)
        rc = field_text_of(&question, &key, record, keys, e);
    if (rc == OK)
        rc = field_text(&input, record, "input", e);
    if (rc == OK && !question)
        rc = err_set(e, E_INPUT, "no field 'instruction', 'prompt' or 'question'");
    if (rc == OK && text_blank(question, strlen(question)) &&
        (!input || text_blank(input, strlen(input))))
        rc = err_set(e, E_INPUT, "'%s' is empty", key);
    if (rc == OK && system && !text_blank(system, strlen(system)))
        rc = conversation_add(c, ROLE__SYSTEM, system, e);
    if (rc == OK)
        rc = add_history(c, json_get(record, "history"), e);
    if (rc == OK)
        rc = add_instruction(c, question, input, e);
    return rc;
}
