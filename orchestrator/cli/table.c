#include "orchestrator/cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/cli/show.h"
#include "proto/utf8.h"

enum column { JOB, STATE, PROGRESS, RATE, LEFT, WORKER, TRY, METRIC, COLUMNS };

static const char *const titles[COLUMNS] = { "JOB", "STATE", "PROGRESS", "RATE", "LEFT", "WORKER",
    "TRY", "KEY METRIC" };

#define JOB_MIN 10 /* a narrow terminal cuts names down to so many columns */
#define GAP 2
#define CELL 128

struct row {
    const JobStatus *job;
    char cells[COLUMNS][CELL]; /* STATE: as stored */
    char rest[CELL];           /* stands in place of all cells after STATE */
};

/* ---- the run's own lines ---- */

static size_t count(const RunStatus *s, const char *state)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_jobs; i++)
        n += strcmp(s->jobs[i]->state, state) == 0;
    return n;
}

static int heading(struct buf *out, const RunStatus *s, bool color)
{
    static const struct {
        const char *state, *words;
    } counted[] = {
        { "running", "running" },
        { "ready", "ready" },
        { "waiting_for_people", "waiting for people" },
        { "blocked", "blocked" },
        { "failed", "failed" },
        { "cancelled", "cancelled" },
    };
    char took[24];
    int rc = buf_printf(out, "%s  ", s->run);

    if (rc == OK)
        rc = show_state(out, s->state, 0, color);
    show_duration(took, sizeof took, s->seconds);
    if (rc == OK)
        rc = buf_printf(out, "  %s  %zu/%zu jobs done", took, count(s, "done"), s->n_jobs);
    for (size_t i = 0; i < sizeof counted / sizeof *counted && rc == OK; i++)
        if (count(s, counted[i].state) > 0)
            rc = buf_printf(out, ", %zu %s", count(s, counted[i].state), counted[i].words);
    return rc == OK ? buf_printf(out, "\n") : rc;
}

static const JobStatus *first_in(const RunStatus *s, const char *state)
{
    for (size_t i = 0; i < s->n_jobs; i++)
        if (strcmp(s->jobs[i]->state, state) == 0)
            return s->jobs[i];
    return NULL;
}

static bool has_output(const JobStatus *j, const char *name)
{
    for (size_t i = 0; i < j->n_outputs; i++)
        if (strcmp(j->outputs[i]->name, name) == 0)
            return true;
    return false;
}

/* The last job that made a model one can talk to. */
static const JobStatus *last_model(const RunStatus *s)
{
    const JobStatus *last = NULL;

    for (size_t i = 0; i < s->n_jobs; i++)
        if (has_output(s->jobs[i], "checkpoint") && strcmp(s->jobs[i]->kind, "reward_model") != 0)
            last = s->jobs[i];
    return last;
}

/* What to do next: the command to type, if there is one. */
static int next_line(struct buf *out, const RunStatus *s, const char *home)
{
    const JobStatus *people = first_in(s, "waiting_for_people"), *failed = first_in(s, "failed");
    const JobStatus *model = last_model(s);
    const char *file = s->file ? s->file : "FILE";
    int rc = OK;

    if (people) {
        rc = buf_printf(out, "NEXT  %s waits for people: ", people->name);
        if (rc == OK)
            rc = show_text(out, people->why);
        return rc == OK ? buf_printf(out, "\n") : rc;
    }
    if (failed)
        return buf_printf(out, "NEXT  jielong logs %s/%s%s\n", s->run, failed->name, home);
    if (strcmp(s->state, "running") == 0)
        return buf_printf(out, "NEXT  jielong watch %s%s\n", s->run, home);
    if (strcmp(s->state, "interrupted") == 0)
        return buf_printf(
            out, "NEXT  jielong run %s%s\n      (with the options it had: goes on)\n", file, home);
    if (strcmp(s->state, "done") != 0)
        return OK;
    for (size_t i = 0; i < s->n_jobs && rc == OK && !s->report; i++)
        if (has_output(s->jobs[i], "report")) {
            rc = buf_printf(out, "NEXT  jielong report %s%s\n", s->run, home);
            break;
        }
    if (rc == OK && model)
        rc = buf_printf(
            out, "NEXT  jielong generate %s/%s%s --prompt TEXT\n", s->run, model->name, home);
    return rc == OK && s->report ? buf_printf(out, "REPORT  %s (and .html, .json)\n", s->report)
                                 : rc;
}

static int worker_line(struct buf *out, const RunStatus *s)
{
    size_t run = strlen(s->run);
    int rc = s->n_workers ? buf_printf(out, "workers") : OK;

    for (size_t i = 0; i < s->n_workers && rc == OK; i++) {
        const WorkerStatus *w = s->workers[i];
        const char *job = w->job && *w->job ? w->job : w->state;
        char silent[24];
        show_duration(silent, sizeof silent, w->seconds_silent);
        if (strcmp(w->state, "lost") == 0 || strcmp(w->state, "suspect") == 0)
            rc = buf_printf(out, "  %s %s %s", w->name, w->state, silent);
        else if (strncmp(job, s->run, run) == 0 && job[run] == '/')
            rc = buf_printf(out, "  %s %s", w->name, job + run + 1);
        else
            rc = buf_printf(out, "  %s %s", w->name, job);
    }
    return rc == OK && s->n_workers ? buf_printf(out, "\n") : rc;
}

/* ---- the rows ---- */

/* As much of a text as a cell holds. */
static void cell_text(char out[CELL], const char *text)
{
    struct buf clean = { 0 };

    if (show_text(&clean, text) == OK && clean.p)
        snprintf(out, CELL, "%.*s", (int)utf8_whole(clean.p, clean.n < CELL ? clean.n : CELL - 1),
            clean.p);
    buf_free(&clean);
}

static void add_rest(struct row *r, const char *text)
{
    size_t n = strlen(r->rest);

    snprintf(r->rest + n, sizeof r->rest - n, "%s", text);
}

/* Jobs that have nothing to measure say why. */
static void fill_rest(struct row *r, const JobStatus *j)
{
    if (j->why && *j->why) {
        cell_text(r->rest, j->why);
        return;
    }
    for (size_t i = 0; i < j->n_blocked_by; i++) {
        add_rest(r, i ? ", " : "by ");
        add_rest(r, j->blocked_by[i]);
    }
}

static void fill_row(struct row *r, const JobStatus *j)
{
    static const char *const without[] = { "blocked", "ready", "cancelled", "waiting_for_people" };

    r->job = j;
    snprintf(r->cells[JOB], CELL, "%s", j->name);
    snprintf(r->cells[STATE], CELL, "%s", j->state);
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (strcmp(j->state, without[i]) == 0) {
            fill_rest(r, j);
            return;
        }
    show_progress(r->cells[PROGRESS], j);
    show_rate(r->cells[RATE], j);
    show_left(r->cells[LEFT], j);
    snprintf(r->cells[WORKER], CELL, "%.20s", j->worker && *j->worker ? j->worker : "-");
    show_tries(r->cells[TRY], j);
    if (strcmp(j->state, "running") == 0 && j->why && *j->why) /* it does not get on */
        cell_text(r->cells[METRIC], j->why);
    else
        snprintf(r->cells[METRIC], CELL, "%s", j->key_metric ? j->key_metric : "");
}

static void measure(int widths[COLUMNS], const struct row *rows, size_t n, int columns)
{
    int total = GAP * (COLUMNS - 1);

    for (int c = 0; c < COLUMNS; c++) {
        widths[c] = utf8_columns(titles[c]);
        for (size_t i = 0; i < n; i++) {
            int w = utf8_columns(rows[i].cells[c]);
            widths[c] = w > widths[c] ? w : widths[c];
        }
        if (c == STATE)
            widths[c] = 9; /* a glyph, a blank and at most "cancelled", which has a rest */
        total += widths[c];
    }
    if (columns > 0 && total > columns) {
        int fits = widths[JOB] - (total - columns), least = JOB_MIN;
        least = widths[JOB] < least ? widths[JOB] : least;
        widths[JOB] = fits > least ? fits : least;
    }
}

/* s in exactly `columns`; what is cut ends in "~". */
static int cell(struct buf *out, const char *s, int columns)
{
    int width = utf8_columns(s), rc;

    if (width > columns)
        rc = buf_printf(out, "%.*s~", (int)utf8_fit(s, columns - 1), s);
    else
        rc = buf_printf(out, "%s%*s", s, columns - width, "");
    return rc;
}

static int cut_line(struct buf *out, const char *s, int columns)
{
    size_t n = columns > 0 ? utf8_fit(s, columns) : strlen(s);

    while (n > 0 && s[n - 1] == ' ')
        n--;
    return buf_printf(out, "%.*s\n", (int)n, s);
}

/* What stands behind name and state is cut at the terminal's edge. */
static int print_row(
    struct buf *out, const struct row *r, const int *w, const struct table_style *style)
{
    struct buf tail = { 0 };
    int head = w[JOB] + GAP + w[STATE], rc = cell(out, r->cells[JOB], w[JOB]);

    if (rc == OK)
        rc = buf_printf(out, "%*s", GAP, "");
    if (rc == OK)
        rc = r->job ? show_state(out, r->cells[STATE], w[STATE], style->color)
                    : cell(out, r->cells[STATE], w[STATE]);
    if (rc == OK)
        rc = buf_printf(&tail, "%*s%s", GAP, "", r->rest);
    for (int c = PROGRESS; c < COLUMNS && rc == OK && !*r->rest; c++) {
        rc = cell(&tail, r->cells[c], w[c]);
        if (rc == OK)
            rc = buf_printf(&tail, "%*s", GAP, "");
    }
    if (rc == OK)
        rc = cut_line(out, tail.p, style->columns > 0 ? style->columns - head : 0);
    buf_free(&tail);
    return rc;
}

static int print_rows(struct buf *out, const RunStatus *s, const struct table_style *style)
{
    struct row *rows = calloc(s->n_jobs + 1, sizeof *rows);
    struct row title = { 0 };
    int widths[COLUMNS], rc = rows ? OK : E_NOMEM;

    for (int c = 0; c < COLUMNS; c++)
        snprintf(title.cells[c], CELL, "%s", titles[c]);
    for (size_t i = 0; i < s->n_jobs && rc == OK; i++)
        fill_row(&rows[i], s->jobs[i]);
    if (rc == OK) {
        measure(widths, rows, s->n_jobs, style->columns);
        rc = print_row(out, &title, widths, style);
    }
    for (size_t i = 0; i < s->n_jobs && rc == OK; i++)
        rc = print_row(out, &rows[i], widths, style);
    free(rows);
    return rc;
}

static int audit_line(struct buf *out, const RunStatus *s)
{
    const char *before = "audits  ";
    int rc = OK;

    for (size_t i = 0; i < s->n_jobs && rc == OK; i++) {
        const JobStatus *j = s->jobs[i];
        if (!show_has_audits(j))
            continue;
        rc = buf_printf(out, "%s%s ", before, j->name);
        if (rc == OK)
            rc = show_audits(out, j);
        before = "; ";
    }
    return rc == OK && *before == ';' ? buf_printf(out, "\n") : rc;
}

int table_run(struct buf *out, const RunStatus *s, const struct table_style *style)
{
    int rc = heading(out, s, style->color);

    if (rc == OK)
        rc = next_line(out, s, style->home_option);
    if (rc == OK)
        rc = buf_printf(out, "\n");
    if (rc == OK)
        rc = print_rows(out, s, style);
    if (rc == OK)
        rc = audit_line(out, s);
    return rc == OK ? worker_line(out, s) : rc;
}

int table_runs(struct buf *out, const StatusReply *all, const struct table_style *style)
{
    int widest = 3, rc;

    for (size_t i = 0; i < all->n_runs; i++) {
        int w = utf8_columns(all->runs[i]->run);
        widest = w > widest ? w : widest;
    }
    rc = buf_printf(out, "%-*s  %-13s  %-7s  %s\n", widest, "RUN", "STATE", "TOOK", "SUBMITTED");
    for (size_t i = 0; i < all->n_runs && rc == OK; i++) {
        const RunStatus *s = all->runs[i];
        char took[24];
        rc = buf_printf(out, "%-*s  ", widest, s->run);
        if (rc == OK)
            rc = show_state(out, s->state, 13, style->color);
        show_duration(took, sizeof took, s->seconds);
        if (rc == OK)
            rc = buf_printf(out, "  %-7s  %s\n", took, s->submitted_at ? s->submitted_at : "");
    }
    return rc;
}
