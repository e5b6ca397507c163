#include "orchestrator/cli/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/view.h"
#include "orchestrator/field.h"
#include "store/records.h"

static const OutputStatus *report_of(const JobStatus *j)
{
    for (size_t i = 0; i < j->n_outputs; i++)
        if (strcmp(j->outputs[i]->name, "report") == 0)
            return j->outputs[i];
    return NULL;
}

/* Jobs that make reports, whether they have or not: the folders' names do not change meanwhile. */
static size_t evaluations(const RunStatus *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_jobs; i++)
        n += strcmp(s->jobs[i]->kind, "evaluate") == 0;
    return n;
}

/* The folder of a job's report; a matrix value may hold a slash. */
static void folder_of(char out[HOME_PATH], const RunStatus *s, const JobStatus *j, const char *home)
{
    int n = snprintf(out, HOME_PATH, "%s/runs/%s", home, s->run);

    if (evaluations(s) < 2 || n >= HOME_PATH)
        return;
    char *name = out + n + 1;
    snprintf(out + n, (size_t)(HOME_PATH - n), "/%s", j->name);
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '_';
}

/* Makes the folder and those above it, down from the home. */
static int make_folders(char folder[HOME_PATH], const char *home, struct err *e)
{
    char *slash = folder + strlen(home);
    bool made = true;

    while (slash && made) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        made = mkdir(folder, 0700) == 0 || errno == EEXIST;
        if (!made)
            err_errno(e, "%s", folder);
        if (slash)
            *slash = '/';
    }
    return made ? OK : e->code;
}

static int write_file(void *ctx, const char *path, struct span bytes, struct err *e)
{
    const char *folder = ctx;
    char full[HOME_PATH + 256];

    if (strchr(path, '/') || path[0] == '.')
        return err_set(e, E_CORRUPT, "a report with the file name '%s'", path);
    snprintf(full, sizeof full, "%s/%s", folder, path);
    return file_write(full, bytes.p, bytes.n, e);
}

static int set_path(RunStatus *s, const char *folder, struct err *e)
{
    char path[HOME_PATH + 16];

    snprintf(path, sizeof path, "%s/report.md", folder);
    if (s->report || access(path, R_OK) != 0)
        return OK;
    return field_text(&s->report, path, e);
}

static int write_one(
    RunStatus *s, const JobStatus *j, struct store *store, const char *home, struct err *e)
{
    const OutputStatus *o = report_of(j);
    char folder[HOME_PATH];
    struct id id;
    int rc;

    if (!o || !id_from_span(&id, o->id.data, o->id.len))
        return OK;
    folder_of(folder, s, j, home);
    rc = make_folders(folder, home, e);
    if (rc == OK)
        rc = files_each(store, &id, ARTIFACT_KIND__REPORT, write_file, folder, e);
    return rc == OK ? set_path(s, folder, e) : rc;
}

int report_write(RunStatus *s, const char *home, struct err *e)
{
    struct store *store = NULL;
    int rc = OK;

    if (evaluations(s) == 0)
        return OK;
    rc = store_open(&store, home, false, e);
    for (size_t i = 0; i < s->n_jobs && rc == OK; i++)
        rc = write_one(s, s->jobs[i], store, home, e);
    store_close(store);
    return rc == OK ? OK : err_wrap(e, "report of %s", s->run);
}

int report_find(RunStatus *s, const char *home, struct err *e)
{
    char folder[HOME_PATH];
    int rc = OK;

    for (size_t i = 0; i < s->n_jobs && rc == OK; i++)
        if (report_of(s->jobs[i])) {
            folder_of(folder, s, s->jobs[i], home);
            rc = set_path(s, folder, e);
        }
    return rc;
}

/* ---- `jielong report` ---- */

/* A form of the report: the file in the artifact, and where a copy is wanted. */
struct form {
    const char *file, *path;
};
enum { MARKDOWN, HTML, JSON, FORMS };

struct printing {
    struct form *forms; /* of FORMS */
    const char *print;  /* the file that goes to stdout; NULL: none */
    bool printed;
};

/* Copies a form to where it is wanted, and tells what became of a file that was there. */
static int save(const char *path, struct span bytes, struct err *e)
{
    bool there = access(path, F_OK) == 0, same = false;
    char *old = NULL;
    size_t n;
    int rc = OK;

    if (there && file_read(&old, &n, path, bytes.n, e) == OK)
        same = n == bytes.n && memcmp(old, bytes.p, n) == 0;
    free(old);
    if (!same)
        rc = file_write(path, bytes.p, bytes.n, e);
    if (rc == OK)
        printf("%s %s\n", same ? "unchanged" : there ? "replaced" : "wrote", path);
    return rc;
}

static int take_file(void *ctx, const char *path, struct span bytes, struct err *e)
{
    struct printing *p = ctx;

    for (int i = 0; i < FORMS; i++) {
        struct form *f = &p->forms[i];
        if (!f->path || strcmp(path, f->file) != 0)
            continue;
        int rc = save(f->path, bytes, e);
        f->path = NULL;
        if (rc != OK)
            return rc;
    }
    if (!p->print || strcmp(path, p->print) != 0)
        return OK;
    p->printed = true;
    if (fwrite(bytes.p, 1, bytes.n, stdout) != bytes.n || fflush(stdout) != 0)
        return err_errno(e, "writing the report");
    return OK;
}

/* Whoever reads the text learns where the page is, on stderr: the text may go to a file. */
static void tell_page(
    const struct command_line *l, const RunStatus *s, const JobStatus *j, bool printed)
{
    char path[HOME_PATH + 16];

    if (!printed || l->json)
        return;
    folder_of(path, s, j, l->home);
    strncat(path, "/report.html", sizeof path - strlen(path) - 1);
    if (access(path, R_OK) == 0)
        fprintf(stderr, "as a page, with curves: %s\n", path);
    else
        fprintf(stderr, "as a page, with curves: jielong report %s/%s%s --html report.html\n",
            s->run, j->name, l->home_option);
}

/* The job that was named, else the run's first one with a report. */
static const JobStatus *reporting_job(const struct target *t)
{
    if (t->job)
        return t->job;
    for (size_t i = 0; i < t->run->n_jobs; i++)
        if (report_of(t->run->jobs[i]))
            return t->run->jobs[i];
    for (size_t i = 0; i < t->run->n_jobs; i++)
        if (strcmp(t->run->jobs[i]->kind, "evaluate") == 0)
            return t->run->jobs[i];
    return NULL;
}

static int take_report(const struct command_line *l, const struct target *t,
    const struct form forms[FORMS], struct err *e)
{
    struct form wanted[FORMS] = { forms[MARKDOWN], forms[HTML], forms[JSON] };
    bool saves = wanted[MARKDOWN].path || wanted[HTML].path || wanted[JSON].path;
    struct printing p = { wanted, saves ? NULL : forms[l->json ? JSON : MARKDOWN].file, saves };
    const JobStatus *j = reporting_job(t);
    const OutputStatus *o = j ? report_of(j) : NULL;
    struct store *s = NULL;
    struct id id;
    int rc;

    if (!j)
        return err_set(
            e, E_MISSING, "%s has no stage of kind evaluate, and so no report", t->run->run);
    if (!o || !id_from_span(&id, o->id.data, o->id.len))
        return err_set(e, E_MISSING, "%s/%s has no report%s: it is %s", t->run->run, j->name,
            strcmp(j->kind, "evaluate") == 0 ? " yet" : "", j->state);
    rc = store_open(&s, l->home, false, e);
    if (rc == OK)
        rc = files_each(s, &id, ARTIFACT_KIND__REPORT, take_file, &p, e);
    for (int i = 0; i < FORMS && rc == OK; i++)
        if (wanted[i].path)
            rc = err_set(e, E_MISSING, "the report has no %s", wanted[i].file);
    if (rc == OK && !p.printed)
        rc = err_set(e, E_MISSING, "the report has no %s", p.print);
    if (rc == OK)
        tell_page(l, t->run, j, !saves);
    store_close(s);
    return rc;
}

int report_command(struct command_line *l)
{
    struct form forms[FORMS] = { [MARKDOWN] = { "report.md", NULL },
        [HTML] = { "report.html", NULL },
        [JSON] = { "report.json", NULL } };
    const struct option_row rows[] = {
        { "html", 0, OPTION_TEXT, &forms[HTML].path, "FILE", "save it as a page", 0, 0, NULL },
        { "md", 0, OPTION_TEXT, &forms[MARKDOWN].path, "FILE", "save it as Markdown", 0, 0, NULL },
        { "json", 0, OPTION_TEXT, &forms[JSON].path, "FILE", "save it as JSON", 0, 0, NULL },
    };
    struct target t = { 0 };
    struct view *v = NULL;
    struct err e = ERR_INIT;

    if (!command_begin(l, rows, sizeof rows / sizeof *rows, 0, 1))
        return l->exit_code;
    int rc = view_open(&v, l->home, NULL, &e);
    if (rc == OK)
        rc = view_target(&t, v, l->n ? l->args[0] : "", &e);
    if (rc == OK)
        rc = take_report(l, &t, forms, &e);
    message_free(t.run);
    view_close(v);
    return rc == OK ? EXIT_DONE : complain(&e);
}
