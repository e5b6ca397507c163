#include <stdlib.h>
#include <string.h>

#include "workers/formats/gguf_int.h"

/* INVARIANTS
 * (1) Nothing is read beyond `end`: take() alone moves the cursor.
 * (2) Memory is in proportion to the bytes that are there: a count is believed only when the file
 *     has room for so many of its smallest elements. */

struct key {
    struct span name;
    struct gguf_value value;
};

struct gguf {
    struct key *keys;
    size_t n_keys;
    struct gguf_info *tensors;
    size_t n_tensors;
};

static const struct {
    uint32_t code;
} elements[] = {
    [ELEMENT_F32] = { 0 },
    [ELEMENT_F16] = { 1 },
    [ELEMENT_BF16] = { 30 },
    [ELEMENT_Q8_0] = { 8 },
};
_Static_assert(sizeof elements / sizeof *elements == ELEMENTS, "one row for each");

uint32_t gguf_code(enum element t)
{
    return elements[t].code;
}

bool gguf_element(enum element *out, uint32_t code)
{
    for (size_t i = 0; i < ELEMENTS; i++)
        if (elements[i].code == code) {
            *out = (enum element)i;
            return true;
        }
    return false;
}

/* ---- numbers ---- */

static const struct {
    uint8_t bytes;
    enum { NO_NUMBER, UNSIGNED, SIGNED, REAL } what;
} types[] = {
    [GGUF_U8] = { 1, UNSIGNED },
    [GGUF_I8] = { 1, SIGNED },
    [GGUF_U16] = { 2, UNSIGNED },
    [GGUF_I16] = { 2, SIGNED },
    [GGUF_U32] = { 4, UNSIGNED },
    [GGUF_I32] = { 4, SIGNED },
    [GGUF_F32] = { 4, REAL },
    [GGUF_BOOL] = { 1, UNSIGNED },
    [GGUF_TEXT] = { 0, NO_NUMBER },
    [GGUF_ARRAY] = { 0, NO_NUMBER },
    [GGUF_U64] = { 8, UNSIGNED },
    [GGUF_I64] = { 8, SIGNED },
    [GGUF_F64] = { 8, REAL },
};
_Static_assert(sizeof types / sizeof *types == GGUF_TYPES, "one row for each");

static uint64_t little(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

double gguf_at(const struct gguf_value *v, size_t i)
{
    size_t n = types[v->type].bytes;
    uint64_t bits = little((const uint8_t *)v->bytes.p + i * n, n);
    double d;
    float f;
    uint32_t half = (uint32_t)bits;

    if (types[v->type].what == UNSIGNED)
        return (double)bits;
    if (types[v->type].what == SIGNED)
        return (double)((int64_t)(bits << (64 - 8 * n)) >> (64 - 8 * n));
    memcpy(&f, &half, sizeof f);
    memcpy(&d, &bits, sizeof d);
    return n == 4 ? (double)f : d;
}

/* ---- the cursor ---- */

struct cursor {
    const uint8_t *at, *end;
    struct err *e;
};

static const uint8_t *take(struct cursor *c, uint64_t n)
{
    const uint8_t *p = c->at;

    if (n > (uint64_t)(c->end - c->at))
        return NULL;
    c->at += n;
    return p;
}

static int cut(struct cursor *c)
{
    return err_set(c->e, E_INPUT, "the file ends in its header");
}

static int take_number(struct cursor *c, size_t bytes, uint64_t *out)
{
    const uint8_t *p = take(c, bytes);

    if (!p)
        return cut(c);
    *out = little(p, bytes);
    return OK;
}

static int take_text(struct cursor *c, struct span *out)
{
    uint64_t n = 0;
    const uint8_t *p = take_number(c, 8, &n) == OK ? take(c, n) : NULL;

    if (!p)
        return cut(c);
    *out = (struct span){ p, (size_t)n };
    return OK;
}

/* A count of things of at least so many bytes each. */
static int take_count(struct cursor *c, uint64_t least, size_t *out)
{
    uint64_t n = 0;
    int rc = take_number(c, 8, &n);

    if (rc == OK && n > (uint64_t)(c->end - c->at) / least)
        rc = err_set(c->e, E_INPUT, "a count of %llu, more than the file has room for",
            (unsigned long long)n);
    if (rc == OK)
        *out = (size_t)n;
    return rc;
}

/* ---- keys ---- */

static int take_type(struct cursor *c, enum gguf_type *out)
{
    uint64_t n = 0;
    int rc = take_number(c, 4, &n);

    if (rc == OK && n >= GGUF_TYPES)
        rc = err_set(c->e, E_INPUT, "a value of unknown type %llu", (unsigned long long)n);
    if (rc == OK)
        *out = (enum gguf_type)n;
    return rc;
}

static int take_value(struct cursor *c, struct gguf_value *v)
{
    const uint8_t *begin;
    struct span text;
    size_t n = 1;
    int rc = take_type(c, &v->type);

    if (rc == OK && v->type == GGUF_ARRAY) {
        v->array = true;
        rc = take_type(c, &v->type);
        if (rc == OK && v->type == GGUF_ARRAY)
            rc = err_set(c->e, E_INPUT, "an array of arrays");
        if (rc == OK)
            rc = take_count(c, v->type == GGUF_TEXT ? 8 : types[v->type].bytes, &n);
    }
    begin = c->at;
    for (size_t i = 0; rc == OK && v->type == GGUF_TEXT && i < n; i++)
        rc = take_text(c, &text);
    if (rc == OK && !take(c, (uint64_t)n * types[v->type].bytes))
        rc = cut(c);
    v->n = n;
    v->bytes = (struct span){ begin, (size_t)(c->at - begin) };
    return rc;
}

static bool same(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static int compare_spans(const struct span *a, const struct span *b)
{
    int order = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);

    return order ? order : (a->n > b->n) - (a->n < b->n);
}

static int compare_names(const void *a, const void *b)
{
    return compare_spans(*(const struct span *const *)a, *(const struct span *const *)b);
}

/* E_INPUT when two of n names, `stride` bytes apart, are the same. */
static int check_distinct(
    const struct span *names, size_t n, size_t stride, const char *what, struct err *e)
{
    const struct span **sorted = malloc((n + 1) * sizeof *sorted);
    int rc = sorted ? OK : err_set(e, E_NOMEM, "out of memory");

    for (size_t i = 0; rc == OK && i < n; i++)
        sorted[i] = (const struct span *)(const void *)((const char *)names + i * stride);
    if (rc == OK)
        qsort(sorted, n, sizeof *sorted, compare_names);
    for (size_t i = 1; rc == OK && i < n; i++)
        if (same(*sorted[i - 1], *sorted[i]))
            rc = err_set(e, E_INPUT, "%s '%.*s' is there twice", what,
                (int)(sorted[i]->n < 64 ? sorted[i]->n : 64), (const char *)sorted[i]->p);
    free(sorted);
    return rc;
}

static int read_keys(struct gguf *g, struct cursor *c, size_t n)
{
    int rc = OK;

    g->keys = calloc(n + 1, sizeof *g->keys);
    if (!g->keys)
        return err_set(c->e, E_NOMEM, "out of memory");
    for (; rc == OK && g->n_keys < n; g->n_keys++) {
        struct key *k = &g->keys[g->n_keys];
        rc = take_text(c, &k->name);
        if (rc == OK)
            rc = take_value(c, &k->value);
        if (rc != OK && k->name.n > 0)
            err_wrap(c->e, "key '%.*s'", (int)(k->name.n < 64 ? k->name.n : 64),
                (const char *)k->name.p);
    }
    return rc == OK ? check_distinct(&g->keys->name, n, sizeof *g->keys, "the key", c->e) : rc;
}

/* ---- tensors ---- */

static int take_shape(struct cursor *c, struct gguf_info *t)
{
    uint64_t n_dims = 0, dims[GGUF_DIMS] = { 1, 1, 1, 1 };
    int rc = take_number(c, 4, &n_dims);

    if (rc == OK && (n_dims < 1 || n_dims > GGUF_DIMS))
        rc = err_set(c->e, E_INPUT, "%llu dimensions", (unsigned long long)n_dims);
    for (size_t i = 0; rc == OK && i < n_dims; i++)
        rc = take_number(c, 8, &dims[i]);
    if (rc == OK && (dims[2] != 1 || dims[3] != 1))
        rc = err_set(c->e, E_INPUT, "more than two dimensions");
    if (rc == OK && (dims[0] == 0 || dims[1] == 0 || dims[0] >> 32 || dims[1] >> 32))
        rc = err_set(c->e, E_INPUT, "a dimension that is 0 or more than 4294967295");
    t->cols = (size_t)dims[0];
    t->rows = (size_t)dims[1];
    return rc;
}

/* bytes.n gets the tensor's size, *offset its place in the data. */
static int take_tensor(struct cursor *c, struct gguf_info *t, uint64_t *offset)
{
    uint64_t code = 0, bytes = 0;
    int rc = take_text(c, &t->name);

    if (rc == OK)
        rc = take_shape(c, t);
    if (rc == OK)
        rc = take_number(c, 4, &code);
    if (rc == OK && !gguf_element(&t->type, (uint32_t)code))
        rc = err_set(c->e, E_INPUT,
            "its numbers are of type %llu; F32, F16, BF16 and Q8_0 can be read",
            (unsigned long long)code);
    if (rc == OK && t->cols % element_block(t->type) != 0)
        rc = err_set(c->e, E_INPUT, "its rows are no whole number of blocks");
    if (rc == OK &&
        (!element_bytes(t->type, (uint64_t)t->rows * t->cols, &bytes) || bytes != (size_t)bytes))
        rc = err_set(c->e, E_INPUT, "its size overflows");
    if (rc == OK)
        rc = take_number(c, 8, offset);
    t->bytes.n = (size_t)bytes;
    return rc;
}

static int compare_places(const void *a, const void *b)
{
    const struct gguf_info *x = *(const struct gguf_info *const *)a;
    const struct gguf_info *y = *(const struct gguf_info *const *)b;

    return (x->bytes.p > y->bytes.p) - (x->bytes.p < y->bytes.p);
}

static int check_apart(const struct gguf *g, struct err *e)
{
    const struct gguf_info **sorted = malloc((g->n_tensors + 1) * sizeof *sorted);
    int rc = sorted ? OK : err_set(e, E_NOMEM, "out of memory");

    for (size_t i = 0; rc == OK && i < g->n_tensors; i++)
        sorted[i] = &g->tensors[i];
    if (rc == OK)
        qsort(sorted, g->n_tensors, sizeof *sorted, compare_places);
    for (size_t i = 1; rc == OK && i < g->n_tensors; i++)
        if ((const char *)sorted[i - 1]->bytes.p + sorted[i - 1]->bytes.n >
            (const char *)sorted[i]->bytes.p)
            rc = err_set(e, E_INPUT, "tensors '%.*s' and '%.*s' overlap",
                (int)(sorted[i - 1]->name.n < 64 ? sorted[i - 1]->name.n : 64),
                (const char *)sorted[i - 1]->name.p,
                (int)(sorted[i]->name.n < 64 ? sorted[i]->name.n : 64),
                (const char *)sorted[i]->name.p);
    free(sorted);
    return rc;
}

/* Offsets count from the first aligned byte behind the header, which is not known before all
 * tensors are read. */
static int place_tensors(struct gguf *g, struct cursor *c, const uint8_t *file,
    const uint64_t *offsets, uint64_t alignment)
{
    uint64_t header = (uint64_t)(c->at - file), size = (uint64_t)(c->end - file);
    uint64_t data = (header + alignment - 1) / alignment * alignment;

    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_info *t = &g->tensors[i];
        const char *name = t->name.p;
        int n = (int)(t->name.n < 64 ? t->name.n : 64);
        if (offsets[i] % alignment != 0)
            return err_set(c->e, E_INPUT, "tensor '%.*s' is not aligned", n, name);
        if (data > size || offsets[i] > size - data || t->bytes.n > size - data - offsets[i])
            return err_set(c->e, E_INPUT, "tensor '%.*s' reaches beyond the file", n, name);
        t->bytes.p = file + data + offsets[i];
    }
    return OK;
}

#define LEAST_TENSOR (8 + 4 + 8 + 4 + 8) /* bytes in the header */

static int read_tensors(struct gguf *g, struct cursor *c, size_t n, const uint8_t *file)
{
    uint64_t *offsets = calloc(n + 1, sizeof *offsets);
    int64_t alignment = GGUF_ALIGN;
    int rc = OK;

    g->tensors = calloc(n + 1, sizeof *g->tensors);
    if (!g->tensors || !offsets)
        rc = err_set(c->e, E_NOMEM, "out of memory");
    for (; rc == OK && g->n_tensors < n; g->n_tensors++) {
        struct gguf_info *t = &g->tensors[g->n_tensors];
        rc = take_tensor(c, t, &offsets[g->n_tensors]);
        if (rc != OK && t->name.n > 0)
            err_wrap(c->e, "tensor '%.*s'", (int)(t->name.n < 64 ? t->name.n : 64),
                (const char *)t->name.p);
    }
    if (rc == OK && gguf_find(g, "general.alignment"))
        rc = gguf_get_number(g, "general.alignment", 1, 1 << 20, &alignment, c->e);
    if (rc == OK && (alignment & (alignment - 1)) != 0)
        rc = err_set(
            c->e, E_INPUT, "general.alignment: %lld is no power of two", (long long)alignment);
    if (rc == OK)
        rc = check_distinct(&g->tensors->name, n, sizeof *g->tensors, "the tensor", c->e);
    if (rc == OK)
        rc = place_tensors(g, c, file, offsets, (uint64_t)alignment);
    if (rc == OK)
        rc = check_apart(g, c->e);
    free(offsets);
    return rc;
}

static int read_file(struct gguf *g, struct span bytes, struct err *e)
{
    struct cursor c = { bytes.p, (const uint8_t *)bytes.p + bytes.n, e };
    const uint8_t *magic = take(&c, 4);
    uint64_t version = 0;
    size_t n_tensors = 0, n_keys = 0;
    int rc;

    if (!magic || memcmp(magic, "GGUF", 4) != 0)
        return err_set(e, E_INPUT, "this is no GGUF file");
    rc = take_number(&c, 4, &version);
    if (rc == OK && version != GGUF_VERSION)
        rc = err_set(e, E_INPUT, "GGUF version %llu; 3 can be read", (unsigned long long)version);
    if (rc == OK)
        rc = take_count(&c, LEAST_TENSOR, &n_tensors);
    if (rc == OK)
        rc = take_count(&c, 8 + 4 + 1, &n_keys);
    if (rc == OK)
        rc = read_keys(g, &c, n_keys);
    return rc == OK ? read_tensors(g, &c, n_tensors, bytes.p) : rc;
}

int gguf_open(struct gguf **out, struct span bytes, struct err *e)
{
    struct gguf *g = calloc(1, sizeof *g);
    int rc = g ? read_file(g, bytes, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        *out = g;
    else
        gguf_free(g);
    return rc;
}

void gguf_free(struct gguf *g)
{
    if (!g)
        return;
    free(g->keys);
    free(g->tensors);
    free(g);
}

/* ---- asking ---- */

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    const struct span name = { key, strlen(key) };

    for (size_t i = 0; i < g->n_keys; i++)
        if (same(g->keys[i].name, name))
            return &g->keys[i].value;
    return NULL;
}

static const struct gguf_value *single(
    const struct gguf *g, const char *key, bool number, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);

    if (!v)
        err_set(e, E_INPUT, "the key '%s' is missing", key);
    else if (v->array || (types[v->type].what == NO_NUMBER) == number)
        err_set(e, E_INPUT, "the key '%s' is no %s", key, number ? "number" : "text");
    else
        return v;
    return NULL;
}

int gguf_get_number(
    const struct gguf *g, const char *key, int64_t least, int64_t most, int64_t *out, struct err *e)
{
    const struct gguf_value *v = single(g, key, true, e);
    double d = v ? gguf_at(v, 0) : 0;

    if (!v)
        return e->code;
    if (!(d >= (double)least && d <= (double)most) || d != (double)(int64_t)d)
        return err_set(e, E_INPUT, "the key '%s' is %g, not a whole number from %lld to %lld", key,
            d, (long long)least, (long long)most);
    *out = (int64_t)d;
    return OK;
}

int gguf_get_real(const struct gguf *g, const char *key, double *out, struct err *e)
{
    const struct gguf_value *v = single(g, key, true, e);

    if (!v)
        return e->code;
    *out = gguf_at(v, 0);
    return OK;
}

/* The bytes of an array's texts were checked when it was read. */
struct span gguf_next_text(const struct gguf_value *v, size_t *at)
{
    const uint8_t *p = (const uint8_t *)v->bytes.p + *at;
    struct span text = { p + 8, (size_t)little(p, 8) };

    *at += 8 + text.n;
    return text;
}

int gguf_get_text(const struct gguf *g, const char *key, struct span *out, struct err *e)
{
    const struct gguf_value *v = single(g, key, false, e);
    size_t at = 0;

    if (!v)
        return e->code;
    if (v->type != GGUF_TEXT)
        return err_set(e, E_INPUT, "the key '%s' is no text", key);
    *out = gguf_next_text(v, &at);
    return OK;
}

const struct gguf_info *gguf_tensor_named(const struct gguf *g, const char *name)
{
    const struct span wanted = { name, strlen(name) };

    for (size_t i = 0; i < g->n_tensors; i++)
        if (same(g->tensors[i].name, wanted))
            return &g->tensors[i];
    return NULL;
}

size_t gguf_tensors(const struct gguf *g)
{
    return g->n_tensors;
}

const struct gguf_info *gguf_tensor_at(const struct gguf *g, size_t i)
{
    return &g->tensors[i];
}
