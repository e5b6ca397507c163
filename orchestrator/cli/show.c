#include <stdio.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "proto/utf8.h"

/* State is a word and a glyph, never colour alone. */
static const struct {
    const char *state, *glyph, *word, *color;
} looks[] = {
    { "done", "✓", "done", "\033[32m" },
    { "running", "▸", "running", "\033[36m" },
    { "ready", "▸", "ready", "" },
    { "blocked", ".", "blocked", "\033[2m" },
    { "waiting_for_people", ":", "human", "\033[33m" },
    { "failed", "✗", "failed", "\033[31m" },
    { "cancelled", "✗", "cancelled", "\033[31m" },
};

int duration_text(char *out, unsigned size, double seconds)
{
    long s = (long)(seconds + .5);

    if (seconds < 10)
        return snprintf(out, size, "%.1fs", seconds);
    if (s < 60)
        return snprintf(out, size, "%lds", s);
    if (s < 3600)
        return snprintf(out, size, "%ldm%02lds", s / 60, s % 60);
    return snprintf(out, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
}

/* Adds s, cut or padded to a number of columns. */
static int cell(struct buf *out, const char *s, int columns)
{
    size_t n = utf8_fit(s, columns);
    int rc = buf_add(out, s, n), width;
    char kept[256];

    snprintf(kept, sizeof kept, "%.*s", (int)n, s);
    for (width = utf8_columns(kept); width < columns && rc == OK; width++)
        rc = buf_add(out, " ", 1);
    return rc == OK ? buf_add(out, " ", 1) : rc;
}

static int state_cell(struct buf *out, const char *state, bool color)
{
    char text[64];
    size_t i = 0, n = sizeof looks / sizeof *looks;

    while (i < n && strcmp(looks[i].state, state) != 0)
        i++;
    snprintf(text, sizeof text, "%s %s", i < n ? looks[i].glyph : "?", i < n ? looks[i].word : state);
    int rc = color && i < n ? buf_printf(out, "%s", looks[i].color) : OK;
    if (rc == OK)
        rc = cell(out, text, 11);
    return rc == OK && color && i < n ? buf_printf(out, "\033[0m") : rc;
}

static void rate_text(char *out, size_t size, const JobStatus *j)
{
    if (!j->has_rate || j->rate <= 0 || !j->rate_unit)
        snprintf(out, size, "-");
    else if (j->rate >= 1000)
        snprintf(out, size, "%.1fk %s", j->rate / 1000, j->rate_unit);
    else
        snprintf(out, size, "%.1f %s", j->rate, j->rate_unit);
}

static void left_text(char *out, size_t size, const JobStatus *j)
{
    char text[32];

    if (j->cached) {
        snprintf(out, size, "cached");
    } else if (strcmp(j->state, "running") == 0 && j->has_seconds_left) {
        duration_text(text, sizeof text, j->seconds_left);
        snprintf(out, size, "~%s", text);
    } else if (strcmp(j->state, "done") == 0 && j->has_seconds) {
        duration_text(text, sizeof text, j->seconds);
        snprintf(out, size, "(%s)", text);
    } else {
        snprintf(out, size, "-");
    }
}

static void progress_text(char *out, size_t size, const JobStatus *j)
{
    if (j->progress && j->progress->total > 0)
        snprintf(out, size, "%llu/%llu %d%%", (unsigned long long)j->progress->done,
            (unsigned long long)j->progress->total, (int)(100 * j->progress->done / j->progress->total));
    else
        snprintf(out, size, "%s", strcmp(j->state, "done") == 0 ? "100%" : "-");
}

static int waiting_row(struct buf *out, const JobStatus *j)
{
    int rc = OK;

    if (j->why && *j->why)
        return buf_printf(out, "%s\n", j->why);
    if (j->n_blocked_by)
        rc = buf_printf(out, "by %s", j->blocked_by[0]);
    for (size_t i = 1; i < j->n_blocked_by && rc == OK; i++)
        rc = buf_printf(out, ", %s", j->blocked_by[i]);
    return rc == OK ? buf_printf(out, "\n") : rc;
}

static int job_row(struct buf *out, const JobStatus *j, int name_columns, bool color)
{
    char progress[48], rate[48], left[48], try[16];
    bool waits = strcmp(j->state, "blocked") == 0 || strcmp(j->state, "ready") == 0
        || strcmp(j->state, "cancelled") == 0;
    int rc = cell(out, j->name, name_columns);

    if (rc == OK)
        rc = state_cell(out, j->state, color);
    if (rc != OK || waits)
        return rc == OK ? waiting_row(out, j) : rc;
    progress_text(progress, sizeof progress, j);
    rate_text(rate, sizeof rate, j);
    left_text(left, sizeof left, j);
    snprintf(try, sizeof try, "%u", j->attempts);
    if ((rc = cell(out, progress, 14)) != OK || (rc = cell(out, rate, 12)) != OK
        || (rc = cell(out, left, 8)) != OK
        || (rc = cell(out, j->worker && *j->worker ? j->worker : "-", 4)) != OK
        || (rc = cell(out, j->attempts ? try : "-", 3)) != OK)
        return rc;
    return buf_printf(out, "%s\n", j->key_metric ? j->key_metric : "");
}

static int worker_row(struct buf *out, const RunStatus *s)
{
    int rc = s->n_workers ? buf_printf(out, "workers") : OK;

    for (size_t i = 0; i < s->n_workers && rc == OK; i++) {
        const WorkerStatus *w = s->workers[i];
        rc = buf_printf(out, "  %s %s", w->name, w->job && *w->job ? w->job : w->state);
    }
    return rc == OK && s->n_workers ? buf_printf(out, "\n") : rc;
}

static int failure_rows(struct buf *out, const RunStatus *s)
{
    int rc = OK;

    for (size_t i = 0; i < s->n_jobs && rc == OK; i++)
        if (strcmp(s->jobs[i]->state, "failed") == 0)
            rc = buf_printf(out, "\n%s failed: %s\n  = help: `jielong logs %s/%s` shows its log\n",
                s->jobs[i]->name, s->jobs[i]->why ? s->jobs[i]->why : "?", s->run, s->jobs[i]->name);
    return rc;
}

int show_status(struct buf *out, const RunStatus *s, bool color)
{
    size_t done = 0;
    int widest = 4, rc;
    char took[32];

    for (size_t i = 0; i < s->n_jobs; i++) {
        int columns = utf8_columns(s->jobs[i]->name);
        widest = columns > widest ? columns : widest;
        done += strcmp(s->jobs[i]->state, "done") == 0;
    }
    widest = widest < 14 ? widest : 14;
    duration_text(took, sizeof took, s->seconds);
    rc = buf_printf(out, "%s  %s  %s  %zu/%zu jobs done\n\n", s->run, s->state, took, done, s->n_jobs);
    if (rc == OK)
        rc = cell(out, "JOB", widest);
    if (rc == OK)
        rc = buf_printf(out, "%-11s %-14s %-12s %-8s %-4s %-3s %s\n", "STATE", "PROGRESS", "RATE",
            "LEFT", "BY", "TRY", "KEY METRIC");
    for (size_t i = 0; i < s->n_jobs && rc == OK; i++)
        rc = job_row(out, s->jobs[i], widest, color);
    if (rc == OK)
        rc = worker_row(out, s);
    return rc == OK ? failure_rows(out, s) : rc;
}

int show_job_line(struct buf *out, const JobStatus *j, bool color)
{
    char progress[48], rate[48], left[48];
    int rc = state_cell(out, j->state, color);

    if (rc == OK)
        rc = cell(out, j->name, 12);
    progress_text(progress, sizeof progress, j);
    rate_text(rate, sizeof rate, j);
    left_text(left, sizeof left, j);
    bool running = strcmp(j->state, "running") == 0;
    if (rc == OK)
        rc = running ? buf_printf(out, "%s  %s  %s", progress, rate, left) : buf_printf(out, "%-8s", left);
    if (rc == OK && j->key_metric && *j->key_metric)
        rc = buf_printf(out, "  %s", j->key_metric);
    if (rc == OK && strcmp(j->state, "failed") == 0 && j->why)
        rc = buf_printf(out, "  %s", j->why);
    return rc;
}
