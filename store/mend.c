#include <stdlib.h>
#include <string.h>

#include "proto/id_set.h"
#include "store/store_int.h"

/* What is damaged is taken away in one transaction, in which it is hashed again: a chunk, every
 * artifact that has it, and an artifact whose manifest is another than its name says. */

struct mending {
    struct store *store;
    const struct id_set *chunks; /* sorted; of those that were found bad */
    struct id_set artifacts;     /* that have one of them, lack one, or are bad themselves */
};

static bool is_whole(struct mending *g, MDB_txn *t, const Manifest *m)
{
    struct err none = ERR_INIT;
    struct span chunk;
    struct id id;

    for (size_t i = 0; i < m->n_chunks; i++)
        if (!id_from_span(&id, m->chunks[i].data, m->chunks[i].len) ||
            id_set_find(g->chunks, &id) >= 0 ||
            store_find(&chunk, g->store, t, STORE_CHUNK, &id, &none) != OK)
            return false;
    return true;
}

static int find_broken(struct mending *g, MDB_txn *t, struct err *e)
{
    MDB_cursor *c = NULL;
    MDB_val key, value;
    int found = mdb_cursor_open(t, g->store->dbi[STORE_MANIFEST], &c), rc = OK;

    while (found == 0 && rc == OK && (found = mdb_cursor_get(c, &key, &value, MDB_NEXT)) == 0) {
        struct span bytes = { value.mv_data, value.mv_size };
        struct err none = ERR_INIT;
        Manifest *m = NULL;
        struct id id;
        if (!id_from_span(&id, key.mv_data, key.mv_size))
            rc = err_set(e, E_CORRUPT, "a key of %zu bytes", key.mv_size);
        else if (store_check_hash(bytes, STORE_MANIFEST, &id, &none) != OK ||
                 manifest_parse(&m, bytes.p, bytes.n, &none) != OK || !is_whole(g, t, m))
            rc = id_set_add(&g->artifacts, &id, e);
        message_free(m);
    }
    if (c)
        mdb_cursor_close(c);
    return rc == OK && found != 0 && found != MDB_NOTFOUND ? env_error(&g->store->env, found, e)
                                                           : rc;
}

static int delete_all(
    struct store *s, MDB_txn *t, int database, const struct id_set *ids, struct err *e)
{
    for (size_t i = 0; i < ids->n; i++) {
        MDB_val key = { sizeof ids->ids[i].b, ids->ids[i].b };
        int rc = mdb_del(t, s->dbi[database], &key, NULL);
        if (rc != 0 && rc != MDB_NOTFOUND)
            return env_error(&s->env, rc, e);
    }
    return OK;
}

/* Those of them that are there and damaged, as they lie now. */
static int still_bad(
    struct id_set *out, struct store *s, MDB_txn *t, const struct id *ids, size_t n, struct err *e)
{
    struct err none = ERR_INIT;
    struct span chunk;
    int rc = OK;

    for (size_t i = 0; i < n && rc == OK; i++)
        if (store_find(&chunk, s, t, STORE_CHUNK, &ids[i], &none) == OK &&
            store_check_hash(chunk, STORE_CHUNK, &ids[i], &none) != OK)
            rc = id_set_add(out, &ids[i], e);
    id_set_sort(out);
    return rc;
}

static int mend(struct mending *g, MDB_txn *t, struct err *e)
{
    int rc = find_broken(g, t, e);

    if (rc == OK)
        rc = delete_all(g->store, t, STORE_MANIFEST, &g->artifacts, e);
    if (rc == OK)
        rc = delete_all(g->store, t, STORE_CHUNK, g->chunks, e);
    return rc == OK ? delete_all(g->store, t, STORE_SUM, g->chunks, e) : rc;
}

int store_mend(struct store *s, const struct id *chunks, size_t n,
    void (*gone)(void *ctx, const struct id *artifact), void *ctx, struct err *e)
{
    struct id_set bad = { 0 };
    struct mending g = { .store = s, .chunks = &bad };
    MDB_txn *t = NULL;
    int rc = env_begin(&t, &s->env, true, e);

    if (rc == OK)
        rc = still_bad(&bad, s, t, chunks, n, e);
    if (rc == OK)
        rc = mend(&g, t, e);
    if (rc == OK)
        rc = env_commit(&s->env, t, e);
    else
        env_abort(&s->env, t);
    for (size_t i = 0; i < g.artifacts.n && rc == OK; i++)
        gone(ctx, &g.artifacts.ids[i]);
    id_set_free(&g.artifacts);
    id_set_free(&bad);
    return rc == OK ? OK : err_wrap(e, "taking away what is damaged");
}
