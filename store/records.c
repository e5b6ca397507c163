#include "store/records.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/task.h"
#include "store/store_int.h"

#define LENGTH_BYTES 4
#define WINDOW_SIZE ((size_t)256 << 10) /* bytes read at once, unless a record is longer */

/* ---- writing ---- */

struct records_writer {
    struct artifact_writer *artifact;
    struct buf packed;
    int64_t n;
};

int records_create(struct records_writer **out, struct store *s, ArtifactKind kind, struct err *e)
{
    struct records_writer *w = calloc(1, sizeof *w);
    int rc = w ? artifact_create(&w->artifact, s, kind, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc != OK) {
        free(w);
        return rc;
    }
    *out = w;
    return OK;
}

int records_add(struct records_writer *w, const ProtobufCMessage *m, struct err *e)
{
    size_t n;

    w->packed.n = 0;
    if (buf_add(&w->packed, "\0\0\0\0", LENGTH_BYTES) != OK || message_pack(&w->packed, m) != OK)
        return err_set(e, E_NOMEM, "record %" PRId64 ": out of memory", w->n);
    n = w->packed.n - LENGTH_BYTES;
    if (n > RECORD_MAX)
        return err_set(
            e, E_INPUT, "record %" PRId64 ": %zu bytes are more than %zu", w->n, n, RECORD_MAX);
    for (int i = 0; i < LENGTH_BYTES; i++)
        w->packed.p[i] = (char)(n >> 8 * i);
    w->n++;
    return artifact_write(w->artifact, w->packed.p, w->packed.n, e);
}

int records_fact(struct records_writer *w, const char *name, int64_t value, struct err *e)
{
    return artifact_fact(w->artifact, name, value, e);
}

int records_commit(struct records_writer *w, const char *name, Output **out, struct err *e)
{
    int rc = artifact_fact(w->artifact, "records", w->n, e);

    if (rc == OK) {
        rc = artifact_commit(w->artifact, name, out, e);
        w->artifact = NULL;
    }
    records_abort(w);
    return rc;
}

void records_abort(struct records_writer *w)
{
    if (!w)
        return;
    artifact_abort(w->artifact);
    buf_free(&w->packed);
    free(w);
}

/* ---- reading ---- */

struct records_reader {
    struct artifact_reader *artifact;
    const ProtobufCMessageDescriptor *type;
    uint64_t size, offset; /* of the artifact; of the first byte behind the window */
    uint64_t n, count;     /* records that were read, that there are */
    uint8_t *window;
    size_t cap, at, end; /* window[at..end) was not yet taken */
};

int records_open(struct records_reader **out, struct store *s, const struct id *id,
    ArtifactKind kind, const ProtobufCMessageDescriptor *type, struct err *e)
{
    struct records_reader *r = calloc(1, sizeof *r);
    int rc = r ? artifact_open(&r->artifact, s, id, kind, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        const Manifest *m = artifact_manifest(r->artifact);
        int64_t count = fact_value(m->facts, m->n_facts, "records", -1);
        r->type = type;
        r->size = m->size;
        r->count = (uint64_t)count;
        if (count < 0)
            rc = err_set(e, E_CORRUPT, "the artifact does not say how many records it has");
    }
    if (rc != OK) {
        records_close(r);
        return rc;
    }
    *out = r;
    return OK;
}

void records_close(struct records_reader *r)
{
    if (!r)
        return;
    artifact_close(r->artifact);
    free(r->window);
    free(r);
}

uint64_t records_count(const struct records_reader *r)
{
    return r->count;
}

static int window_grow(struct records_reader *r, size_t n, struct err *e)
{
    size_t cap = n > WINDOW_SIZE ? n : WINDOW_SIZE;
    uint8_t *p;

    if (cap <= r->cap)
        return OK;
    p = realloc(r->window, cap);
    if (!p)
        return err_set(e, E_NOMEM, "out of memory");
    r->window = p;
    r->cap = cap;
    return OK;
}

/* The next n bytes, borrowed until the next call. */
static int take(const uint8_t **out, struct records_reader *r, size_t n, struct err *e)
{
    size_t have = r->end - r->at, more;
    uint64_t left = r->size - r->offset;
    int rc = OK;

    if (n > have) {
        if (n - have > left)
            return err_set(e, E_CORRUPT, "it goes on beyond the artifact's end");
        rc = window_grow(r, n, e);
        if (rc != OK)
            return rc;
        memmove(r->window, r->window + r->at, have);
        r->at = 0;
        r->end = have;
        more = r->cap - have < left ? r->cap - have : (size_t)left;
        rc = artifact_read(r->artifact, r->offset, r->window + have, more, e);
        if (rc != OK)
            return rc;
        r->offset += more;
        r->end += more;
    }
    *out = r->window + r->at;
    r->at += n;
    return OK;
}

static int record_read(ProtobufCMessage **out, struct records_reader *r, struct err *e)
{
    const uint8_t *p;
    size_t n = 0;
    int rc = take(&p, r, LENGTH_BYTES, e);

    if (rc != OK)
        return rc;
    for (int i = 0; i < LENGTH_BYTES; i++)
        n |= (size_t)p[i] << 8 * i;
    if (n > RECORD_MAX)
        return err_set(e, E_CORRUPT, "its length is %zu bytes, more than %zu", n, RECORD_MAX);
    rc = take(&p, r, n, e);
    if (rc == OK && message_unpack(out, r->type, p, n, e) != OK)
        e->code = rc = E_CORRUPT;
    return rc;
}

int records_next(struct records_reader *r, ProtobufCMessage **out, struct err *e)
{
    int rc;

    if (r->at == r->end && r->offset == r->size) {
        if (r->n != r->count)
            return err_set(
                e, E_CORRUPT, "%" PRIu64 " records in place of %" PRIu64, r->n, r->count);
        *out = NULL;
        return OK;
    }
    rc = record_read(out, r, e);
    if (rc != OK)
        return err_wrap(e, "record %" PRIu64, r->n);
    r->n++;
    return OK;
}
