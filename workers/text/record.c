#include "workers/text/record.h"

#include <stdlib.h>
#include <string.h>

#include "workers/text/csv.h"
#include "workers/text/intake_int.h"

#define FIELDS_SHOWN 120 /* bytes */

/* ---- fields ---- */

/* What the format calls a field; NULL: it does not name it. */
static const char *mapped(const Format *format, const char *name)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(&format__descriptor, name);

    return f ? *(char *const *)((const char *)format + f->offset) : NULL;
}

/* A key as it is, or else as a path: a.b, a.0. */
static const struct json *walk(const struct json *v, const char *path)
{
    const struct json *found = json_get(v, path);
    const char *dot = strchr(path, '.');
    char key[256];

    if (!found && !dot && json_kind(v) == JSON_ARRAY_ && *path >= '0' && *path <= '9')
        return json_at(v, strtoul(path, NULL, 10));
    if (found || !dot || (size_t)(dot - path) >= sizeof key)
        return found;
    memcpy(key, path, (size_t)(dot - path));
    key[dot - path] = '\0';
    found = json_kind(v) == JSON_ARRAY_ ? json_at(v, strtoul(key, NULL, 10)) : json_get(v, key);
    return found ? walk(found, dot + 1) : NULL;
}

void record_read_all(const struct record *r)
{
    if (r->read)
        *r->read = UINT64_MAX;
}

/* The field of that name, or that the path begins with. */
static void mark_read(const struct record *r, const char *path)
{
    size_t n = strcspn(path, ".");

    for (size_t i = 0; r->read && i < json_size(r->json) && i < 64; i++) {
        const char *key = json_key(r->json, i);
        if (strcmp(key, path) == 0 || (r->format && strncmp(key, path, n) == 0 && !key[n]))
            *r->read |= (uint64_t)1 << i;
    }
}

const struct json *record_get(const struct record *r, const char *name)
{
    const char *key = r->format ? mapped(r->format, name) : name;
    const struct json *v = NULL;

    if (key)
        v = r->format ? walk(r->json, key) : json_get(r->json, key);
    if (v)
        mark_read(r, key);
    return v && json_kind(v) != JSON_NULL_ ? v : NULL;
}

int record_text(const char **out, const struct record *r, const char *name, struct err *e)
{
    const struct json *v = record_get(r, name);
    size_t n;

    *out = v ? json_text(v, &n) : NULL;
    return *out || !v ? OK : err_set(e, E_INPUT, "'%s' is no string", name);
}

int record_text_of(const char **out, const char **name, const struct record *r,
    const char *const *names, struct err *e)
{
    int rc = OK;

    *out = *name = NULL;
    for (; rc == OK && !*out && *names; names++) {
        *name = *names;
        rc = record_text(out, r, *names, e);
    }
    return rc;
}

int record_fields(struct buf *out, const struct record *r)
{
    size_t begin = out->n;
    int rc = OK;

    for (size_t i = 0; rc == OK && i < json_size(r->json); i++) {
        if (out->n - begin > FIELDS_SHOWN)
            return buf_printf(out, ", …");
        rc = buf_printf(out, "%s'%.60s'", i ? ", " : "", json_key(r->json, i));
    }
    return rc;
}

/* ---- files of records ---- */

struct reading {
    struct source *s;
    struct intake *im;
    const Format *format;
    int (*each)(void *ctx, const struct record *r, enum fate *fate, struct err *e);
    void *ctx;
};

static int look_at(const struct reading *r, const struct json *json, enum fate *fate, struct err *e)
{
    struct record record = { json, r->format, NULL };

    if (json_kind(json) != JSON_OBJECT_)
        return err_set(e, E_INPUT, "a record must be an object, {\"field\": value, …}");
    return r->each(r->ctx, &record, fate, e);
}

/* One value's text; number: in an array, else 0. */
static int read_value(
    const struct reading *r, struct span text, bool ends, size_t line, size_t number, struct err *e)
{
    enum fate fate = FATE_USED;
    struct json *json = NULL;
    int rc;

    if (!ends) {
        rc = err_set(e, E_INPUT, "the file ends inside a record: was it cut off?");
    } else if (text_undecodable(text)) {
        fate = FATE_UNDECODABLE;
        rc = err_set(
            e, E_INPUT, "it holds bytes that are no %s", encoding_name(source_encoding(r->s)));
    } else {
        rc = json_parse(&json, text.p, text.n, e);
    }
    if (rc == OK)
        rc = look_at(r, json, &fate, e);
    json_free(json);
    return intake_settle(r->im, r->s, line, number, rc, fate, e);
}

/* Where what follows begins cannot be told: the file is left here. */
static int leave(const struct reading *r, const char *why, struct err *e)
{
    err_set(e, E_INPUT, "malformed JSON: %s", why);
    return intake_refuse(r->im, source_path(r->s), source_line(r->s), e);
}

/* *ends: false when the file ends inside the value, which has been told then. */
static int next_value(const struct reading *r, size_t number, bool *ends, struct err *e)
{
    size_t line = source_line(r->s);
    struct span text;
    int rc = source_next_value(r->s, &text, ends, e);

    return rc == OK ? read_value(r, text, *ends, line, number, e) : rc;
}

/* Elements one by one: memory is needed for one record at a time. */
static int read_array(const struct reading *r, struct err *e)
{
    size_t number = 0;
    bool ends = true;
    char next = ',';
    int rc = OK;

    while (rc == OK && next == ',') {
        source_skip(r->s); /* the bracket, or the comma */
        rc = source_peek(r->s, &next, e);
        if (rc == OK && next == ']' && number == 0)
            break;
        if (rc == OK && (next == ',' || next == ']'))
            return leave(r, "a value is missing", e);
        if (rc == OK && next)
            rc = next_value(r, ++number, &ends, e);
        if (rc == OK)
            rc = source_peek(r->s, &next, e);
    }
    if (!ends)
        return rc;
    if (rc == OK && !next)
        return leave(r, "the list does not end: was the file cut off?", e);
    if (rc == OK && next != ']')
        return leave(r, "neither ',' nor ']' behind a record", e);
    if (rc == OK) {
        source_skip(r->s);
        rc = source_peek(r->s, &next, e);
    }
    return rc == OK && next ? leave(r, "something stands behind the list", e) : rc;
}

/* Objects over several lines each. */
static int read_objects(const struct reading *r, struct err *e)
{
    bool ends;
    char next;
    int rc = source_peek(r->s, &next, e);

    while (rc == OK && next) {
        if (next != '{')
            return leave(r, "something stands behind the object", e);
        rc = next_value(r, 0, &ends, e);
        if (rc == OK)
            rc = source_peek(r->s, &next, e);
    }
    return rc;
}

static int read_lines(const struct reading *r, struct err *e)
{
    struct span text = { "", 0 };
    int rc = OK;

    while (rc == OK) {
        size_t line = source_line(r->s);
        rc = source_next_line(r->s, &text, e);
        if (rc != OK || !text.p)
            break;
        if (!text_blank(text.p, text.n))
            rc = read_value(r, text, true, line, 0, e);
    }
    return rc;
}

/* ---- rows of CSV and TSV ---- */

static int read_row(void *ctx, const struct json *row, size_t line, struct err *e)
{
    const struct reading *r = ctx;
    enum fate fate = FATE_USED;
    int rc = row ? look_at(r, row, &fate, e) : E_INPUT;

    if (!row && e->code == E_CORRUPT)
        fate = FATE_UNDECODABLE;
    return intake_settle(r->im, r->s, line, 0, rc, fate, e);
}

static int read_file(const struct reading *r, struct err *e)
{
    char first;
    bool lines;
    int rc = source_peek(r->s, &first, e);

    if (rc != OK)
        return rc;
    if (!first)
        return err_set(e, E_INPUT, "the file is empty");
    if (source_has_ending(r->s, ".csv") || source_has_ending(r->s, ".tsv"))
        return csv_each(r->s, read_row, (void *)(uintptr_t)r, e);
    if (first == '[')
        return read_array(r, e);
    if (first != '{')
        return err_set(e, E_INPUT, "neither a JSON array nor JSON Lines");
    rc = source_holds_lines(r->s, &lines, e);
    if (rc != OK)
        return rc;
    return lines ? read_lines(r, e) : read_objects(r, e);
}

int records_each(struct source *s, struct intake *im, const Format *format,
    int (*each)(void *ctx, const struct record *r, enum fate *fate, struct err *e), void *ctx,
    struct err *e)
{
    struct reading r = { s, im, format, each, ctx };
    size_t line = source_line(s);
    int rc = read_file(&r, e);

    /* A verdict is about all files; what else is wrong is about this one. */
    if (rc == E_INPUT && !intake_judged(im))
        rc = intake_refuse(im, source_path(s), line, e);
    return rc;
}
