#include "orchestrator/cli/parcel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/cli/named.h"
#include "orchestrator/cli/show.h"
#include "orchestrator/cli/view.h"
#include "orchestrator/client.h"
#include "orchestrator/daemon.h"
#include "orchestrator/parcels.h"
#include "proto/clock.h"
#include "proto/json.h"
#include "proto/utf8.h"
#include "store/parcel.h"

#define ANSWER_MS 60000
#define NAME_SIZE 256 /* with the NUL */

/* ---- what is in it ---- */

static int add(Parcel *p, struct store *s, const struct id *id, const char *name, struct err *e)
{
    Manifest *m = NULL;
    char cut[NAME_SIZE];
    int rc = store_manifest(&m, s, id, e);

    snprintf(cut, sizeof cut, "%s", name);
    cut[utf8_whole(cut, strlen(cut))] = '\0';
    if (rc == OK)
        rc = parcel_add_item(p, id, m->kind, cut, e);
    message_free(m);
    return rc;
}

/* All outputs of a job that is done. */
static int add_job(
    Parcel *p, struct store *s, const RunStatus *run, const JobStatus *j, struct err *e)
{
    char name[4 * NAME_SIZE];
    struct id id;
    int rc = OK;

    for (size_t i = 0; i < j->n_outputs && rc == OK; i++) {
        snprintf(name, sizeof name, "%s/%s.%s", run->run, j->name, j->outputs[i]->name);
        if (id_from_span(&id, j->outputs[i]->id.data, j->outputs[i]->id.len))
            rc = add(p, s, &id, name, e);
    }
    return rc;
}

/* A run or a job: what they have made so far. E_MISSING: it is neither. */
static int add_target(Parcel *p, struct store *s, const char *home, const char *what, struct err *e)
{
    struct target t = { 0 };
    struct view *v = NULL;
    int rc = view_open(&v, home, NULL, e);

    if (rc == OK)
        rc = view_target(&t, v, what, e);
    for (size_t i = 0; rc == OK && i < t.run->n_jobs; i++)
        if (!t.job || t.job == t.run->jobs[i])
            rc = add_job(p, s, t.run, t.run->jobs[i], e);
    if (rc == OK && p->n_items == 0)
        rc = err_set(e, E_INPUT, "%s has no outputs yet", what);
    message_free(t.run);
    view_close(v);
    return rc;
}

static int add_named(Parcel *p, struct store *s, const char *home, const char *what, struct err *e)
{
    struct err other = ERR_INIT;
    struct id id;
    int rc = add_target(p, s, home, what, e);

    if (rc != E_MISSING || p->n_items > 0 || named_artifact(&id, s, home, what, &other) != OK)
        return rc;
    return add(p, s, &id, what, e);
}

/* Jobs that need not be run where it goes: those that an item's own id does not stand for. */
static size_t jobs_known(const Parcel *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_jobs; i++) {
        bool own = false;
        for (size_t k = 0; k < p->n_items && !own; k++)
            own = memcmp(p->jobs[i]->key.data, p->items[k]->id.data, sizeof(struct id)) == 0;
        n += !own;
    }
    return n;
}

static int say_item(
    struct buf *out, struct store *s, const ParcelItem *item, bool json, struct err *e)
{
    char hex[ID_HEX], size[SHOW_PART];
    const char *kind = enum_word(&artifact_kind__descriptor, item->kind);
    Manifest *m = NULL;
    struct id id;
    int rc;

    id_from_span(&id, item->id.data, item->id.len);
    id_hex(hex, &id);
    rc = store_manifest(&m, s, &id, e);
    if (rc != OK)
        return rc;
    show_size(size, m->size);
    if (json)
        rc = buf_printf(out, "{\"id\": \"%s\", \"kind\": \"%s\", \"bytes\": %llu, \"name\": ", hex,
            kind, (unsigned long long)m->size);
    else
        rc = buf_printf(out, "%-16s  %9s  %s  ", kind, size, hex);
    message_free(m);
    if (rc == OK)
        rc = json ? json_string(out, item->name, strlen(item->name)) : show_text(out, item->name);
    return rc == OK ? buf_printf(out, json ? "}" : "\n") : rc;
}

static int say(
    struct buf *out, const struct command_line *l, struct store *s, const Parcel *p, struct err *e)
{
    size_t jobs = jobs_known(p);
    int rc = l->json ? buf_printf(out, "{\"schema\": 1, \"artifacts\": [") : OK;

    for (size_t i = 0; i < p->n_items && rc == OK; i++) {
        rc = l->json && i > 0 ? buf_printf(out, ", ") : OK;
        if (rc == OK)
            rc = say_item(out, s, p->items[i], l->json, e);
    }
    if (rc == OK && l->json)
        rc = buf_printf(out, "], \"jobs\": %zu}\n", jobs);
    else if (rc == OK && jobs > 0)
        rc = buf_printf(out, "%zu %s need not be run where these artifacts are\n", jobs,
            jobs == 1 ? "job" : "jobs");
    return rc;
}

/* ---- export ---- */

static int know_jobs(Parcel *p, const char *home, struct err *e)
{
    struct state *s = NULL;
    struct state_txn *t = NULL;
    int rc = state_open(&s, home, false, e);

    if (rc == E_MISSING)
        return parcel_add_jobs(p, NULL, e);
    if (rc == OK)
        rc = state_begin(&t, s, false, e);
    if (rc == OK)
        rc = parcel_add_jobs(p, t, e);
    state_abort(t);
    state_close(s);
    return rc;
}

/* Nothing that is there is written over. */
static int write_file(const char *path, struct store *s, Parcel *p, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
    int rc = f ? parcel_write(f, s, p, e) : err_errno(e, "%s", path);

    if (rc == OK && fsync(fd) != 0)
        rc = err_errno(e, "%s", path);
    if (f && fclose(f) != 0 && rc == OK)
        rc = err_errno(e, "%s", path);
    if (rc != OK && fd >= 0)
        unlink(path);
    return rc;
}

int parcel_export(struct buf *out, const struct command_line *l, struct store *s, const char *what,
    const char *path, struct err *e)
{
    bool to_stdout = strcmp(path, "-") == 0;
    Parcel *p = malloc(sizeof *p);
    int rc;

    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    parcel__init(p);
    rc = add_named(p, s, l->home, what, e);
    if (rc == OK)
        rc = know_jobs(p, l->home, e);
    if (rc == OK)
        rc = to_stdout ? parcel_write(stdout, s, p, e) : write_file(path, s, p, e);
    if (rc == OK && !to_stdout)
        rc = say(out, l, s, p, e);
    message_free(p);
    return rc;
}

/* ---- import ---- */

static int tell_orchestrator(const char *home, Parcel *p, struct err *e)
{
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    struct client *c = NULL;
    char url[HOME_URL];
    int rc = home_url(url, home, e);

    m.kind_case = ENVELOPE__KIND_PARCEL;
    m.parcel = p;
    if (rc == OK)
        rc = client_open(&c, url, e);
    if (rc == OK)
        rc = client_ask(c, &m, &reply, ANSWER_MS, e);
    message_free(reply);
    client_close(c);
    return rc;
}

/* The state has one writer: the orchestrator, if there is one, else this process. */
static int remember(const char *home, struct store *s, Parcel *p, struct err *e)
{
    struct journal *j = NULL;
    int rc = journal_open(&j, home, e);

    if (rc == E_BUSY)
        return tell_orchestrator(home, p, e);
    if (rc == OK)
        rc = parcel_remember(j, s, p, e);
    if (rc == OK)
        rc = journal_commit(j, clock_ms(), e);
    journal_close(j);
    return rc;
}

int parcel_import(struct buf *out, const struct command_line *l, const char *path, struct err *e)
{
    bool from_stdin = strcmp(path, "-") == 0;
    FILE *f = from_stdin ? stdin : fopen(path, "rbe");
    struct store *s = NULL;
    Parcel *p = NULL;
    int rc = f ? store_open(&s, l->home, true, e) : err_errno(e, "%s", path);

    if (rc == OK && (rc = parcel_read(&p, f, s, e)) != OK)
        err_wrap(e, "%s", from_stdin ? "standard input" : path);
    if (f && !from_stdin)
        fclose(f);
    if (rc == OK)
        rc = remember(l->home, s, p, e);
    if (rc == OK)
        rc = say(out, l, s, p, e);
    message_free(p);
    store_close(s);
    return rc;
}
