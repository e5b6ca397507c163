#include <stdlib.h>
#include <string.h>

#include "workers/text/shape_int.h"

/* Shapes that show what to say. */

static int add_answer(struct conversation *c, const struct record *r, struct err *e)
{
    const char *answer, *key;
    int rc = record_text_of(&answer, &key, r, answer_names, e);

    if (rc != OK)
        return rc;
    if (!answer)
        return err_set(e, E_INPUT, "no field 'output', 'answer', 'completion' or 'response'");
    if (text_blank(answer, strlen(answer)))
        return err_set(e, E_INPUT, "'%s' is empty", key);
    return conversation_add(c, ROLE__ASSISTANT, answer, e);
}

int shape_prompt(struct shaping *x, const struct record *r, struct err *e)
{
    struct conversation c = { 0 };
    int rc = conversation_add_question(&c, r, e);

    if (rc == OK)
        rc = shaping_give(x, &c, NULL, e);
    conversation_free(&c);
    return rc;
}

int shape_answer(struct shaping *x, const struct record *r, struct err *e)
{
    struct conversation c = { 0 };
    int rc = conversation_add_question(&c, r, e);

    if (rc == OK)
        rc = add_answer(&c, r, e);
    if (rc == OK)
        rc = shaping_give(x, &c, NULL, e);
    conversation_free(&c);
    return rc;
}

static const struct json *messages_of(const struct record *r)
{
    static const char *const names[] = { "messages", "conversations", "conversation" };
    const struct json *v = NULL;

    for (size_t i = 0; !v && i < sizeof names / sizeof *names; i++)
        v = record_get(r, names[i]);
    return v;
}

int shape_messages(struct shaping *x, const struct record *r, struct err *e)
{
    struct conversation c = { 0 };
    int rc = conversation_add_system(&c, r, e);

    if (rc == OK)
        rc = conversation_add_messages(&c, messages_of(r), e);
    if (rc == OK)
        rc = shaping_give(x, &c, NULL, e);
    conversation_free(&c);
    return rc;
}

/* {prompt: [turns], completion: [turns]} */
int shape_completion(struct shaping *x, const struct record *r, struct err *e)
{
    struct conversation c = { 0 };
    int rc = conversation_add_system(&c, r, e);

    if (rc == OK)
        rc = conversation_add_messages(&c, record_get(r, "prompt"), e);
    if (rc == OK)
        rc = conversation_add_messages(&c, record_get(r, "completion"), e);
    if (rc == OK)
        rc = shaping_give(x, &c, NULL, e);
    conversation_free(&c);
    return rc;
}

/* Each answer is labelled by itself: the good ones are demonstrations. */
int shape_labelled(struct shaping *x, const struct record *r, struct err *e)
{
    if (!json_bool(record_get(r, "label"), false) && x->want == GIVES_DEMONSTRATION) {
        *x->fate = FATE_LABELLED_BAD;
        record_read_all(r);
        return OK;
    }
    return messages_of(r) ? shape_messages(x, r, e) : shape_answer(x, r, e);
}

/* One instruction, several inputs with their outputs. */
int shape_instances(struct shaping *x, const struct record *r, struct err *e)
{
    Format same = FORMAT__INIT;
    const struct json *instances = record_get(r, "instances");
    const char *instruction;
    int rc = record_text(&instruction, r, "instruction", e);

    same.input = (char *)"input";
    same.answer = (char *)"output";
    if (rc == OK && json_size(instances) == 0)
        rc = err_set(e, E_INPUT, "'instances' is empty");
    for (size_t i = 0; rc == OK && i < json_size(instances); i++) {
        struct record one = { json_at(instances, i), &same, NULL };
        struct conversation c = { 0 };
        struct buf question = { 0 };
        const char *input = NULL;
        rc = record_text(&input, &one, "input", e);
        if (rc == OK && buf_printf(&question, "%s%s%s", instruction, input && *input ? "\n" : "",
                            input ? input : "") != OK)
            rc = err_set(e, E_NOMEM, "out of memory");
        if (rc == OK)
            rc = conversation_add(&c, ROLE__USER, question.p, e);
        if (rc == OK)
            rc = add_answer(&c, &one, e);
        if (rc == OK)
            rc = shaping_give(x, &c, NULL, e);
        buf_free(&question);
        conversation_free(&c);
        if (rc == E_INPUT)
            err_wrap(e, "instance %zu", i + 1);
    }
    return rc;
}
