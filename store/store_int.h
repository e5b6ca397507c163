#ifndef STORE_STORE_INT_H
#define STORE_STORE_INT_H

#include <pthread.h>
#include <sys/types.h>

#include <lmdb.h>

#include "store/schema.h"
#include "store/store.h"

/* ---- environment: one LMDB environment in a folder of the home ---- */

struct env {
    MDB_env *mdb;
    char *path;
    struct id uuid;
    bool patient;             /* a thread holds one transaction at most: see env_begin */
    pthread_rwlock_t gate;    /* read: a transaction is open; write: the map is being moved */
    MDB_txn *_Atomic writing; /* the transaction of this process that writes */
    MDB_txn *_Atomic idle;    /* one that read, reset: holds no snapshot, spares an allocation */
    dev_t dev;
    ino_t ino;
    pid_t pid;
    struct env *next; /* open in this process */
};

struct env_spec {
    const char *folder;
    uint32_t schema;
    size_t map_size;
    bool patient;
    const char *const *databases;
    size_t n_databases;
};

enum env_mode { ENV_READ, ENV_WRITE, ENV_CREATE };

/* Opens HOME/folder and its databases, dbi[i] for databases[i]. Where the address space is limited
 * the map is made smaller. E_MISSING, E_BUSY: this process has it open already, E_INPUT: network
 * file system or another schema. v is borrowed until env_close. */
int env_open(struct env *v, MDB_dbi *dbi, const struct env_spec *spec, const char *home,
    enum env_mode mode, struct err *e);
void env_close(struct env *v); /* only of one that was opened */

/* Ends with env_commit or env_abort, in the same thread. When another process has grown the file
 * beyond our map, the map is moved; for that a patient environment waits until no transaction is
 * open, an impatient one gives E_BUSY when one is. */
int env_begin(MDB_txn **out, struct env *v, bool write, struct err *e);
int env_commit(struct env *v, MDB_txn *t, struct err *e); /* durable when it returns OK; takes t */
void env_abort(struct env *v, MDB_txn *t);                /* NULL is fine */

/* Says what LMDB's return code means for this environment; returns our code for it. */
int env_error(const struct env *v, int rc, struct err *e);

/* OK when the file of an environment that was just opened, and has no transaction yet, is whole;
 * E_CORRUPT: it was cut off. */
int extent_check(struct env *v, struct err *e);

/* OK when the folder is on a file system where LMDB's locks and maps work; else E_INPUT. */
int filesystem_check(const char *path, struct err *e);
/* Its two decisions: by statfs's f_type, and for FUSE by the type in /proc/self/mountinfo. */
const char *filesystem_refused(long type); /* name, or NULL */
bool filesystem_fuse_local(const char *mount_type);

/* ---- store ---- */

enum { STORE_CHUNK, STORE_MANIFEST, STORE_SUM, STORE_DATABASES };

struct store {
    struct env env;
    MDB_dbi dbi[STORE_DATABASES];
};

/* store_open with another size of map. */
int store_open_sized(
    struct store **out, const char *home, bool create, size_t map_size, struct err *e);

/* Bytes of a chunk or manifest, borrowed until t ends. E_MISSING. */
int store_find(struct span *out, struct store *s, MDB_txn *t, int database, const struct id *id,
    struct err *e);
/* E_CORRUPT names what has another hash than its name says. */
int store_check_hash(struct span value, int database, const struct id *id, struct err *e);
/* OK when the value, whose sum that is, is what was written: by the sum, which is quick; where
 * that differs or is not there, by its hash. */
int store_check_sum(struct span value, uint64_t sum, struct store *s, MDB_txn *t,
    const struct id *id, struct err *e);
/* Writes the chunk, and its sum64, unless they are there. id is its hash. */
int store_add_chunk(struct store *s, MDB_txn *t, const struct id *id, struct span chunk,
    uint64_t sum, struct err *e);
/* Checks m, checks that its chunks are there, and writes it unless it is there. */
int store_add_manifest(
    struct store *s, MDB_txn *t, const Manifest *m, struct id *out, struct err *e);

/* ---- sum: of a chunk's bytes, quick to make ---- */

uint64_t sum64(const void *p, size_t n);
uint64_t sum64_copy(void *to, const void *p, size_t n); /* copies as well, in the same pass */

/* ---- sink: many chunks, hashed and committed by threads of their own ----
 *
 * Used by one thread. After a failure it takes nothing more. */

#define SINK_CHUNKS 4 /* in one transaction */
#define SINK_BATCHES 4

struct sink;
int sink_new(struct sink **out, struct store *s, struct err *e); /* borrows s */
/* A stream, cut into whole chunks. Copies. */
int sink_write(struct sink *k, const void *p, size_t n, struct err *e);
/* The same stream, but what makes whole chunks is borrowed until the sink is flushed or freed, or
 * its last chunks are put. */
int sink_lend(struct sink *k, const void *p, size_t n, struct err *e);
/* One chunk, which must have that hash (E_CORRUPT, perhaps only at a later call). Copies. */
int sink_chunk(struct sink *k, const void *p, size_t n, const struct id *id, struct err *e);
/* All that was given is durable. */
int sink_flush(struct sink *k, struct err *e);
/* Names the last chunks without writing them: sink_put_last does that in a transaction of the
 * caller's. Nothing may be given afterwards. */
int sink_hash(struct sink *k, struct err *e);
int sink_put_last(struct sink *k, MDB_txn *t, struct err *e);
struct span sink_ids(const struct sink *k); /* of all chunks in order, 32 bytes each; borrowed */
void sink_free(struct sink *k);             /* waits; NULL is fine */

/* ---- manifest: bytes from outside, checked ---- */

int manifest_parse(Manifest **out, const void *p, size_t n, struct err *e); /* E_CORRUPT */
int manifest_check(const Manifest *m, struct err *e);                       /* E_CORRUPT */
size_t manifest_chunk_size(const Manifest *m, size_t i); /* bytes, of a checked m */

/* ---- checkpoint: the packed header, checked against the bytes of tensor data behind it ---- */

int checkpoint_header_parse(CheckpointHeader **out, const void *p, size_t n, uint64_t data_size,
    struct err *e); /* E_CORRUPT */

#endif
