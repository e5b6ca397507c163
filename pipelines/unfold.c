#include "pipelines/unfold_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/kinds.h"

const Output *slots_get(const struct slots *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i]->name && strcmp(s->items[i]->name, name) == 0)
            return s->items[i];
    return NULL;
}

static size_t bindings_to(const struct plan_job *job, const char *port)
{
    size_t n = 0;

    for (size_t i = 0; i < job->n_bindings; i++)
        n += strcmp(job->bindings[i].port, port) == 0;
    return n;
}

/* in.PORT when it stands once, in.PORT.I else. */
const Output *slots_bound(
    const struct slots *s, const struct plan_job *job, const char *port, size_t i)
{
    char name[64];
    const Output *o;

    snprintf(name, sizeof name, "in.%s.%zu", port, i);
    o = slots_get(s, name);
    if (o || i > 0 || bindings_to(job, port) != 1)
        return o;
    snprintf(name, sizeof name, "in.%s", port);
    return slots_get(s, name);
}

bool round_has(const struct round *r, const char *slot)
{
    return slots_get(r->slots, slot) != NULL;
}

size_t round_ports(const struct round *r, const char *port)
{
    return bindings_to(r->job, port);
}

int round_output(struct round *r, const char *name, const Output *from)
{
    struct unfolding *u = r->out;
    Output **more, *copy = NULL;
    int rc;

    if (!from)
        return err_set(r->e, E_MISSING, "there is no '%s'", name);
    more = realloc(u->outputs, (u->n_outputs + 1) * sizeof(*more));
    if (!more)
        return err_set(r->e, E_NOMEM, "out of memory");
    u->outputs = more;
    rc = message_copy((ProtobufCMessage **)&copy, &from->base, r->e);
    if (rc != OK)
        return rc;
    free(copy->name);
    copy->name = strdup(name);
    more[u->n_outputs++] = copy;
    u->what = UNFOLD_DONE;
    return copy->name ? OK : err_set(r->e, E_NOMEM, "out of memory");
}

int round_model(struct round *r, const char *slot)
{
    int rc = round_output(r, "checkpoint", slots_get(r->slots, slot));

    if (rc == OK)
        rc = round_output(r, "tokenizer", slots_bound(r->slots, r->job, "tokenizer", 0));
    return rc;
}

int unfold(struct unfolding *out, const struct plan_job *job, const struct slots *slots,
    uint32_t round, const char *numeric_class, struct err *e)
{
    struct unfolding u = { .what = UNFOLD_TASKS };
    struct round r = { .out = &u,
        .job = job,
        .slots = slots,
        .number = round,
        .numeric_class = numeric_class,
        .e = e };
    int rc = kind_of(job->stage)->unfold(&r);

    if (rc != OK) {
        unfolding_free(&u);
        return err_wrap(e, "job '%s'", job->name);
    }
    assert(u.what != UNFOLD_TASKS || u.n_tasks > 0);
    *out = u;
    return OK;
}

void unfolding_free(struct unfolding *u)
{
    for (size_t i = 0; i < u->n_tasks; i++) {
        message_free(u->tasks[i]);
        free(u->names[i]);
    }
    for (size_t i = 0; i < u->n_outputs; i++)
        message_free(u->outputs[i]);
    free(u->tasks);
    free(u->names);
    free(u->outputs);
    *u = (struct unfolding){ 0 };
}
