#include "orchestrator/outbox.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NOTICES_MAX 64

static int room(struct outbox *o, struct err *e)
{
    size_t cap = o->cap_letters ? 2 * o->cap_letters : 16;
    struct letter *p;

    if (o->n_letters < o->cap_letters)
        return OK;
    p = realloc(o->letters, cap * sizeof *p);
    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    o->letters = p;
    o->cap_letters = cap;
    return OK;
}

int outbox_put(struct outbox *o, const struct peer *to, uint64_t request, Envelope__KindCase kind,
    void *body, struct err *e)
{
    Envelope *m = body && room(o, e) == OK ? malloc(sizeof *m) : NULL;

    if (!m) {
        message_free(body);
        return err_set(e, E_NOMEM, "out of memory");
    }
    envelope__init(m);
    m->has_request = request != 0;
    m->request = request;
    m->kind_case = kind;
    m->submit = body; /* every member of the oneof is a pointer in the same place */
    o->letters[o->n_letters++] = (struct letter){ *to, m };
    return OK;
}

struct open_letter outbox_last(const struct outbox *o)
{
    return (struct open_letter){ o->turn, o->n_letters };
}

Envelope *outbox_open(const struct outbox *o, const struct open_letter *l)
{
    return l->at > 0 && l->turn == o->turn ? o->letters[l->at - 1].m : NULL;
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
}

static void add_notice(struct outbox *o, enum log_level level, const struct log_about *about,
    const char *fmt, va_list ap)
{
    if (!o->notices)
        o->notices = calloc(NOTICES_MAX, sizeof *o->notices);
    if (!o->notices || o->n_notices == NOTICES_MAX)
        return;
    struct notice *n = &o->notices[o->n_notices++];
    n->level = level;
    n->attempt = about->attempt;
    copy(n->run, sizeof n->run, about->run);
    copy(n->job, sizeof n->job, about->job);
    copy(n->task, sizeof n->task, about->task);
    copy(n->worker, sizeof n->worker, about->worker);
    vsnprintf(n->text, sizeof n->text, fmt, ap);
}

void outbox_notice(struct outbox *o, enum log_level level, const char *fmt, ...)
{
    static const struct log_about nobody;
    va_list ap;

    va_start(ap, fmt);
    add_notice(o, level, &nobody, fmt, ap);
    va_end(ap);
}

void outbox_tell(
    struct outbox *o, enum log_level level, const struct log_about *about, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_notice(o, level, about, fmt, ap);
    va_end(ap);
}

void notice_about(const struct notice *n, struct log_about *out)
{
    *out = (struct log_about){ n->run, n->job, n->task, n->worker, n->attempt };
}

void outbox_clear(struct outbox *o)
{
    for (size_t i = 0; i < o->n_letters; i++)
        message_free(o->letters[i].m);
    o->n_letters = o->n_notices = 0;
    o->turn++;
}

void outbox_free(struct outbox *o)
{
    outbox_clear(o);
    free(o->letters);
    free(o->notices);
    *o = (struct outbox){ 0 };
}
