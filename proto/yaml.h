#ifndef PROTO_YAML_H
#define PROTO_YAML_H

#include <protobuf-c/protobuf-c.h>

#include "proto/diag.h"

/* YAML → message by descriptor; the mapping is described at the top of pipeline.proto.
 * Limits: depth 64, 1e6 nodes, no aliases, no tags; duplicate keys are errors. Scalars are
 * resolved by the field's type, never guessed (`no`, `on`, `012` are what the field says). */
struct yaml;      /* a parsed text; owns its nodes */
struct yaml_node; /* borrows from its struct yaml */

/* Parses text. On a syntax error *out is NULL and d has it. */
int yaml_parse(struct yaml **out, const char *text, size_t n, struct diags *d);
void yaml_free(struct yaml *y);
const struct yaml_node *yaml_root(const struct yaml *y);

/* Child of a mapping by key or, where key is a number, of a sequence by index; NULL: none. */
const struct yaml_node *yaml_child(const struct yaml_node *node, const char *key);
/* Place of a node; of a mapping's value: place of its key when `of_key`. */
void yaml_place(const struct yaml_node *node, bool of_key, int *line, int *column, int *width);

/* Fills a new message; adds every mistake to d and goes on. *out is NULL only when there is
 * nothing to go on with. Freed by protobuf_c_message_free_unpacked(m, NULL). */
int yaml_message(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
    const struct yaml_node *node, struct diags *d);

/* Overrides one field: path is `stage.key` / `key.key`, value as it would be written in YAML.
 * Repeated messages with a `name` are entered by name. For --set and matrix. */
int yaml_override(ProtobufCMessage *m, const char *path, const char *value, struct err *e);

#endif
