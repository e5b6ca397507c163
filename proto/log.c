#include "proto/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/json.h"
#include "proto/utf8.h"

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

static char program_name[64] = "jielong";
static enum log_level least_level = LOG_INFO;
static bool as_json;

void log_setup(const char *program, enum log_level least)
{
    snprintf(program_name, sizeof program_name, "%s", program);
    least_level = least;
}

bool log_format(const char *word)
{
    bool json = strcmp(word, "json") == 0;

    if (!json && strcmp(word, "text") != 0)
        return false;
    as_json = json;
    return true;
}

struct line {
    const char *time, *text;
    enum log_level level;
    const struct log_about *about;
};

static int write_text(struct buf *out, const struct line *l)
{
    int rc = buf_printf(out, "%s %-5s %s: ", l->time, level_names[l->level], program_name);

    if (rc == OK)
        rc = utf8_escape(out, l->text, strlen(l->text));
    return rc == OK ? buf_add(out, "\n", 1) : rc;
}

static int write_field(struct buf *out, const char *name, const char *text)
{
    int rc = text && *text ? buf_printf(out, ",\"%s\":", name) : OK;

    return rc == OK && text && *text ? json_string(out, text, strlen(text)) : rc;
}

static int write_about(struct buf *out, const struct log_about *a)
{
    int rc = write_field(out, "run", a->run);

    if (rc == OK)
        rc = write_field(out, "job", a->job);
    if (rc == OK)
        rc = write_field(out, "task", a->task);
    if (rc == OK && a->attempt > 0)
        rc = buf_printf(out, ",\"attempt\":%u", a->attempt);
    return rc == OK ? write_field(out, "worker", a->worker) : rc;
}

static int write_json(struct buf *out, const struct line *l)
{
    int rc = buf_printf(out, "{\"time\":\"%s\",\"level\":\"%s\"", l->time, level_names[l->level]);

    if (rc == OK)
        rc = write_field(out, "program", program_name);
    if (rc == OK)
        rc = write_about(out, l->about);
    if (rc == OK)
        rc = buf_printf(out, ",\"event\":");
    if (rc == OK)
        rc = json_string(out, l->text, strlen(l->text));
    return rc == OK ? buf_add(out, "}\n", 2) : rc;
}

static void write_line(
    enum log_level level, const struct log_about *about, const char *fmt, va_list ap)
{
    char text[4096], time[CLOCK_TEXT];
    struct line l = { time, text, level, about };
    struct buf line = { 0 };
    int n = level < least_level ? -1 : vsnprintf(text, sizeof text, fmt, ap);

    if (n < 0)
        return;
    if ((size_t)n >= sizeof text)
        text[utf8_whole(text, sizeof text - 1)] = '\0';
    clock_iso(time, clock_unix_ms());
    /* One write, so that lines of several processes on one stderr stay whole. */
    if ((as_json ? write_json : write_text)(&line, &l) == OK) {
        ssize_t put = write(STDERR_FILENO, line.p, line.n);
        (void)put; /* a log that cannot be written has nobody to tell */
    }
    buf_free(&line);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    static const struct log_about nobody;
    va_list ap;

    va_start(ap, fmt);
    write_line(level, &nobody, fmt, ap);
    va_end(ap);
}

void log_event(enum log_level level, const struct log_about *about, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    write_line(level, about, fmt, ap);
    va_end(ap);
}
