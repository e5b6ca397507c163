#include "pipelines/plan.h"

#include <stdio.h>
#include <string.h>

#include "pipelines/kinds.h"
#include "pipelines/unfold_int.h"
#include "proto/task.h"

/* What is hashed, in this order; every part begins with its length, so that no two lists of parts
 * give the same bytes. */

static int add_part(struct buf *b, const void *p, size_t n)
{
    uint64_t length = n;
    uint8_t head[8];
    int rc;

    for (size_t i = 0; i < sizeof head; i++)
        head[i] = (uint8_t)(length >> (8 * i));
    rc = buf_add(b, head, sizeof head);
    return rc == OK && n > 0 ? buf_add(b, p, n) : rc;
}

static int add_text(struct buf *b, const char *text)
{
    return add_part(b, text, strlen(text));
}

static int add_number(struct buf *b, const char *name, uint64_t value)
{
    char text[64];

    snprintf(text, sizeof text, "%s=%llu", name, (unsigned long long)value);
    return add_text(b, text);
}

static int add_message(struct buf *b, const ProtobufCMessage *m)
{
    struct buf packed = { 0 };
    int rc = message_pack(&packed, m);

    if (rc == OK)
        rc = add_part(b, packed.p, packed.n);
    buf_free(&packed);
    return rc;
}

static int add_config(struct buf *b, const struct plan_job *job, struct err *e)
{
    ProtobufCMessage *copy = NULL;
    int rc = message_copy(&copy, stage_config(job->stage), e);

    if (rc == OK)
        rc = config_clear_names(copy, kind_of(job->stage), e);
    if (rc == OK)
        rc = add_message(b, copy);
    message_free(copy);
    return rc;
}

/* Where a report is made, the names of its models are part of it. */
static int add_names(struct buf *b, const struct plan_job *job)
{
    int rc = OK;

    for (size_t i = 0; i < job->n_bindings && rc == OK; i++)
        if (job->stage->kind_case == STAGE__KIND_EVALUATE &&
            (strcmp(job->bindings[i].port, "model") == 0 ||
                strcmp(job->bindings[i].port, "reference") == 0))
            rc = add_text(b, job->bindings[i].name);
    return rc;
}

static int add_inputs(
    struct buf *b, const struct plan_job *job, const struct slots *inputs, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < job->n_bindings && rc == OK; i++) {
        const char *port = job->bindings[i].port;
        const Output *o;
        size_t before = 0;
        for (size_t k = 0; k < i; k++)
            before += strcmp(job->bindings[k].port, port) == 0;
        o = slots_bound(inputs, job, port, before);
        if (!o)
            return err_set(
                e, E_MISSING, "job '%s': there is nothing for its input '%s'", job->name, port);
        rc = add_text(b, port);
        if (rc == OK)
            rc = add_part(b, o->id.data, o->id.len);
    }
    return rc;
}

int job_key(struct id *out, const struct plan_job *job, const struct slots *inputs,
    const char *numeric_class, struct err *e)
{
    struct buf b = { 0 };
    uint64_t held_out;
    int rc = add_text(&b, job->kind);

    memcpy(&held_out, &job->text_held_out, sizeof held_out);
    if (rc == OK)
        rc = add_number(&b, "engine", ENGINE_VERSION);
    if (rc == OK)
        rc = add_number(&b, "seed", job->seed);
    if (rc == OK)
        rc = add_text(&b, job->numeric ? numeric_class : "");
    if (rc == OK)
        rc = add_config(&b, job, e);
    if (rc == OK)
        rc = job->rubric ? add_message(&b, &job->rubric->base) : add_text(&b, "");
    if (rc == OK)
        rc = add_number(&b, "text_shards", job->text_shards);
    if (rc == OK)
        rc = add_number(&b, "text_held_out", held_out);
    if (rc == OK)
        rc = add_names(&b, job);
    if (rc == OK)
        rc = add_inputs(&b, job, inputs, e);
    if (rc == OK)
        sha256(out, b.p, b.n);
    buf_free(&b);
    return rc == OK || rc != E_NOMEM ? rc : err_set(e, E_NOMEM, "out of memory");
}
