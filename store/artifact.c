#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_int.h"

/* ---- writing ----
 *
 * Two batches take turns: while one is being committed by a thread of its own, the caller fills
 * and hashes the other. The last batch and the manifest share the last transaction. */

#define BATCH_CHUNKS 4
#define BATCH_SIZE ((size_t)BATCH_CHUNKS * CHUNK_SIZE)

struct batch {
    struct store *store;
    uint8_t *bytes; /* BATCH_SIZE */
    size_t n;       /* bytes that were filled */
    struct id ids[BATCH_CHUNKS];
    size_t n_ids; /* chunks that were hashed */
    int rc;
    struct err err;
};

/* Both batches, and of one the pages that LMDB holds until it is committed. */
size_t artifact_writer_bytes(uint64_t size)
{
    size_t batch = size < BATCH_SIZE ? (size_t)size : BATCH_SIZE;

    return batch + (size < 2 * BATCH_SIZE ? (size_t)size : 2 * BATCH_SIZE);
}

struct facts {
    Fact *items;
    size_t n;
};

struct artifact_writer {
    struct store *store;
    ArtifactKind kind;
    uint64_t size;
    struct buf ids; /* of all chunks, 32 bytes each */
    struct facts facts;
    struct batch batches[2];
    int filling; /* 0 or 1; the other one may be under way */
    pthread_t committer;
    bool committing;
    int rc; /* the first failure; nothing is written after it */
    struct err err;
};

int artifact_create(struct artifact_writer **out, struct store *s, ArtifactKind kind, struct err *e)
{
    struct artifact_writer *w = calloc(1, sizeof *w);

    if (!w)
        return err_set(e, E_NOMEM, "out of memory");
    w->store = s;
    w->kind = kind;
    w->batches[0].store = w->batches[1].store = s;
    *out = w;
    return OK;
}

static size_t chunk_bytes(const struct batch *b, size_t i)
{
    size_t left = b->n - i * CHUNK_SIZE;

    return left < CHUNK_SIZE ? left : CHUNK_SIZE;
}

static int batch_put(const struct batch *b, MDB_txn *t, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; rc == OK && i < b->n_ids; i++)
        rc = store_add_chunk(
            b->store, t, &b->ids[i], b->bytes + i * CHUNK_SIZE, chunk_bytes(b, i), e);
    return rc;
}

static void *batch_commit(void *arg)
{
    struct batch *b = arg;
    struct env *env = &b->store->env;
    MDB_txn *t = NULL;

    b->rc = env_begin(&t, env, true, &b->err);
    if (b->rc == OK) {
        b->rc = batch_put(b, t, &b->err);
        if (b->rc == OK)
            b->rc = env_commit(env, t, &b->err);
        else
            env_abort(env, t);
    }
    return NULL;
}

static void writer_fail(struct artifact_writer *w, const struct err *e)
{
    if (w->rc != OK)
        return;
    w->rc = e->code;
    w->err = *e;
}

/* Waits for the batch under way. */
static void writer_join(struct artifact_writer *w)
{
    struct batch *b = &w->batches[!w->filling];

    if (w->committing)
        pthread_join(w->committer, NULL);
    w->committing = false;
    if (b->rc != OK)
        writer_fail(w, &b->err);
    b->n = b->n_ids = 0;
}

/* Signals are the program's business: the thread takes none. */
static void batch_start(struct artifact_writer *w, struct batch *b)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    w->committing = pthread_create(&w->committer, NULL, batch_commit, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!w->committing)
        batch_commit(b);
}

static void writer_turn(struct artifact_writer *w)
{
    writer_join(w);
    if (w->rc != OK)
        return;
    batch_start(w, &w->batches[w->filling]);
    w->filling = !w->filling;
}

/* Names the chunks that are full; with `last` also the one that is not. */
static void batch_hash(struct artifact_writer *w, struct batch *b, bool last)
{
    struct err e = ERR_INIT;

    while (b->n_ids * CHUNK_SIZE < b->n && (last || b->n - b->n_ids * CHUNK_SIZE >= CHUNK_SIZE)) {
        struct id *id = &b->ids[b->n_ids];
        sha256(id, b->bytes + b->n_ids * CHUNK_SIZE, chunk_bytes(b, b->n_ids));
        if (buf_add(&w->ids, id->b, sizeof id->b) != OK) {
            err_set(&e, E_NOMEM, "out of memory");
            writer_fail(w, &e);
            return;
        }
        b->n_ids++;
    }
}

int artifact_write(struct artifact_writer *w, const void *p, size_t n, struct err *e)
{
    struct err failure = ERR_INIT;
    const uint8_t *from = p;

    while (n > 0 && w->rc == OK) {
        struct batch *b = &w->batches[w->filling];
        if (!b->bytes && !(b->bytes = malloc(BATCH_SIZE))) {
            err_set(&failure, E_NOMEM, "no memory for %zu bytes", BATCH_SIZE);
            writer_fail(w, &failure);
            break;
        }
        /* A chunk is hashed as soon as it is full, while it is in the cache. */
        size_t room = CHUNK_SIZE - b->n % CHUNK_SIZE, take = n < room ? n : room;
        memcpy(b->bytes + b->n, from, take);
        b->n += take;
        w->size += take;
        from += take;
        n -= take;
        batch_hash(w, b, false);
        if (b->n == BATCH_SIZE)
            writer_turn(w);
    }
    if (w->rc != OK)
        *e = w->err;
    return w->rc;
}

/* Sorted by name; a name that was given before gets the new value. */
int artifact_fact(struct artifact_writer *w, const char *name, int64_t value, struct err *e)
{
    struct facts *f = &w->facts;
    size_t at = 0;
    Fact *items;
    char *copy;

    while (at < f->n && strcmp(f->items[at].name, name) < 0)
        at++;
    if (at < f->n && strcmp(f->items[at].name, name) == 0) {
        f->items[at].value = value;
        return OK;
    }
    copy = strdup(name);
    items = realloc(f->items, (f->n + 1) * sizeof *items);
    if (items)
        f->items = items;
    if (!items || !copy) {
        free(copy);
        return err_set(e, E_NOMEM, "out of memory");
    }
    memmove(items + at + 1, items + at, (f->n - at) * sizeof *items);
    fact__init(&items[at]);
    items[at].name = copy;
    items[at].has_value = true;
    items[at].value = value;
    f->n++;
    return OK;
}

static int commit_last(struct artifact_writer *w, const Manifest *m, struct id *out, struct err *e)
{
    struct env *env = &w->store->env;
    MDB_txn *t = NULL;
    int rc = env_begin(&t, env, true, e);

    if (rc != OK)
        return rc;
    rc = batch_put(&w->batches[w->filling], t, e);
    if (rc == OK)
        rc = store_add_manifest(w->store, t, m, out, e);
    if (rc == OK)
        return env_commit(env, t, e);
    env_abort(env, t);
    return rc;
}

static int output_make(
    Output **out, const Manifest *m, const char *name, struct id *id, struct err *e)
{
    Output o = OUTPUT__INIT;
    ProtobufCMessage *copy = NULL;
    int rc;

    o.name = (char *)(uintptr_t)name;
    o.has_id = true;
    o.id = (ProtobufCBinaryData){ sizeof id->b, id->b };
    o.has_kind = true;
    o.kind = m->kind;
    o.n_facts = m->n_facts;
    o.facts = m->facts;
    rc = message_copy(&copy, &o.base, e);
    if (rc == OK)
        *out = (Output *)copy;
    return rc;
}

static int writer_finish(struct artifact_writer *w, const char *name, Output **out, struct err *e)
{
    Manifest m = MANIFEST__INIT;
    size_t n = w->ids.n / sizeof(struct id);
    ProtobufCBinaryData *chunks = malloc((n + 1) * sizeof *chunks);
    Fact **facts = malloc((w->facts.n + 1) * sizeof *facts);
    struct id id;
    int rc = chunks && facts ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        for (size_t i = 0; i < n; i++)
            chunks[i] = (ProtobufCBinaryData){ sizeof id.b, (uint8_t *)w->ids.p + i * sizeof id.b };
        for (size_t i = 0; i < w->facts.n; i++)
            facts[i] = &w->facts.items[i];
        m.has_kind = m.has_size = true;
        m.kind = w->kind;
        m.size = w->size;
        m.n_chunks = n;
        m.chunks = chunks;
        m.n_facts = w->facts.n;
        m.facts = facts;
        rc = commit_last(w, &m, &id, e);
    }
    if (rc == OK)
        rc = output_make(out, &m, name, &id, e);
    free(chunks);
    free(facts);
    return rc;
}

int artifact_commit(struct artifact_writer *w, const char *name, Output **out, struct err *e)
{
    int rc;

    writer_join(w);
    if (w->rc == OK)
        batch_hash(w, &w->batches[w->filling], true);
    rc = w->rc;
    if (rc != OK)
        *e = w->err;
    else
        rc = writer_finish(w, name, out, e);
    artifact_abort(w);
    return rc == OK ? OK : err_wrap(e, "artifact '%s'", name);
}

void artifact_abort(struct artifact_writer *w)
{
    if (!w)
        return;
    writer_join(w);
    for (size_t i = 0; i < w->facts.n; i++)
        free(w->facts.items[i].name);
    free(w->facts.items);
    free(w->batches[0].bytes);
    free(w->batches[1].bytes);
    buf_free(&w->ids);
    free(w);
}

/* ---- reading ---- */

struct artifact_reader {
    struct store *store;
    struct id id;
    Manifest *manifest;
    uint8_t *checked; /* a bit for each chunk whose hash was found right */
};

static int kind_check(const Manifest *m, const struct id *id, ArtifactKind kind, struct err *e)
{
    char hex[ID_HEX];

    if (kind == 0 || m->kind == kind)
        return OK;
    id_hex(hex, id);
    return err_set(e, E_INPUT, "artifact %.12s is of kind '%s' and not '%s'", hex,
        enum_word(&artifact_kind__descriptor, m->kind),
        enum_word(&artifact_kind__descriptor, kind));
}

int artifact_open(struct artifact_reader **out, struct store *s, const struct id *id,
    ArtifactKind kind, struct err *e)
{
    struct artifact_reader *r = calloc(1, sizeof *r);
    int rc;

    if (!r)
        return err_set(e, E_NOMEM, "out of memory");
    r->store = s;
    r->id = *id;
    rc = store_manifest(&r->manifest, s, id, e);
    if (rc == OK)
        rc = kind_check(r->manifest, id, kind, e);
    if (rc == OK && !(r->checked = calloc(r->manifest->n_chunks / 8 + 1, 1)))
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc != OK) {
        artifact_close(r);
        return rc;
    }
    *out = r;
    return OK;
}

void artifact_close(struct artifact_reader *r)
{
    if (!r)
        return;
    message_free(r->manifest);
    free(r->checked);
    free(r);
}

const Manifest *artifact_manifest(const struct artifact_reader *r)
{
    return r->manifest;
}

/* The chunk's bytes, borrowed until t ends. */
static int chunk_view(
    struct span *out, struct artifact_reader *r, MDB_txn *t, size_t i, struct err *e)
{
    uint8_t bit = (uint8_t)(1u << i % 8);
    struct id id;
    int rc;

    id_from_span(&id, r->manifest->chunks[i].data, r->manifest->chunks[i].len);
    rc = store_find(out, r->store, t, STORE_CHUNK, &id, e);
    if (rc == E_MISSING)
        e->code = rc = E_CORRUPT; /* a manifest is there after its chunks */
    if (rc == OK && (r->checked[i / 8] & bit) == 0)
        rc = store_check_hash(*out, STORE_CHUNK, &id, e);
    if (rc == OK && out->n != manifest_chunk_size(r->manifest, i))
        rc = err_set(e, E_CORRUPT, "chunk has %zu bytes in place of %zu", out->n,
            manifest_chunk_size(r->manifest, i));
    if (rc == OK)
        r->checked[i / 8] |= bit;
    return rc;
}

int artifact_read(struct artifact_reader *r, uint64_t offset, void *p, size_t n, struct err *e)
{
    uint64_t size = r->manifest->size;
    uint8_t *to = p;
    char hex[ID_HEX];
    int rc = OK;

    id_hex(hex, &r->id);
    if (offset > size || n > size - offset)
        return err_set(e, E_INPUT, "artifact %.12s: %zu bytes from %llu of %llu", hex, n,
            (unsigned long long)offset, (unsigned long long)size);
    /* A transaction for each chunk: none is held while a large artifact is read and hashed. */
    while (n > 0) {
        size_t i = (size_t)(offset / CHUNK_SIZE), skip = (size_t)(offset % CHUNK_SIZE);
        size_t left = manifest_chunk_size(r->manifest, i) - skip, take = n < left ? n : left;
        struct span chunk;
        MDB_txn *t = NULL;
        rc = env_begin(&t, &r->store->env, false, e);
        if (rc == OK)
            rc = chunk_view(&chunk, r, t, i, e);
        if (rc == OK)
            memcpy(to, (const uint8_t *)chunk.p + skip, take);
        env_abort(&r->store->env, t);
        if (rc != OK)
            return err_wrap(e, "artifact %.12s, chunk %zu", hex, i);
        to += take;
        offset += take;
        n -= take;
    }
    return OK;
}
