#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "store/store_int.h"

/* ---- writing: the last chunks and the manifest share the last transaction ---- */

/* All batches, and of one the pages that LMDB holds until it is committed. */
size_t artifact_writer_bytes(uint64_t size)
{
    const size_t batch = SINK_CHUNKS * (size_t)CHUNK_SIZE, all = SINK_BATCHES * batch;

    return (size_t)(size < batch ? size : batch) + (size_t)(size < all ? size : all);
}

struct facts {
    Fact *items;
    size_t n;
};

struct artifact_writer {
    struct store *store;
    ArtifactKind kind;
    uint64_t size;
    struct sink *sink;
    struct facts facts;
};

int artifact_create(struct artifact_writer **out, struct store *s, ArtifactKind kind, struct err *e)
{
    struct artifact_writer *w = calloc(1, sizeof *w);
    int rc = w ? sink_new(&w->sink, s, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc != OK) {
        free(w);
        return rc;
    }
    w->store = s;
    w->kind = kind;
    *out = w;
    return OK;
}

int artifact_write(struct artifact_writer *w, const void *p, size_t n, struct err *e)
{
    w->size += n;
    return sink_write(w->sink, p, n, e);
}

int artifact_lend(struct artifact_writer *w, const void *p, size_t n, struct err *e)
{
    w->size += n;
    return sink_lend(w->sink, p, n, e);
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
    rc = sink_put_last(w->sink, t, e);
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
    struct span ids = sink_ids(w->sink);
    size_t n = ids.n / sizeof(struct id);
    ProtobufCBinaryData *chunks = malloc((n + 1) * sizeof *chunks);
    Fact **facts = malloc((w->facts.n + 1) * sizeof *facts);
    struct id id;
    int rc = chunks && facts ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        for (size_t i = 0; i < n; i++)
            chunks[i] =
                (ProtobufCBinaryData){ sizeof id.b, (uint8_t *)(uintptr_t)ids.p + i * sizeof id.b };
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
    int rc = sink_hash(w->sink, e);

    if (rc == OK)
        rc = writer_finish(w, name, out, e);
    artifact_abort(w);
    return rc == OK ? OK : err_wrap(e, "artifact '%s'", name);
}

void artifact_abort(struct artifact_writer *w)
{
    if (!w)
        return;
    sink_free(w->sink);
    for (size_t i = 0; i < w->facts.n; i++)
        free(w->facts.items[i].name);
    free(w->facts.items);
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

/* Copies n bytes of chunk i; a chunk that was not touched before is checked as a whole, where all
 * of it is wanted in the same pass. */
static int chunk_copy(
    struct artifact_reader *r, MDB_txn *t, size_t i, size_t skip, void *to, size_t n, struct err *e)
{
    uint8_t bit = (uint8_t)(1u << i % 8);
    bool checked = (r->checked[i / 8] & bit) != 0, whole;
    struct span chunk;
    struct id id;
    int rc;

    id_from_span(&id, r->manifest->chunks[i].data, r->manifest->chunks[i].len);
    rc = store_find(&chunk, r->store, t, STORE_CHUNK, &id, e);
    if (rc == E_MISSING)
        e->code = rc = E_CORRUPT; /* a manifest is there after its chunks */
    if (rc == OK && chunk.n != manifest_chunk_size(r->manifest, i))
        rc = err_set(e, E_CORRUPT, "chunk has %zu bytes in place of %zu", chunk.n,
            manifest_chunk_size(r->manifest, i));
    if (rc != OK)
        return rc;
    whole = !checked && n == chunk.n;
    if (!checked) {
        uint64_t sum = whole ? sum64_copy(to, chunk.p, n) : sum64(chunk.p, chunk.n);
        rc = store_check_sum(chunk, sum, r->store, t, &id, e);
    }
    if (rc != OK)
        return rc;
    if (!whole)
        memcpy(to, (const uint8_t *)chunk.p + skip, n);
    r->checked[i / 8] |= bit;
    return OK;
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
        MDB_txn *t = NULL;
        rc = env_begin(&t, &r->store->env, false, e);
        if (rc == OK)
            rc = chunk_copy(r, t, i, skip, to, take, e);
        env_abort(&r->store->env, t);
        if (rc != OK)
            return err_wrap(e, "artifact %.12s, chunk %zu", hex, i);
        to += take;
        offset += take;
        n -= take;
    }
    return OK;
}
