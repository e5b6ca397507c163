#ifndef PROTO_WIRE_INT_H
#define PROTO_WIRE_INT_H

#include "proto/message.h"

/* What a field of a received message may hold, beyond what holds for every field. */
struct rule {
    const ProtobufCMessageDescriptor *type;
    const char *field;
    bool required;   /* must be there; of a repeated field: not empty */
    double min, max; /* of a number: its value, of a string: bytes, of a repeated field: count;
                        0, 0: no limits of its own */
};

extern const struct rule wire_rules[];
extern const size_t wire_n_rules;

/* What several fields of one message must fulfil together. */
struct relation {
    const ProtobufCMessageDescriptor *type;
    int (*check)(const ProtobufCMessage *m, struct err *e); /* E_PROTOCOL */
};

extern const struct relation wire_relations[];
extern const size_t wire_n_relations;

/* Checks a whole message of any type by the tables. E_PROTOCOL says where: "result: attempt: task:
 * is missing". */
int wire_check(const ProtobufCMessage *m, struct err *e);

#endif
