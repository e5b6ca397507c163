#include "pipelines/fields.h"

#include <stdlib.h>
#include <string.h>

static void *value_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (char *)(uintptr_t)m + f->offset;
}

static void *quantifier_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (char *)(uintptr_t)m + f->quantifier_offset;
}

static bool in_oneof(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

/* The oneof holds another member. */
static bool is_other_member(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return in_oneof(f) && *(const uint32_t *)quantifier_of(m, f) != f->id;
}

const ProtobufCFieldDescriptor *field_named(const ProtobufCMessage *m, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
}

bool field_given(const ProtobufCMessage *m, const char *name)
{
    const ProtobufCFieldDescriptor *f = field_named(m, name);
    const void *text = f->type == PROTOBUF_C_TYPE_STRING ? *(char *const *)value_of(m, f) : NULL;

    if (f->type == PROTOBUF_C_TYPE_STRING)
        return text && text != f->default_value;
    return *(const protobuf_c_boolean *)quantifier_of(m, f);
}

bool field_number(double *out, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const void *p = value_of(m, f);

    if (f->label == PROTOBUF_C_LABEL_REPEATED || in_oneof(f))
        return false;
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        *out = *(const int32_t *)p;
        return true;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        *out = (double)*(const int64_t *)p;
        return true;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        *out = *(const uint32_t *)p;
        return true;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        *out = (double)*(const uint64_t *)p;
        return true;
    case PROTOBUF_C_TYPE_FLOAT:
        *out = *(const float *)p;
        return true;
    case PROTOBUF_C_TYPE_DOUBLE:
        *out = *(const double *)p;
        return true;
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return false;
    }
    return false;
}

ProtobufCMessage *field_message(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->label == PROTOBUF_C_LABEL_REPEATED ||
        is_other_member(m, f))
        return NULL;
    return *(ProtobufCMessage *const *)value_of(m, f);
}

ProtobufCMessage *const *field_messages(
    size_t *n, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    *n = 0;
    if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->label != PROTOBUF_C_LABEL_REPEATED)
        return NULL;
    *n = *(const size_t *)quantifier_of(m, f);
    return *(ProtobufCMessage *const *const *)value_of(m, f);
}

char *const *field_strings(size_t *n, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    *n = 0;
    if (f->type != PROTOBUF_C_TYPE_STRING || is_other_member(m, f))
        return NULL;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        *n = *(const size_t *)quantifier_of(m, f);
        return *(char *const *const *)value_of(m, f);
    }
    *n = *(char *const *)value_of(m, f) != NULL;
    return value_of(m, f);
}

int field_clear_strings(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, struct err *e)
{
    char **text = value_of(m, f), *empty = NULL;
    char *const *all;
    size_t n;

    all = field_strings(&n, m, f);
    if (!all)
        return OK;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        for (size_t i = 0; i < n; i++)
            free(all[i]);
        free(*(char ***)value_of(m, f));
        *(char ***)value_of(m, f) = NULL;
        *(size_t *)quantifier_of(m, f) = 0;
        return OK;
    }
    if (f->label == PROTOBUF_C_LABEL_REQUIRED || in_oneof(f)) {
        empty = strdup("");
        if (!empty)
            return err_set(e, E_NOMEM, "out of memory");
    }
    if (*text != f->default_value)
        free(*text);
    *text = empty;
    return OK;
}

static int copy_text(char **to, const char *from, struct err *e)
{
    char *copy = from ? strdup(from) : NULL;

    if (from && !copy)
        return err_set(e, E_NOMEM, "out of memory");
    *to = copy;
    return OK;
}

/* Bytes of a number, bool or enum in the struct; 0 of what is none. */
static size_t number_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return 0;
    }
    return 0;
}

static int copy_one(ProtobufCMessage *to, const ProtobufCFieldDescriptor *f,
    const ProtobufCMessage *from, const ProtobufCFieldDescriptor *g, struct err *e)
{
    ProtobufCMessage *inner;
    size_t size;

    if (f->type == PROTOBUF_C_TYPE_STRING)
        return copy_text(value_of(to, f), *(char *const *)value_of(from, g), e);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        inner = field_message(from, g);
        return inner && f->descriptor == g->descriptor
                   ? message_copy((ProtobufCMessage **)value_of(to, f), inner, e)
                   : OK;
    }
    if (g->label == PROTOBUF_C_LABEL_OPTIONAL &&
        !*(const protobuf_c_boolean *)quantifier_of(from, g))
        return OK;
    size = number_size(f->type);
    memcpy(value_of(to, f), value_of(from, g), size);
    if (f->label == PROTOBUF_C_LABEL_OPTIONAL)
        *(protobuf_c_boolean *)quantifier_of(to, f) = 1;
    return OK;
}

int fields_copy(ProtobufCMessage *to, const ProtobufCMessage *from, struct err *e)
{
    int rc = OK;

    for (unsigned i = 0; i < to->descriptor->n_fields && rc == OK; i++) {
        const ProtobufCFieldDescriptor *f = &to->descriptor->fields[i];
        const ProtobufCFieldDescriptor *g = field_named(from, f->name);
        if (g && g->type == f->type && g->label != PROTOBUF_C_LABEL_REPEATED &&
            f->label != PROTOBUF_C_LABEL_REPEATED && !in_oneof(f) && !in_oneof(g))
            rc = copy_one(to, f, from, g, e);
    }
    return rc;
}

ProtobufCMessage *message_new_of(const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *m = malloc(type->sizeof_message);

    if (m)
        protobuf_c_message_init(type, m);
    return m;
}
