#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_int.h"

/* Chunks on their way into the store, in batches of a ring: the caller fills one while a thread
 * hashes those before it and another commits those that are hashed, in their order.
 *
 *          filled       hashed       stored
 *   filling ───▶ full ───▶ known ───▶ durable = empty
 *
 * INVARIANTS
 * (1) stored ≤ hashed ≤ filled < stored + SINK_BATCHES, each of them only grows; batch i lies at
 *     i % SINK_BATCHES and belongs to the caller (i = filled), the hasher (i = hashed < filled) or
 *     the committer (i = stored < hashed) alone.
 * (2) After the first failure nothing is hashed or committed: batches only pass. */

struct batch {
    uint8_t *bytes;                     /* SINK_CHUNKS of CHUNK_SIZE */
    const uint8_t *chunks[SINK_CHUNKS]; /* each in its place in bytes, or lent */
    size_t lengths[SINK_CHUNKS];
    struct id ids[SINK_CHUNKS];
    uint64_t sums[SINK_CHUNKS];
    bool given[SINK_CHUNKS]; /* the id is what the bytes must have */
    size_t n;                /* chunks, of which the last may grow */
};

struct sink {
    struct store *store;
    struct batch batches[SINK_BATCHES];
    struct buf ids; /* of all chunks that are stored, 32 bytes each */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t moved;
    size_t filled, hashed, stored; /* batches */
    bool over;
    int rc; /* the first failure */
    struct err err;

    pthread_t hasher, committer;
    bool started;
};

int sink_new(struct sink **out, struct store *s, struct err *e)
{
    struct sink *k = calloc(1, sizeof *k);

    if (!k)
        return err_set(e, E_NOMEM, "out of memory");
    k->store = s;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->moved, NULL);
    *out = k;
    return OK;
}

/* Under the lock. */
static void fail(struct sink *k, int rc, const struct err *e)
{
    if (k->rc == OK && rc != OK) {
        k->rc = rc;
        k->err = *e;
    }
}

static int failure(struct sink *k, struct err *e)
{
    pthread_mutex_lock(&k->lock);
    int rc = k->rc;
    if (rc != OK)
        *e = k->err;
    pthread_mutex_unlock(&k->lock);
    return rc;
}

/* ---- one batch ---- */

static int batch_hash(struct sink *unused, struct batch *b, struct err *e)
{
    struct span chunks[SINK_CHUNKS];
    struct id found[SINK_CHUNKS];

    (void)unused;
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

static int batch_put(const struct batch *b, struct store *s, MDB_txn *t, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; rc == OK && i < b->n; i++)
        rc = store_add_chunk(
            s, t, &b->ids[i], (struct span){ b->chunks[i], b->lengths[i] }, b->sums[i], e);
    return rc;
}

static int ids_add(struct sink *k, struct batch *b, struct err *e)
{
    if (buf_add(&k->ids, b->ids, b->n * sizeof *b->ids) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    return OK;
}

static int batch_commit(struct sink *k, struct batch *b, struct err *e)
{
    struct env *env = &k->store->env;
    MDB_txn *t = NULL;
    int rc = b->n > 0 ? env_begin(&t, env, true, e) : OK;

    if (rc != OK || b->n == 0)
        return rc;
    rc = batch_put(b, k->store, t, e);
    if (rc == OK)
        rc = env_commit(env, t, e);
    else
        env_abort(env, t);
    return rc == OK ? ids_add(k, b, e) : rc;
}

/* ---- the two threads ---- */

typedef int step(struct sink *k, struct batch *b, struct err *e);

/* Takes each batch that `before` has counted, and counts it in `done`. */
static void stage(struct sink *k, const size_t *before, size_t *done, step *run)
{
    pthread_mutex_lock(&k->lock);
    for (;;) {
        while (*done == *before && !k->over)
            pthread_cond_wait(&k->moved, &k->lock);
        if (*done == *before)
            break;
        if (k->rc == OK) {
            struct err e = ERR_INIT;
            struct batch *b = &k->batches[*done % SINK_BATCHES];
            pthread_mutex_unlock(&k->lock);
            int rc = run(k, b, &e);
            pthread_mutex_lock(&k->lock);
            fail(k, rc, &e);
        }
        ++*done;
        pthread_cond_broadcast(&k->moved);
    }
    pthread_mutex_unlock(&k->lock);
}

static void *hasher(void *sink)
{
    struct sink *k = sink;

    stage(k, &k->filled, &k->hashed, batch_hash);
    return NULL;
}

static void *committer(void *sink)
{
    struct sink *k = sink;

    stage(k, &k->hashed, &k->stored, batch_commit);
    return NULL;
}

static void end(struct sink *k)
{
    pthread_mutex_lock(&k->lock);
    k->over = true;
    pthread_cond_broadcast(&k->moved);
    pthread_mutex_unlock(&k->lock);
}

/* Signals are the program's business: the threads take none. */
static bool start(struct sink *k)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    k->started = pthread_create(&k->hasher, NULL, hasher, k) == 0;
    if (k->started && pthread_create(&k->committer, NULL, committer, k) != 0) {
        end(k);
        pthread_join(k->hasher, NULL);
        k->over = k->started = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return k->started;
}

/* ---- filling ---- */

static struct batch *filling(struct sink *k)
{
    return &k->batches[k->filled % SINK_BATCHES];
}

/* Waits until at most n full batches are not stored. */
static void wait_for(struct sink *k, size_t n)
{
    pthread_mutex_lock(&k->lock);
    while (k->filled - k->stored > n)
        pthread_cond_wait(&k->moved, &k->lock);
    pthread_mutex_unlock(&k->lock);
}

/* On the caller's own thread; every batch before it is stored. */
static void here(struct sink *k, step *run)
{
    struct err e = ERR_INIT;

    if (k->rc == OK)
        fail(k, run(k, filling(k), &e), &e);
}

/* The batch that is filled goes on its way, and the next one is empty. */
static void turn(struct sink *k)
{
    if (k->started || start(k)) {
        pthread_mutex_lock(&k->lock);
        k->filled++;
        pthread_cond_broadcast(&k->moved);
        pthread_mutex_unlock(&k->lock);
        wait_for(k, SINK_BATCHES - 1);
    } else {
        here(k, batch_hash);
        here(k, batch_commit);
    }
    filling(k)->n = 0;
}

/* A batch with room for another chunk; NULL: the sink has failed. */
static struct batch *room(struct sink *k, struct err *e)
{
    if (filling(k)->n == SINK_CHUNKS)
        turn(k);
    return failure(k, e) == OK ? filling(k) : NULL;
}

/* A new chunk: the n bytes at p as they lie there, or NULL: an empty one of the batch's own. */
static int chunk_begin(size_t *i, struct batch *b, const uint8_t *p, size_t n, struct err *e)
{
    if (!p && !b->bytes && !(b->bytes = malloc(SINK_CHUNKS * (size_t)CHUNK_SIZE)))
        return err_set(e, E_NOMEM, "no memory for %d chunks", SINK_CHUNKS);
    *i = b->n++;
    b->chunks[*i] = p ? p : b->bytes + *i * CHUNK_SIZE;
    b->lengths[*i] = n;
    b->given[*i] = false;
    return OK;
}

static void chunk_add(struct batch *b, size_t i, const uint8_t *p, size_t n)
{
    memcpy(b->bytes + i * CHUNK_SIZE + b->lengths[i], p, n);
    b->lengths[i] += n;
}

static bool grows(const struct batch *b)
{
    return b->n > 0 && b->lengths[b->n - 1] < CHUNK_SIZE;
}

/* Continues the last chunk, or begins one. *took: how many bytes it took. */
static int take(size_t *took, struct sink *k, const uint8_t *p, size_t n, bool lent, struct err *e)
{
    struct batch *b = filling(k);
    size_t i = b->n - 1;
    int rc = OK;

    if (!grows(b)) {
        b = room(k, e);
        lent = lent && n >= CHUNK_SIZE;
        *took = CHUNK_SIZE;
        rc = b ? chunk_begin(&i, b, lent ? p : NULL, lent ? CHUNK_SIZE : 0, e) : e->code;
        if (rc != OK || lent)
            return rc;
    }
    *took = CHUNK_SIZE - b->lengths[i];
    if (n < *took)
        *took = n;
    chunk_add(b, i, p, *took);
    return OK;
}

static int stream(struct sink *k, const uint8_t *p, size_t n, bool lent, struct err *e)
{
    int rc = failure(k, e);

    while (n > 0 && rc == OK) {
        size_t took;
        rc = take(&took, k, p, n, lent, e);
        if (rc == OK) {
            p += took;
            n -= took;
        }
    }
    return rc;
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
    size_t i;

    if (n == 0 || n > CHUNK_SIZE)
        return err_set(e, E_INPUT, "a chunk of %zu bytes", n);
    struct batch *b = room(k, e);
    int rc = b ? chunk_begin(&i, b, NULL, 0, e) : e->code;
    if (rc != OK)
        return rc;
    chunk_add(b, i, p, n);
    b->ids[i] = *id;
    b->given[i] = true;
    return OK;
}

int sink_flush(struct sink *k, struct err *e)
{
    wait_for(k, 0);
    here(k, batch_hash);
    here(k, batch_commit);
    filling(k)->n = 0;
    return failure(k, e);
}

int sink_hash(struct sink *k, struct err *e)
{
    wait_for(k, 0);
    here(k, batch_hash);
    here(k, ids_add);
    return failure(k, e);
}

int sink_put_last(struct sink *k, MDB_txn *t, struct err *e)
{
    return batch_put(filling(k), k->store, t, e);
}

struct span sink_ids(const struct sink *k)
{
    return (struct span){ k->ids.p, k->ids.n };
}

void sink_free(struct sink *k)
{
    if (!k)
        return;
    if (k->started) {
        end(k);
        pthread_join(k->hasher, NULL);
        pthread_join(k->committer, NULL);
    }
    for (size_t i = 0; i < SINK_BATCHES; i++)
        free(k->batches[i].bytes);
    pthread_cond_destroy(&k->moved);
    pthread_mutex_destroy(&k->lock);
    buf_free(&k->ids);
    free(k);
}
