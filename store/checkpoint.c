#include "store/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "store/store_int.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are stored as in memory");
_Static_assert(sizeof(float) == 4, "float32");

#define LENGTH_BYTES 8
#define DIMENSIONS_MAX 8

static const uint8_t zeros[CHECKPOINT_ALIGN];

static uint64_t aligned(uint64_t n)
{
    return (n + CHECKPOINT_ALIGN - 1) / CHECKPOINT_ALIGN * CHECKPOINT_ALIGN;
}

/* ---- the header's truth ---- */

/* Bytes of a tensor of this shape; 0: no tensor can have it. */
static uint64_t shape_bytes(const TensorInfo *t)
{
    uint64_t n = sizeof(float);

    if (t->n_shape > DIMENSIONS_MAX)
        return 0;
    for (size_t i = 0; i < t->n_shape; i++)
        if (t->shape[i] == 0 || __builtin_mul_overflow(n, t->shape[i], &n))
            return 0;
    return n <= UINT64_MAX / 2 ? n : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(TensorInfo *const *)a)->name, (*(TensorInfo *const *)b)->name);
}

/* code: whose mistake it would be. */
static int names_check(const CheckpointHeader *h, int code, struct err *e)
{
    TensorInfo **sorted = malloc((h->n_tensors + 1) * sizeof *sorted);
    int rc = OK;

    if (!sorted)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; rc == OK && i < h->n_tensors; i++) {
        sorted[i] = h->tensors[i];
        if (!sorted[i]->name || !*sorted[i]->name)
            rc = err_set(e, code, "tensor %zu has no name", i);
    }
    if (rc == OK)
        qsort(sorted, h->n_tensors, sizeof *sorted, by_name);
    for (size_t i = 1; rc == OK && i < h->n_tensors; i++)
        if (by_name(&sorted[i - 1], &sorted[i]) == 0)
            rc = err_set(e, code, "two tensors are called '%s'", sorted[i]->name);
    free(sorted);
    return rc;
}

/* The tensors lie one behind the other, each at a multiple of 64, and end with the data. */
static int places_check(const CheckpointHeader *h, uint64_t data_size, struct err *e)
{
    uint64_t end = 0;

    for (size_t i = 0; i < h->n_tensors; i++) {
        const TensorInfo *t = h->tensors[i];
        uint64_t size = shape_bytes(t);
        if (size == 0 || size != t->size)
            return err_set(e, E_CORRUPT, "tensor '%s': its size is not that of its shape", t->name);
        if (t->offset % CHECKPOINT_ALIGN != 0)
            return err_set(e, E_CORRUPT, "tensor '%s' is not aligned", t->name);
        if (t->offset < end)
            return err_set(e, E_CORRUPT, "tensor '%s' overlaps the one before", t->name);
        if (t->offset > data_size || size > data_size - t->offset)
            return err_set(e, E_CORRUPT, "tensor '%s' lies beyond the end", t->name);
        end = t->offset + size;
    }
    if (end != data_size)
        return err_set(e, E_CORRUPT, "there are bytes behind the last tensor");
    return OK;
}

int checkpoint_header_parse(
    CheckpointHeader **out, const void *p, size_t n, uint64_t data_size, struct err *e)
{
    ProtobufCMessage *m = NULL;
    int rc;

    if (message_unpack(&m, &checkpoint_header__descriptor, p, n, e) != OK)
        return err_set(e, E_CORRUPT, "malformed header");
    rc = names_check((CheckpointHeader *)m, E_CORRUPT, e);
    if (rc == OK)
        rc = places_check((CheckpointHeader *)m, data_size, e);
    if (rc != OK) {
        message_free(m);
        return rc;
    }
    *out = (CheckpointHeader *)m;
    return OK;
}

/* ---- writing ---- */

struct checkpoint_writer {
    struct artifact_writer *artifact;
    CheckpointHeader *header;
    size_t put;  /* tensors */
    uint64_t at; /* bytes of tensor data so far */
};

static int places_fill(CheckpointHeader *h, struct err *e)
{
    uint64_t end = 0;

    for (size_t i = 0; i < h->n_tensors; i++) {
        TensorInfo *t = h->tensors[i];
        t->size = shape_bytes(t);
        t->offset = aligned(end);
        t->has_size = t->has_offset = true;
        if (t->size == 0 || t->offset < end || __builtin_add_overflow(t->offset, t->size, &end))
            return err_set(e, E_INPUT, "tensor '%s' has an impossible shape", t->name);
    }
    return OK;
}

static int header_write(struct checkpoint_writer *w, struct err *e)
{
    uint8_t length[LENGTH_BYTES];
    struct buf packed = { 0 };
    int rc =
        message_pack(&packed, &w->header->base) == OK ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK && packed.n > CHECKPOINT_HEADER_MAX)
        rc = err_set(
            e, E_INPUT, "a header of %zu bytes is more than %zu", packed.n, CHECKPOINT_HEADER_MAX);
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (uint8_t)((uint64_t)packed.n >> 8 * i);
    if (rc == OK)
        rc = artifact_write(w->artifact, length, sizeof length, e);
    if (rc == OK)
        rc = artifact_write(w->artifact, packed.p, packed.n, e);
    if (rc == OK)
        rc = artifact_write(
            w->artifact, zeros, aligned(LENGTH_BYTES + packed.n) - LENGTH_BYTES - packed.n, e);
    buf_free(&packed);
    return rc;
}

int checkpoint_create(struct checkpoint_writer **out, struct store *s, ArtifactKind kind,
    const CheckpointHeader *header, struct err *e)
{
    struct checkpoint_writer *w = calloc(1, sizeof *w);
    ProtobufCMessage *copy = NULL;
    int rc = w ? message_copy(&copy, &header->base, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        w->header = (CheckpointHeader *)copy;
        rc = names_check(w->header, E_INPUT, e);
    }
    if (rc == OK)
        rc = places_fill(w->header, e);
    if (rc == OK)
        rc = artifact_create(&w->artifact, s, kind, e);
    if (rc == OK)
        rc = header_write(w, e);
    if (rc != OK) {
        checkpoint_abort(w);
        return err_wrap(e, "checkpoint");
    }
    *out = w;
    return OK;
}

int checkpoint_put(struct checkpoint_writer *w, const float *p, size_t n, struct err *e)
{
    const TensorInfo *t;
    int rc;

    if (w->put == w->header->n_tensors)
        return err_set(e, E_INPUT, "checkpoint: more tensors than its header names");
    t = w->header->tensors[w->put];
    if (n != t->size / sizeof *p)
        return err_set(e, E_INPUT, "checkpoint: tensor '%s' has %llu floats and not %zu", t->name,
            (unsigned long long)(t->size / sizeof *p), n);
    rc = artifact_write(w->artifact, zeros, (size_t)(t->offset - w->at), e);
    if (rc == OK)
        rc = artifact_lend(w->artifact, p, n * sizeof *p, e);
    w->at = t->offset + t->size;
    w->put++;
    return rc;
}

static int facts_add(struct checkpoint_writer *w, struct err *e)
{
    const TrainingCounters *c = w->header->counters;
    int64_t parameters = 0;
    int rc;

    for (size_t i = 0; i < w->header->n_tensors; i++)
        parameters += (int64_t)(w->header->tensors[i]->size / sizeof(float));
    rc = artifact_fact(w->artifact, "parameters", parameters, e);
    if (rc == OK && c && c->has_step)
        rc = artifact_fact(w->artifact, "step", (int64_t)c->step, e);
    if (rc == OK && c && c->has_total)
        rc = artifact_fact(w->artifact, "total", (int64_t)c->total, e);
    return rc;
}

int checkpoint_commit(struct checkpoint_writer *w, const char *name, Output **out, struct err *e)
{
    int rc = OK;

    if (w->put != w->header->n_tensors)
        rc = err_set(e, E_INPUT, "checkpoint '%s': tensor '%s' is missing", name,
            w->header->tensors[w->put]->name);
    if (rc == OK)
        rc = facts_add(w, e);
    if (rc == OK) {
        rc = artifact_commit(w->artifact, name, out, e);
        w->artifact = NULL;
    }
    checkpoint_abort(w);
    return rc;
}

void checkpoint_abort(struct checkpoint_writer *w)
{
    if (!w)
        return;
    artifact_abort(w->artifact);
    message_free(w->header);
    free(w);
}

/* ---- reading ---- */

struct checkpoint_reader {
    struct artifact_reader *artifact;
    CheckpointHeader *header;
    uint64_t start; /* of the tensor data, bytes */
};

static int header_read(struct checkpoint_reader *r, struct err *e)
{
    uint64_t size = artifact_manifest(r->artifact)->size, n = 0;
    uint8_t length[LENGTH_BYTES];
    uint8_t *packed;
    int rc;

    if (size < LENGTH_BYTES)
        return err_set(e, E_CORRUPT, "%llu bytes are too few", (unsigned long long)size);
    rc = artifact_read(r->artifact, 0, length, sizeof length, e);
    if (rc != OK)
        return rc;
    for (int i = 0; i < LENGTH_BYTES; i++)
        n |= (uint64_t)length[i] << 8 * i;
    if (n > CHECKPOINT_HEADER_MAX || aligned(LENGTH_BYTES + n) > size)
        return err_set(e, E_CORRUPT, "a header of %llu bytes", (unsigned long long)n);
    r->start = aligned(LENGTH_BYTES + n);
    packed = malloc((size_t)n + 1);
    if (!packed)
        return err_set(e, E_NOMEM, "out of memory");
    rc = artifact_read(r->artifact, LENGTH_BYTES, packed, (size_t)n, e);
    if (rc == OK)
        rc = checkpoint_header_parse(&r->header, packed, (size_t)n, size - r->start, e);
    free(packed);
    return rc;
}

static int kind_check(const struct artifact_reader *r, struct err *e)
{
    ArtifactKind kind = artifact_manifest(r)->kind;

    if (kind == ARTIFACT_KIND__CHECKPOINT || kind == ARTIFACT_KIND__TRAINING_STATE)
        return OK;
    return err_set(e, E_INPUT, "it is of kind '%s'", enum_word(&artifact_kind__descriptor, kind));
}

int checkpoint_open(
    struct checkpoint_reader **out, struct store *s, const struct id *id, struct err *e)
{
    struct checkpoint_reader *r = calloc(1, sizeof *r);
    char hex[ID_HEX];
    int rc = r ? artifact_open(&r->artifact, s, id, 0, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = kind_check(r->artifact, e);
    if (rc == OK)
        rc = header_read(r, e);
    if (rc != OK) {
        checkpoint_close(r);
        id_hex(hex, id);
        return err_wrap(e, "checkpoint %.12s", hex);
    }
    *out = r;
    return OK;
}

const CheckpointHeader *checkpoint_header(const struct checkpoint_reader *r)
{
    return r->header;
}

int checkpoint_get(
    struct checkpoint_reader *r, const char *tensor, float *p, size_t n, struct err *e)
{
    for (size_t i = 0; i < r->header->n_tensors; i++) {
        const TensorInfo *t = r->header->tensors[i];
        if (strcmp(t->name, tensor) != 0)
            continue;
        if (t->size / sizeof *p != n)
            return err_set(e, E_CORRUPT, "tensor '%s' has %llu floats and not %zu", tensor,
                (unsigned long long)(t->size / sizeof *p), n);
        return artifact_read(r->artifact, r->start + t->offset, p, n * sizeof *p, e);
    }
    return err_set(e, E_MISSING, "there is no tensor '%s'", tensor);
}

void checkpoint_close(struct checkpoint_reader *r)
{
    if (!r)
        return;
    artifact_close(r->artifact);
    message_free(r->header);
    free(r);
}
