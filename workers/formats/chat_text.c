#include "workers/formats/chat_text.h"

#include <string.h>

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
    int rc = buf_printf(out, "{{ bos_token }}{%% for message in messages %%}");

    for (size_t i = 0; rc == OK && i < sizeof turns / sizeof *turns; i++)
        rc = add_turn(out, m, i);
    if (rc == OK)
        rc = buf_printf(out, "{%% endif %%}{%% endfor %%}{%% if add_generation_prompt %%}{{ ");
    if (rc == OK)
        rc = add_text(out, m->template_->assistant_prefix);
    return rc == OK ? buf_printf(out, " }}{%% endif %%}") : rc;
}
