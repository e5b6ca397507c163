#include "workers/formats/chat_text.h"

#include <stdlib.h>
#include <string.h>

#include "workers/text/template.h"

static const struct {
    const char *role;
    size_t prefix, suffix;
} turns[] = {
    { "system", offsetof(ChatTemplate, system_prefix), offsetof(ChatTemplate, system_suffix) },
    { "user", offsetof(ChatTemplate, user_prefix), offsetof(ChatTemplate, user_suffix) },
    { "assistant", offsetof(ChatTemplate, assistant_prefix),
        offsetof(ChatTemplate, assistant_suffix) },
};

/* A string of Jinja. */
static int add_literal(struct buf *out, const char *text, size_t n)
{
    int rc = buf_add(out, "'", 1);

    for (size_t i = 0; rc == OK && i < n; i++) {
        if (text[i] == '\n')
            rc = buf_add(out, "\\n", 2);
        else if (text[i] == '\'' || text[i] == '\\')
            rc = buf_printf(out, "\\%c", text[i]);
        else
            rc = buf_add(out, &text[i], 1);
    }
    return rc == OK ? buf_add(out, "'", 1) : rc;
}

static int add_text(struct buf *out, const char *text)
{
    return add_literal(out, text ? text : "", text ? strlen(text) : 0);
}

/* What stands behind an answer is left out at the very end, as in training. */
static int add_turn(struct buf *out, const TokenizerModel *m, size_t i)
{
    const char *c = (const char *)m->template_;
    const char *prefix = *(char *const *)(c + turns[i].prefix);
    const char *suffix = *(char *const *)(c + turns[i].suffix);
    const ProtobufCBinaryData *end = &m->tokens[m->end_of_answer];
    bool assistant = strcmp(turns[i].role, "assistant") == 0;
    int rc =
        buf_printf(out, "{%% %sif message['role'] == '%s' %%}{{ ", i ? "el" : "", turns[i].role);

    if (rc == OK)
        rc = add_text(out, prefix);
    if (rc == OK)
        rc = buf_printf(out, " + message['content'] + ");
    if (rc == OK)
        rc =
            assistant ? add_literal(out, (const char *)end->data, end->len) : add_text(out, suffix);
    if (rc == OK)
        rc = buf_printf(out, " }}");
    if (rc == OK && assistant && suffix && *suffix) {
        rc = buf_printf(out, "{%% if not loop.last %%}{{ ");
        if (rc == OK)
            rc = add_text(out, suffix);
        if (rc == OK)
            rc = buf_printf(out, " }}{%% endif %%}");
    }
    return rc;
}

int chat_jinja(struct buf *out, const TokenizerModel *m)
{
    if (m->template_->jinja)
        return buf_printf(out, "%s", m->template_->jinja);
    int rc = buf_printf(out, "{{ bos_token }}{%% for message in messages %%}");

    for (size_t i = 0; rc == OK && i < sizeof turns / sizeof *turns; i++)
        rc = add_turn(out, m, i);
    if (rc == OK)
        rc = buf_printf(out, "{%% endif %%}{%% endfor %%}{%% if add_generation_prompt %%}{{ ");
    if (rc == OK)
        rc = add_text(out, m->template_->assistant_prefix);
    return rc == OK ? buf_printf(out, " }}{%% endif %%}") : rc;
}

/* ---- the other way ---- */

static bool find_special(const TokenizerModel *m, const char *text, uint32_t *id)
{
    for (size_t i = 0; i < m->n_special; i++) {
        const ProtobufCBinaryData *token = &m->tokens[m->special[i]];
        if (token->len == strlen(text) && memcmp(token->data, text, token->len) == 0) {
            *id = m->special[i];
            return true;
        }
    }
    return false;
}

/* The special token that is missing for a template; NULL: none. "plain" needs none of its own. */
static const char *missing_token(const TokenizerModel *m, const char *name)
{
    const char *const *marks = template_specials(name);
    uint32_t id;

    if (!*marks)
        return NULL;
    for (; *marks; marks++)
        if (!find_special(m, *marks, &id))
            return *marks;
    return find_special(m, template_end_of_answer(name), &id) ? NULL : template_end_of_answer(name);
}

static int set_template(TokenizerModel *m, const ChatTemplate *c, struct err *e)
{
    ProtobufCMessage *copy = NULL;
    int rc = message_copy(&copy, &c->base, e);
    uint32_t end;

    if (rc != OK)
        return rc;
    message_free(m->template_);
    m->template_ = (ChatTemplate *)copy;
    if (*template_specials(c->name) && find_special(m, template_end_of_answer(c->name), &end))
        m->end_of_answer = end;
    return OK;
}

int chat_choose(TokenizerModel *m, const char *name, struct err *e)
{
    const ChatTemplate *c = template_named(name);
    const char *lacks = c ? missing_token(m, name) : NULL;

    if (!c)
        return err_set(e, E_INPUT, "unknown chat template '%.40s'", name);
    if (lacks)
        return err_set(e, E_INPUT,
            "the chat template '%s' needs a special token '%s', which the vocabulary lacks", name,
            lacks);
    return set_template(m, c, e);
}

/* Whether chat_jinja writes this text for the template. */
static int is_ours(bool *out, const TokenizerModel *m, const ChatTemplate *c, struct span jinja)
{
    TokenizerModel with = *m;
    struct buf text = { 0 };
    int rc;

    with.template_ = (ChatTemplate *)(uintptr_t)c;
    rc = chat_jinja(&text, &with);
    *out = rc == OK && text.n == jinja.n && memcmp(text.p, jinja.p, jinja.n) == 0;
    buf_free(&text);
    return rc;
}

/* Whether the text has `words`, a line feed of which may be written as \n in it. */
static bool has_words(struct span jinja, const char *words)
{
    const char *p = jinja.p;

    for (size_t at = 0; at < jinja.n; at++) {
        size_t i = at, k = 0;
        for (; words[k] && i < jinja.n; k++) {
            if (words[k] == '\n' && p[i] == '\\' && i + 1 < jinja.n && p[i + 1] == 'n')
                i += 2;
            else if (p[i] == words[k])
                i++;
            else
                break;
        }
        if (!words[k])
            return true;
    }
    return false;
}

static int keep_unknown(TokenizerModel *m, struct span jinja, struct err *e)
{
    ChatTemplate c = CHAT_TEMPLATE__INIT;
    struct buf text = { 0 };
    ProtobufCMessage *copy = NULL;
    int rc = buf_add(&text, jinja.p, jinja.n) == OK && buf_add(&text, "", 1) == OK
                 ? OK
                 : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK && memchr(jinja.p, 0, jinja.n))
        rc = err_set(e, E_INPUT, "the chat template has a byte 0");
    c.name = (char *)(uintptr_t) "unknown";
    c.jinja = text.p;
    if (rc == OK)
        rc = message_copy(&copy, &c.base, e);
    if (rc == OK) {
        message_free(m->template_);
        m->template_ = (ChatTemplate *)copy;
    }
    buf_free(&text);
    return rc;
}

int chat_adopt(TokenizerModel *m, struct span jinja, struct err *e)
{
    for (const char *const *name = template_names(); *name; name++) {
        const ChatTemplate *c = template_named(*name);
        bool known;
        if (is_ours(&known, m, c, jinja) != OK)
            return err_set(e, E_NOMEM, "out of memory");
        known = known || (*template_specials(*name) && has_words(jinja, c->assistant_prefix) &&
                             has_words(jinja, template_end_of_answer(*name)));
        if (known && !missing_token(m, *name))
            return set_template(m, c, e);
    }
    return keep_unknown(m, jinja, e);
}
