#include <stdlib.h>
#include <string.h>

#include "workers/text/shape_int.h"

const char *const question_names[] = { "instruction", "prompt", "question", "query", "ask", NULL };
const char *const answer_names[] = { "output", "answer", "completion", "response", NULL };

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

void conversation_drop(struct conversation *c)
{
    message_free(c->turns[--c->n]);
}

bool conversation_equal(const struct conversation *a, const struct conversation *b)
{
    for (size_t i = 0; i < a->n && a->n == b->n; i++)
        if (a->turns[i]->role != b->turns[i]->role ||
            strcmp(a->turns[i]->text, b->turns[i]->text) != 0)
            return false;
    return a->n == b->n;
}

/* ---- messages ---- */

/* What people call who speaks. A call of a tool is what the assistant says. */
static const struct speaker {
    const char *word;
    Role role;
} speakers[] = {
    { "system", ROLE__SYSTEM },
    { "developer", ROLE__SYSTEM },
    { "user", ROLE__USER },
    { "human", ROLE__USER },
    { "prompter", ROLE__USER },
    { "assistant", ROLE__ASSISTANT },
    { "gpt", ROLE__ASSISTANT },
    { "bot", ROLE__ASSISTANT },
    { "chatgpt", ROLE__ASSISTANT },
    { "bing", ROLE__ASSISTANT },
    { "bard", ROLE__ASSISTANT },
    { "model", ROLE__ASSISTANT },
    { "function_call", ROLE__ASSISTANT },
    { "tool", ROLE__TOOL },
    { "function", ROLE__TOOL },
    { "observation", ROLE__TOOL },
    { "ipython", ROLE__TOOL },
};

static const struct json *first_of(const struct json *v, const char *const *keys, const char **key)
{
    const struct json *found = NULL;

    for (; !found && *keys; keys++) {
        *key = *keys;
        found = json_get(v, *keys);
        found = found && json_kind(found) == JSON_NULL_ ? NULL : found;
    }
    return found;
}

static int speaker_of(Role *out, const struct conversation *c, const struct json *m, struct err *e)
{
    static const char *const keys[] = { "role", "from", NULL };
    const char *key = NULL, *word;
    const struct json *v = first_of(m, keys, &key);
    size_t n;

    if (!v && json_get(m, "message")) { /* no field tells: they take turns */
        bool user = c->n == 0 || c->turns[c->n - 1]->role != ROLE__USER;
        *out = user ? ROLE__USER : ROLE__ASSISTANT;
        return OK;
    }
    word = v ? json_text(v, &n) : NULL;
    if (!word)
        return err_set(e, E_INPUT, v ? "'%s' is no string" : "no field 'role' or 'from'", key);
    for (size_t i = 0; i < sizeof speakers / sizeof *speakers; i++) {
        if (strcmp(speakers[i].word, word) == 0) {
            *out = speakers[i].role;
            return OK;
        }
    }
    return err_set(e, E_INPUT,
        "unknown role '%.40s': known are system, user, assistant, tool, and what they are called "
        "elsewhere",
        word);
}

/* [{"type": "text", "text": "…"}, …] */
static int join_parts(struct buf *out, const struct json *parts, const char *key, struct err *e)
{
    size_t n;
    int rc = buf_add(out, "", 0);

    for (size_t i = 0; rc == OK && i < json_size(parts); i++) {
        const struct json *v = json_get(json_at(parts, i), "text");
        const char *text = v ? json_text(v, &n) : NULL;
        if (!text)
            return err_set(e, E_INPUT, "'%s' holds more than text", key);
        rc = buf_add(out, text, n);
    }
    return rc == OK ? OK : err_set(e, E_NOMEM, "out of memory");
}

/* What would be lost in silence: calls of tools and thoughts beside the content, and answers not to
 * be learnt. */
static int check_message(const struct json *message, struct err *e)
{
    static const char *const calls[] = { "tool_calls", "function_call" };
    static const char *const thoughts[] = { "reasoning_content", "reasoning", "thinking" };
    const struct json *weight = json_get(message, "weight");
    size_t n;

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const struct json *v = json_get(message, calls[i]);
        if (v && json_kind(v) != JSON_NULL_ && json_size(v) > 0)
            return err_set(e, E_INPUT,
                "'%s' is not read: write the call as the 'content' of an assistant's message",
                calls[i]);
    }
    for (size_t i = 0; i < sizeof thoughts / sizeof *thoughts; i++) {
        const struct json *v = json_get(message, thoughts[i]);
        const char *text = v ? json_text(v, &n) : NULL;
        if (text && !text_blank(text, n))
            return err_set(e, E_INPUT,
                "'%s' is not read: write into 'content' what is to be learnt of it", thoughts[i]);
    }
    if (weight && json_number(weight, 1) == 0)
        return err_set(e, E_INPUT, "'weight' 0: every answer of the assistant is learnt here");
    return OK;
}

int conversation_add_message(struct conversation *c, const struct json *message, struct err *e)
{
    static const char *const keys[] = { "content", "value", "text", "message", NULL };
    const char *key = "content", *text;
    const struct json *v = first_of(message, keys, &key);
    struct buf parts = { 0 };
    size_t n = 0;
    Role role = ROLE__USER;
    int rc = speaker_of(&role, c, message, e);

    if (rc == OK)
        rc = check_message(message, e);
    if (rc == OK && !v)
        rc = err_set(e, E_INPUT, "no field 'content' or 'value'");
    if (rc == OK && json_kind(v) == JSON_ARRAY_)
        rc = join_parts(&parts, v, key, e);
    if (rc == OK) {
        text = parts.p ? parts.p : json_text(v, &n);
        if (!text)
            rc = err_set(e, E_INPUT, "'%s' is no string", key);
        else if (role != ROLE__TOOL && text_blank(text, strlen(text)))
            rc = err_set(e, E_INPUT, "'%s' is empty", key);
        else
            rc = conversation_add(c, role, text, e);
    }
    buf_free(&parts);
    return rc;
}

int conversation_add_messages(struct conversation *c, const struct json *messages, struct err *e)
{
    if (!messages || json_kind(messages) != JSON_ARRAY_ || json_size(messages) == 0)
        return err_set(e, E_INPUT, "there is no list of messages");
    for (size_t i = 0; i < json_size(messages); i++) {
        if (conversation_add_message(c, json_at(messages, i), e) != OK)
            return e->code == E_INPUT ? err_wrap(e, "message %zu", i + 1) : e->code;
    }
    return OK;
}

/* ---- instruction, input and history ---- */

/* [[question, answer], …] */
static int add_history(struct conversation *c, const struct json *history, struct err *e)
{
    static const Role roles[] = { ROLE__USER, ROLE__ASSISTANT };

    if (!history)
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

/* The tools that may be called are told where the system speaks. */
int conversation_add_system(struct conversation *c, const struct record *r, struct err *e)
{
    static const char *const keys[] = { "system", "system_prompt", "tools" };
    struct buf text = { 0 };
    int rc = OK;

    for (size_t i = 0; rc == OK && i < sizeof keys / sizeof *keys; i++) {
        const char *part;
        rc = record_text(&part, r, keys[i], e);
        if (rc == OK && part && !text_blank(part, strlen(part)) && strcmp(part, "[]") != 0 &&
            buf_printf(&text, "%s%s", text.n ? "\n" : "", part) != OK)
            rc = err_set(e, E_NOMEM, "out of memory");
    }
    if (rc == OK && text.n > 0)
        rc = conversation_add(c, ROLE__SYSTEM, text.p, e);
    buf_free(&text);
    return rc;
}

int conversation_add_question(struct conversation *c, const struct record *r, struct err *e)
{
    static const char *const input_names[] = { "input", "context", NULL };
    const char *question = NULL, *input = NULL, *key = NULL, *input_key = NULL;
    int rc = record_text_of(&question, &key, r, question_names, e);

    if (rc == OK)
        rc = record_text_of(&input, &input_key, r, input_names, e);
    if (rc == OK && !question)
        rc = err_set(e, E_INPUT, "no field 'instruction', 'prompt' or 'question'");
    if (rc == OK && text_blank(question, strlen(question)) &&
        (!input || text_blank(input, strlen(input))))
        rc = err_set(e, E_INPUT, "'%s' is empty", key);
    if (rc == OK)
        rc = conversation_add_system(c, r, e);
    if (rc == OK)
        rc = add_history(c, record_get(r, "history"), e);
    if (rc == OK)
        rc = (!input || text_blank(input, strlen(input))) && is_dialogue(question)
                 ? conversation_add_dialogue(c, question, e)
                 : add_instruction(c, question, input, e);
    return rc;
}
