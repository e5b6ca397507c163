#include "orchestrator/field.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_MAX 64

int field_text(char **field, const char *text, struct err *e)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        return err_set(e, E_NOMEM, "out of memory");
    free(*field);
    *field = copy;
    return OK;
}

int field_textf(char **field, struct err *e, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return field_text(field, text, e);
}

int field_bytes(ProtobufCBinaryData *field, const struct id *id, struct err *e)
{
    uint8_t *copy = malloc(sizeof id->b);

    if (!copy)
        return err_set(e, E_NOMEM, "out of memory");
    memcpy(copy, id->b, sizeof id->b);
    free(field->data);
    field->data = copy;
    field->len = sizeof id->b;
    return OK;
}

void *field_grow(void *items, size_t n, size_t size, struct err *e)
{
    void *p = realloc(items, (n + 1) * size);

    if (!p)
        err_set(e, E_NOMEM, "out of memory");
    return p;
}

static int set_metric(Metric ***items, size_t *n, const Metric *m, struct err *e)
{
    ProtobufCMessage *copy = NULL;
    Metric **p;
    int rc;

    for (size_t i = 0; i < *n; i++)
        if (m->name && !strcmp((*items)[i]->name, m->name)) {
            (*items)[i]->value = m->value;
            return OK;
        }
    if (!m->name || *n >= METRICS_MAX)
        return OK;
    rc = message_copy(&copy, &m->base, e);
    if (rc != OK)
        return rc;
    p = field_grow(*items, *n, sizeof *p, e);
    if (!p) {
        message_free(copy);
        return e->code;
    }
    *items = p;
    p[(*n)++] = (Metric *)copy;
    return OK;
}

int field_metrics(Metric ***items, size_t *n, Metric *const *more, size_t n_more, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < n_more && rc == OK; i++)
        rc = set_metric(items, n, more[i], e);
    return rc;
}
