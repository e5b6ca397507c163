#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "workers/formats/safetensors.h"

#define LENGTH 8
#define HEADER_MAX (100u << 20) /* bytes; the limit of the format's own library */

struct entry {
    const char *name; /* in the JSON */
    uint64_t begin, end;
    size_t rows, cols;
    enum element type;
    bool readable;
};

struct safetensors {
    struct json *header;
    struct entry *entries; /* in the order of their places */
    size_t n;
    const uint8_t *data;
    uint64_t size;
};

static const struct {
    const char *name;
    uint8_t bytes;
    bool readable;
    enum element type;
} types[] = {
    { "F32", 4, true, ELEMENT_F32 },
    { "F16", 2, true, ELEMENT_F16 },
    { "BF16", 2, true, ELEMENT_BF16 },
    { "F64", 8, false, 0 },
    { "I64", 8, false, 0 },
    { "U64", 8, false, 0 },
    { "I32", 4, false, 0 },
    { "U32", 4, false, 0 },
    { "I16", 2, false, 0 },
    { "U16", 2, false, 0 },
    { "I8", 1, false, 0 },
    { "U8", 1, false, 0 },
    { "BOOL", 1, false, 0 },
    { "F8_E4M3", 1, false, 0 },
    { "F8_E5M2", 1, false, 0 },
};
#define TYPES (sizeof types / sizeof *types)

/* A whole number of the JSON that a double holds exactly. */
static bool whole(const struct json *v, uint64_t *out)
{
    double d = v ? json_number(v, -1) : -1;

    if (!(d >= 0 && d <= 9007199254740992.0) || d != (double)(uint64_t)d)
        return false;
    *out = (uint64_t)d;
    return true;
}

static size_t type_of(const struct json *v)
{
    const char *name = v ? json_text(v, NULL) : NULL;
    size_t i = name ? 0 : TYPES;

    while (i < TYPES && strcmp(types[i].name, name) != 0)
        i++;
    return i;
}

/* The product of the shape's extents in *n; of one or two, rows and cols. */
static bool read_shape(const struct json *shape, struct entry *t, uint64_t *n)
{
    uint64_t extents[2] = { 1, 1 }, extent = 0;

    *n = 1;
    if (!shape || json_kind(shape) != JSON_ARRAY_ || json_size(shape) > 8)
        return false;
    for (size_t i = 0; i < json_size(shape); i++) {
        if (!whole(json_at(shape, i), &extent) || __builtin_mul_overflow(*n, extent, n))
            return false;
        if (i < 2)
            extents[i] = extent;
    }
    t->rows = (size_t)(json_size(shape) == 2 ? extents[0] : 1);
    t->cols = (size_t)(json_size(shape) == 2 ? extents[1] : extents[0]);
    t->readable = json_size(shape) == 1 || json_size(shape) == 2;
    return true;
}

static int read_entry(
    struct safetensors *s, struct entry *t, const char *name, const struct json *v, struct err *e)
{
    const struct json *places = v ? json_get(v, "data_offsets") : NULL;
    size_t type = type_of(json_get(v, "dtype"));
    uint64_t n, bytes;

    t->name = name;
    if (type == TYPES)
        return err_set(e, E_INPUT, "tensor '%.64s': its numbers are of an unknown type", name);
    if (!read_shape(json_get(v, "shape"), t, &n) ||
        __builtin_mul_overflow(n, (uint64_t)types[type].bytes, &bytes))
        return err_set(e, E_INPUT, "tensor '%.64s': no shape, or one that overflows", name);
    if (!places || json_kind(places) != JSON_ARRAY_ || json_size(places) != 2 ||
        !whole(json_at(places, 0), &t->begin) || !whole(json_at(places, 1), &t->end) ||
        t->begin > t->end || t->end > s->size)
        return err_set(e, E_INPUT, "tensor '%.64s' does not lie within the file", name);
    if (t->end - t->begin != bytes)
        return err_set(
            e, E_INPUT, "tensor '%.64s': its place has another size than its shape", name);
    t->type = types[type].type;
    t->readable = t->readable && types[type].readable && n > 0;
    return OK;
}

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int read_entries(struct safetensors *s, struct err *e)
{
    size_t n = json_size(s->header);
    uint64_t at = 0;
    int rc = OK;

    s->entries = calloc(n + 1, sizeof *s->entries);
    if (!s->entries)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; rc == OK && i < n; i++) {
        const char *name = json_key(s->header, i);
        if (strcmp(name, "__metadata__") != 0)
            rc = read_entry(s, &s->entries[s->n++], name, json_value(s->header, i), e);
    }
    if (rc == OK)
        qsort(s->entries, s->n, sizeof *s->entries, by_place);
    for (size_t i = 0; rc == OK && i < s->n; at = s->entries[i++].end)
        if (s->entries[i].begin != at)
            rc = err_set(e, E_INPUT, "tensor '%.64s' overlaps another one, or leaves a hole",
                s->entries[i].name);
    if (rc == OK && at != s->size)
        rc = err_set(e, E_INPUT, "bytes behind the last tensor");
    return rc;
}

static int read_header(struct safetensors *s, struct span bytes, struct err *e)
{
    const uint8_t *p = bytes.p;
    uint64_t n = 0;
    int rc;

    for (int i = 0; bytes.n >= LENGTH && i < LENGTH; i++)
        n |= (uint64_t)p[i] << 8 * i;
    if (bytes.n < LENGTH || n == 0 || n > HEADER_MAX || n > bytes.n - LENGTH || p[LENGTH] != '{')
        return err_set(e, E_INPUT, "this is no safetensors file");
    s->data = p + LENGTH + n;
    s->size = bytes.n - LENGTH - n;
    rc = json_parse(&s->header, (const char *)p + LENGTH, (size_t)n, e);
    if (rc != OK)
        return err_wrap(e, "the header");
    return read_entries(s, e);
}

int safetensors_open(struct safetensors **out, struct span bytes, struct err *e)
{
    struct safetensors *s = calloc(1, sizeof *s);
    int rc = s ? read_header(s, bytes, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        *out = s;
    else
        safetensors_free(s);
    return rc;
}

void safetensors_free(struct safetensors *s)
{
    if (!s)
        return;
    if (s->header)
        json_free(s->header);
    free(s->entries);
    free(s);
}

bool safetensors_find(const struct safetensors *s, const char *name, struct tensor_view *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct entry *t = &s->entries[i];
        if (strcmp(t->name, name) != 0 || !t->readable)
            continue;
        *out = (struct tensor_view){ t->type, t->rows, t->cols,
            { s->data + t->begin, (size_t)(t->end - t->begin) } };
        return true;
    }
    return false;
}

size_t safetensors_count(const struct safetensors *s)
{
    return s->n;
}

const char *safetensors_name(const struct safetensors *s, size_t i)
{
    return s->entries[i].name;
}
