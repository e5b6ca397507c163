#include "orchestrator/cli/show.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/clock.h"
#include "proto/json.h"
#include "proto/utf8.h"

static const struct look {
    const char *state, *glyph, *word, *color;
} looks[] = {
    { "done", "✓", "done", "\033[32m" },
    { "running", "▸", "running", "\033[36m" },
    { "ready", ".", "ready", "" },
    { "blocked", ".", "blocked", "\033[90m" },
    { "waiting_for_people", ":", "human", "\033[33m" },
    { "waiting", ":", "waiting", "\033[33m" },
    { "failed", "✗", "failed", "\033[31m" },
    { "cancelled", "✗", "cancelled", "\033[31m" },
    { "interrupted", ".", "interrupted", "\033[33m" },
};

static const struct look *look_of(const char *state)
{
    static const struct look strange = { "?", "?", "?", "" };

    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        if (strcmp(looks[i].state, state) == 0)
            return &looks[i];
    return &strange;
}

int show_text(struct buf *out, const char *s)
{
    return s ? utf8_escape(out, s, strlen(s)) : OK;
}

int show_lines(struct buf *out, const char *s, const char *before)
{
    int rc = OK;

    while (s && rc == OK) {
        const char *end = strchr(s, '\n');
        rc = utf8_escape(out, s, end ? (size_t)(end - s) : strlen(s));
        if (rc == OK && end)
            rc = buf_printf(out, "\n%s", before);
        s = end ? end + 1 : NULL;
    }
    return rc;
}

int show_duration(char *out, unsigned size, double seconds)
{
    long s = (long)(seconds + .5);

    if (seconds < 9.95)
        return snprintf(out, size, "%.1fs", seconds > 0 ? seconds : 0);
    if (s < 60)
        return snprintf(out, size, "%lds", s);
    if (s < 3600)
        return snprintf(out, size, "%ldm%02lds", s / 60, s % 60);
    return snprintf(out, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
}

int show_state(struct buf *out, const char *state, int columns, bool color)
{
    const struct look *l = look_of(state);
    bool painted = color && *l->color;
    int width = 2 + utf8_columns(l->word);
    int rc = buf_printf(
        out, "%s%s %s%s", painted ? l->color : "", l->glyph, l->word, painted ? "\033[0m" : "");

    return rc == OK && width < columns ? buf_printf(out, "%*s", columns - width, "") : rc;
}

/* ---- parts of a row ---- */

static bool is(const JobStatus *j, const char *state)
{
    return strcmp(j->state, state) == 0;
}

void show_progress(char out[SHOW_PART], const JobStatus *j)
{
    unsigned long long done = 0, total = 0;

    if (j->progress) {
        done = j->progress->done;
        total = j->progress->total;
    }
    if (is(j, "done") && total <= 1)
        snprintf(out, SHOW_PART, "100%%");
    else if (total == 0)
        snprintf(out, SHOW_PART, "-");
    else if (is(j, "done"))
        snprintf(out, SHOW_PART, "%llu/%llu", done, total);
    else
        snprintf(out, SHOW_PART, "%llu/%llu %d%%", done, total,
            (int)(100.0 * (double)done / (double)total));
}

void show_rate(char out[SHOW_PART], const JobStatus *j)
{
    if (!j->has_rate || j->rate <= 0 || !j->rate_unit || j->cached)
        snprintf(out, SHOW_PART, "-");
    else if (j->rate >= 1e6)
        snprintf(out, SHOW_PART, "%.1fM %.20s", j->rate / 1e6, j->rate_unit);
    else if (j->rate >= 1000)
        snprintf(out, SHOW_PART, "%.1fk %.20s", j->rate / 1000, j->rate_unit);
    else
        snprintf(out, SHOW_PART, "%.*f %.20s", j->rate < 100, j->rate, j->rate_unit);
}

void show_left(char out[SHOW_PART], const JobStatus *j)
{
    char text[24];

    if (j->cached) {
        snprintf(out, SHOW_PART, "cached");
    } else if (is(j, "running") && j->has_seconds_left) {
        show_duration(text, sizeof text, j->seconds_left);
        snprintf(out, SHOW_PART, "~%s", text);
    } else if (is(j, "done") && j->has_seconds) {
        show_duration(text, sizeof text, j->seconds);
        snprintf(out, SHOW_PART, "(%s)", text);
    } else {
        snprintf(out, SHOW_PART, "-");
    }
}

void show_tries(char out[SHOW_PART], const JobStatus *j)
{
    if (j->attempts == 0)
        snprintf(out, SHOW_PART, "-");
    else if (j->attempts > 1 && j->attempts <= j->max_attempts)
        snprintf(out, SHOW_PART, "%u/%u", j->attempts, j->max_attempts);
    else
        snprintf(out, SHOW_PART, "%u", j->attempts);
}

void show_size(char out[SHOW_PART], uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double x = (double)bytes;
    size_t unit = 0;

    while (x >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        x /= 1024;
        unit++;
    }
    snprintf(out, SHOW_PART, unit ? "%.1f %s" : "%.0f %s", x, units[unit]);
}

/* ---- one line for a job ---- */

static int add_part(struct buf *out, const char *before, const char *part)
{
    return strcmp(part, "-") == 0 ? OK : buf_printf(out, "  %s%s", before, part);
}

static int add_why(struct buf *out, const JobStatus *j)
{
    const char *text = is(j, "failed") || is(j, "cancelled") || is(j, "waiting_for_people")
                           ? j->why
                           : j->key_metric;
    int rc = text && *text ? buf_printf(out, "  ") : OK;

    return rc == OK ? show_text(out, text) : rc;
}

static void clock_text(char out[16], int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm t;

    if (!localtime_r(&seconds, &t) || strftime(out, 16, "%H:%M:%S", &t) == 0)
        snprintf(out, 16, "--:--:--");
}

int show_verdict(struct buf *out, const JobStatus *j, int64_t now_unix_ms, bool color)
{
    char time[16], left[SHOW_PART];
    int rc;

    clock_text(time, now_unix_ms);
    rc = buf_printf(out, "%s ", time);
    if (rc == OK)
        rc = show_state(out, j->state, 11, color);
    if (rc == OK)
        rc = buf_printf(out, " %-10s", j->name);
    show_left(left, j);
    if (rc == OK && is(j, "done"))
        rc = buf_printf(out, "  %-8s", left);
    return rc == OK ? add_why(out, j) : rc;
}

int show_working(struct buf *out, const JobStatus *j)
{
    char progress[SHOW_PART], rate[SHOW_PART], left[SHOW_PART], tries[SHOW_PART];
    int rc = buf_printf(out, "%s %s", look_of(j->state)->glyph, j->name);

    show_progress(progress, j);
    show_rate(rate, j);
    show_left(left, j);
    show_tries(tries, j);
    if (rc == OK)
        rc = add_part(out, "", progress);
    if (rc == OK)
        rc = add_part(out, "", rate);
    if (rc == OK)
        rc = add_part(out, "left ", *left == '~' ? left + 1 : left);
    if (rc == OK)
        rc = add_part(out, "", j->worker && *j->worker ? j->worker : "-");
    if (rc == OK && j->attempts > 1)
        rc = add_part(out, "try ", tries);
    return rc == OK ? add_why(out, j) : rc;
}

/* " key=value", quoted when the value has blanks or worse. */
static int pair(struct buf *out, const char *key, const char *value)
{
    int rc;

    if (!value || !*value || strcmp(value, "-") == 0)
        return OK;
    rc = buf_printf(out, " %s=", key);
    if (rc != OK)
        return rc;
    if (strpbrk(value, " \"\\=") || !utf8_valid(value, strlen(value)))
        return json_string(out, value, strlen(value));
    return show_text(out, value);
}

int show_event(struct buf *out, const RunStatus *s, const JobStatus *j, int64_t now_unix_ms)
{
    char time[CLOCK_TEXT], progress[SHOW_PART], part[SHOW_PART] = "";
    int rc;

    clock_iso(time, now_unix_ms);
    show_progress(progress, j);
    progress[strcspn(progress, " ")] = '\0';
    rc = buf_printf(out, "t=%s", time);
    if (rc == OK)
        rc = pair(out, "run", s->run);
    if (rc == OK)
        rc = pair(out, "job", j->name);
    if (rc == OK)
        rc = pair(out, "state", j->state);
    if (rc == OK && (is(j, "running") || is(j, "done")))
        rc = pair(out, "progress", strcmp(progress, "100%") == 0 ? "1/1" : progress);
    if (is(j, "running") && j->has_seconds_left)
        snprintf(part, sizeof part, "%.0f", j->seconds_left);
    if (rc == OK)
        rc = pair(out, "seconds_left", part);
    *part = '\0';
    if (is(j, "done") && j->has_seconds)
        snprintf(part, sizeof part, "%.1f", j->seconds);
    if (rc == OK)
        rc = pair(out, "seconds", part);
    if (rc == OK && is(j, "running"))
        rc = pair(out, "worker", j->worker);
    if (rc == OK && j->cached)
        rc = pair(out, "cached", "true");
    if (rc == OK)
        rc = pair(out, "metric", j->key_metric);
    return rc == OK ? pair(out, "why", j->why) : rc;
}

/* ---- logs ---- */

/* A program's own log line has time, level and program in front, which the line's record has as
 * well: "2026-11-24T00:25:31.425Z info  executor: words". Returns the words; *level: NULL or
 * worth showing. */
static const char *log_words(const char *text, const char **level)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    size_t time = strcspn(text, " ");
    const char *p = text + time + 1, *colon;

    *level = NULL;
    if (time != 24 || text[10] != 'T' || text[23] != 'Z' || !text[time])
        return text;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        size_t n = strlen(levels[i]);
        if (strncmp(p, levels[i], n) != 0 || p[n] != ' ')
            continue;
        colon = strstr(p + n, ": ");
        if (!colon)
            return text;
        *level = i == 1 ? NULL : levels[i];
        return colon + 2;
    }
    return text;
}

/* Local time of day of "2026-11-24T00:25:31.425Z". */
static void brief_time(char out[16], const char *iso)
{
    struct tm t = { 0 };

    if (sscanf(iso, "%d-%d-%dT%d:%d:%d", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min,
            &t.tm_sec) != 6) {
        snprintf(out, 16, "--:--:--");
        return;
    }
    t.tm_year -= 1900;
    t.tm_mon--;
    clock_text(out, (int64_t)timegm(&t) * 1000);
}

int show_log_line(struct buf *out, const LogLine *line, bool brief)
{
    const char *level = NULL, *words = log_words(line->text ? line->text : "", &level);
    const char *iso = line->time ? line->time : "-";
    char time[16];
    int rc;

    brief_time(time, iso);
    rc = buf_printf(out, "%s/%s %s ", line->job ? line->job : "-",
        line->worker ? line->worker : "-", brief ? time : iso);
    if (rc == OK && level)
        rc = buf_printf(out, "%s  ", level);
    return rc == OK ? show_lines(out, words, brief ? "        " : "    ") : rc;
}

/* The orchestrator's line of a failure begins with what `why` says. */
static bool says_why(const LogLine *line, const JobStatus *j)
{
    return j->why && line->text && strncmp(line->text, j->why, strlen(j->why)) == 0;
}

int show_failure(struct buf *out, const RunStatus *s, const JobStatus *j, const LogsReply *log,
    const char *home_option)
{
    int rc = buf_printf(out, "%s %s failed", look_of("failed")->glyph, j->name);

    if (rc == OK && j->attempts > 0 && j->attempts <= j->max_attempts)
        rc = buf_printf(out, ", try %u of %u", j->attempts, j->max_attempts);
    if (rc == OK)
        rc = buf_printf(out, "\n  ");
    if (rc == OK)
        rc = show_lines(out, j->why ? j->why : "nobody said why", "    ");
    if (rc == OK && log && log->n_lines)
        rc = buf_printf(out, "\n  the end of its log:");
    for (size_t i = 0; log && i < log->n_lines && rc == OK; i++) {
        if (says_why(log->lines[i], j))
            continue;
        rc = buf_printf(out, "\n    ");
        if (rc == OK)
            rc = show_log_line(out, log->lines[i], true);
    }
    return rc == OK
               ? buf_printf(out,
                     "\n  = help: `jielong logs %s/%s%s` shows its whole log; once the cause is"
                     "\n          removed, the command that started the run goes on from there\n",
                     s->run, j->name, home_option)
               : rc;
}

bool show_has_audits(const JobStatus *j)
{
    return j->audits_agreed > 0 || j->audits_open > 0 || j->audits_missed > 0;
}

int show_audits(struct buf *out, const JobStatus *j)
{
    const struct {
        uint32_t n;
        const char *one, *many;
    } parts[] = {
        { j->audits_agreed, "agrees", "agree" },
        { j->audits_open, "is open", "are open" },
        { j->audits_missed, "could not be run", "could not be run" },
    };
    const char *before = "";
    int rc = OK;

    for (size_t i = 0; i < sizeof parts / sizeof *parts && rc == OK; i++) {
        if (parts[i].n == 0)
            continue;
        rc = buf_printf(
            out, "%s%u %s", before, parts[i].n, parts[i].n == 1 ? parts[i].one : parts[i].many);
        before = ", ";
    }
    return rc;
}
