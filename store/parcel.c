#include "store/parcel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"
#include "store/store_int.h"

#define MAGIC_SIZE (sizeof PARCEL_MAGIC - 1)
#define VERSION_AT (MAGIC_SIZE - 2) /* what stands before is of every version */
#define PIECE ((size_t)1 << 16) /* a length that lies takes no more memory than there are bytes */
#define MANIFEST_MAX ((size_t)1 << 28)

/* ---- writing ---- */

static int put(FILE *f, const void *p, size_t n, struct err *e)
{
    return fwrite(p, 1, n, f) == n ? OK : err_errno(e, "writing");
}

static int put_sized(FILE *f, const struct buf *bytes, struct err *e)
{
    uint8_t length[4];
    int rc;

    for (int i = 0; i < 4; i++)
        length[i] = (uint8_t)(bytes->n >> 8 * i);
    rc = put(f, length, sizeof length, e);
    return rc == OK ? put(f, bytes->p, bytes->n, e) : rc;
}

static int put_head(FILE *f, Parcel *p, struct err *e)
{
    Envelope m = ENVELOPE__INIT;
    struct buf bytes = { 0 };
    struct id sum;
    int rc;

    m.kind_case = ENVELOPE__KIND_PARCEL;
    m.parcel = p;
    rc = wire_encode(&bytes, &m, e);
    if (rc == OK)
        rc = put(f, PARCEL_MAGIC, MAGIC_SIZE, e);
    if (rc == OK)
        rc = put_sized(f, &bytes, e);
    if (rc == OK) {
        sha256(&sum, bytes.p, bytes.n);
        rc = put(f, sum.b, sizeof sum.b, e);
    }
    buf_free(&bytes);
    return rc;
}

static int put_chunks(FILE *f, struct store *s, const Manifest *m, struct err *e)
{
    struct buf chunk = { 0 };
    struct id id;
    int rc = OK;

    for (size_t i = 0; i < m->n_chunks && rc == OK; i++) {
        chunk.n = 0;
        id_from_span(&id, m->chunks[i].data, m->chunks[i].len);
        rc = store_chunk_get(s, &id, &chunk, e);
        if (rc == OK)
            rc = put(f, chunk.p, chunk.n, e);
    }
    buf_free(&chunk);
    return rc;
}

static int put_item(FILE *f, struct store *s, const ParcelItem *item, struct err *e)
{
    struct buf packed = { 0 };
    Manifest *m = NULL;
    char hex[ID_HEX];
    struct id id;
    int rc;

    id_from_span(&id, item->id.data, item->id.len);
    rc = store_manifest(&m, s, &id, e);
    if (rc == OK && message_pack(&packed, &m->base) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        rc = put_sized(f, &packed, e);
    if (rc == OK)
        rc = put_chunks(f, s, m, e);
    buf_free(&packed);
    message_free(m);
    id_hex(hex, &id);
    return rc == OK ? OK : err_wrap(e, "artifact %.12s", hex);
}

int parcel_write(FILE *f, struct store *s, Parcel *p, struct err *e)
{
    int rc = put_head(f, p, e);

    for (size_t i = 0; i < p->n_items && rc == OK; i++)
        rc = put_item(f, s, p->items[i], e);
    if (rc == OK && fflush(f) != 0)
        rc = err_errno(e, "writing");
    return rc;
}

/* ---- reading ---- */

struct source {
    FILE *f;
    uint64_t at; /* bytes taken */
};

static int wrong(const struct source *in, struct err *e, const char *what)
{
    return err_set(e, E_INPUT, "at byte %llu: %s", (unsigned long long)in->at, what);
}

static int take(struct source *in, void *p, size_t n, struct err *e)
{
    size_t got = fread(p, 1, n, in->f);

    in->at += got;
    if (got == n)
        return OK;
    return ferror(in->f) ? err_errno(e, "reading") : wrong(in, e, "the file ends too early");
}

static int take_sized(struct buf *out, struct source *in, size_t most, struct err *e)
{
    uint8_t piece[PIECE], b[4];
    int rc = take(in, b, sizeof b, e);
    size_t left = b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16 | (size_t)b[3] << 24;

    if (rc == OK && left > most)
        rc = wrong(in, e, "a length that cannot be");
    while (rc == OK && left > 0) {
        size_t n = left < PIECE ? left : PIECE;
        rc = take(in, piece, n, e);
        if (rc == OK && buf_add(out, piece, n) != OK)
            rc = err_set(e, E_NOMEM, "out of memory");
        left -= n;
    }
    return rc;
}

static int take_magic(struct source *in, struct err *e)
{
    char magic[MAGIC_SIZE] = "";
    size_t n = fread(magic, 1, MAGIC_SIZE, in->f);

    in->at = n;
    if (n == MAGIC_SIZE && memcmp(magic, PARCEL_MAGIC, MAGIC_SIZE) == 0)
        return OK;
    if (ferror(in->f))
        return err_errno(e, "reading");
    if (n == MAGIC_SIZE && memcmp(magic, PARCEL_MAGIC, VERSION_AT) == 0)
        return err_set(e, E_INPUT, "it was written by another version of jielong");
    if (n > 0 && n < MAGIC_SIZE && memcmp(magic, PARCEL_MAGIC, n) == 0)
        return wrong(in, e, "the file ends too early");
    return err_set(e, E_INPUT, "it was not written by `jielong artifacts export`");
}

static int parse_head(Parcel **out, const struct buf *bytes, const struct source *in, struct err *e)
{
    Envelope *m = NULL;
    int rc = wire_decode(&m, bytes->p, bytes->n, e);

    if (rc == E_PROTOCOL)
        rc = e->code = E_INPUT;
    if (rc != OK)
        return rc;
    if (m->kind_case == ENVELOPE__KIND_PARCEL) {
        *out = m->parcel;
        m->kind_case = ENVELOPE__KIND__NOT_SET; /* moved */
    } else {
        rc = wrong(in, e, "its head is another message");
    }
    message_free(m);
    return rc;
}

static int take_head(Parcel **out, struct source *in, struct err *e)
{
    struct buf bytes = { 0 };
    struct id said, found;
    int rc = take_magic(in, e);

    if (rc == OK)
        rc = take_sized(&bytes, in, FRAME_MAX, e);
    if (rc == OK)
        rc = take(in, said.b, sizeof said.b, e);
    if (rc == OK) {
        sha256(&found, bytes.p, bytes.n);
        rc = id_equal(&said, &found) ? parse_head(out, &bytes, in, e)
                                     : wrong(in, e, "the head has another hash than was written");
    }
    buf_free(&bytes);
    return rc;
}

static int take_manifest(Manifest **out, struct source *in, const struct id *id, struct err *e)
{
    struct buf bytes = { 0 };
    struct id found;
    int rc = take_sized(&bytes, in, MANIFEST_MAX, e);

    if (rc == OK) {
        sha256(&found, bytes.p, bytes.n);
        rc = id_equal(&found, id) ? manifest_parse(out, bytes.p, bytes.n, e)
                                  : wrong(in, e, "the manifest has another hash than the artifact");
    }
    if (rc == E_CORRUPT)
        rc = e->code = E_INPUT;
    buf_free(&bytes);
    return rc;
}

/* sink NULL: only checks. */
static int take_chunks(
    struct source *in, const Manifest *m, struct sink *sink, uint8_t *bytes, struct err *e)
{
    struct id said, found;
    int rc = OK;

    for (size_t i = 0; i < m->n_chunks && rc == OK; i++) {
        size_t n = manifest_chunk_size(m, i);
        id_from_span(&said, m->chunks[i].data, m->chunks[i].len);
        rc = take(in, bytes, n, e);
        if (rc == OK) {
            sha256(&found, bytes, n);
            if (!id_equal(&found, &said))
                rc = wrong(in, e, "the bytes before it have another hash than was written");
        }
        if (rc == OK && sink)
            rc = sink_chunk(sink, bytes, n, &said, e);
        if (rc != OK)
            err_wrap(e, "chunk %zu of %zu", i + 1, m->n_chunks);
    }
    return rc;
}

static int take_item(Manifest **out, struct source *in, const ParcelItem *item, struct sink *sink,
    uint8_t *bytes, struct err *e)
{
    char hex[ID_HEX];
    struct id id;
    int rc;

    id_from_span(&id, item->id.data, item->id.len);
    rc = take_manifest(out, in, &id, e);
    if (rc == OK && (*out)->kind != item->kind)
        rc = wrong(in, e, "it is of another kind than the head says");
    if (rc == OK)
        rc = take_chunks(in, *out, sink, bytes, e);
    id_hex(hex, &id);
    return rc == OK ? OK : err_wrap(e, "artifact %.12s", hex);
}

static int take_end(struct source *in, struct err *e)
{
    char byte;
    size_t n = fread(&byte, 1, 1, in->f);

    if (ferror(in->f))
        return err_errno(e, "reading");
    return n == 0 ? OK : wrong(in, e, "more bytes follow its end");
}

/* All chunks are durable. */
static int put_manifests(struct store *s, Manifest *const *items, size_t n, struct err *e)
{
    MDB_txn *t = NULL;
    struct id id;
    int rc = env_begin(&t, &s->env, true, e);

    if (rc != OK)
        return rc;
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = store_add_manifest(s, t, items[i], &id, e);
    if (rc == OK)
        return env_commit(&s->env, t, e);
    env_abort(&s->env, t);
    return rc;
}

static int take_items(
    Manifest **manifests, struct source *in, const Parcel *p, struct sink *sink, struct err *e)
{
    uint8_t *bytes = malloc(CHUNK_SIZE);
    int rc = bytes ? OK : err_set(e, E_NOMEM, "out of memory");

    for (size_t i = 0; i < p->n_items && rc == OK; i++)
        rc = take_item(&manifests[i], in, p->items[i], sink, bytes, e);
    free(bytes);
    return rc == OK ? take_end(in, e) : rc;
}

int parcel_read(Parcel **out, FILE *f, struct store *s, struct err *e)
{
    struct source in = { f, 0 };
    Manifest **manifests = NULL;
    struct sink *sink = NULL;
    Parcel *p = NULL;
    int rc = take_head(&p, &in, e);

    if (rc == OK && !(manifests = calloc(p->n_items + 1, sizeof *manifests)))
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK && s)
        rc = sink_new(&sink, s, e);
    if (rc == OK)
        rc = take_items(manifests, &in, p, sink, e);
    if (rc == OK && sink)
        rc = sink_flush(sink, e);
    sink_free(sink);
    if (rc == OK && s)
        rc = put_manifests(s, manifests, p->n_items, e);
    for (size_t i = 0; manifests && i < p->n_items; i++)
        message_free(manifests[i]);
    free(manifests);
    if (rc != OK) {
        message_free(p);
        return rc;
    }
    *out = p;
    return OK;
}
