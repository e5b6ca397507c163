#include "proto/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/utf8.h"

/* Formats beside e->msg, which may itself be among the arguments, then cuts. */
static void message_set(struct err *e, const char *fmt, va_list ap)
{
    char text[sizeof e->msg];
    int n = vsnprintf(text, sizeof text, fmt, ap);

    if (n < 0)
        text[0] = '\0';
    else if ((size_t)n >= sizeof text)
        text[utf8_whole(text, sizeof text - 1)] = '\0';
    memcpy(e->msg, text, strlen(text) + 1);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    message_set(e, fmt, ap);
    va_end(ap);
    e->code = code;
    return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    char text[sizeof e->msg];
    size_t n, rest = strlen(e->msg);
    va_list ap;

    memcpy(text, e->msg, rest + 1);
    va_start(ap, fmt);
    message_set(e, fmt, ap);
    va_end(ap);
    n = strlen(e->msg);
    if (n + 2 < sizeof e->msg) {
        memcpy(e->msg + n, ": ", 2);
        n += 2;
        if (rest > sizeof e->msg - 1 - n)
            rest = utf8_whole(text, sizeof e->msg - 1 - n);
        memcpy(e->msg + n, text, rest);
        e->msg[n + rest] = '\0';
    }
    return e->code;
}

int err_errno(struct err *e, const char *fmt, ...)
{
    int number = errno;
    va_list ap;

    va_start(ap, fmt);
    message_set(e, fmt, ap);
    va_end(ap);
    e->code = E_IO;
    return err_set(e, E_IO, "%s: %s", e->msg, strerror(number));
}
