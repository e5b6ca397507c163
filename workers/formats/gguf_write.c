#include <stdlib.h>
#include <string.h>

#include "workers/formats/gguf_int.h"
#include "workers/formats/output_file.h"

struct declared {
    enum element type;
    size_t rows, cols; /* rows 0: a vector */
};

struct gguf_writer {
    struct output_file *file;
    struct buf keys, infos;
    uint64_t n_keys, data; /* data: bytes declared so far, aligned */
    struct declared *tensors;
    size_t n_tensors, cap_tensors, next;
    bool no_memory;
};

/* ---- bytes of the header ---- */

static void add(struct gguf_writer *w, struct buf *b, const void *p, size_t n)
{
    if (buf_add(b, p, n) != OK)
        w->no_memory = true;
}

static void add_number(struct gguf_writer *w, struct buf *b, uint64_t v, size_t bytes)
{
    uint8_t le[8];

    for (size_t i = 0; i < bytes; i++)
        le[i] = (uint8_t)(v >> 8 * i);
    add(w, b, le, bytes);
}

static void add_text(struct gguf_writer *w, struct buf *b, const void *p, size_t n)
{
    add_number(w, b, n, 8);
    add(w, b, p, n);
}

static void add_real(struct gguf_writer *w, float value)
{
    uint8_t le[4];

    element_write(ELEMENT_F32, le, &value, 1);
    add(w, &w->keys, le, sizeof le);
}

static void add_key(struct gguf_writer *w, const char *key, enum gguf_type type)
{
    add_text(w, &w->keys, key, strlen(key));
    add_number(w, &w->keys, type, 4);
    w->n_keys++;
}

static void add_array(struct gguf_writer *w, const char *key, enum gguf_type type, size_t n)
{
    add_key(w, key, GGUF_ARRAY);
    add_number(w, &w->keys, type, 4);
    add_number(w, &w->keys, n, 8);
}

void gguf_text(struct gguf_writer *w, const char *key, const char *value)
{
    add_key(w, key, GGUF_TEXT);
    add_text(w, &w->keys, value, strlen(value));
}

void gguf_number(struct gguf_writer *w, const char *key, uint32_t value)
{
    add_key(w, key, GGUF_U32);
    add_number(w, &w->keys, value, 4);
}

void gguf_real(struct gguf_writer *w, const char *key, double value)
{
    add_key(w, key, GGUF_F32);
    add_real(w, (float)value);
}

void gguf_bool(struct gguf_writer *w, const char *key, bool value)
{
    add_key(w, key, GGUF_BOOL);
    add_number(w, &w->keys, value, 1);
}

void gguf_texts(struct gguf_writer *w, const char *key, const struct span *values, size_t n)
{
    add_array(w, key, GGUF_TEXT, n);
    for (size_t i = 0; i < n; i++)
        add_text(w, &w->keys, values[i].p, values[i].n);
}

void gguf_numbers(struct gguf_writer *w, const char *key, const int32_t *values, size_t n)
{
    add_array(w, key, GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        add_number(w, &w->keys, (uint32_t)values[i], 4);
}

void gguf_reals(struct gguf_writer *w, const char *key, const float *values, size_t n)
{
    add_array(w, key, GGUF_F32, n);
    for (size_t i = 0; i < n; i++)
        add_real(w, values[i]);
}

/* ---- tensors ---- */

static uint64_t aligned(uint64_t n)
{
    return (n + GGUF_ALIGN - 1) / GGUF_ALIGN * GGUF_ALIGN;
}

static uint64_t size_of(const struct declared *t)
{
    uint64_t bytes = 0;

    element_bytes(t->type, (uint64_t)(t->rows ? t->rows : 1) * t->cols, &bytes);
    return bytes;
}

void gguf_tensor(
    struct gguf_writer *w, const char *name, enum element type, size_t rows, size_t cols)
{
    const struct declared t = { type, rows, cols };

    if (w->n_tensors == w->cap_tensors) {
        size_t cap = w->cap_tensors ? 2 * w->cap_tensors : 64;
        struct declared *p = realloc(w->tensors, cap * sizeof *p);
        w->no_memory |= p == NULL;
        if (p == NULL)
            return;
        w->tensors = p;
        w->cap_tensors = cap;
    }
    w->tensors[w->n_tensors++] = t;
    add_text(w, &w->infos, name, strlen(name));
    add_number(w, &w->infos, rows ? 2 : 1, 4);
    add_number(w, &w->infos, cols, 8);
    if (rows)
        add_number(w, &w->infos, rows, 8);
    add_number(w, &w->infos, gguf_code(type), 4);
    add_number(w, &w->infos, w->data, 8);
    w->data = aligned(w->data + size_of(&t));
}

/* ---- the file ---- */

int gguf_create(struct gguf_writer **out, const char *path, struct err *e)
{
    struct gguf_writer *w = calloc(1, sizeof *w);
    int rc = w ? output_create(&w->file, path, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        *out = w;
    else
        free(w);
    return rc;
}

static int pad(struct gguf_writer *w, uint64_t at, struct err *e)
{
    static const uint8_t zeros[GGUF_ALIGN];

    return output_write(w->file, zeros, (size_t)(aligned(at) - at), e);
}

static int write_header(struct gguf_writer *w, struct err *e)
{
    struct buf front = { 0 };
    int rc;

    add(w, &front, "GGUF", 4);
    add_number(w, &front, GGUF_VERSION, 4);
    add_number(w, &front, w->n_tensors, 8);
    add_number(w, &front, w->n_keys, 8);
    rc = w->no_memory ? err_set(e, E_NOMEM, "no memory for the header") : OK;
    if (rc == OK)
        rc = output_write(w->file, front.p, front.n, e);
    if (rc == OK)
        rc = output_write(w->file, w->keys.p, w->keys.n, e);
    if (rc == OK)
        rc = output_write(w->file, w->infos.p, w->infos.n, e);
    if (rc == OK)
        rc = pad(w, front.n + w->keys.n + w->infos.n, e);
    buf_free(&front);
    return rc;
}

int gguf_put(struct gguf_writer *w, const float *p, size_t n, struct err *e)
{
    int rc = w->next == 0 ? write_header(w, e) : OK;
    const struct declared *t = &w->tensors[w->next++];

    if (rc == OK)
        rc = output_elements(w->file, t->type, p, n, e);
    return rc == OK ? pad(w, size_of(t), e) : rc;
}

static void writer_free(struct gguf_writer *w)
{
    buf_free(&w->keys);
    buf_free(&w->infos);
    free(w->tensors);
    free(w);
}

int gguf_commit(struct gguf_writer *w, struct err *e)
{
    int rc = w->n_tensors == 0 ? write_header(w, e) : OK;

    if (rc != OK) {
        gguf_abort(w);
        return rc;
    }
    rc = output_commit(w->file, e);
    writer_free(w);
    return rc;
}

void gguf_abort(struct gguf_writer *w)
{
    if (!w)
        return;
    output_abort(w->file);
    writer_free(w);
}
