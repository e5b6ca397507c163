#include "store/store_int.h"

#include <string.h>

/* A manifest is bytes from outside: a peer's, or a disk's. */

static int chunks_check(const Manifest *m, struct err *e)
{
    uint64_t n = m->size / CHUNK_SIZE + (m->size % CHUNK_SIZE != 0);

    if (m->n_chunks != n)
        return err_set(e, E_CORRUPT, "manifest: %zu chunks for %llu bytes", m->n_chunks,
            (unsigned long long)m->size);
    for (size_t i = 0; i < m->n_chunks; i++)
        if (m->chunks[i].len != sizeof(struct id))
            return err_set(e, E_CORRUPT, "manifest: chunk %zu has a malformed name", i);
    return OK;
}

static int facts_check(const Manifest *m, struct err *e)
{
    for (size_t i = 0; i < m->n_facts; i++) {
        const Fact *f = m->facts[i];
        if (!f->name || !*f->name || !f->has_value)
            return err_set(e, E_CORRUPT, "manifest: fact %zu is incomplete", i);
        if (i > 0 && strcmp(m->facts[i - 1]->name, f->name) >= 0)
            return err_set(e, E_CORRUPT, "manifest: facts are not sorted by name");
    }
    return OK;
}

int manifest_check(const Manifest *m, struct err *e)
{
    int rc;

    if (!m->has_kind || !protobuf_c_enum_descriptor_get_value(&artifact_kind__descriptor, m->kind))
        return err_set(e, E_CORRUPT, "manifest: unknown kind of artifact");
    if (!m->has_size)
        return err_set(e, E_CORRUPT, "manifest: no size");
    rc = chunks_check(m, e);
    return rc == OK ? facts_check(m, e) : rc;
}

size_t manifest_chunk_size(const Manifest *m, size_t i)
{
    return i + 1 < m->n_chunks ? CHUNK_SIZE : (size_t)(m->size - (uint64_t)i * CHUNK_SIZE);
}

int manifest_parse(Manifest **out, const void *p, size_t n, struct err *e)
{
    ProtobufCMessage *m = NULL;
    int rc;

    if (message_unpack(&m, &manifest__descriptor, p, n, e) != OK)
        return err_set(e, E_CORRUPT, "manifest: malformed message");
    rc = manifest_check((Manifest *)m, e);
    if (rc != OK) {
        message_free(m);
        return rc;
    }
    *out = (Manifest *)m;
    return OK;
}
