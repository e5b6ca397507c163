#include "workers/tasks/answer.h"

#include <math.h>
#include <stdio.h>
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
    if (!isfinite(value))
        return err_set(e, E_INVARIANT, "invariant 'finite metric': %s is %g", name, value);
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

int answer_note(struct answer *a, const char *text, struct err *e)
{
    char **more = realloc(a->m->notes, (a->m->n_notes + 1) * sizeof *more);

    if (more)
        a->m->notes = more;
    if (!more || !(more[a->m->n_notes] = strdup(text)))
        return err_set(e, E_NOMEM, "no memory for a note");
    a->m->n_notes++;
    return OK;
}

/* A note for each line. */
static int add_lines(struct answer *a, const char *text, struct err *e)
{
    int rc = OK;

    while (*text && rc == OK) {
        size_t n = strcspn(text, "\n");
        char *line = strndup(text, n);
        rc = line ? answer_note(a, line, e) : err_set(e, E_NOMEM, "no memory for a note");
        free(line);
        text += n + (text[n] == '\n');
    }
    return rc;
}

int answer_intake(struct answer *a, const struct intake *im, struct err *e)
{
    const struct intake_counts *c = intake_counts(im);
    char name[64];
    int rc = answer_metric(a, "records_read", (double)c->read, e);

    for (int fate = FATE_USED; fate < FATES && rc == OK; fate++) {
        snprintf(name, sizeof name, "records_%s", fate_name(fate));
        if (fate == FATE_USED || c->fates[fate] > 0)
            rc = answer_metric(a, name, (double)c->fates[fate], e);
    }
    if (rc == OK && c->refused > 0)
        rc = answer_metric(a, "files_refused", (double)c->refused, e);
    if (rc == OK)
        rc = add_lines(a, intake_notes(im), e);
    return rc == OK ? add_lines(a, intake_complaints(im), e) : rc;
}
