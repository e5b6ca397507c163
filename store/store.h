#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "proto/bytes.h"
#include "proto/message.h"

/* The store: chunks and artifacts in one LMDB environment, named by their SHA-256.
 *
 * INVARIANTS
 * (1) An artifact exists when its manifest does; the manifest is committed after its chunks.
 * (2) Nothing that was committed is ever changed.
 * (3) No read transaction outlives the call that opened it.
 *
 * Several processes may have it open, each once; one writes at a time (LMDB's lock). */
struct store;

#define CHUNK_SIZE ((1u << 20) - 16u) /* bytes; with the page header it fills its pages */

/* Opens (and makes, when `create`) HOME/store. Refuses network file systems and an environment
 * of another schema. Clears stale readers. */
int store_open(struct store **out, const char *home, bool create, struct err *e);
void store_close(struct store *s);

/* The store's own random id, made with it: equal ids mean the same environment. */
void store_uuid(const struct store *s, struct id *out);

bool store_has(struct store *s, const struct id *artifact);
/* *out is freed by message_free. E_MISSING, E_CORRUPT. */
int store_manifest(Manifest **out, struct store *s, const struct id *artifact, struct err *e);

/* ---- writing: streamed; the artifact exists after commit and not before ---- */
struct artifact_writer;
/* Memory that writing an artifact of so many bytes takes, at most. */
size_t artifact_writer_bytes(uint64_t size);
int artifact_create(
    struct artifact_writer **out, struct store *s, ArtifactKind kind, struct err *e);
int artifact_write(struct artifact_writer *w, const void *p, size_t n, struct err *e); /* copies */
/* The same, but p is borrowed until commit or abort. */
int artifact_lend(struct artifact_writer *w, const void *p, size_t n, struct err *e);
int artifact_fact(struct artifact_writer *w, const char *name, int64_t value, struct err *e);
/* Takes w, freed even on failure. `out` gets name, id, kind and facts (malloc'ed; freed by
 * message_free). */
int artifact_commit(struct artifact_writer *w, const char *name, Output **out, struct err *e);
void artifact_abort(struct artifact_writer *w); /* NULL is fine */

/* ---- reading ---- */
struct artifact_reader;
int artifact_open(struct artifact_reader **out, struct store *s, const struct id *id,
    ArtifactKind kind, struct err *e); /* E_INPUT when it is of another kind; 0: any */
void artifact_close(struct artifact_reader *r);
const Manifest *artifact_manifest(const struct artifact_reader *r);
/* Copies n bytes from offset, checking the hash of each chunk when it is first touched.
 * E_CORRUPT names the chunk. */
int artifact_read(struct artifact_reader *r, uint64_t offset, void *p, size_t n, struct err *e);

/* ---- raw chunks and manifests, for transfer between stores ---- */
int store_chunk_get(struct store *s, const struct id *id, struct buf *out, struct err *e);
int store_chunk_put(struct store *s, const void *p, size_t n, struct id *out, struct err *e);
int store_manifest_put(struct store *s, const Manifest *m, struct id *out, struct err *e);

/* Re-hashes everything; calls bad() for each artifact or chunk that is not what its name says. */
int store_verify(
    struct store *s, void (*bad)(void *ctx, const char *what), void *ctx, struct err *e);

/* store_verify, and then takes away what is damaged: a chunk, and every artifact that has it. Calls
 * gone() for each of those, when that is durable. Their other chunks stay until store_collect: when
 * such an artifact is fetched, imported or computed again, only what was damaged is written. */
int store_heal(struct store *s, void (*bad)(void *ctx, const char *what),
    void (*gone)(void *ctx, const struct id *artifact), void *ctx, struct err *e);
/* The same for chunks that somebody has found damaged. */
int store_mend(struct store *s, const struct id *chunks, size_t n,
    void (*gone)(void *ctx, const struct id *artifact), void *ctx, struct err *e);

/* ---- taking away ----
 *
 * A manifest goes first, its chunks after it: a crash leaves chunks that no artifact has, and
 * store_collect takes those. A writer that found such a chunk there and counted on it gets
 * E_MISSING when it commits its artifact, and writes it again. */
struct swept {
    uint64_t artifacts, chunks, bytes; /* bytes: of the chunks */
};

/* Takes these artifacts away (one that is not there is passed over) and the chunks that only they
 * had. Adds to *out. */
int store_drop(struct store *s, const struct id *ids, size_t n, struct swept *out, struct err *e);

/* Takes away every artifact that keep() does not want, and every chunk that no artifact has; dry:
 * only counts them. For a store that nobody writes to meanwhile. Adds to *out. */
int store_collect(struct store *s, bool (*keep)(void *ctx, const struct id *artifact), void *ctx,
    bool dry, struct swept *out, struct err *e);

/* Calls each() for every artifact, in the order of their ids; stops at the first error. */
int store_each(struct store *s,
    int (*each)(void *ctx, const struct id *id, const Manifest *m, struct err *e), void *ctx,
    struct err *e);

/* Bytes on the disk: the environment's file, and how many of them are free to be used again. */
int store_size(struct store *s, uint64_t *file, uint64_t *free_bytes, struct err *e);

#endif
