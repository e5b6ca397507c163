#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "proto/id_set.h"
#include "store/store_int.h"

/* Chunks are shared: whether one can go is decided in the transaction that takes it away, by
 * looking at all manifests (a few kilobytes each). */

#define DROP_CHUNKS 64 /* in one transaction: the environment is soon free for other writers */

/* ---- walking ---- */

typedef int each_entry(
    void *ctx, MDB_txn *t, const struct id *id, struct span value, struct err *e);

/* Every entry of a database, within t. */
static int walk(
    struct store *s, MDB_txn *t, int database, each_entry *each, void *ctx, struct err *e)
{
    MDB_cursor *c = NULL;
    MDB_val key, value;
    int found = mdb_cursor_open(t, s->dbi[database], &c), rc = OK;

    if (found == 0)
        found = mdb_cursor_get(c, &key, &value, MDB_FIRST);
    while (found == 0 && rc == OK) {
        struct id id;
        rc = id_from_span(&id, key.mv_data, key.mv_size)
                 ? each(ctx, t, &id, (struct span){ value.mv_data, value.mv_size }, e)
                 : err_set(e, E_CORRUPT, "'%s': a key of %zu bytes", s->env.path, key.mv_size);
        if (rc == OK)
            found = mdb_cursor_get(c, &key, &value, MDB_NEXT);
    }
    if (c)
        mdb_cursor_close(c);
    if (rc == OK && found != 0 && found != MDB_NOTFOUND)
        rc = env_error(&s->env, found, e);
    return rc;
}

static int manifest_of(Manifest **out, const struct id *id, struct span value, struct err *e)
{
    char hex[ID_HEX];
    int rc = manifest_parse(out, value.p, value.n, e);

    id_hex(hex, id);
    return rc == OK ? OK : err_wrap(e, "artifact %s", hex);
}

struct visit {
    int (*each)(void *ctx, const struct id *id, const Manifest *m, struct err *e);
    void *ctx;
};

static int visit_manifest(
    void *ctx, MDB_txn *t, const struct id *id, struct span value, struct err *e)
{
    struct visit *v = ctx;
    Manifest *m = NULL;
    int rc = manifest_of(&m, id, value, e);

    (void)t;
    if (rc == OK)
        rc = v->each(v->ctx, id, m, e);
    message_free(m);
    return rc;
}

int store_each(struct store *s,
    int (*each)(void *ctx, const struct id *id, const Manifest *m, struct err *e), void *ctx,
    struct err *e)
{
    struct visit v = { each, ctx };
    MDB_txn *t = NULL;
    int rc = env_begin(&t, &s->env, false, e);

    if (rc == OK)
        rc = walk(s, t, STORE_MANIFEST, visit_manifest, &v, e);
    env_abort(&s->env, t);
    return rc;
}

/* ---- chunks ---- */

struct chunks {
    struct id_set set;
    bool *needed; /* of each of the set, once it is sorted */
};

static int add_chunks(void *ctx, const struct id *id, const Manifest *m, struct err *e)
{
    struct chunks *c = ctx;
    struct id chunk;
    int rc = OK;

    (void)id;
    for (size_t i = 0; i < m->n_chunks && rc == OK; i++)
        if (id_from_span(&chunk, m->chunks[i].data, m->chunks[i].len))
            rc = id_set_add(&c->set, &chunk, e);
    return rc;
}

static int mark_needed(void *ctx, const struct id *id, const Manifest *m, struct err *e)
{
    struct chunks *c = ctx;
    struct id chunk;

    (void)id;
    (void)e;
    for (size_t i = 0; i < m->n_chunks; i++) {
        ptrdiff_t at = id_from_span(&chunk, m->chunks[i].data, m->chunks[i].len)
                           ? id_set_find(&c->set, &chunk)
                           : -1;
        if (at >= 0)
            c->needed[at] = true;
    }
    return OK;
}

static int forget_chunk(
    struct store *s, MDB_txn *t, const struct id *id, struct swept *out, struct err *e)
{
    MDB_val key = { sizeof id->b, (void *)(uintptr_t)id->b }, value;
    int rc = mdb_get(t, s->dbi[STORE_CHUNK], &key, &value);
    size_t bytes = rc == 0 ? value.mv_size : 0;

    if (rc == 0)
        rc = mdb_del(t, s->dbi[STORE_CHUNK], &key, NULL);
    if (rc == 0 && (rc = mdb_del(t, s->dbi[STORE_SUM], &key, NULL)) == MDB_NOTFOUND)
        rc = 0; /* an older store's */
    if (rc != 0)
        return rc == MDB_NOTFOUND ? OK : env_error(&s->env, rc, e);
    out->chunks++;
    out->bytes += bytes;
    return OK;
}

/* One transaction: those of the set, from `from` on, that no manifest names. */
static int forget_some(
    struct store *s, struct chunks *c, size_t from, struct swept *out, struct err *e)
{
    size_t to = c->set.n - from < DROP_CHUNKS ? c->set.n : from + DROP_CHUNKS;
    struct visit v = { mark_needed, c };
    struct swept here = *out;
    MDB_txn *t = NULL;
    int rc = env_begin(&t, &s->env, true, e);

    if (rc == OK)
        rc = walk(s, t, STORE_MANIFEST, visit_manifest, &v, e);
    for (size_t i = from; i < to && rc == OK; i++)
        if (!c->needed[i])
            rc = forget_chunk(s, t, &c->set.ids[i], &here, e);
    if (rc != OK) {
        env_abort(&s->env, t);
        return rc;
    }
    rc = env_commit(&s->env, t, e);
    if (rc == OK)
        *out = here;
    return rc;
}

static int forget_chunks(struct store *s, struct chunks *c, struct swept *out, struct err *e)
{
    int rc = OK;

    id_set_sort(&c->set);
    c->needed = calloc(c->set.n + 1, sizeof *c->needed);
    if (!c->needed)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < c->set.n && rc == OK; i += DROP_CHUNKS)
        rc = forget_some(s, c, i, out, e);
    return rc;
}

static void chunks_free(struct chunks *c)
{
    id_set_free(&c->set);
    free(c->needed);
}

/* ---- artifacts ---- */

static int forget_manifest(struct store *s, MDB_txn *t, const struct id *id, struct chunks *c,
    struct swept *out, struct err *e)
{
    MDB_val key = { sizeof id->b, (void *)(uintptr_t)id->b };
    struct span value;
    Manifest *m = NULL;
    int rc = store_find(&value, s, t, STORE_MANIFEST, id, e);

    if (rc == E_MISSING)
        return OK;
    if (rc == OK)
        rc = manifest_of(&m, id, value, e);
    if (rc == OK)
        rc = add_chunks(c, id, m, e);
    message_free(m);
    if (rc == OK && (rc = mdb_del(t, s->dbi[STORE_MANIFEST], &key, NULL)) != 0)
        return env_error(&s->env, rc, e);
    out->artifacts += rc == OK;
    return rc;
}

int store_drop(struct store *s, const struct id *ids, size_t n, struct swept *out, struct err *e)
{
    struct chunks c = { 0 };
    struct swept here = *out;
    MDB_txn *t = NULL;
    int stale, rc;

    mdb_reader_check(s->env.mdb, &stale); /* a killed reader would keep what is freed */
    rc = env_begin(&t, &s->env, true, e);
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = forget_manifest(s, t, &ids[i], &c, &here, e);
    if (rc == OK)
        rc = env_commit(&s->env, t, e);
    else
        env_abort(&s->env, t);
    if (rc == OK) {
        *out = here;
        rc = forget_chunks(s, &c, out, e);
    }
    chunks_free(&c);
    return rc == OK ? OK : err_wrap(e, "taking artifacts away");
}

struct collecting {
    bool (*keep)(void *ctx, const struct id *artifact);
    void *ctx;
    struct id_set victims;
    struct chunks kept;    /* chunks of what is kept */
    struct chunks orphans; /* chunks of nothing that is kept */
    uint64_t bytes;
};

static int choose(void *ctx, const struct id *id, const Manifest *m, struct err *e)
{
    struct collecting *c = ctx;

    return c->keep(c->ctx, id) ? add_chunks(&c->kept, id, m, e) : id_set_add(&c->victims, id, e);
}

static int choose_chunk(
    void *ctx, MDB_txn *t, const struct id *id, struct span value, struct err *e)
{
    struct collecting *c = ctx;

    (void)t;
    if (id_set_find(&c->kept.set, id) >= 0)
        return OK;
    c->bytes += value.n;
    return id_set_add(&c->orphans.set, id, e);
}

static int find_orphans(struct store *s, struct collecting *c, struct err *e)
{
    MDB_txn *t = NULL;
    int rc = env_begin(&t, &s->env, false, e);

    id_set_sort(&c->kept.set);
    if (rc == OK)
        rc = walk(s, t, STORE_CHUNK, choose_chunk, c, e);
    env_abort(&s->env, t);
    return rc;
}

int store_collect(struct store *s, bool (*keep)(void *ctx, const struct id *artifact), void *ctx,
    bool dry, struct swept *out, struct err *e)
{
    struct collecting c = { .keep = keep, .ctx = ctx };
    int rc = store_each(s, choose, &c, e);

    if (rc == OK)
        rc = find_orphans(s, &c, e);
    if (rc == OK && dry) {
        out->artifacts += c.victims.n;
        out->chunks += c.orphans.set.n;
        out->bytes += c.bytes;
    } else if (rc == OK) {
        rc = store_drop(s, c.victims.ids, c.victims.n, out, e);
        if (rc == OK)
            rc = forget_chunks(s, &c.orphans, out, e);
    }
    id_set_free(&c.victims);
    chunks_free(&c.kept);
    chunks_free(&c.orphans);
    return rc;
}

int store_size(struct store *s, uint64_t *file, uint64_t *free_bytes, struct err *e)
{
    MDB_txn *t = NULL;
    MDB_stat stat;
    MDB_envinfo info;
    int rc = env_begin(&t, &s->env, false, e);

    if (rc != OK)
        return rc;
    /* Free pages stand in database 0: lists, each with its length first. */
    uint64_t pages = 0;
    MDB_cursor *c = NULL;
    MDB_val key, value;
    int found = mdb_cursor_open(t, 0, &c);
    while (found == 0 && (found = mdb_cursor_get(c, &key, &value, MDB_NEXT)) == 0) {
        size_t n;
        memcpy(&n, value.mv_data, sizeof n);
        pages += n;
    }
    if (c)
        mdb_cursor_close(c);
    mdb_env_stat(s->env.mdb, &stat);
    mdb_env_info(s->env.mdb, &info);
    env_abort(&s->env, t);
    *file = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
    *free_bytes = pages * stat.ms_psize;
    return found == MDB_NOTFOUND ? OK : env_error(&s->env, found, e);
}
