#include "proto/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/utf8.h"

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

static char program_name[64] = "jielong";
static enum log_level least_level = LOG_INFO;

void log_setup(const char *program, enum log_level least)
{
    snprintf(program_name, sizeof program_name, "%s", program);
    least_level = least;
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
    if (buf_printf(&line, "%s %-5s %s: ", time, level_names[level], program_name) == OK &&
        utf8_escape(&line, text, strlen(text)) == OK && buf_add(&line, "\n", 1) == OK) {
        ssize_t put = write(STDERR_FILENO, line.p, line.n);
        (void)put; /* a log that cannot be written has nobody to tell */
    }
    buf_free(&line);
}
