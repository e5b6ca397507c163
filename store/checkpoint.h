#ifndef STORE_CHECKPOINT_H
#define STORE_CHECKPOINT_H

#include "store/store.h"

/* An artifact as named float32 tensors: 8-byte little-endian length of the header, the packed
 * CheckpointHeader, zeros up to a multiple of 64, then the tensors, each at a multiple of 64.
 * Facts: `step`, `total` (counters, when given), `parameters`. */
struct checkpoint_writer;

/* Copies header; its `tensors` give names and shapes in the order in which they will be put
 * (offset and size are filled in here). kind: CHECKPOINT or TRAINING_STATE. */
int checkpoint_create(struct checkpoint_writer **out, struct store *s, ArtifactKind kind,
    const CheckpointHeader *header, struct err *e);
/* The next tensor's floats; borrowed until commit or abort. */
int checkpoint_put(struct checkpoint_writer *w, const float *p, size_t n, struct err *e);
/* Takes w, freed even on failure. */
int checkpoint_commit(struct checkpoint_writer *w, const char *name, Output **out, struct err *e);
void checkpoint_abort(struct checkpoint_writer *w);

struct checkpoint_reader;
int checkpoint_open(struct checkpoint_reader **out, struct store *s, const struct id *id,
    struct err *e); /* either kind */
const CheckpointHeader *checkpoint_header(const struct checkpoint_reader *r);
/* Reads a whole tensor; n floats must be its size. E_MISSING, E_CORRUPT. */
int checkpoint_get(
    struct checkpoint_reader *r, const char *tensor, float *p, size_t n, struct err *e);
void checkpoint_close(struct checkpoint_reader *r);

#endif
