#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_int.h"

/* Chunks on their way into the store. The caller fills one batch while others are hashed and
 * committed by threads of their own: hashing takes longer than all the rest, so that several are
 * hashed at once; LMDB lets one commit at a time. */

struct batch {
    struct store *store;
    uint8_t *bytes;                     /* SINK_CHUNKS of CHUNK_SIZE */
    const uint8_t *chunks[SINK_CHUNKS]; /* each in its place in bytes, or lent */
    size_t lengths[SINK_CHUNKS];
    struct id ids[SINK_CHUNKS];
    uint64_t sums[SINK_CHUNKS];
    bool given[SINK_CHUNKS]; /* the id is what the bytes must have */
    size_t n;                /* chunks, of which the last may grow */
    pthread_t thread;
    bool running;
    int rc;
    struct err err;
};

struct sink {
    struct batch batches[SINK_BATCHES];
    size_t filling;
    struct buf ids; /* of all chunks of batches that are done, 32 bytes each */
    int rc;         /* the first failure; nothing is written after it */
    struct err err;
};

int sink_new(struct sink **out, struct store *s, struct err *e)
{
    struct sink *k = calloc(1, sizeof *k);

    if (!k)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < SINK_BATCHES; i++)
        k->batches[i].store = s;
    *out = k;
    return OK;
}

static int fail(struct sink *k, int rc, const struct err *e)
{
    if (k->rc == OK && rc != OK) {
        k->rc = rc;
        k->err = *e;
    }
    return k->rc;
}

/* ---- one batch ---- */

static int batch_hash(struct batch *b, struct err *e)
{
    struct span chunks[SINK_CHUNKS];
    struct id found[SINK_CHUNKS];

    for (size_t i = 0; i < b->n; i++)
        chunks[i] = (struct span){ b->chunks[i], b->lengths[i] };
    sha256_each(found, chunks, b->n);
    for (size_t i = 0; i < b->n; i++) {
        if (b->given[i] && !id_equal(&found[i], &b->ids[i]))
            return err_set(e, E_CORRUPT, "bytes came that have another hash than was asked for");
        b->ids[i] = found[i];
        b->sums[i] = sum64(chunks[i].p, chunks[i].n);
    }
    return OK;
}

static int batch_put(const struct batch *b, MDB_txn *t, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; rc == OK && i < b->n; i++)
        rc = store_add_chunk(
            b->store, t, &b->ids[i], (struct span){ b->chunks[i], b->lengths[i] }, b->sums[i], e);
    return rc;
}

static void *batch_run(void *arg)
{
    struct batch *b = arg;
    struct env *env = &b->store->env;
    MDB_txn *t = NULL;

    b->rc = batch_hash(b, &b->err);
    if (b->rc == OK && b->n > 0)
        b->rc = env_begin(&t, env, true, &b->err);
    if (b->rc != OK || b->n == 0)
        return NULL;
    b->rc = batch_put(b, t, &b->err);
    if (b->rc == OK)
        b->rc = env_commit(env, t, &b->err);
    else
        env_abort(env, t);
    return NULL;
}

/* Signals are the program's business: the thread takes none. */
static void batch_start(struct batch *b)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    b->running = pthread_create(&b->thread, NULL, batch_run, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!b->running)
        batch_run(b);
}

/* Empty afterwards; its chunks are durable, or the sink has failed. */
static void batch_join(struct sink *k, struct batch *b)
{
    struct err e = ERR_INIT;

    if (b->running)
        pthread_join(b->thread, NULL);
    b->running = false;
    if (b->rc != OK)
        fail(k, b->rc, &b->err);
    else if (buf_add(&k->ids, b->ids, b->n * sizeof *b->ids) != OK)
        fail(k, err_set(&e, E_NOMEM, "out of memory"), &e);
    b->n = 0;
}

/* ---- filling ---- */

/* The next batch is empty. */
static void turn(struct sink *k)
{
    batch_start(&k->batches[k->filling]);
    k->filling = (k->filling + 1) % SINK_BATCHES;
    batch_join(k, &k->batches[k->filling]);
}

/* A batch with room for another chunk; NULL: the sink has failed. */
static struct batch *room(struct sink *k)
{
    struct batch *b = &k->batches[k->filling];
    struct err e = ERR_INIT;

    if (b->n == SINK_CHUNKS) {
        turn(k);
        b = &k->batches[k->filling];
    }
    if (!b->bytes && !(b->bytes = malloc(SINK_CHUNKS * (size_t)CHUNK_SIZE)))
        fail(k, err_set(&e, E_NOMEM, "no memory for %d chunks", SINK_CHUNKS), &e);
    return k->rc == OK ? b : NULL;
}

/* A new chunk: the n bytes at p as they lie there, or NULL: an empty one of the batch's own. */
static size_t chunk_begin(struct batch *b, const uint8_t *p, size_t n)
{
    b->chunks[b->n] = p ? p : b->bytes + b->n * CHUNK_SIZE;
    b->lengths[b->n] = n;
    b->given[b->n] = false;
    return b->n++;
}

static void chunk_add(struct batch *b, size_t i, const uint8_t *p, size_t n)
{
    memcpy(b->bytes + i * CHUNK_SIZE + b->lengths[i], p, n);
    b->lengths[i] += n;
}

/* Continues the last chunk, or begins one; returns how many bytes it took. */
static size_t take(struct batch *b, const uint8_t *p, size_t n, bool lent)
{
    bool fresh = b->n == 0 || b->lengths[b->n - 1] == CHUNK_SIZE;
    size_t i, left;

    if (fresh && lent && n >= CHUNK_SIZE) {
        chunk_begin(b, p, CHUNK_SIZE);
        return CHUNK_SIZE;
    }
    i = fresh ? chunk_begin(b, NULL, 0) : b->n - 1;
    left = CHUNK_SIZE - b->lengths[i];
    if (n > left)
        n = left;
    chunk_add(b, i, p, n);
    return n;
}

/* The batch that the stream goes on in. */
static struct batch *stream_room(struct sink *k)
{
    struct batch *b = &k->batches[k->filling];

    return k->rc == OK && b->n > 0 && b->lengths[b->n - 1] < CHUNK_SIZE ? b : room(k);
}

static int stream(struct sink *k, const uint8_t *p, size_t n, bool lent, struct err *e)
{
    struct batch *b;

    while (n > 0 && (b = stream_room(k))) {
        size_t took = take(b, p, n, lent);
        p += took;
        n -= took;
    }
    if (k->rc != OK)
        *e = k->err;
    return k->rc;
}

int sink_write(struct sink *k, const void *p, size_t n, struct err *e)
{
    return stream(k, p, n, false, e);
}

int sink_lend(struct sink *k, const void *p, size_t n, struct err *e)
{
    return stream(k, p, n, true, e);
}

int sink_chunk(struct sink *k, const void *p, size_t n, const struct id *id, struct err *e)
{
    struct batch *b = n > 0 && n <= CHUNK_SIZE ? room(k) : NULL;
    size_t i;

    if (!b) {
        if (k->rc == OK)
            return err_set(e, E_INPUT, "a chunk of %zu bytes", n);
        *e = k->err;
        return k->rc;
    }
    i = chunk_begin(b, NULL, 0);
    chunk_add(b, i, p, n);
    b->ids[i] = *id;
    b->given[i] = true;
    return OK;
}

/* Waits for all batches but the one that is filled, the oldest first. */
static void settle(struct sink *k)
{
    for (size_t i = 1; i < SINK_BATCHES; i++)
        batch_join(k, &k->batches[(k->filling + i) % SINK_BATCHES]);
}

int sink_flush(struct sink *k, struct err *e)
{
    settle(k);
    if (k->rc == OK) {
        batch_run(&k->batches[k->filling]);
        batch_join(k, &k->batches[k->filling]);
    }
    if (k->rc != OK)
        *e = k->err;
    return k->rc;
}

int sink_hash(struct sink *k, struct err *e)
{
    struct batch *b = &k->batches[k->filling];

    settle(k);
    if (k->rc == OK)
        fail(k, batch_hash(b, &k->err), &k->err);
    if (k->rc == OK && buf_add(&k->ids, b->ids, b->n * sizeof *b->ids) != OK)
        fail(k, err_set(&k->err, E_NOMEM, "out of memory"), &k->err);
    if (k->rc != OK)
        *e = k->err;
    return k->rc;
}

int sink_put_last(struct sink *k, MDB_txn *t, struct err *e)
{
    return batch_put(&k->batches[k->filling], t, e);
}

struct span sink_ids(const struct sink *k)
{
    return (struct span){ k->ids.p, k->ids.n };
}

void sink_free(struct sink *k)
{
    if (!k)
        return;
    settle(k);
    for (size_t i = 0; i < SINK_BATCHES; i++)
        free(k->batches[i].bytes);
    buf_free(&k->ids);
    free(k);
}
