#include "workers/text/documents_int.h"

#include <string.h>

struct reading {
    int (*each)(void *ctx, const struct conversation *c, struct err *e);
    void *ctx;
};

static int add_answer(struct conversation *c, const struct json *record, struct err *e)
{
    static const char *const keys[] = { "output", "answer", "completion", "response", NULL };
    const char *answer, *key;
    int rc = field_text_of(&answer, &key, record, keys, e);

    if (rc != OK)
        return rc;
    if (!answer)
        return err_set(e, E_INPUT, "no field 'output', 'answer', 'completion' or 'response'");
    if (text_blank(answer, strlen(answer)))
        return err_set(e, E_INPUT, "'%s' is empty", key);
    return conversation_add(c, ROLE__ASSISTANT, answer, e);
}

/* Somebody asks first, the assistant speaks last. */
static int check_order(const struct conversation *c, struct err *e)
{
    size_t first = 0;

    while (first + 1 < c->n && c->turns[first]->role == ROLE__SYSTEM)
        first++;
    if (c->turns[first]->role != ROLE__USER)
        return err_set(e, E_INPUT, "the first turn is not the user's");
    if (c->turns[c->n - 1]->role != ROLE__ASSISTANT)
        return err_set(e, E_INPUT, "the last turn is not the assistant's");
    return OK;
}

static int read_record(void *ctx, const struct json *record, struct err *e)
{
    const struct reading *r = ctx;
    const struct json *messages = json_get(record, "messages");
    struct conversation c = { 0 };
    int rc;

    if (messages) {
        rc = conversation_add_messages(&c, messages, e);
    } else {
        rc = conversation_add_question(&c, record, e);
        if (rc == OK)
            rc = add_answer(&c, record, e);
    }
    if (rc == OK)
        rc = check_order(&c, e);
    if (rc == OK)
        rc = r->each(r->ctx, &c, e);
    conversation_free(&c);
    return rc;
}

int demonstrations_read(const char *path, struct span bytes,
    int (*each)(void *ctx, const struct conversation *c, struct err *e), void *ctx, struct err *e)
{
    struct reading r = { each, ctx };
    struct source s;
    int rc = source_open(&s, path, bytes, e);

    if (rc != OK)
        return rc;
    rc = source_records(&s, read_record, &r, e);
    source_close(&s);
    return rc;
}

static int read_file(void *ctx, const char *path, struct span bytes, struct err *e)
{
    const struct reading *r = ctx;

    return demonstrations_read(path, bytes, r->each, r->ctx, e);
}

int demonstrations_each(struct store *s, const struct id *files,
    int (*each)(void *ctx, const struct conversation *c, struct err *e), void *ctx, struct err *e)
{
    struct reading r = { each, ctx };
    int rc = files_each(s, files, ARTIFACT_KIND__FILES, read_file, &r, e);

    return rc > 0 ? OK : rc;
}
