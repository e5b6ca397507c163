#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "workers/formats/output_file.h"
#include "workers/formats/safetensors.h"

struct safetensors_writer {
    struct output_file *file;
    struct buf header;
    enum element *types;
    size_t n, cap, next;
    uint64_t size;
    bool no_memory;
};

int safetensors_create(struct safetensors_writer **out, const char *path, struct err *e)
{
    struct safetensors_writer *w = calloc(1, sizeof *w);
    int rc = w ? output_create(&w->file, path, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc != OK) {
        free(w);
        return rc;
    }
    w->no_memory = buf_printf(&w->header, "{\"__metadata__\":{\"format\":\"pt\"}") != OK;
    *out = w;
    return OK;
}

static const char *type_name(enum element t)
{
    static const char *const names[ELEMENTS] = {
        [ELEMENT_F32] = "F32", [ELEMENT_F16] = "F16", [ELEMENT_BF16] = "BF16"
    };

    return names[t];
}

void safetensors_tensor(
    struct safetensors_writer *w, const char *name, enum element type, size_t rows, size_t cols)
{
    uint64_t bytes = 0;
    char shape[64];

    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 64;
        enum element *p = realloc(w->types, cap * sizeof *p);
        w->no_memory |= p == NULL;
        if (!p)
            return;
        w->types = p;
        w->cap = cap;
    }
    w->types[w->n++] = type;
    element_bytes(type, (uint64_t)(rows ? rows : 1) * cols, &bytes);
    if (rows)
        snprintf(shape, sizeof shape, "%zu,%zu", rows, cols);
    else
        snprintf(shape, sizeof shape, "%zu", cols);
    w->no_memory |= buf_printf(&w->header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],", name,
                        type_name(type), shape) != OK;
    w->no_memory |= buf_printf(&w->header, "\"data_offsets\":[%llu,%llu]}",
                        (unsigned long long)w->size, (unsigned long long)(w->size + bytes)) != OK;
    w->size += bytes;
}

/* The header is filled up with spaces, so that the tensors are aligned. */
static int write_header(struct safetensors_writer *w, struct err *e)
{
    uint8_t length[8];
    int rc;

    w->no_memory |= buf_add(&w->header, "}", 1) != OK;
    while (!w->no_memory && w->header.n % 64 != 56)
        w->no_memory |= buf_add(&w->header, " ", 1) != OK;
    if (w->no_memory)
        return err_set(e, E_NOMEM, "no memory for the header");
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)w->header.n >> 8 * i);
    rc = output_write(w->file, length, sizeof length, e);
    return rc == OK ? output_write(w->file, w->header.p, w->header.n, e) : rc;
}

int safetensors_put(struct safetensors_writer *w, const float *p, size_t n, struct err *e)
{
    int rc = w->next == 0 ? write_header(w, e) : OK;

    if (rc == OK)
        rc = output_elements(w->file, w->types[w->next], p, n, e);
    w->next++;
    return rc;
}

static void writer_free(struct safetensors_writer *w)
{
    buf_free(&w->header);
    free(w->types);
    free(w);
}

int safetensors_commit(struct safetensors_writer *w, struct err *e)
{
    int rc = output_commit(w->file, e);

    writer_free(w);
    return rc;
}

void safetensors_abort(struct safetensors_writer *w)
{
    if (!w)
        return;
    output_abort(w->file);
    writer_free(w);
}
