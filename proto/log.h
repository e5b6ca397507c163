#ifndef PROTO_LOG_H
#define PROTO_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* One line to stderr for each call: time, level, program, message; control bytes escaped.
 * Used by programs' main files and loops, never by libraries. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_setup(const char *program, enum log_level least);
/* "text" (as above, the default) or "json": one object a line with time, level, program and event.
 * False: another word; nothing is changed. */
bool log_format(const char *word);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Whom a line is about, as far as it is known (NULL, 0: not). Text says it in words; JSON has the
 * fields run, job, task, attempt and worker as well. */
struct log_about {
    const char *run, *job, *task, *worker;
    uint32_t attempt;
};
void log_event(enum log_level level, const struct log_about *about, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
