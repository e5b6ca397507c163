#ifndef PIPELINES_RANGES_H
#define PIPELINES_RANGES_H

#include "pipelines/mistakes.h"
#include "proto/message.h"

/* Which numbers make sense. */

enum { CLOSED = 0, OPEN_MIN = 1, OPEN_MAX = 2 };

struct range {
    const ProtobufCMessageDescriptor *type; /* NULL: every message with a field of this name */
    const char *field;
    double min, max;
    unsigned ends;   /* an open end is not in the range */
    const char *why; /* or NULL */
};

/* NULL: any value. */
const struct range *range_of(const ProtobufCMessageDescriptor *type, const char *field);
bool range_holds(const struct range *r, double value); /* false for NaN */

/* Checks every number of m and of the messages in it. `at` is m's own place. */
void ranges_check(struct mistakes *out, struct site at, const ProtobufCMessage *m);

/* A whole rubric: its numbers, and that its rules say something. */
void rubric_check(struct mistakes *out, struct site at, const Rubric *r);

#endif
