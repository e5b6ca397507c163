#include <stdio.h>
#include <string.h>

#include "orchestrator/cli/command.h"
#include "orchestrator/cli/show.h"
#include "orchestrator/roots.h"
#include "store/store.h"

/* `jielong store size | verify | heal | gc`. */

struct keeping {
    const struct command_line *l;
    struct store *store;
    bool dry;
    struct buf text;
    uint64_t bad, gone;
};

/* ---- size ---- */

struct tally {
    uint64_t artifacts[32], bytes[32];
};

static int count(void *ctx, const struct id *id, const Manifest *m, struct err *e)
{
    struct tally *t = ctx;
    unsigned kind = (unsigned)m->kind < 32 ? (unsigned)m->kind : 0;

    (void)id;
    (void)e;
    t->artifacts[kind]++;
    t->bytes[kind] += m->size;
    return OK;
}

static int add_kind(struct keeping *k, const struct tally *t, unsigned kind, bool *first)
{
    const char *word = enum_word(&artifact_kind__descriptor, (int)kind);
    char bytes[SHOW_PART];
    int rc;

    if (t->artifacts[kind] == 0)
        return OK;
    show_size(bytes, t->bytes[kind]);
    rc = k->l->json
             ? buf_printf(&k->text, "%s{\"kind\": \"%s\", \"artifacts\": %llu, \"bytes\": %llu}",
                   *first ? "" : ", ", word, (unsigned long long)t->artifacts[kind],
                   (unsigned long long)t->bytes[kind])
             : buf_printf(&k->text, "%-18s %9llu  %10s\n", word,
                   (unsigned long long)t->artifacts[kind], bytes);
    *first = false;
    return rc;
}

static int size(struct keeping *k, struct err *e)
{
    struct tally t = { { 0 }, { 0 } };
    uint64_t file, unused;
    char all[SHOW_PART], left[SHOW_PART];
    bool first = true;
    int rc = store_each(k->store, count, &t, e);

    if (rc == OK)
        rc = store_size(k->store, &file, &unused, e);
    if (rc == OK)
        rc = k->l->json ? buf_printf(&k->text, "{\"schema\": 1, \"kinds\": [")
                        : buf_printf(&k->text, "%-18s %9s  %10s\n", "KIND", "ARTIFACTS", "BYTES");
    for (unsigned i = 0; i < 32 && rc == OK; i++)
        rc = add_kind(k, &t, i, &first);
    if (rc != OK)
        return rc;
    show_size(all, file);
    show_size(left, unused);
    return k->l->json ? buf_printf(&k->text, "], \"file_bytes\": %llu, \"free_bytes\": %llu}\n",
                            (unsigned long long)file, (unsigned long long)unused)
                      : buf_printf(&k->text,
                            "on the disk: %s, of which %s are free for what comes\n", all, left);
}

/* ---- verify ---- */

static void tell_bad(void *ctx, const char *what)
{
    struct keeping *k = ctx;

    k->bad++;
    fprintf(stderr, "bad: %s\n", what);
}

static int verify(struct keeping *k, struct err *e)
{
    int rc = store_verify(k->store, tell_bad, k, e);

    if (rc != OK)
        return rc;
    if (k->bad > 0)
        return err_set(e, E_CORRUPT,
            "%llu chunks or artifacts are not what their names say: `jielong store heal%s` takes "
            "them away",
            (unsigned long long)k->bad, k->l->home_option);
    return buf_printf(&k->text, k->l->json ? "{\"schema\": 1, \"bad\": 0}\n"
                                           : "every chunk and artifact is what its name says\n");
}

static void tell_gone(void *ctx, const struct id *artifact)
{
    struct keeping *k = ctx;
    char hex[ID_HEX];

    id_hex(hex, artifact);
    k->gone++;
    if (buf_printf(&k->text, k->l->json ? "%s\"%s\"" : "%staken away: artifact %s\n",
            k->l->json && k->gone > 1 ? ", " : "", hex) != OK)
        k->gone++; /* the sum is told all the same */
}

static int heal(struct keeping *k, struct err *e)
{
    int rc = OK;

    if (k->l->json)
        rc = buf_printf(&k->text, "{\"schema\": 1, \"taken_away\": [");
    if (rc == OK)
        rc = store_heal(k->store, tell_bad, tell_gone, k, e);
    if (rc != OK)
        return rc;
    if (k->l->json)
        return buf_printf(&k->text, "], \"bad\": %llu}\n", (unsigned long long)k->bad);
    return buf_printf(&k->text, k->bad == 0 ? "every chunk and artifact is what its name says\n"
                                            : "what is left is whole; `jielong run` of the same "
                                              "pipeline makes again what was taken away\n");
}

/* ---- gc ---- */

static bool is_root(void *ctx, const struct id *artifact)
{
    return id_set_find(ctx, artifact) >= 0;
}

static int say_swept(struct keeping *k, const struct swept *s)
{
    char bytes[SHOW_PART];

    show_size(bytes, s->bytes);
    return k->l->json
               ? buf_printf(&k->text,
                     "{\"schema\": 1, \"dry_run\": %s, \"artifacts\": %llu, \"chunks\": %llu, "
                     "\"bytes\": %llu}\n",
                     k->dry ? "true" : "false", (unsigned long long)s->artifacts,
                     (unsigned long long)s->chunks, (unsigned long long)s->bytes)
               : buf_printf(&k->text, "%s %llu artifacts, %llu chunks, %s\n",
                     k->dry ? "would take away" : "took away", (unsigned long long)s->artifacts,
                     (unsigned long long)s->chunks, bytes);
}

/* The home is ours meanwhile: what a worker has just written is named nowhere yet. */
static int collect(struct keeping *k, struct err *e)
{
    struct id_set roots = { 0 };
    struct swept swept = { 0 };
    struct state *s = NULL;
    struct state_txn *t = NULL;
    int rc = state_open(&s, k->l->home, true, e);

    if (rc == E_BUSY)
        return err_set(e, E_BUSY,
            "an orchestrator is at work in %s: it collects by itself; stop it first", k->l->home);
    if (rc == OK)
        rc = state_begin(&t, s, false, e);
    if (rc == OK)
        rc = roots_collect(&roots, t, e);
    state_abort(t);
    if (rc == OK)
        rc = store_collect(k->store, is_root, &roots, k->dry, &swept, e);
    if (rc == OK)
        rc = say_swept(k, &swept);
    state_close(s);
    id_set_free(&roots);
    return rc;
}

static const struct {
    const char *verb;
    int (*run)(struct keeping *k, struct err *e);
} verbs[] = { { "size", size }, { "verify", verify }, { "heal", heal }, { "gc", collect } };

int store_command(struct command_line *l)
{
    struct keeping k = { .l = l };
    const struct option_row rows[] = {
        { "dry-run", 0, OPTION_FLAG, &k.dry, NULL, "gc: only say what would go", 0, 0, NULL },
    };
    struct err e = ERR_INIT;
    size_t i = 0;
    int rc;

    if (!command_begin(l, rows, 1, 0, 1))
        return l->exit_code;
    while (i < sizeof verbs / sizeof *verbs && l->n > 0 && strcmp(verbs[i].verb, l->args[0]) != 0)
        i++;
    if (i == sizeof verbs / sizeof *verbs)
        return command_usage(l, "size, verify, heal or gc");
    rc = store_open(&k.store, l->home, false, &e);
    if (rc == E_MISSING)
        rc = err_set(&e, E_MISSING, "nothing has run in %s yet", l->home);
    if (rc == OK)
        rc = verbs[i].run(&k, &e);
    store_close(k.store);
    if (rc == E_NOMEM && e.code == OK)
        err_set(&e, E_NOMEM, "out of memory");
    if (rc == OK && k.text.n > 0)
        fputs(k.text.p, stdout);
    buf_free(&k.text);
    return rc == OK ? EXIT_DONE : complain(&e);
}
