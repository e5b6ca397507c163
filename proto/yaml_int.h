#ifndef PROTO_YAML_INT_H
#define PROTO_YAML_INT_H

#include "proto/yaml.h"

/* What yaml.c, yaml_scalar.c, yaml_message.c and yaml_override.c share. */

enum node_type { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING };

struct place {
    int line, column, width; /* width in terminal columns */
};

struct yaml_node {
    enum node_type type;
    bool plain;  /* a scalar without quotes */
    bool broken; /* its mistake has been told: it is not spoken of again */
    bool twice;  /* its key has been given before: it leaves the tree */
    struct place at, key_at;
    char *key;  /* of a mapping's value; else NULL */
    char *text; /* of a scalar, NUL-terminated */
    size_t n;
    struct yaml_node **items;
    size_t n_items;
};

/* Why a scalar is refused, and what to do about it ("": nothing to say). */
struct refusal {
    char what[256], help[512];
};

/* Resolves text[0..n) by the field's type into *value (field_size bytes). A string is malloc'ed;
 * messages and bytes are always refused. OK, E_INPUT with *why filled, or E_NOMEM. */
int scalar_parse(void *value, const ProtobufCFieldDescriptor *f, const char *text, size_t n,
    struct refusal *why);

/* What a field's value must be, in words: "a whole number". */
const char *scalar_words(const ProtobufCFieldDescriptor *f);

/* "did you mean 'x'?", or all of the words, or "". */
void refusal_suggest(struct refusal *why, const char *word, const char *const *words, size_t n);

/* An empty message of this type; NULL: out of memory. */
ProtobufCMessage *message_new(const ProtobufCMessageDescriptor *type);

/* Sets one field of m, which must be as message_new made it. Mistakes go to d. OK or E_NOMEM. */
int yaml_fill_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
    const struct yaml_node *node, struct diags *d);

#endif
