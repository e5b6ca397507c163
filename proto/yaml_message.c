#include "proto/yaml.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message_int.h"
#include "proto/yaml_int.h"

#define WORDS_MAX 160 /* keys that may stand in one mapping */
#define FIELDS_MAX 64 /* of one message: bits of `seen` */

/* One message on its way from the tree. The oneof's member, when it is a message, is filled from
 * the same mapping; `seen` and `member_seen` say which fields were given, right or wrong. */
struct filling {
    ProtobufCMessage *m, *member;
    const ProtobufCFieldDescriptor *kind; /* the member that `kind` chose, or NULL */
    const struct yaml_node *node;
    struct diags *d;
    uint64_t seen, member_seen;
    bool kind_known; /* a kind was given, and there is such a kind */
    bool named;      /* an element of a mapping: the key is its name */
};

static int message_fill(
    ProtobufCMessage *m, const struct yaml_node *node, bool named, struct diags *d);

static void tell(struct diags *d, const struct yaml_node *node, bool of_key, const char *help,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void tell(struct diags *d, const struct yaml_node *node, bool of_key, const char *help,
    const char *fmt, ...)
{
    int line, column, width;
    char text[512];
    va_list ap;

    if (node->broken)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    yaml_place(node, of_key, &line, &column, &width);
    diags_add(d, line, column, width, help && help[0] ? help : NULL, "%s", text);
}

ProtobufCMessage *message_new(const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *m = malloc(type->sizeof_message);

    if (m)
        protobuf_c_message_init(type, m);
    return m;
}

static unsigned field_index(
    const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *f)
{
    unsigned i = (unsigned)(f - type->fields);

    assert(i < FIELDS_MAX);
    return i;
}

static const ProtobufCFieldDescriptor *field_called(
    const ProtobufCMessageDescriptor *type, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(type, name);
}

/* Its elements may be written as a mapping, name: value. */
static bool is_named(const ProtobufCMessageDescriptor *type)
{
    return type->n_fields >= 2 && strcmp(type->fields[0].name, "name") == 0 &&
           type->fields[0].type == PROTOBUF_C_TYPE_STRING;
}

static size_t member_names(const ProtobufCMessageDescriptor *type, const char **words)
{
    size_t n = 0;

    for (unsigned i = 0; i < type->n_fields && n < WORDS_MAX; i++)
        if (field_in_oneof(&type->fields[i]))
            words[n++] = type->fields[i].name;
    return n;
}

/* Marks a field as present: `has_` or the oneof's case. */
static void mark_present(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    char *quantifier = (char *)m + f->quantifier_offset;

    if (field_in_oneof(f))
        *(uint32_t *)quantifier = f->id;
    else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && !field_is_pointer(f))
        *(protobuf_c_boolean *)quantifier = 1;
}

/* ---- one value ---- */

/* Parses a scalar into *slot. *ok: it was right. */
static int set_scalar(void *slot, bool *ok, const ProtobufCFieldDescriptor *f,
    const struct yaml_node *node, struct diags *d)
{
    struct refusal why;
    int rc;

    *ok = false;
    if (node->broken)
        return OK;
    if (node->type != NODE_SCALAR) {
        tell(d, node, node->type == NODE_MAPPING, NULL, "'%s' must be %s, not a %s", f->name,
            scalar_words(f), node->type == NODE_SEQUENCE ? "list" : "mapping");
        return OK;
    }
    if (node->plain && node->n == 0) {
        tell(d, node, true, NULL, "'%s' has no value", f->name);
        return OK;
    }
    rc = scalar_parse(slot, f, node->text, node->n, &why);
    if (rc == E_INPUT)
        tell(d, node, false, why.help, "%s", why.what);
    *ok = rc == OK;
    return rc == E_INPUT ? OK : rc;
}

static int set_message(void *slot, const ProtobufCFieldDescriptor *f, const struct yaml_node *node,
    bool named, struct diags *d)
{
    ProtobufCMessage *m = message_new(f->descriptor);
    int rc;

    if (!m)
        return E_NOMEM;
    rc = message_fill(m, node, named, d);
    if (rc != OK)
        message_free(m);
    else
        memcpy(slot, &m, sizeof m);
    return rc;
}

static int set_one(void *slot, bool *ok, const ProtobufCFieldDescriptor *f,
    const struct yaml_node *node, bool named, struct diags *d)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE)
        return set_scalar(slot, ok, f, node, d);
    *ok = true;
    return set_message(slot, f, node, named, d);
}

/* ---- repeated fields ---- */

static int set_repeated(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
    const struct yaml_node *node, struct diags *d)
{
    const struct yaml_node *single[1] = { node };
    const struct yaml_node *const *items = single;
    bool message = f->type == PROTOBUF_C_TYPE_MESSAGE;
    size_t n = 1, size = field_size(f), kept = 0;
    char *values;
    int rc = OK;

    if (node->broken)
        return OK;
    if (node->type == NODE_SEQUENCE ||
        (node->type == NODE_MAPPING && message && is_named(f->descriptor))) {
        items = (const struct yaml_node *const *)node->items;
        n = node->n_items;
    } else if (message || node->type == NODE_MAPPING) {
        tell(d, node, true, NULL, "'%s' must be a %s", f->name,
            message && is_named(f->descriptor) ? "mapping from names" : "list");
        return OK;
    }
    if (n == 0)
        return OK;
    values = calloc(n, size);
    if (!values)
        return E_NOMEM;
    for (size_t i = 0; i < n && rc == OK; i++) {
        bool ok;
        rc = set_one(values + kept * size, &ok, f, items[i], node->type == NODE_MAPPING, d);
        if (rc == OK && ok)
            kept++;
    }
    /* Handed over even on failure: whoever owns m frees them. */
    memcpy(field_value(m, f), &values, sizeof values);
    *(size_t *)((char *)m + f->quantifier_offset) = kept;
    return rc;
}

int yaml_fill_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
    const struct yaml_node *node, struct diags *d)
{
    bool ok;
    int rc;

    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return set_repeated(m, f, node, d);
    if (node->broken)
        return OK;
    rc = set_one(field_value(m, f), &ok, f, node, false, d);
    if (rc == OK && ok)
        mark_present(m, f);
    return rc;
}

/* ---- a message from a mapping ---- */

/* What is missing has been told; an empty value lets later checks walk the message. */
static int fill_empty(ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        void *slot = field_value(m, f), *value;
        if (f->label != PROTOBUF_C_LABEL_REQUIRED || !field_is_pointer(f) || field_count(m, f) > 0)
            continue;
        value = f->type == PROTOBUF_C_TYPE_STRING ? (void *)strdup("") : message_new(f->descriptor);
        if (!value)
            return E_NOMEM;
        memcpy(slot, &value, sizeof value);
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && fill_empty(value) != OK)
            return E_NOMEM;
    }
    return OK;
}

static void tell_missing(const struct filling *fill, const ProtobufCMessage *m, uint64_t seen)
{
    char help[128] = "";

    if (m != fill->m)
        snprintf(help, sizeof help, "kind '%s' needs it", fill->kind->name);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++)
        if (m->descriptor->fields[i].label == PROTOBUF_C_LABEL_REQUIRED && !(seen >> i & 1))
            tell(fill->d, fill->node, true, help, "key '%s' is missing",
                m->descriptor->fields[i].name);
}

static void tell_unknown(const struct filling *fill, const struct yaml_node *item)
{
    const ProtobufCMessageDescriptor *type = fill->m->descriptor;
    const char *words[WORDS_MAX];
    struct refusal why = { 0 };
    size_t n = 0;

    for (unsigned i = 0; i < type->n_fields && n < WORDS_MAX; i++)
        if (!field_in_oneof(&type->fields[i]) || !fill->kind)
            words[n++] = type->fields[i].name;
    if (message_has_oneof(type) && n < WORDS_MAX)
        words[n++] = "kind";
    for (unsigned i = 0; fill->member && i < fill->member->descriptor->n_fields; i++)
        if (n < WORDS_MAX)
            words[n++] = fill->member->descriptor->fields[i].name;
    refusal_suggest(&why, item->key, words, n);
    tell(fill->d, item, true, why.help, "unknown key '%s'", item->key);
}

static int choose_member(struct filling *fill, const ProtobufCFieldDescriptor *f)
{
    fill->kind = f;
    if (f->type != PROTOBUF_C_TYPE_MESSAGE)
        return OK;
    fill->member = message_new(f->descriptor);
    if (!fill->member)
        return E_NOMEM;
    memcpy(field_value(fill->m, f), &fill->member, sizeof fill->member);
    mark_present(fill->m, f);
    return OK;
}

/* `kind: X`, from the mapping's key or from the scalar that stands for the whole message. */
static int choose_kind(struct filling *fill, const struct yaml_node *kind)
{
    const ProtobufCMessageDescriptor *type = fill->m->descriptor;
    const ProtobufCFieldDescriptor *f;
    const char *words[WORDS_MAX];
    struct refusal why = { 0 };

    if (kind->broken)
        return OK;
    if (kind->type != NODE_SCALAR || (kind->plain && kind->n == 0)) {
        tell(fill->d, kind, true, NULL, "'kind' must be a word");
        return OK;
    }
    f = field_called(type, kind->text);
    if (f && field_in_oneof(f)) {
        fill->kind_known = true;
        return choose_member(fill, f);
    }
    refusal_suggest(&why, kind->text, words, member_names(type, words));
    tell(fill->d, kind, false, why.help, "unknown kind '%s'", kind->text);
    return OK;
}

/* A key that names a member of the oneof itself: by: {rubric: rubric.yaml}. */
static int fill_member(
    struct filling *fill, const ProtobufCFieldDescriptor *f, const struct yaml_node *item)
{
    if (fill->kind && (fill->kind != f || fill->member)) {
        tell(fill->d, item, true, NULL, "'%s' is given, but its kind is '%s' already", f->name,
            fill->kind->name);
        return OK;
    }
    fill->kind = f;
    fill->kind_known = true;
    fill->member_seen = 1;
    return yaml_fill_field(fill->m, f, item, fill->d);
}

static int fill_key(struct filling *fill, const struct yaml_node *item)
{
    const ProtobufCMessageDescriptor *type = fill->m->descriptor;
    const ProtobufCFieldDescriptor *f = field_called(type, item->key);
    const ProtobufCFieldDescriptor *own =
        fill->member ? field_called(fill->member->descriptor, item->key) : NULL;

    if (f && !field_in_oneof(f)) {
        if (fill->seen >> field_index(type, f) & 1) {
            tell(fill->d, item, true, NULL, "'%s' is given already: it stands before the colon",
                item->key);
            return OK;
        }
        fill->seen |= 1ull << field_index(type, f);
        return yaml_fill_field(fill->m, f, item, fill->d);
    }
    if (own && !field_in_oneof(own)) {
        fill->member_seen |= 1ull << field_index(fill->member->descriptor, own);
        return yaml_fill_field(fill->member, own, item, fill->d);
    }
    if (f && (!fill->kind || fill->kind == f))
        return fill_member(fill, f, item);
    /* Of an unknown kind no key is known: one mistake, told once. */
    if (!message_has_oneof(type) || fill->kind_known)
        tell_unknown(fill, item);
    return OK;
}

static int fill_keys(struct filling *fill)
{
    bool has_oneof = message_has_oneof(fill->m->descriptor);
    const struct yaml_node *kind = has_oneof ? yaml_child(fill->node, "kind") : NULL;
    int rc = kind ? choose_kind(fill, kind) : OK;

    /* Members named by a key come first, so that the others know the kind. */
    for (size_t i = 0; i < fill->node->n_items && rc == OK && has_oneof && !kind; i++) {
        const struct yaml_node *item = fill->node->items[i];
        const ProtobufCFieldDescriptor *f = field_called(fill->m->descriptor, item->key);
        if (f && field_in_oneof(f))
            rc = fill_member(fill, f, item);
    }
    for (size_t i = 0; i < fill->node->n_items && rc == OK; i++) {
        const struct yaml_node *item = fill->node->items[i];
        const ProtobufCFieldDescriptor *f = field_called(fill->m->descriptor, item->key);
        if (item == kind || (has_oneof && !kind && f && field_in_oneof(f)))
            continue;
        rc = fill_key(fill, item);
    }
    if (rc == OK && fill->kind && !fill->member && !fill->member_seen)
        tell(fill->d, fill->node, true, NULL, "key '%s' is missing", fill->kind->name);
    if (rc == OK && has_oneof && !kind && !fill->kind) {
        const char *words[WORDS_MAX];
        struct refusal why = { 0 };
        refusal_suggest(&why, "", words, member_names(fill->m->descriptor, words));
        tell(fill->d, fill->node, true, why.help, "key 'kind' is missing");
    }
    return rc;
}

/* A scalar for a whole message: its kind, or of a named element its second field. */
static int fill_short(struct filling *fill)
{
    const ProtobufCMessageDescriptor *type = fill->m->descriptor;
    const struct yaml_node *node = fill->node;

    if (node->type == NODE_SCALAR && node->plain && node->n == 0) {
        tell(fill->d, node, true, NULL, "'%s' has no value", node->key ? node->key : "");
        fill->seen = fill->member_seen = UINT64_MAX;
        return OK;
    }
    if (message_has_oneof(type) && node->type == NODE_SCALAR) {
        int rc = choose_kind(fill, node);
        if (rc == OK && fill->kind && !fill->member)
            tell(fill->d, node, false, NULL, "'%s' needs a value: {%s: …}", fill->kind->name,
                fill->kind->name);
        return rc;
    }
    if (fill->named && !message_has_oneof(type) &&
        (node->type == NODE_SCALAR || type->fields[1].label == PROTOBUF_C_LABEL_REPEATED)) {
        fill->seen |= 2;
        return yaml_fill_field(fill->m, &type->fields[1], node, fill->d);
    }
    tell(fill->d, node, true, NULL, "%s%s%s must be a mapping", node->key ? "'" : "",
        node->key ? node->key : "this", node->key ? "'" : "");
    fill->seen = fill->member_seen = UINT64_MAX;
    return OK;
}

static int fill_name(struct filling *fill)
{
    char *name = strdup(fill->node->key);

    if (!name)
        return E_NOMEM;
    memcpy(field_value(fill->m, &fill->m->descriptor->fields[0]), &name, sizeof name);
    fill->seen |= 1;
    return OK;
}

static int message_fill(
    ProtobufCMessage *m, const struct yaml_node *node, bool named, struct diags *d)
{
    struct filling filling = { .m = m, .node = node, .d = d, .named = named }, *fill = &filling;
    int rc = named ? fill_name(fill) : OK;

    if (rc == OK)
        rc = node->type == NODE_MAPPING ? fill_keys(fill) : fill_short(fill);
    if (rc != OK)
        return rc;
    tell_missing(fill, fill->m, fill->seen);
    if (fill->member)
        tell_missing(fill, fill->member, fill->member_seen);
    rc = fill_empty(fill->m);
    if (rc == OK && fill->member)
        rc = fill_empty(fill->member);
    return rc;
}

int yaml_message(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
    const struct yaml_node *node, struct diags *d)
{
    ProtobufCMessage *m;
    int rc;

    if (node->type != NODE_MAPPING) {
        tell(d, node, false, NULL, "expected a mapping: key: value");
        return E_INPUT;
    }
    m = message_new(type);
    rc = m ? message_fill(m, node, false, d) : E_NOMEM;
    if (rc != OK)
        message_free(m);
    else
        *out = m;
    return rc;
}
