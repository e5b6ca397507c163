#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include "proto/message.h"

/* Bytes ⇄ checked envelopes: the one edge where messages are validated. Past it a bad value is
 * our own bug and is asserted. */
#define PROTOCOL_VERSION 1
#define FRAME_MAX (1u << 20) /* bytes of a control frame */

/* Decodes and checks one frame: version, kind, ids of 32 bytes, counts, text lengths and UTF-8,
 * numbers in range, required parts. *out is freed by message_free. E_PROTOCOL otherwise. */
int wire_decode(Envelope **out, const void *p, size_t n, struct err *e);

/* Appends the packed envelope; E_PROTOCOL when it would exceed FRAME_MAX. Sets the version. */
int wire_encode(struct buf *out, Envelope *m, struct err *e);

/* A stream file descriptor (worker ⇄ executor): 4-byte little-endian length, then the frame.
 * Blocking. wire_read: *out NULL with OK at a clean end of the stream. */
int wire_read(Envelope **out, int fd, struct err *e);
int wire_write(int fd, Envelope *m, struct err *e);

#endif
