#include "proto/message.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message_int.h"

#define WORDS_MAX 256 /* enum values of all types; a test counts them */
#define WORD_MAX 32

void message_free(void *m)
{
    if (m)
        protobuf_c_message_free_unpacked(m, NULL);
}

bool field_in_oneof(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

bool field_is_pointer(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;
}

size_t field_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
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
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    }
    abort();
}

void *field_value(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (char *)(uintptr_t)m + f->offset;
}

static const void *quantifier(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (const char *)m + f->quantifier_offset;
}

size_t field_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const void *pointer;

    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)quantifier(m, f);
    if (field_in_oneof(f) && *(const uint32_t *)quantifier(m, f) != f->id)
        return 0;
    if (field_is_pointer(f)) {
        memcpy(&pointer, field_value(m, f), sizeof pointer);
        return pointer && pointer != f->default_value;
    }
    if (field_in_oneof(f) || f->label == PROTOBUF_C_LABEL_REQUIRED)
        return 1;
    return *(const protobuf_c_boolean *)quantifier(m, f) != 0;
}

const void *field_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i)
{
    if (f->label != PROTOBUF_C_LABEL_REPEATED)
        return field_value(m, f);
    return *(const char *const *)field_value(m, f) + i * field_size(f);
}

const ProtobufCFieldDescriptor *message_member(const ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *type = m->descriptor;

    for (unsigned i = 0; i < type->n_fields; i++)
        if (field_in_oneof(&type->fields[i]) &&
            *(const uint32_t *)quantifier(m, &type->fields[i]) == type->fields[i].id)
            return &type->fields[i];
    return NULL;
}

bool message_has_oneof(const ProtobufCMessageDescriptor *type)
{
    for (unsigned i = 0; i < type->n_fields; i++)
        if (field_in_oneof(&type->fields[i]))
            return true;
    return false;
}

const char *message_kind(const ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *member = message_member(m);

    return member ? member->name : NULL;
}

/* An absent string with a default is not packed, a given one is: only a copy is "given". */
static void fill_default(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        char *copy = strdup(f->default_value);
        if (copy)
            memcpy(field_value(m, f), &copy, sizeof copy);
        return;
    }
    if (f->type == PROTOBUF_C_TYPE_BYTES)
        return; /* no message has such a default */
    memcpy(field_value(m, f), f->default_value, field_size(f));
    *(protobuf_c_boolean *)(uintptr_t)quantifier(m, f) = 1;
}

void message_fill_defaults(ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        size_t n = field_count(m, f);
        if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
            for (size_t k = 0; k < n; k++)
                message_fill_defaults(*(ProtobufCMessage *const *)field_at(m, f, k));
        } else if (n == 0 && f->label == PROTOBUF_C_LABEL_OPTIONAL && !field_in_oneof(f) &&
                   f->default_value) {
            fill_default(m, f);
        }
    }
}

int message_pack(struct buf *out, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = malloc(n ? n : 1);
    int rc;

    if (!p)
        return E_NOMEM;
    protobuf_c_message_pack(m, p);
    rc = buf_add(out, p, n);
    free(p);
    return rc;
}

struct budget {
    size_t left;
    bool spent;
};

/* Zeroed, because the unpacker of protobuf-c 1.4.1 may free members that it has not reached yet;
 * plain malloc underneath, so that the message is freed like any other. */
static void *budget_alloc(void *data, size_t n)
{
    struct budget *b = data;

    if (n > b->left) {
        b->spent = true;
        return NULL;
    }
    b->left -= n;
    return calloc(1, n ? n : 1);
}

static void budget_free(void *data, void *p)
{
    (void)data;
    free(p);
}

int message_unpack(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type, const void *p,
    size_t n, struct err *e)
{
    struct budget budget = { .left = 64 * n + (1u << 20) };
    ProtobufCAllocator allocator = { budget_alloc, budget_free, &budget };
    ProtobufCMessage *m;

    if (n > SIZE_MAX / 128)
        return err_set(e, E_PROTOCOL, "%s: too long", type->short_name);
    m = protobuf_c_message_unpack(type, &allocator, n, p ? p : (const void *)"");
    if (!m && budget.spent)
        return err_set(e, E_PROTOCOL, "%s: takes too much memory for its size", type->short_name);
    if (!m)
        return err_set(e, E_PROTOCOL, "%s: malformed message", type->short_name);
    *out = m;
    return OK;
}

int message_copy(ProtobufCMessage **out, const ProtobufCMessage *m, struct err *e)
{
    struct buf b = { 0 };
    ProtobufCMessage *copy = NULL;

    if (message_pack(&b, m) == OK)
        copy = protobuf_c_message_unpack(m->descriptor, NULL, b.n, (const uint8_t *)b.p);
    buf_free(&b);
    if (!copy)
        return err_set(e, E_NOMEM, "out of memory");
    *out = copy;
    return OK;
}

int message_id(struct id *out, const ProtobufCMessage *m, struct err *e)
{
    struct buf b = { 0 };
    int rc = message_pack(&b, m);

    if (rc == OK)
        sha256(out, b.p, b.n);
    buf_free(&b);
    return rc == OK ? OK : err_set(e, rc, "out of memory");
}

/* The descriptors have upper-case names only. Each word is made once and stays. */
static const char *word_of(const char *name)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct {
        const char *name; /* the descriptor's own string: compared by address */
        char word[WORD_MAX];
    } words[WORDS_MAX];
    static size_t n_words;
    const char *word = name;
    size_t i = 0;

    pthread_mutex_lock(&lock);
    while (i < n_words && words[i].name != name)
        i++;
    if (i == n_words && n_words < WORDS_MAX && strlen(name) < WORD_MAX) {
        for (size_t k = 0; name[k]; k++)
            words[i].word[k] = (char)tolower((unsigned char)name[k]);
        words[i].name = name;
        n_words++;
    }
    if (i < n_words)
        word = words[i].word;
    pthread_mutex_unlock(&lock);
    return word;
}

const char *enum_word(const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);

    return v ? word_of(v->name) : "unknown";
}
