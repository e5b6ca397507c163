#ifndef STORE_PARCEL_H
#define STORE_PARCEL_H

#include <stdio.h>

#include "store/store.h"

/* Artifacts in one file, from one store to another.
 *
 *   "jielong parcel 1\n"
 *   4 bytes little-endian: length; an Envelope with a Parcel; 32 bytes: its SHA-256
 *   for each of the Parcel's items:
 *     4 bytes little-endian: length; the Manifest, which hashes to the item's id
 *     its chunks in order: sizes and hashes stand in the manifest
 *
 * INVARIANTS
 * (1) Every byte is covered by a hash or is fixed: a file that is cut or changed is refused.
 * (2) Both sides stream: memory is that of a few chunks and of the manifests.
 * (3) The manifests go into the store last, in one transaction: all of it is there, or nothing. */

#define PARCEL_MAGIC "jielong parcel 1\n"

/* E_MISSING: an item is not in the store; E_CORRUPT: it is damaged there; E_IO. */
int parcel_write(FILE *f, struct store *s, Parcel *p, struct err *e);

/* *out: what the file holds, checked as a message from the wire is; freed by message_free. What is
 * in the store already stays as it is. s NULL: the file is only checked. E_INPUT says at which byte
 * the file is wrong; nothing is visible then, and gc takes the chunks that came before. */
int parcel_read(Parcel **out, FILE *f, struct store *s, struct err *e);

#endif
