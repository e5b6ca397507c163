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

static int write_text(struct buf *out, const char *time, enum log_level level, const char *text)
{
    int rc = buf_printf(out, "%s %-5s %s: ", time, level_names[level], program_name);

    if (rc == OK)
        rc = utf8_escape(out, text, strlen(text));
    return rc == OK ? buf_add(out, "\n", 1) : rc;
}

static int write_json(struct buf *out, const char *time, enum log_level level, const char *text)
{
    int rc =
        buf_printf(out, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":", time, level_names[level]);

    if (rc == OK)
        rc = json_string(out, program_name, strlen(program_name));
    if (rc == OK)
        rc = buf_printf(out, ",\"event\":");
    if (rc == OK)
        rc = json_string(out, text, strlen(text));
    return rc == OK ? buf_add(out, "}\n", 2) : rc;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char text[4096], time[CLOCK_TEXT];
    struct buf line = { 0 };
    va_list ap;
    int n;

    if (level < least_level)
        return;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    if ((size_t)n >= sizeof text)
        text[utf8_whole(text, sizeof text - 1)] = '\0';
    clock_iso(time, clock_unix_ms());
    /* One write, so that lines of several processes on one stderr stay whole. */
    if ((as_json ? write_json : write_text)(&line, time, level, text) == OK) {
        ssize_t put = write(STDERR_FILENO, line.p, line.n);
        (void)put; /* a log that cannot be written has nobody to tell */
    }
    buf_free(&line);
}
