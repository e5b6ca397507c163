#ifndef PIPELINES_FIELDS_H
#define PIPELINES_FIELDS_H

#include "proto/message.h"

/* Fields of configuration messages by name. Repeated ones are given by pointer and count. */

const ProtobufCFieldDescriptor *field_named(const ProtobufCMessage *m, const char *name);

/* Whether this field, no list and in no oneof, is there, if only with its default. After
 * message_fill_defaults all that have a default are. */
bool field_given(const ProtobufCMessage *m, const char *name);

/* Whether the field is one number (enums are none); *out is its value, its default when absent. */
bool field_number(double *out, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);

/* The message that the field holds; NULL: it holds none, or is no single message. */
ProtobufCMessage *field_message(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);

/* The messages of a repeated field; *n counts them, 0 of any other field. Borrows. */
ProtobufCMessage *const *field_messages(
    size_t *n, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);

/* The texts of a string field; *n counts them, 0 when absent. Borrows. */
char *const *field_strings(size_t *n, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);

/* Frees the texts of a string field: absent afterwards, "" if it is required or in a oneof. */
int field_clear_strings(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, struct err *e);

/* Copies every single field that `to` and `from` both have, by name and type, where present.
 * `to` must not hold texts or messages in them yet. */
int fields_copy(ProtobufCMessage *to, const ProtobufCMessage *from, struct err *e);

/* An empty message; NULL: out of memory. */
ProtobufCMessage *message_new_of(const ProtobufCMessageDescriptor *type);

#endif
