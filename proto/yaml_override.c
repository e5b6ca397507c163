#include "proto/yaml.h"

#include <stdlib.h>
#include <string.h>

#include "proto/message_int.h"
#include "proto/yaml_int.h"

#define WORDS_MAX 160
#define NAME_MAX_BYTES 256

/* Where a path has led so far. */
struct target {
    ProtobufCMessage *m;
    const ProtobufCFieldDescriptor *f; /* the field to set; NULL: the message `m` itself */
    const char *rest;                  /* what the path still says below f, "" at its end */
};

/* Cuts the next key off the path. */
static int next_key(char key[NAME_MAX_BYTES], const char **path, struct err *e)
{
    size_t n = strcspn(*path, ".");

    if (n == 0)
        return err_set(e, E_INPUT, "expected KEY.KEY=VALUE");
    if (n >= NAME_MAX_BYTES)
        return err_set(e, E_INPUT, "too long a key");
    memcpy(key, *path, n);
    key[n] = '\0';
    *path += n;
    if (**path == '.') {
        ++*path;
        if (**path == '\0')
            return err_set(e, E_INPUT, "expected a key after the last '.'");
    }
    return OK;
}

/* A repeated message whose elements have names. */
static bool has_names(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *type = f->descriptor;

    return f->label == PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE &&
           type->n_fields >= 2 && strcmp(type->fields[0].name, "name") == 0;
}

static ProtobufCMessage *element(
    const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i)
{
    return *(ProtobufCMessage *const *)field_at(m, f, i);
}

static const char *element_name(const ProtobufCMessage *one)
{
    const char *name = *(char *const *)field_value(one, &one->descriptor->fields[0]);

    return name ? name : "";
}

static ProtobufCMessage *element_called(
    const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const char *name)
{
    for (size_t i = 0; i < field_count(m, f); i++)
        if (strcmp(element_name(element(m, f, i)), name) == 0)
            return element(m, f, i);
    return NULL;
}

/* The message inside m's oneof, when it holds one. */
static ProtobufCMessage *member_message(const ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *f = message_member(m);

    if (!f || f->type != PROTOBUF_C_TYPE_MESSAGE || field_count(m, f) == 0)
        return NULL;
    return *(ProtobufCMessage *const *)field_value(m, f);
}

static void add_words(const ProtobufCMessage *m, bool members, const char **words, size_t *n)
{
    for (unsigned i = 0; i < m->descriptor->n_fields && *n < WORDS_MAX; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (members || !field_in_oneof(f))
            words[(*n)++] = f->name;
        for (size_t k = 0; has_names(f) && k < field_count(m, f) && *n < WORDS_MAX; k++)
            words[(*n)++] = element_name(element(m, f, k));
    }
}

static int unknown_key(const ProtobufCMessage *m, const char *key, struct err *e)
{
    const ProtobufCMessage *member = member_message(m);
    const char *words[WORDS_MAX], *nearest;
    size_t n = 0;

    add_words(m, !member, words, &n);
    if (member)
        add_words(member, false, words, &n);
    nearest = diag_nearest(key, words, n);
    if (nearest)
        return err_set(e, E_INPUT, "unknown key '%s'; did you mean '%s'?", key, nearest);
    return err_set(e, E_INPUT, "unknown key '%s'", key);
}

/* The field that `key` names in m or beside it in the oneof's member. */
static const ProtobufCFieldDescriptor *find_field(ProtobufCMessage **m, const char *key)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name((*m)->descriptor, key);
    ProtobufCMessage *member = member_message(*m);
    const ProtobufCFieldDescriptor *own = NULL;

    if (f && !field_in_oneof(f))
        return f;
    if (member)
        own = protobuf_c_message_descriptor_get_field_by_name(member->descriptor, key);
    if (own) {
        *m = member;
        return own;
    }
    /* A stage keeps its kind; what ranks, say, may change. */
    return f && member && message_member(*m) != f && f->type == PROTOBUF_C_TYPE_MESSAGE ? NULL : f;
}

static int resolve(struct target *t, struct err *e)
{
    for (;;) {
        char key[NAME_MAX_BYTES];
        ProtobufCMessage *m = t->m, *one = NULL;
        const ProtobufCFieldDescriptor *f;
        int rc = next_key(key, &t->rest, e);
        if (rc != OK)
            return rc;
        f = find_field(&m, key);
        for (unsigned i = 0; (!f || t->rest[0]) && i < t->m->descriptor->n_fields && !one; i++)
            if (has_names(&t->m->descriptor->fields[i]))
                one = element_called(t->m, &t->m->descriptor->fields[i], key);
        if (!f && !one)
            return unknown_key(t->m, key, e);
        if (f && has_names(f) && t->rest[0]) { /* inputs.corpus: the name comes next */
            rc = next_key(key, &t->rest, e);
            if (rc != OK)
                return rc;
            one = element_called(m, f, key);
            if (!one)
                return err_set(e, E_INPUT, "there is no '%s' in '%s'", key, f->name);
        } else if (f && !(one && f->type != PROTOBUF_C_TYPE_MESSAGE)) {
            t->m = m;
            t->f = f;
            if (t->rest[0] == '\0' || f->type != PROTOBUF_C_TYPE_MESSAGE ||
                f->label == PROTOBUF_C_LABEL_REPEATED || field_count(m, f) == 0)
                return OK;
            one = *(ProtobufCMessage *const *)field_value(m, f);
        }
        t->m = one;
        t->f = NULL;
        if (t->rest[0] == '\0')
            return OK;
    }
}

static void swap(void *a, void *b, size_t n)
{
    unsigned char keep[sizeof(ProtobufCBinaryData)];

    memcpy(keep, a, n);
    memcpy(a, b, n);
    memcpy(b, keep, n);
}

/* Exchanges one field of two messages of the same type; of a oneof, whatever it holds. */
static void swap_field(ProtobufCMessage *a, ProtobufCMessage *b, const ProtobufCFieldDescriptor *f)
{
    size_t size = f->label == PROTOBUF_C_LABEL_REPEATED ? sizeof(void *) : field_size(f);
    size_t quantifier = 0;

    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        quantifier = sizeof(size_t);
    else if (field_in_oneof(f))
        quantifier = sizeof(uint32_t);
    else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && !field_is_pointer(f))
        quantifier = sizeof(protobuf_c_boolean);
    for (unsigned i = 0; field_in_oneof(f) && i < a->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *other = &a->descriptor->fields[i];
        if (field_in_oneof(other) && field_size(other) > size)
            size = field_size(other);
    }
    swap(field_value(a, f), field_value(b, f), size);
    swap((char *)a + f->quantifier_offset, (char *)b + f->quantifier_offset, quantifier);
}

/* Fills the field of an empty message of the same type, then exchanges: m is whole or untouched. */
static int replace_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
    const struct yaml_node *node, struct diags *d)
{
    ProtobufCMessage *fresh = message_new(m->descriptor);
    int rc;

    if (!fresh)
        return E_NOMEM;
    rc = yaml_fill_field(fresh, f, node, d);
    if (rc == OK && diags_count(d) == 0)
        swap_field(m, fresh, f);
    message_free(fresh);
    return rc;
}

/* Sets t from node. What the path says below an absent message becomes mappings around the node:
 * resources.memory=1 sets resources to {memory: 1}. */
static int apply(struct target *t, const struct yaml_node *node, struct diags *d, struct err *e)
{
    char key[NAME_MAX_BYTES];
    struct yaml_node outer = { .type = NODE_MAPPING, .at = node->at };
    struct yaml_node inner = *node, *item = &inner;
    int rc;

    if (!t->f && (t->m->descriptor->n_fields < 2 || message_has_oneof(t->m->descriptor)))
        return err_set(e, E_INPUT, "name a key of '%s'", element_name(t->m));
    if (!t->f)
        t->f = &t->m->descriptor->fields[1];
    if (t->rest[0] == '\0')
        return replace_field(t->m, t->f, node, d);
    if (t->f->type != PROTOBUF_C_TYPE_MESSAGE || t->f->label == PROTOBUF_C_LABEL_REPEATED)
        return err_set(e, E_INPUT, "'%s' has no keys", t->f->name);
    rc = next_key(key, &t->rest, e);
    if (rc == OK && t->rest[0])
        rc = err_set(e, E_INPUT, "'%s' is not set: give it as a mapping", t->f->name);
    if (rc != OK)
        return rc;
    inner.key = key;
    inner.key_at = node->at;
    outer.items = &item;
    outer.n_items = 1;
    return replace_field(t->m, t->f, &outer, d);
}

/* The first mistake, in one line. */
static int first_mistake(const struct diags *d, struct err *e)
{
    struct buf text = { 0 };
    const char *what, *help, *next;
    int rc;

    if (diags_print(d, &text) != OK || text.n == 0) {
        buf_free(&text);
        return err_set(e, E_NOMEM, "out of memory");
    }
    what = text.p + strlen("error: ");
    next = strstr(what, "\n\n");
    help = strstr(what, "\n  = help: ");
    if (help && (!next || help < next)) {
        help += strlen("\n  = help: ");
        rc = err_set(e, E_INPUT, "%.*s; %.*s", (int)strcspn(what, "\n"), what,
            (int)strcspn(help, "\n"), help);
    } else {
        rc = err_set(e, E_INPUT, "%.*s", (int)strcspn(what, "\n"), what);
    }
    buf_free(&text);
    return rc;
}

static int override(
    ProtobufCMessage *m, const char *path, const char *value, struct diags *d, struct err *e)
{
    struct target t = { .m = m, .rest = path };
    struct yaml *y = NULL;
    int rc = resolve(&t, e);

    if (rc != OK)
        return rc;
    rc = yaml_parse(&y, value, strlen(value), d);
    if (rc == E_INPUT)
        rc = value[0] ? first_mistake(d, e) : err_set(e, E_INPUT, "a value is missing");
    else if (rc == OK)
        rc = apply(&t, yaml_root(y), d, e);
    if (rc == OK && diags_count(d) > 0)
        rc = first_mistake(d, e);
    if (rc == E_NOMEM)
        err_set(e, E_NOMEM, "out of memory");
    yaml_free(y);
    return rc;
}

int yaml_override(ProtobufCMessage *m, const char *path, const char *value, struct err *e)
{
    struct diags *d = diags_new();
    int rc;

    if (!d || diags_file(d, "value", value, strlen(value)) != OK) {
        diags_free(d);
        return err_set(e, E_NOMEM, "out of memory");
    }
    rc = override(m, path, value, d, e);
    diags_free(d);
    return rc == OK ? OK : err_wrap(e, "%s=%s", path, value);
}
