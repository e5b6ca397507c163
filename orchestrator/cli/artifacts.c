#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/named.h"
#include "orchestrator/cli/parcel.h"
#include "orchestrator/cli/show.h"
#include "orchestrator/cli/view.h"
#include "orchestrator/parcels.h"
#include "proto/json.h"

/* `jielong artifacts …`: what runs have made, by name or by id. */

#define PIECE (1u << 20)
#define NAME_WIDTH 26

struct asking {
    const struct command_line *l;
    struct store *store;
    struct buf text;
    size_t n, n_imported; /* listed so far */
};

/* from: its name in the home that it was imported from; NULL: j has made it here. */
static int list_output(
    struct asking *a, const JobStatus *j, const OutputStatus *o, const char *from)
{
    struct err none = ERR_INIT;
    Manifest *m = NULL;
    char hex[ID_HEX] = "", size[SHOW_PART] = "-", name[512];
    const char *kind = "gone";
    struct id id;
    int rc = a->l->json && a->n++ > 0 ? buf_printf(&a->text, ", ") : OK;

    if (id_from_span(&id, o->id.data, o->id.len))
        id_hex(hex, &id);
    if (store_manifest(&m, a->store, &id, &none) == OK) {
        kind = enum_word(&artifact_kind__descriptor, m->kind);
        show_size(size, m->size);
    }
    if (from)
        snprintf(name, sizeof name, "%s", from);
    else
        snprintf(name, sizeof name, "%s.%s", j->name, o->name);
    if (rc == OK && a->l->json)
        rc = from ? buf_printf(&a->text, "{\"imported\": ")
                  : buf_printf(&a->text, "{\"job\": \"%s\", \"output\": \"%s\"", j->name, o->name);
    if (rc == OK && a->l->json && from)
        rc = json_string(&a->text, from, strlen(from));
    if (rc == OK)
        rc = a->l->json
                 ? buf_printf(&a->text, ", \"kind\": \"%s\", \"bytes\": %llu, \"id\": \"%s\"}",
                       kind, m ? (unsigned long long)m->size : 0ULL, hex)
                 : show_text(&a->text, name);
    if (rc == OK && !a->l->json)
        rc = buf_printf(&a->text, "%*s  %-16s  %9s  %s\n",
            strlen(name) < NAME_WIDTH ? NAME_WIDTH - (int)strlen(name) : 0, "", kind, size, hex);
    message_free(m);
    return rc;
}

static int list_run(struct asking *a, const char *what, struct err *e)
{
    struct target t = { 0 };
    struct view *v = NULL;
    int rc = view_open(&v, a->l->home, NULL, e);

    if (rc == OK)
        rc = view_target(&t, v, what, e);
    if (rc == OK && !a->l->json)
        rc = buf_printf(
            &a->text, "%-*s  %-16s  %9s  %s\n", NAME_WIDTH, "JOB.OUTPUT", "KIND", "SIZE", "ID");
    for (size_t i = 0; rc == OK && i < t.run->n_jobs; i++) {
        const JobStatus *j = t.run->jobs[i];
        for (size_t k = 0; k < j->n_outputs && rc == OK && (!t.job || t.job == j); k++)
            rc = list_output(a, j, j->outputs[k], NULL);
    }
    message_free(t.run);
    view_close(v);
    return rc;
}

static int list_imported(void *ctx, const Output *output, struct err *e)
{
    struct asking *a = ctx;
    OutputStatus o = OUTPUT_STATUS__INIT;
    int rc = !a->l->json && a->n_imported++ == 0
                 ? buf_printf(&a->text, "%s%-*s  %-16s  %9s  %s\n", a->text.n > 0 ? "\n" : "",
                       NAME_WIDTH, "IMPORTED", "KIND", "SIZE", "ID")
                 : OK;

    (void)e;
    o.has_id = true;
    o.id = output->id;
    return rc == OK ? list_output(a, NULL, &o, output->name) : rc;
}

static int list_all_imported(struct asking *a, struct err *e)
{
    struct state *s = NULL;
    struct state_txn *t = NULL;
    int rc = state_open(&s, a->l->home, false, e);

    if (rc == OK)
        rc = state_begin(&t, s, false, e);
    if (rc == OK)
        rc = parcel_each_imported(t, list_imported, a, e);
    state_abort(t);
    state_close(s);
    return rc;
}

/* A run's or a job's; without a name the last run's, and what came from other homes. */
static int list(struct asking *a, const char *what, struct err *e)
{
    struct err none = ERR_INIT;
    int rc = a->l->json ? buf_printf(&a->text, "{\"schema\": 1, \"artifacts\": [") : OK;

    if (rc == OK)
        rc = list_run(a, what, e);
    if (!*what && (rc == OK || rc == E_MISSING) && list_all_imported(a, &none) == OK &&
        a->n_imported + a->n > 0)
        rc = OK; /* there need not be a run */
    if (rc == OK && a->l->json)
        rc = buf_printf(&a->text, "]}\n");
    return rc;
}

static int show(struct asking *a, const char *what, struct err *e)
{
    Manifest *m = NULL;
    char hex[ID_HEX], size[SHOW_PART];
    struct id id;
    int rc = named_artifact(&id, a->store, a->l->home, what, e);

    if (rc == OK)
        rc = store_manifest(&m, a->store, &id, e);
    if (rc != OK)
        return rc;
    id_hex(hex, &id);
    show_size(size, m->size);
    const char *kind = enum_word(&artifact_kind__descriptor, m->kind);
    rc = a->l->json ? buf_printf(&a->text,
                          "{\"schema\": 1, \"id\": \"%s\", \"kind\": \"%s\", \"bytes\": %llu, "
                          "\"chunks\": %zu, \"facts\": {",
                          hex, kind, (unsigned long long)m->size, m->n_chunks)
                    : buf_printf(&a->text,
                          "id      %s\nkind    %s\nsize    %s (%llu bytes)\n"
                          "chunks  %zu\n",
                          hex, kind, size, (unsigned long long)m->size, m->n_chunks);
    for (size_t i = 0; i < m->n_facts && rc == OK; i++)
        rc = buf_printf(&a->text, a->l->json ? "%s\"%s\": %lld" : "%s%s: %lld\n",
            a->l->json ? (i ? ", " : "") : "fact    ", m->facts[i]->name,
            (long long)m->facts[i]->value);
    if (rc == OK && a->l->json)
        rc = buf_printf(&a->text, "}}\n");
    message_free(m);
    return rc;
}

static int write_all(int fd, const char *p, size_t n, const char *path, struct err *e)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_errno(e, "%s", path);
        p += done;
        n -= (size_t)done;
    }
    return OK;
}

static int copy(struct store *s, const struct id *id, int fd, const char *path, struct err *e)
{
    static char piece[PIECE];
    struct artifact_reader *r = NULL;
    int rc = artifact_open(&r, s, id, 0, e);
    uint64_t size = rc == OK ? artifact_manifest(r)->size : 0;

    for (uint64_t at = 0; at < size && rc == OK; at += PIECE) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        rc = artifact_read(r, at, piece, n, e);
        if (rc == OK)
            rc = write_all(fd, piece, n, path, e);
    }
    artifact_close(r);
    return rc;
}

/* Nothing that is there is written over. */
static int get(struct asking *a, const char *what, const char *path, struct err *e)
{
    struct id id;
    int rc = named_artifact(&id, a->store, a->l->home, what, e);
    bool to_stdout = strcmp(path, "-") == 0;

    if (rc != OK)
        return rc;
    int fd = to_stdout ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(e, "%s", path);
    rc = copy(a->store, &id, fd, path, e);
    if (!to_stdout && close(fd) != 0 && rc == OK)
        rc = err_errno(e, "%s", path);
    if (rc != OK && !to_stdout)
        unlink(path);
    return rc;
}

static int list_verb(struct asking *a, struct err *e)
{
    return list(a, a->l->n > 1 ? a->l->args[1] : "", e);
}

static int show_verb(struct asking *a, struct err *e)
{
    return show(a, a->l->args[1], e);
}

static int get_verb(struct asking *a, struct err *e)
{
    return get(a, a->l->args[1], a->l->args[2], e);
}

static int export_verb(struct asking *a, struct err *e)
{
    return parcel_export(&a->text, a->l, a->store, a->l->args[1], a->l->args[2], e);
}

static int import_verb(struct asking *a, struct err *e)
{
    return parcel_import(&a->text, a->l, a->l->args[1], e);
}

static const struct verb {
    const char *name;
    int least, most; /* words, with the verb */
    bool opens;      /* the store by itself */
    int (*run)(struct asking *a, struct err *e);
} verbs[] = {
    { "list", 1, 2, false, list_verb },
    { "show", 2, 2, false, show_verb },
    { "get", 3, 3, false, get_verb },
    { "export", 3, 3, false, export_verb },
    { "import", 2, 2, true, import_verb },
};

static const struct verb *verb_of(const struct command_line *l)
{
    const char *word = l->n > 0 ? l->args[0] : "list";
    int n = l->n > 0 ? l->n : 1;

    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, word) == 0)
            return n >= verbs[i].least && n <= verbs[i].most ? &verbs[i] : NULL;
    return NULL;
}

int artifacts_command(struct command_line *l)
{
    struct asking a = { .l = l };
    struct err e = ERR_INIT;
    const struct verb *verb;
    int rc;

    if (!command_begin(l, NULL, 0, 0, 3))
        return l->exit_code;
    verb = verb_of(l);
    if (!verb)
        return command_usage(l, "list [RUN[/JOB]], show WHAT, get WHAT FILE, export WHAT FILE, or "
                                "import FILE");
    rc = verb->opens ? OK : store_open(&a.store, l->home, false, &e);
    if (rc == E_MISSING)
        rc = err_set(&e, E_MISSING, "nothing has run in %s yet", l->home);
    if (rc == OK)
        rc = verb->run(&a, &e);
    store_close(a.store);
    if (rc == E_NOMEM && e.code == OK)
        err_set(&e, E_NOMEM, "out of memory");
    if (rc == OK && a.text.n > 0)
        fputs(a.text.p, stdout);
    buf_free(&a.text);
    return rc == OK ? EXIT_DONE : complain(&e);
}
