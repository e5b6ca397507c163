#include "workers/text/template.h"

#include <stddef.h>
#include <string.h>

#include "workers/text/bpe.h"

static const struct row {
    ChatTemplate template_;
    const char *end_of_answer;
    const char *specials[4]; /* role marks; NULL-terminated */
} rows[] = {
    {
        .template_ = { .base = PROTOBUF_C_MESSAGE_INIT(&chat_template__descriptor),
            .name = "plain",
            .system_prefix = "",
            .system_suffix = "\n",
            .user_prefix = "",
            .user_suffix = "\n",
            .assistant_prefix = "",
            .assistant_suffix = "\n" },
        .end_of_answer = "<|end|>",
    },
    {
        /* OpenAI's ChatML; an answer ends as every turn does. */
        .template_ = { .base = PROTOBUF_C_MESSAGE_INIT(&chat_template__descriptor),
            .name = "chatml",
            .system_prefix = "<|im_start|>system\n",
            .system_suffix = "<|im_end|>\n",
            .user_prefix = "<|im_start|>user\n",
            .user_suffix = "<|im_end|>\n",
            .assistant_prefix = "<|im_start|>assistant\n",
            .assistant_suffix = "\n",
            .tool_prefix = "<|im_start|>tool\n",
            .tool_suffix = "<|im_end|>\n" },
        .end_of_answer = "<|im_end|>",
        .specials = { "<|im_start|>" },
    },
    {
        /* Llama 3's; what stands before all turns, <|begin_of_text|> there, is end_of_text here. */
        .template_ = { .base = PROTOBUF_C_MESSAGE_INIT(&chat_template__descriptor),
            .name = "llama3",
            .system_prefix = "<|start_header_id|>system<|end_header_id|>\n\n",
            .system_suffix = "<|eot_id|>",
            .user_prefix = "<|start_header_id|>user<|end_header_id|>\n\n",
            .user_suffix = "<|eot_id|>",
            .assistant_prefix = "<|start_header_id|>assistant<|end_header_id|>\n\n",
            .assistant_suffix = "",
            .tool_prefix = "<|start_header_id|>ipython<|end_header_id|>\n\n",
            .tool_suffix = "<|eot_id|>" },
        .end_of_answer = "<|eot_id|>",
        .specials = { "<|start_header_id|>", "<|end_header_id|>" },
    },
};

static const struct row *find_row(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].template_.name, name) == 0)
            return &rows[i];
    }
    return NULL;
}

const ChatTemplate *template_named(const char *name)
{
    const struct row *row = find_row(name);

    return row ? &row->template_ : NULL;
}

const char *const *template_names(void)
{
    static const char *const names[] = { "plain", "chatml", "llama3", NULL };

    _Static_assert(
        sizeof names / sizeof *names == sizeof rows / sizeof *rows + 1, "one name for each row");
    return names;
}

const char *const *template_specials(const char *name)
{
    static const char *const none[] = { NULL };
    const struct row *row = find_row(name);

    return row ? row->specials : none;
}

const char *template_end_of_answer(const char *name)
{
    const struct row *row = find_row(name);

    return row ? row->end_of_answer : NULL;
}

/* ---- turns to ids ---- */

/* The ids up to n that have no mark yet get `value`. */
static int mark(struct buf *mask, size_t n, char value)
{
    while (mask->n < n) {
        if (buf_add(mask, &value, 1) != OK)
            return E_NOMEM;
    }
    return OK;
}

static int append_template(
    const struct tokenizer *t, struct ids *out, const char *text, struct err *e)
{
    return tokenizer_encode_special(t, out, text, strlen(text), e);
}

/* A turn is prefix + text + suffix, each encoded by itself: the ids of a prompt are a prefix of
 * those of every conversation that begins with it. */
static const struct part {
    const char *whose;
    size_t prefix, suffix;
} parts[] = {
    [ROLE__SYSTEM] = { "the system's", offsetof(ChatTemplate, system_prefix),
        offsetof(ChatTemplate, system_suffix) },
    [ROLE__USER] = { "the user's", offsetof(ChatTemplate, user_prefix),
        offsetof(ChatTemplate, user_suffix) },
    [ROLE__ASSISTANT] = { "the assistant's", offsetof(ChatTemplate, assistant_prefix),
        offsetof(ChatTemplate, assistant_suffix) },
    [ROLE__TOOL] = { "a tool's", offsetof(ChatTemplate, tool_prefix),
        offsetof(ChatTemplate, tool_suffix) },
};

static const char *template_text(const struct tokenizer *t, size_t offset)
{
    const char *c = (const char *)tokenizer_model(t)->template_;

    return *(char *const *)(c + offset);
}

static int append_turn(const struct tokenizer *t, struct ids *out, struct buf *mask,
    const Turn *turn, bool last, struct err *e)
{
    const struct part *part = &parts[turn->role];
    bool assistant = turn->role == ROLE__ASSISTANT;
    const char *text = turn->text ? turn->text : "";

    if (!template_text(t, part->prefix) || !template_text(t, part->suffix))
        return err_set(e, E_INPUT, "the chat template has no place for %s turn", part->whose);
    int rc = append_template(t, out, template_text(t, part->prefix), e);

    if (rc == OK && mark(mask, out->n, 0) != OK)
        rc = E_NOMEM;
    if (rc == OK)
        rc = tokenizer_encode(t, out, text, strlen(text), e);
    if (rc == OK && assistant)
        rc = ids_push(out, (int32_t)tokenizer_model(t)->end_of_answer);
    if (rc == OK && mark(mask, out->n, assistant) != OK)
        rc = E_NOMEM;
    /* What stands between an answer and the next turn is not part of the last answer. */
    if (rc == OK && !(assistant && last))
        rc = append_template(t, out, template_text(t, part->suffix), e);
    if (rc == OK && mark(mask, out->n, 0) != OK)
        rc = E_NOMEM;
    return rc == E_NOMEM ? err_set(e, E_NOMEM, "out of memory") : rc;
}

static int append_turns(const struct tokenizer *t, struct ids *out, struct buf *mask,
    Turn *const *turns, size_t n, struct err *e)
{
    int rc = template_check(tokenizer_model(t)->template_, e);

    if (rc == OK && mark(mask, out->n, 0) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");

    for (size_t i = 0; rc == OK && i < n; i++) {
        if (turns[i]->role < ROLE__SYSTEM || turns[i]->role > ROLE__TOOL)
            rc = err_set(e, E_INPUT, "turn %zu has no role", i + 1);
        else
            rc = append_turn(t, out, mask, turns[i], i + 1 == n, e);
    }
    return rc;
}

int template_check(const ChatTemplate *c, struct err *e)
{
    if (!c->jinja)
        return OK;
    return err_set(e, E_INPUT,
        "the chat template that the model came with is not known here: `template: chatml`, llama3 "
        "or plain at the stage that imports it chooses another one");
}

int template_render(struct buf *out, const ChatTemplate *c, const char *end_of_answer,
    const Turn *turn, bool last, const char *open, const char *close, struct err *e)
{
    const struct part *part = &parts[turn->role];
    const char *prefix = *(char *const *)((const char *)c + part->prefix);
    const char *suffix = *(char *const *)((const char *)c + part->suffix);
    bool learnt = turn->role == ROLE__ASSISTANT;
    int rc = template_check(c, e);

    if (rc != OK)
        return rc;
    if (!prefix || !suffix)
        return err_set(e, E_INPUT, "the chat template has no place for %s turn", part->whose);
    rc = buf_printf(out, "%s%s%s%s%s%s", prefix, learnt ? open : "", turn->text,
        learnt ? end_of_answer : "", learnt ? close : "", learnt && last ? "" : suffix);
    return rc == OK ? OK : err_set(e, rc, "out of memory");
}

int template_prompt(
    const struct tokenizer *t, struct ids *out, Turn *const *turns, size_t n, struct err *e)
{
    struct buf mask = { 0 };
    size_t before = out->n;
    int rc = OK;

    if (n == 0 || turns[n - 1]->role == ROLE__ASSISTANT)
        return err_set(e, E_INPUT, "a prompt must end with the user's turn");
    rc = append_turns(t, out, &mask, turns, n, e);
    if (rc == OK && !tokenizer_model(t)->template_->assistant_prefix)
        rc = err_set(e, E_INPUT, "the chat template has no place for the assistant's turn");
    if (rc == OK)
        rc = append_template(t, out, tokenizer_model(t)->template_->assistant_prefix, e);
    if (rc != OK)
        out->n = before;
    buf_free(&mask);
    return rc;
}

int template_conversation(const struct tokenizer *t, struct ids *out, uint8_t **mask,
    Turn *const *turns, size_t n, struct err *e)
{
    struct buf marks = { 0 };
    size_t before = out->n, m;
    int rc = append_turns(t, out, &marks, turns, n, e);

    m = out->n - before;
    if (rc == OK && (m == 0 || !memchr(marks.p + before, 1, m)))
        rc = err_set(e, E_INPUT, "the conversation has no turn of the assistant: nothing to learn");
    if (rc == OK && !memchr(marks.p + before, 0, m))
        rc = err_set(e, E_INPUT, "the conversation has only turns of the assistant: no prompt");
    if (rc == OK) {
        *mask = (uint8_t *)marks.p;
    } else {
        out->n = before;
        buf_free(&marks);
    }
    return rc;
}
