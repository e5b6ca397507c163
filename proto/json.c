#include "proto/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message_int.h"
#include "proto/utf8.h"

/* Writes into `out`; after the first failure rc stays, and everything else does nothing. */
struct writer {
    struct buf *out;
    int rc;
    int depth;
    bool pretty, first; /* first: nothing stands yet in the array or object that is open */
};

static void write_message(struct writer *w, const ProtobufCMessage *m);

static void put(struct writer *w, const char *text)
{
    if (w->rc == OK)
        w->rc = buf_add(w->out, text, strlen(text));
}

static void new_line(struct writer *w)
{
    if (!w->pretty)
        return;
    put(w, "\n");
    for (int i = 0; i < w->depth; i++)
        put(w, "  ");
}

/* What stands before each element. */
static void next(struct writer *w)
{
    if (!w->first)
        put(w, ",");
    w->first = false;
    new_line(w);
}

static void open_with(struct writer *w, const char *bracket)
{
    put(w, bracket);
    w->depth++;
    w->first = true;
}

static void close_with(struct writer *w, const char *bracket)
{
    w->depth--;
    if (!w->first)
        new_line(w);
    put(w, bracket);
    w->first = false;
}

static void put_string(struct writer *w, const char *text)
{
    if (w->rc == OK)
        w->rc = json_string(w->out, text, strlen(text));
}

static void put_key(struct writer *w, const char *key)
{
    next(w);
    put_string(w, key);
    put(w, w->pretty ? ": " : ":");
}

/* The shortest decimal form that reads back as the same number. */
static void put_double(struct writer *w, double value, bool single)
{
    char text[40];

    if (!isfinite(value)) {
        put(w, "null");
        return;
    }
    for (int digits = single ? 6 : 15; digits <= (single ? 9 : 17); digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    put(w, text);
}

static void put_number(struct writer *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void put_number(struct writer *w, const char *fmt, ...)
{
    char text[32];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put(w, text);
}

static void put_bytes(struct writer *w, const ProtobufCBinaryData *bytes)
{
    put(w, "\"");
    for (size_t i = 0; i < bytes->len && w->rc == OK; i++)
        put_number(w, "%02x", (unsigned)bytes->data[i]);
    put(w, "\"");
}

static void put_value(struct writer *w, const ProtobufCFieldDescriptor *f, const void *value)
{
    const char *text;

    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        put_number(w, "%" PRId32, *(const int32_t *)value);
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        put_number(w, "%" PRId64, *(const int64_t *)value);
        return;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        put_number(w, "%" PRIu32, *(const uint32_t *)value);
        return;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        put_number(w, "%" PRIu64, *(const uint64_t *)value);
        return;
    case PROTOBUF_C_TYPE_FLOAT:
        put_double(w, *(const float *)value, true);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        put_double(w, *(const double *)value, false);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        put(w, *(const protobuf_c_boolean *)value ? "true" : "false");
        return;
    case PROTOBUF_C_TYPE_ENUM:
        put_string(w, enum_word(f->descriptor, *(const int32_t *)value));
        return;
    case PROTOBUF_C_TYPE_STRING:
        text = *(char *const *)value;
        put_string(w, text ? text : "");
        return;
    case PROTOBUF_C_TYPE_BYTES:
        put_bytes(w, value);
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        write_message(w, *(ProtobufCMessage *const *)value);
        return;
    }
}

/* Exactly two fields, the first is `name`: such a list is written as an object. */
static bool is_pair(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *type = f->descriptor;

    return f->type == PROTOBUF_C_TYPE_MESSAGE && type->n_fields == 2 &&
           strcmp(type->fields[0].name, "name") == 0 &&
           type->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

static const char *pair_name(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i)
{
    const ProtobufCMessage *pair = *(ProtobufCMessage *const *)field_at(m, f, i);
    const char *name = *(char *const *)field_value(pair, &pair->descriptor->fields[0]);

    return name ? name : "";
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* An object may not hold a key twice: where names repeat, the list stays a list. */
static bool names_differ(
    struct writer *w, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    size_t n = field_count(m, f);
    const char **names = malloc((n ? n : 1) * sizeof(*names));
    bool differ = true;

    if (!names) {
        w->rc = E_NOMEM;
        return false;
    }
    for (size_t i = 0; i < n; i++)
        names[i] = pair_name(m, f, i);
    qsort(names, n, sizeof(*names), by_text);
    for (size_t i = 1; i < n && differ; i++)
        differ = strcmp(names[i - 1], names[i]) != 0;
    free(names);
    return differ;
}

static void write_repeated(
    struct writer *w, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    bool object = is_pair(f) && names_differ(w, m, f);

    open_with(w, object ? "{" : "[");
    for (size_t i = 0; i < field_count(m, f) && w->rc == OK; i++) {
        const void *value = field_at(m, f, i);
        if (object) {
            const ProtobufCMessage *pair = *(ProtobufCMessage *const *)value;
            const ProtobufCFieldDescriptor *second = &pair->descriptor->fields[1];
            put_key(w, pair_name(m, f, i));
            if (second->label == PROTOBUF_C_LABEL_REPEATED)
                write_repeated(w, pair, second);
            else if (field_count(pair, second) > 0)
                put_value(w, second, field_value(pair, second));
            else
                put(w, "null");
        } else {
            next(w);
            put_value(w, f, value);
        }
    }
    close_with(w, object ? "}" : "]");
}

static void write_fields(struct writer *w, const ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *member = message_member(m);

    for (unsigned i = 0; i < m->descriptor->n_fields && w->rc == OK; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const ProtobufCMessage *inner = NULL;
        if (field_count(m, f) == 0 && f->label != PROTOBUF_C_LABEL_REPEATED)
            continue;
        if (f == member) {
            put_key(w, "kind");
            put_string(w, f->name);
            if (f->type == PROTOBUF_C_TYPE_MESSAGE)
                inner = *(ProtobufCMessage *const *)field_value(m, f);
        }
        /* A member with a oneof of its own has a `kind` of its own, and keeps its braces. */
        if (inner && !message_has_oneof(inner->descriptor)) {
            write_fields(w, inner);
            continue;
        }
        put_key(w, f->name);
        if (f->label == PROTOBUF_C_LABEL_REPEATED)
            write_repeated(w, m, f);
        else
            put_value(w, f, field_value(m, f));
    }
}

static void write_message(struct writer *w, const ProtobufCMessage *m)
{
    open_with(w, "{");
    write_fields(w, m);
    close_with(w, "}");
}

int json_message(struct buf *out, const ProtobufCMessage *m, bool pretty)
{
    struct writer w = { .out = out, .rc = OK, .pretty = pretty };

    write_message(&w, m);
    return w.rc;
}

static int escape_character(struct buf *out, uint32_t code)
{
    switch (code) {
    case '"':
        return buf_add(out, "\\\"", 2);
    case '\\':
        return buf_add(out, "\\\\", 2);
    case '\n':
        return buf_add(out, "\\n", 2);
    case '\r':
        return buf_add(out, "\\r", 2);
    case '\t':
        return buf_add(out, "\\t", 2);
    }
    return buf_printf(out, "\\u%04x", (unsigned)code);
}

/* Hidden: jansson exports a function of this name, and must not be given ours. */
__attribute__((visibility("hidden"))) int json_string(struct buf *out, const char *p, size_t n)
{
    size_t i = 0, plain = 0; /* p[plain..i) needs no escape and is not yet added */
    int rc = buf_add(out, "\"", 1);

    while (i < n && rc == OK) {
        uint32_t code;
        size_t length = utf8_decode(&code, p + i, n - i);
        /* C1 controls and line separators are escaped too: JSON is also printed on terminals. */
        if (length > 0 && code >= 0x20 && code != '"' && code != '\\' &&
            (code < 0x7f || code >= 0xa0) && code != 0x2028 && code != 0x2029) {
            i += length;
            continue;
        }
        rc = buf_add(out, p + plain, i - plain);
        if (rc == OK)
            rc = length > 0 ? escape_character(out, code) : buf_add(out, "\xef\xbf\xbd", 3);
        i += length > 0 ? length : 1;
        plain = i;
    }
    if (rc == OK)
        rc = buf_add(out, p + plain, i - plain);
    return rc == OK ? buf_add(out, "\"", 1) : rc;
}
