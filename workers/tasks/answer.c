#include "workers/tasks/answer.h"

#include <stdlib.h>
#include <string.h>

int answer_init(struct answer *a, struct err *e)
{
    a->m = malloc(sizeof *a->m);
    if (!a->m)
        return err_set(e, E_NOMEM, "no memory for an answer");
    task_answer__init(a->m);
    return OK;
}

void answer_free(struct answer *a)
{
    message_free(a->m);
    a->m = NULL;
}

int answer_output(struct answer *a, Output *takes, struct err *e)
{
    Output **more = takes ? realloc(a->m->outputs, (a->m->n_outputs + 1) * sizeof *more) : NULL;

    if (!more) {
        message_free(takes);
        return err_set(e, E_NOMEM, "no memory for an output");
    }
    a->m->outputs = more;
    a->m->outputs[a->m->n_outputs++] = takes;
    return OK;
}

int answer_metric(struct answer *a, const char *name, double value, struct err *e)
{
    Metric **more = realloc(a->m->metrics, (a->m->n_metrics + 1) * sizeof *more);
    Metric *m = more ? malloc(sizeof *m) : NULL;

    if (more)
        a->m->metrics = more;
    if (!m)
        return err_set(e, E_NOMEM, "no memory for a metric");
    metric__init(m);
    m->name = strdup(name);
    m->has_value = true;
    m->value = value;
    if (!m->name) {
        free(m);
        return err_set(e, E_NOMEM, "no memory for a metric");
    }
    a->m->metrics[a->m->n_metrics++] = m;
    return OK;
}
