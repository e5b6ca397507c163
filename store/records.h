#ifndef STORE_RECORDS_H
#define STORE_RECORDS_H

#include "store/store.h"

/* An artifact as a sequence of messages of one type: 4-byte little-endian length, packed message.
 * The fact `records` counts them. */
struct records_writer;
int records_create(struct records_writer **out, struct store *s, ArtifactKind kind, struct err *e);
int records_add(struct records_writer *w, const ProtobufCMessage *m, struct err *e);
int records_fact(struct records_writer *w, const char *name, int64_t value, struct err *e);
/* Takes w, freed even on failure. */
int records_commit(struct records_writer *w, const char *name, Output **out, struct err *e);
void records_abort(struct records_writer *w);

struct records_reader;
int records_open(struct records_reader **out, struct store *s, const struct id *id,
    ArtifactKind kind, const ProtobufCMessageDescriptor *type, struct err *e);
/* Next record, freed by message_free; *out NULL with OK at the end. */
int records_next(struct records_reader *r, ProtobufCMessage **out, struct err *e);
uint64_t records_count(const struct records_reader *r);
void records_close(struct records_reader *r);

/* Takes a file or a folder (recursively, names in byte order, dot-files left out) into the store
 * as FILES; facts `files`, `bytes` and `split`. how: to be read so; NULL: by defaults. Links to
 * files are read, links to folders are not followed: *left (may be NULL) counts what is left out.
 * E_INPUT: it cannot be read, or a folder has no files. *out freed by message_free. */
struct files_left {
    uint64_t hidden, links, others; /* a hidden folder is one; others: pipes, sockets, … */
};
int files_take(Output **out, struct store *s, const char *path, const Reading *how,
    struct files_left *left, struct err *e);
/* "left out: 2 hidden files and folders, 1 link to a folder or to nothing"; false: there is nothing
 * to say. */
bool files_left_say(char *out, size_t size, const struct files_left *left);

/* The files of a FILES or REPORT artifact, part by part. */
struct files_reader;
int files_open(struct files_reader **out, struct store *s, const struct id *id, ArtifactKind kind,
    struct err *e);
void files_close(struct files_reader *r);
/* Goes to the next file, whatever is left of the one before. *path is borrowed until the next call;
 * NULL with OK: there is no further file. */
int files_next(struct files_reader *r, const char **path, struct err *e);
/* The file's next bytes, borrowed until the next call; n = 0 with OK: its end. */
int files_part(struct files_reader *r, struct span *out, struct err *e);
/* As files_take was told; borrowed. */
const Reading *files_reading(const struct files_reader *r);

/* Calls each(ctx, path, bytes) for every file of a FILES or REPORT artifact; stops at the first
 * error. The bytes are borrowed for the call. */
int files_each(struct store *s, const struct id *id, ArtifactKind kind,
    int (*each)(void *ctx, const char *path, struct span bytes, struct err *e), void *ctx,
    struct err *e);

/* Adds one file to a FILES/REPORT writer, in parts. */
int files_add(struct records_writer *w, const char *path, const void *p, size_t n, struct err *e);

#endif
