#include "pipelines/unfold_int.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/fields.h"
#include "pipelines/kinds.h"
#include "proto/task.h"

/* What a kind of task depends on, beside its configuration and its inputs: what does not depend on
 * the seed has the same id, and so the same answer, with every seed. */
static const struct {
    TaskSpec__KindCase kind;
    bool numeric, seeded;
} tasks[] = {
    { TASK_SPEC__KIND_TOKENIZER, false, false },
    { TASK_SPEC__KIND_IMPORT, false, false },
    { TASK_SPEC__KIND_ENCODE, false, false },
    { TASK_SPEC__KIND_TRAIN, true, true },
    { TASK_SPEC__KIND_GENERATE, true, true },
    { TASK_SPEC__KIND_JOIN, false, false },
    { TASK_SPEC__KIND_RANK, false, true },
    { TASK_SPEC__KIND_CALIBRATE, true, false },
    { TASK_SPEC__KIND_ROLLOUT, true, true },
    { TASK_SPEC__KIND_SCORE, true, true },
    { TASK_SPEC__KIND_REPORT, false, false },
    { TASK_SPEC__KIND_REFERENCE, true, false },
};

static int set_head(struct round *r, TaskSpec *t)
{
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        if (tasks[i].kind != t->kind_case)
            continue;
        t->numeric_class = strdup(tasks[i].numeric ? r->numeric_class : "");
        t->has_seed = tasks[i].seeded;
        t->seed = tasks[i].seeded ? r->job->seed : 0;
    }
    t->has_engine = 1;
    t->engine = ENGINE_VERSION;
    return t->numeric_class ? OK : err_set(r->e, E_NOMEM, "out of memory");
}

/* An empty task with its configuration; the members of the union are all pointers to messages. */
static TaskSpec *new_task(TaskSpec__KindCase kind)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(&task_spec__descriptor, kind);
    TaskSpec *t = (TaskSpec *)message_new_of(&task_spec__descriptor);
    ProtobufCMessage *config = message_new_of(f->descriptor);

    if (!t || !config) {
        free(t);
        free(config);
        return NULL;
    }
    memcpy(&t->tokenizer, &config, sizeof config);
    t->kind_case = kind;
    return t;
}

/* Takes both. */
static int append_task(struct round *r, TaskSpec *t, char *name)
{
    struct unfolding *u = r->out;
    size_t n = u->n_tasks;
    TaskSpec **more_tasks = NULL;
    char **more_names = NULL;

    if (t && name)
        more_tasks = realloc(u->tasks, (n + 1) * sizeof(*more_tasks));
    if (more_tasks)
        u->tasks = more_tasks;
    if (more_tasks)
        more_names = realloc(u->names, (n + 1) * sizeof(*more_names));
    if (more_names)
        u->names = more_names;
    if (!more_names) {
        message_free(t);
        free(name);
        return err_set(r->e, E_NOMEM, "out of memory");
    }
    u->tasks[n] = t;
    u->names[n] = name;
    u->n_tasks++;
    u->what = UNFOLD_TASKS;
    return OK;
}

int round_task(struct round *r, TaskSpec **out, TaskSpec__KindCase kind, const char *name, ...)
{
    TaskSpec *t = new_task(kind);
    char text[64];
    va_list ap;
    int rc;

    va_start(ap, name);
    vsnprintf(text, sizeof text, name, ap);
    va_end(ap);
    rc = append_task(r, t, strdup(text));
    if (rc == OK)
        rc = set_head(r, t);
    if (rc == OK)
        rc = fields_copy(&t->tokenizer->base, stage_config(r->job->stage), r->e);
    if (rc == OK)
        *out = t;
    return rc;
}

static int add_input(struct round *r, TaskSpec *t, const char *name, const Output *o)
{
    TaskInput **more = realloc(t->inputs, (t->n_inputs + 1) * sizeof(*more));
    TaskInput *one = (TaskInput *)message_new_of(&task_input__descriptor);

    if (more)
        t->inputs = more;
    if (!more || !one) {
        message_free(one);
        return err_set(r->e, E_NOMEM, "out of memory");
    }
    t->inputs[t->n_inputs++] = one;
    one->name = strdup(name);
    one->id.data = malloc(o->id.len ? o->id.len : 1);
    one->has_id = one->id.data != NULL;
    if (!one->name || !one->id.data)
        return err_set(r->e, E_NOMEM, "out of memory");
    one->id.len = o->id.len;
    if (o->id.len)
        memcpy(one->id.data, o->id.data, o->id.len);
    return OK;
}

int round_input(struct round *r, TaskSpec *task, const char *input, const char *slot, ...)
{
    const Output *o;
    char text[64];
    va_list ap;

    va_start(ap, slot);
    vsnprintf(text, sizeof text, slot, ap);
    va_end(ap);
    o = slots_get(r->slots, text);
    if (!o)
        return err_set(r->e, E_MISSING, "there is no '%s'", text);
    return add_input(r, task, input, o);
}

int round_bound_at(struct round *r, TaskSpec *task, const char *input, const char *port, size_t i)
{
    const Output *o = slots_bound(r->slots, r->job, port, i);

    if (!o)
        return err_set(r->e, E_MISSING, "there is nothing for its input '%s'", port);
    return add_input(r, task, input, o);
}

int round_bound(struct round *r, TaskSpec *task, const char *input, const char *port)
{
    size_t n = round_ports(r, port);
    int rc = OK;

    for (size_t i = 0; i < n && rc == OK; i++)
        rc = round_bound_at(r, task, input, port, i);
    return rc;
}

int round_rubric(struct round *r, Rubric **out)
{
    if (!r->job->rubric)
        return OK;
    return message_copy((ProtobufCMessage **)out, &r->job->rubric->base, r->e);
}

int round_config(struct round *r, ProtobufCMessage **out)
{
    ProtobufCMessage *copy = NULL;
    int rc = message_copy(&copy, stage_config(r->job->stage), r->e);

    if (rc == OK)
        rc = config_clear_names(copy, kind_of(r->job->stage), r->e);
    if (rc == OK)
        *out = copy;
    else
        message_free(copy);
    return rc;
}
