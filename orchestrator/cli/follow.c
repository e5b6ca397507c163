#include "orchestrator/cli/follow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/status.h"
#include "proto/clock.h"
#include "proto/json.h"
#include "proto/utf8.h"
#include "store/records.h"

#define HEARTBEAT_MS 30000

struct follow {
    char home[4096], run[96];
    bool json, color, terminal;
    struct state *s;
    RunStatus *last;        /* NULL: nothing was seen yet */
    int64_t beat;
    bool line_shown;        /* the redrawn line stands on the terminal */
};

int follow_open(struct follow **out, const char *home, const char *run, bool json, bool color, struct err *e)
{
    struct follow *f = calloc(1, sizeof *f);
    int rc = f ? state_open(&f->s, home, false, e) : err_set(e, E_NOMEM, "no memory");

    if (rc != OK) {
        free(f);
        return rc;
    }
    snprintf(f->home, sizeof f->home, "%s", home);
    snprintf(f->run, sizeof f->run, "%s", run);
    f->json = json;
    f->color = color && isatty(STDERR_FILENO);
    f->terminal = isatty(STDERR_FILENO) && getenv("TERM") && strcmp(getenv("TERM"), "dumb") != 0;
    *out = f;
    return OK;
}

void follow_close(struct follow *f)
{
    if (!f)
        return;
    message_free(f->last);
    state_close(f->s);
    free(f);
}

static int read_status(struct follow *f, RunStatus **out, struct err *e)
{
    struct state_txn *t = NULL;
    int rc = state_begin(&t, f->s, false, e);

    if (rc == OK)
        rc = status_run(out, t, f->run, true, clock_unix_ms(), e);
    state_abort(t);
    return rc;
}

static const JobStatus *job_before(const struct follow *f, size_t i)
{
    return f->last && i < f->last->n_jobs ? f->last->jobs[i] : NULL;
}

static void clear_line(struct follow *f)
{
    if (f->line_shown)
        fputs("\r\033[K", stderr);
    f->line_shown = false;
}

static void tell_changes(struct follow *f, const RunStatus *s)
{
    for (size_t i = 0; i < s->n_jobs; i++) {
        const JobStatus *now = s->jobs[i], *before = job_before(f, i);
        struct buf line = { 0 };
        bool settled = strcmp(now->state, "done") == 0 || strcmp(now->state, "failed") == 0
            || strcmp(now->state, "cancelled") == 0 || strcmp(now->state, "waiting_for_people") == 0;
        if (!settled || (before && strcmp(before->state, now->state) == 0))
            continue;
        clear_line(f);
        if (show_job_line(&line, now, f->color) == OK)
            fprintf(stderr, "%s\n", line.p);
        buf_free(&line);
    }
}

static void tell_running(struct follow *f, const RunStatus *s, int64_t now)
{
    struct buf line = { 0 };

    if (!f->terminal && now - f->beat < HEARTBEAT_MS)
        return;
    for (size_t i = 0; i < s->n_jobs; i++) {
        if (strcmp(s->jobs[i]->state, "running") != 0)
            continue;
        if (line.n)
            buf_printf(&line, " · ");
        show_job_line(&line, s->jobs[i], false);
    }
    if (line.n && f->terminal) {
        line.p[utf8_fit(line.p, 78)] = '\0';
        fprintf(stderr, "\r\033[K%s", line.p);
        fflush(stderr);
        f->line_shown = true;
    } else if (line.n) {
        fprintf(stderr, "%s\n", line.p);
    }
    f->beat = now;
    buf_free(&line);
}

int follow_look(struct follow *f, int64_t now_ms, enum follow_end *end, struct err *e)
{
    RunStatus *s = NULL;
    int rc = read_status(f, &s, e);

    if (rc != OK)
        return rc;
    tell_changes(f, s);
    if (strcmp(s->state, "done") == 0)
        *end = FOLLOW_DONE;
    else if (strcmp(s->state, "failed") == 0 || strcmp(s->state, "cancelled") == 0)
        *end = FOLLOW_FAILED;
    else
        tell_running(f, s, now_ms);
    message_free(f->last);
    f->last = s;
    return OK;
}

/* ---- the report ---- */

struct writing {
    char folder[4300];
    char first[4800]; /* path of report.md */
};

static int write_file(void *ctx, const char *path, struct span bytes, struct err *e)
{
    struct writing *w = ctx;
    char full[4800];

    if (strchr(path, '/'))
        return err_set(e, E_CORRUPT, "a report with the file name '%s'", path);
    snprintf(full, sizeof full, "%s/%s", w->folder, path);
    if (strcmp(path, "report.md") == 0)
        snprintf(w->first, sizeof w->first, "%s", full);
    return file_write(full, bytes.p, bytes.n, e);
}

static int make_folder(struct follow *f, char *out, size_t size, struct err *e)
{
    snprintf(out, size, "%s/runs", f->home);
    if (mkdir(out, 0700) != 0 && errno != EEXIST)
        return err_errno(e, "%s", out);
    snprintf(out, size, "%s/runs/%s", f->home, f->run);
    return mkdir(out, 0700) == 0 || errno == EEXIST ? OK : err_errno(e, "%s", out);
}

static int write_report(struct follow *f, const struct id *id, struct err *e)
{
    struct writing w = { .first = "" };
    struct store *s = NULL;
    int rc = make_folder(f, w.folder, sizeof w.folder, e);

    if (rc == OK)
        rc = store_open(&s, f->home, false, e);
    if (rc == OK)
        rc = files_each(s, id, ARTIFACT_KIND__REPORT, write_file, &w, e);
    store_close(s);
    if (rc == OK && *w.first)
        fprintf(stderr, "report: %s\n", w.first);
    return rc;
}

static int write_reports(struct follow *f, const RunStatus *s, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < s->n_jobs && rc == OK; i++)
        for (size_t k = 0; k < s->jobs[i]->n_outputs && rc == OK; k++) {
            const OutputStatus *o = s->jobs[i]->outputs[k];
            struct id id;
            if (strcmp(o->name, "report") == 0 && id_from_span(&id, o->id.data, o->id.len))
                rc = write_report(f, &id, e);
        }
    return rc;
}

int follow_finish(struct follow *f, struct err *e)
{
    struct buf text = { 0 };
    RunStatus *s = NULL;
    int rc = read_status(f, &s, e);

    clear_line(f);
    if (rc == OK)
        rc = write_reports(f, s, e);
    if (rc == OK)
        rc = f->json ? json_message(&text, &s->base, true) : show_status(&text, s, f->color);
    if (rc == OK)
        printf("%s%s", text.p, f->json ? "\n" : "");
    buf_free(&text);
    message_free(s);
    return rc;
}
