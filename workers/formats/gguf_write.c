#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/formats/gguf_int.h"

#define PIECE 8192 /* numbers converted at once; a multiple of every block */

struct declared {
    enum element type;
    size_t rows, cols; /* rows 0: a vector */
};

struct gguf_writer {
    FILE *file;
    char *path;
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
    int fd;

    if (w)
        w->path = strdup(path);
    if (!w || !w->path) {
        free(w);
        return err_set(e, E_NOMEM, "out of memory");
    }
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    w->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!w->file) {
        int rc = errno == EEXIST ? err_set(e, E_INPUT, "%s is there already", path)
                                 : err_errno(e, "%s", path);
        free(w->path);
        free(w);
        return rc;
    }
    *out = w;
    return OK;
}

static int write_bytes(struct gguf_writer *w, const void *p, size_t n, struct err *e)
{
    if (n > 0 && fwrite(p, 1, n, w->file) != n)
        return err_errno(e, "writing %s", w->path);
    return OK;
}

static int pad(struct gguf_writer *w, uint64_t at, struct err *e)
{
    static const uint8_t zeros[GGUF_ALIGN];

    return write_bytes(w, zeros, (size_t)(aligned(at) - at), e);
}

static int write_header(struct gguf_writer *w, struct err *e)
{
    struct buf front = { 0 };
    int rc;

    add(w, &front, "GGUF", 4);
    add_number(w, &front, GGUF_VERSION, 4);
    add_number(w, &front, w->n_tensors, 8);
    add_number(w, &front, w->n_keys, 8);
    rc = w->no_memory ? err_set(e, E_NOMEM, "no memory for the header of %s", w->path) : OK;
    if (rc == OK)
        rc = write_bytes(w, front.p, front.n, e);
    if (rc == OK)
        rc = write_bytes(w, w->keys.p, w->keys.n, e);
    if (rc == OK)
        rc = write_bytes(w, w->infos.p, w->infos.n, e);
    if (rc == OK)
        rc = pad(w, front.n + w->keys.n + w->infos.n, e);
    buf_free(&front);
    return rc;
}

int gguf_put(struct gguf_writer *w, const float *p, size_t n, struct err *e)
{
    const struct declared *t = &w->tensors[w->next];
    uint8_t piece[4 * PIECE];
    int rc = w->next == 0 ? write_header(w, e) : OK;

    w->next++;
    for (size_t at = 0; rc == OK && at < n; at += PIECE) {
        size_t some = n - at < PIECE ? n - at : PIECE;
        uint64_t bytes = 0;
        element_bytes(t->type, some, &bytes);
        element_write(t->type, piece, p + at, some);
        rc = write_bytes(w, piece, (size_t)bytes, e);
    }
    return rc == OK ? pad(w, size_of(t), e) : rc;
}

static void writer_free(struct gguf_writer *w)
{
    if (w->file)
        fclose(w->file);
    buf_free(&w->keys);
    buf_free(&w->infos);
    free(w->tensors);
    free(w->path);
    free(w);
}

int gguf_commit(struct gguf_writer *w, struct err *e)
{
    int rc = w->n_tensors == 0 ? write_header(w, e) : OK;

    if (rc == OK && (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0))
        rc = err_errno(e, "writing %s", w->path);
    if (rc != OK) {
        gguf_abort(w);
        return rc;
    }
    writer_free(w);
    return OK;
}

void gguf_abort(struct gguf_writer *w)
{
    if (!w)
        return;
    unlink(w->path);
    writer_free(w);
}
