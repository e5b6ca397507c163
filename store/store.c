#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "store/store_int.h"

static const char *const databases[STORE_DATABASES] = {
    [STORE_CHUNK] = DB_CHUNK,
    [STORE_MANIFEST] = DB_MANIFEST,
    [STORE_SUM] = DB_SUM,
};

static const char *const nouns[STORE_DATABASES] = {
    [STORE_CHUNK] = "chunk",
    [STORE_MANIFEST] = "artifact",
    [STORE_SUM] = "sum",
};

int store_open_sized(
    struct store **out, const char *home, bool create, size_t map_size, struct err *e)
{
    const struct env_spec spec = { STORE_FOLDER, STORE_SCHEMA, map_size, true, databases,
        STORE_DATABASES };
    struct store *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return err_set(e, E_NOMEM, "out of memory");
    rc = env_open(&s->env, s->dbi, &spec, home, create ? ENV_CREATE : ENV_WRITE, e);
    if (rc != OK) {
        free(s);
        return err_wrap(e, "store");
    }
    *out = s;
    return OK;
}

int store_open(struct store **out, const char *home, bool create, struct err *e)
{
    return store_open_sized(out, home, create, STORE_MAP_SIZE, e);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    env_close(&s->env);
    free(s);
}

void store_uuid(const struct store *s, struct id *out)
{
    *out = s->env.uuid;
}

/* ---- within a transaction ---- */

int store_find(
    struct span *out, struct store *s, MDB_txn *t, int database, const struct id *id, struct err *e)
{
    MDB_val key = { sizeof id->b, (void *)(uintptr_t)id->b }, value;
    int rc = mdb_get(t, s->dbi[database], &key, &value);
    char hex[ID_HEX];

    if (rc == MDB_NOTFOUND) {
        id_hex(hex, id);
        return err_set(e, E_MISSING, "there is no %s %s", nouns[database], hex);
    }
    if (rc != 0)
        return env_error(&s->env, rc, e);
    *out = (struct span){ value.mv_data, value.mv_size };
    return OK;
}

int store_check_hash(struct span value, int database, const struct id *id, struct err *e)
{
    struct id found;
    char hex[ID_HEX];

    sha256(&found, value.p, value.n);
    if (id_equal(&found, id))
        return OK;
    id_hex(hex, id);
    return err_set(e, E_CORRUPT, "%s %s: its bytes have another hash", nouns[database], hex);
}

static int add(struct store *s, MDB_txn *t, int database, const struct id *id, const void *p,
    size_t n, struct err *e)
{
    MDB_val key = { sizeof id->b, (void *)(uintptr_t)id->b }, value = { n, NULL };
    int rc = mdb_put(t, s->dbi[database], &key, &value, MDB_NOOVERWRITE | MDB_RESERVE);

    if (rc == MDB_KEYEXIST)
        return OK;
    if (rc != 0)
        return env_error(&s->env, rc, e);
    memcpy(value.mv_data, p, n);
    return OK;
}

int store_add_chunk(struct store *s, MDB_txn *t, const struct id *id, struct span chunk,
    uint64_t sum, struct err *e)
{
    int rc = add(s, t, STORE_CHUNK, id, chunk.p, chunk.n, e);

    return rc == OK ? add(s, t, STORE_SUM, id, &sum, sizeof sum, e) : rc;
}

int store_check_sum(struct span value, uint64_t sum, struct store *s, MDB_txn *t,
    const struct id *id, struct err *e)
{
    MDB_val key = { sizeof id->b, (void *)(uintptr_t)id->b }, found;

    if (mdb_get(t, s->dbi[STORE_SUM], &key, &found) == 0 && found.mv_size == sizeof sum &&
        memcmp(found.mv_data, &sum, sizeof sum) == 0)
        return OK;
    return store_check_hash(value, STORE_CHUNK, id, e);
}

static int chunks_present(struct store *s, MDB_txn *t, const Manifest *m, struct err *e)
{
    struct span chunk;
    struct id id;
    int rc = OK;

    for (size_t i = 0; rc == OK && i < m->n_chunks; i++) {
        id_from_span(&id, m->chunks[i].data, m->chunks[i].len);
        rc = store_find(&chunk, s, t, STORE_CHUNK, &id, e);
        if (rc == OK && chunk.n != manifest_chunk_size(m, i))
            rc = err_set(e, E_CORRUPT, "it has %zu bytes in place of %zu", chunk.n,
                manifest_chunk_size(m, i));
        if (rc != OK)
            err_wrap(e, "chunk %zu", i);
    }
    return rc;
}

int store_add_manifest(
    struct store *s, MDB_txn *t, const Manifest *m, struct id *out, struct err *e)
{
    struct buf packed = { 0 };
    struct id id;
    int rc = manifest_check(m, e);

    if (rc == OK)
        rc = chunks_present(s, t, m, e);
    if (rc == OK && message_pack(&packed, &m->base) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK) {
        sha256(&id, packed.p, packed.n);
        rc = add(s, t, STORE_MANIFEST, &id, packed.p, packed.n, e);
    }
    buf_free(&packed);
    if (rc == OK)
        *out = id;
    return rc;
}

/* ---- transactions of their own ---- */

bool store_has(struct store *s, const struct id *artifact)
{
    struct err e = ERR_INIT;
    struct span value;
    MDB_txn *t = NULL;
    int rc = env_begin(&t, &s->env, false, &e);

    if (rc == OK)
        rc = store_find(&value, s, t, STORE_MANIFEST, artifact, &e);
    env_abort(&s->env, t);
    return rc == OK;
}

int store_manifest(Manifest **out, struct store *s, const struct id *artifact, struct err *e)
{
    struct span value;
    MDB_txn *t = NULL;
    char hex[ID_HEX];
    int rc = env_begin(&t, &s->env, false, e);

    if (rc == OK)
        rc = store_find(&value, s, t, STORE_MANIFEST, artifact, e);
    if (rc == OK)
        rc = store_check_hash(value, STORE_MANIFEST, artifact, e);
    if (rc == OK && (rc = manifest_parse(out, value.p, value.n, e)) != OK) {
        id_hex(hex, artifact);
        err_wrap(e, "artifact %s", hex);
    }
    env_abort(&s->env, t);
    return rc;
}

int store_chunk_get(struct store *s, const struct id *id, struct buf *out, struct err *e)
{
    struct span value;
    MDB_txn *t = NULL;
    int rc = env_begin(&t, &s->env, false, e);

    if (rc == OK)
        rc = store_find(&value, s, t, STORE_CHUNK, id, e);
    if (rc == OK)
        rc = store_check_hash(value, STORE_CHUNK, id, e);
    if (rc == OK && buf_add(out, value.p, value.n) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    env_abort(&s->env, t);
    return rc;
}

int store_chunk_put(struct store *s, const void *p, size_t n, struct id *out, struct err *e)
{
    MDB_txn *t = NULL;
    struct id id;
    int rc;

    if (n == 0 || n > CHUNK_SIZE)
        return err_set(e, E_INPUT, "a chunk of %zu bytes", n);
    sha256(&id, p, n);
    rc = env_begin(&t, &s->env, true, e);
    if (rc == OK)
        rc = store_add_chunk(s, t, &id, (struct span){ p, n }, sum64(p, n), e);
    if (rc == OK)
        rc = env_commit(&s->env, t, e);
    else
        env_abort(&s->env, t);
    if (rc == OK)
        *out = id;
    return rc;
}

int store_manifest_put(struct store *s, const Manifest *m, struct id *out, struct err *e)
{
    MDB_txn *t = NULL;
    struct id id;
    int rc = env_begin(&t, &s->env, true, e);

    if (rc != OK)
        return rc;
    rc = store_add_manifest(s, t, m, &id, e);
    if (rc == OK)
        rc = env_commit(&s->env, t, e);
    else
        env_abort(&s->env, t);
    if (rc == OK)
        *out = id;
    return rc;
}
