#include "store/records.h"

#include <stdlib.h>
#include <string.h>

#include "proto/task.h"
#include "store/store_int.h"

/* A part with a path begins a file; it is held until files_part asks for it. */
struct files_reader {
    struct records_reader *records;
    FilePart *part; /* the last that was read; NULL at the end */
    bool given;     /* its bytes were handed out */
    char *path;
    Reading *reading;
};

static int next_part(struct files_reader *r, struct err *e)
{
    ProtobufCMessage *m = NULL;
    int rc = records_next(r->records, &m, e);

    if (rc != OK)
        return rc;
    message_free(r->part);
    r->part = (FilePart *)m;
    r->given = false;
    return OK;
}

static int read_reading(struct files_reader *r, int64_t split, struct err *e)
{
    const ProtobufCBinaryData *packed = r->part ? &r->part->reading : NULL;
    Reading none = READING__INIT;
    ProtobufCMessage *m = NULL;
    int rc;

    if (packed && packed->len > 0)
        rc = message_unpack(&m, &reading__descriptor, packed->data, packed->len, e);
    else
        rc = message_copy(&m, &none.base, e);
    r->reading = (Reading *)m;
    if (rc == OK && !r->reading->has_split) { /* the fact has it */
        r->reading->has_split = true;
        r->reading->split = (Split)split;
    }
    return rc;
}

int files_open(struct files_reader **out, struct store *s, const struct id *id, ArtifactKind kind,
    struct err *e)
{
    struct files_reader *r = calloc(1, sizeof *r);
    Manifest *m = NULL;
    int rc = r ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = store_manifest(&m, s, id, e);
    if (rc == OK)
        rc = records_open(&r->records, s, id, kind, &file_part__descriptor, e);
    if (rc == OK)
        rc = next_part(r, e);
    if (rc == OK)
        rc = read_reading(r, fact_value(m->facts, m->n_facts, "split", SPLIT__FILE), e);
    if (rc == OK && r->part && !r->part->path)
        rc = err_set(e, E_CORRUPT, "record 0: a part of no file");
    message_free(m);
    if (rc == OK)
        *out = r;
    else
        files_close(r);
    return rc;
}

void files_close(struct files_reader *r)
{
    if (!r)
        return;
    records_close(r->records);
    message_free(r->part);
    message_free(r->reading);
    free(r->path);
    free(r);
}

const Reading *files_reading(const struct files_reader *r)
{
    return r->reading;
}

int files_next(struct files_reader *r, const char **path, struct err *e)
{
    int rc = OK;

    while (rc == OK && r->part && !(r->part->path && !r->given))
        rc = next_part(r, e);
    free(r->path);
    *path = r->path = NULL;
    if (rc == OK && r->part) {
        r->path = strdup(r->part->path);
        if (!r->path)
            return err_set(e, E_NOMEM, "out of memory");
        free(r->part->path); /* the file has begun: what follows is its bytes */
        r->part->path = NULL;
        *path = r->path;
    }
    return rc;
}

int files_part(struct files_reader *r, struct span *out, struct err *e)
{
    int rc = OK;

    *out = (struct span){ 0 };
    if (r->given)
        rc = next_part(r, e);
    while (rc == OK && r->part && !r->part->path && r->part->data.len == 0)
        rc = next_part(r, e);
    if (rc != OK || !r->part || r->part->path)
        return rc;
    r->given = true;
    *out = (struct span){ r->part->data.data, r->part->data.len };
    return OK;
}

static int read_whole(struct buf *out, struct files_reader *r, struct err *e)
{
    struct span part;
    int rc = files_part(r, &part, e);

    for (out->n = 0; rc == OK && part.n > 0; rc = files_part(r, &part, e))
        if (buf_add(out, part.p, part.n) != OK)
            return err_set(e, E_NOMEM, "'%s': out of memory", r->path);
    return rc;
}

int files_each(struct store *s, const struct id *id, ArtifactKind kind,
    int (*each)(void *ctx, const char *path, struct span bytes, struct err *e), void *ctx,
    struct err *e)
{
    struct files_reader *r = NULL;
    struct buf bytes = { 0 };
    const char *path = NULL;
    int rc = files_open(&r, s, id, kind, e);

    if (rc == OK)
        rc = files_next(r, &path, e);
    while (rc == OK && path) {
        rc = read_whole(&bytes, r, e);
        if (rc == OK)
            rc = each(ctx, path, (struct span){ bytes.p, bytes.n }, e);
        if (rc == OK)
            rc = files_next(r, &path, e);
    }
    files_close(r);
    buf_free(&bytes);
    return rc;
}
