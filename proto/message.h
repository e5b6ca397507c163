#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "proto/bytes.h"
#include "proto/message.pb-c.h"

/* Things that hold for every message, by descriptor. Messages made by these functions or by
 * *__unpack are freed with message_free. */

void message_free(void *m); /* NULL is fine */

/* Sets every absent scalar field that has a default, in all depths, so that "given" and "left
 * at its default" pack to the same bytes. */
void message_fill_defaults(ProtobufCMessage *m);

int message_pack(struct buf *out, const ProtobufCMessage *m); /* appends */

/* Unpacks with a budget of heap bytes (64 x n + 1 MiB): hostile input cannot take more. */
int message_unpack(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type, const void *p,
    size_t n, struct err *e);

int message_copy(ProtobufCMessage **out, const ProtobufCMessage *m, struct err *e);

/* SHA-256 of the packed message. */
int message_id(struct id *out, const ProtobufCMessage *m, struct err *e);

/* Name of the member that a message's oneof `kind` holds ("pretrain"), or NULL. */
const char *message_kind(const ProtobufCMessage *m);

/* An enum value as a lower-case word. */
const char *enum_word(const ProtobufCEnumDescriptor *type, int value);

#endif
