#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_int.h"

struct verifying {
    struct store *store;
    void (*bad)(void *ctx, const char *what);
    void *ctx;
    struct buf bad_chunks; /* ids; sorted, because chunks are visited in that order */
};

/* The first entry whose key is not below *id (borrowed until t ends). MDB_NOTFOUND: none. */
static int seek(
    MDB_val *key, MDB_val *value, struct store *s, MDB_txn *t, int database, const struct id *id)
{
    MDB_cursor *c = NULL;
    int rc = mdb_cursor_open(t, s->dbi[database], &c);

    *key = (MDB_val){ sizeof id->b, (void *)(uintptr_t)id->b };
    if (rc == 0)
        rc = mdb_cursor_get(c, key, value, MDB_SET_RANGE);
    if (c)
        mdb_cursor_close(c);
    return rc;
}

/* False behind the last id. */
static bool id_next(struct id *id)
{
    for (size_t i = sizeof id->b; i-- > 0;)
        if (++id->b[i] != 0)
            return true;
    return false;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct id));
}

static bool is_bad(const struct verifying *v, const struct id *id)
{
    return v->bad_chunks.n > 0 &&
           bsearch(id, v->bad_chunks.p, v->bad_chunks.n / sizeof *id, sizeof *id, by_bytes);
}

/* What is wrong goes to `what`; only a store that cannot be read is an error. */
typedef int check_fn(struct verifying *v, MDB_txn *t, const struct id *id, struct span value,
    struct err *what, struct err *e);

static int check_chunk(struct verifying *v, MDB_txn *t, const struct id *id, struct span value,
    struct err *what, struct err *e)
{
    (void)t;
    if (store_check_hash(value, STORE_CHUNK, id, what) == OK)
        return OK;
    if (buf_add(&v->bad_chunks, id->b, sizeof id->b) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    return OK;
}

/* Its chunks were hashed before: only their presence, size and verdict are looked up. */
static int check_artifact(struct verifying *v, MDB_txn *t, const struct id *id, struct span value,
    struct err *what, struct err *e)
{
    Manifest *m = NULL;
    struct span chunk;
    struct id name;
    char hex[ID_HEX];
    int rc = store_check_hash(value, STORE_MANIFEST, id, what);

    (void)e;
    id_hex(hex, id);
    if (rc != OK)
        return OK;
    if (manifest_parse(&m, value.p, value.n, what) != OK) {
        err_wrap(what, "artifact %s", hex);
        return OK;
    }
    for (size_t i = 0; i < m->n_chunks && what->code == OK; i++) {
        id_from_span(&name, m->chunks[i].data, m->chunks[i].len);
        rc = store_find(&chunk, v->store, t, STORE_CHUNK, &name, what);
        if (rc == OK && (is_bad(v, &name) || chunk.n != manifest_chunk_size(m, i)))
            err_set(what, E_CORRUPT, "its bytes are wrong");
        if (what->code != OK)
            err_wrap(what, "artifact %s, chunk %zu", hex, i);
    }
    message_free(m);
    return OK;
}

/* A transaction for each entry: verifying takes long, and nothing may be pinned meanwhile. */
static int walk(struct verifying *v, int database, check_fn *check, struct err *e)
{
    struct env *env = &v->store->env;
    struct id id = { { 0 } };
    bool more = true;
    int rc = OK;

    while (rc == OK && more) {
        struct err what = ERR_INIT;
        MDB_txn *t = NULL;
        MDB_val key, value;
        rc = env_begin(&t, env, false, e);
        if (rc != OK)
            break;
        int found = seek(&key, &value, v->store, t, database, &id);
        if (found == MDB_NOTFOUND)
            more = false;
        else if (found != 0)
            rc = env_error(env, found, e);
        else if (!id_from_span(&id, key.mv_data, key.mv_size))
            rc = err_set(e, E_CORRUPT, "'%s': a key of %zu bytes", env->path, key.mv_size);
        else
            rc = check(v, t, &id, (struct span){ value.mv_data, value.mv_size }, &what, e);
        env_abort(env, t);
        if (rc == OK && what.code != OK)
            v->bad(v->ctx, what.msg);
        if (more)
            more = id_next(&id);
    }
    return rc;
}

static int verify(struct verifying *v, struct err *e)
{
    int rc = walk(v, STORE_CHUNK, check_chunk, e);

    return rc == OK ? walk(v, STORE_MANIFEST, check_artifact, e) : rc;
}

int store_verify(
    struct store *s, void (*bad)(void *ctx, const char *what), void *ctx, struct err *e)
{
    struct verifying v = { .store = s, .bad = bad, .ctx = ctx };
    int rc = verify(&v, e);

    buf_free(&v.bad_chunks);
    return rc;
}

int store_heal(struct store *s, void (*bad)(void *ctx, const char *what),
    void (*gone)(void *ctx, const struct id *artifact), void *ctx, struct err *e)
{
    struct verifying v = { .store = s, .bad = bad, .ctx = ctx };
    int rc = verify(&v, e);

    if (rc == OK)
        rc = store_mend(
            s, (const struct id *)v.bad_chunks.p, v.bad_chunks.n / sizeof(struct id), gone, ctx, e);
    buf_free(&v.bad_chunks);
    return rc;
}
