#ifndef PROTO_MESSAGE_INT_H
#define PROTO_MESSAGE_INT_H

#include "proto/message.h"

/* Fields of messages by descriptor, for what walks them inside proto/. A message has at most one
 * oneof; protobuf-c marks its members by a flag, and their quantifier is the case. */

bool field_in_oneof(const ProtobufCFieldDescriptor *f);
bool field_is_pointer(const ProtobufCFieldDescriptor *f); /* string or message */
size_t field_size(const ProtobufCFieldDescriptor *f);     /* bytes of one value in the struct */
/* Where the value, or of a repeated field the pointer to its values, stands. */
void *field_value(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
/* Values that it has: of a field that is not repeated 1 if it is present, else 0. */
size_t field_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f);
const void *field_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i);

bool message_has_oneof(const ProtobufCMessageDescriptor *type);
/* The member that the oneof holds, or NULL. */
const ProtobufCFieldDescriptor *message_member(const ProtobufCMessage *m);

#endif
