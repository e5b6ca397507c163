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
    uint8_t *bytes; /* SINK_CHUNKS of CHUNK_SIZE */
    size_t lengths[SINK_CHUNKS];
    struct id ids[SINK_CHUNKS];
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
    for (size_t i = 0; i < b->n; i++) {
        struct id found;
        sha256(&found, b->bytes + i * CHUNK_SIZE, b->lengths[i]);
        if (b->given[i] && !id_equal(&found, &b->ids[i]))
            return err_set(e, E_CORRUPT, "bytes came that have another hash than was asked for");
        b->ids[i] = found;
    }
    return OK;
}

static int batch_put(const struct batch *b, MDB_txn *t, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; rc == OK && i < b->n; i++)
        rc = store_add_chunk(b->store, t, &b->ids[i], b->bytes + i * CHUNK_SIZE, b->lengths[i], e);
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

/* The chunk that is filled: a new one when the last is whole. NULL: the sink has failed. */
static uint8_t *room(struct sink *k, bool fresh, size_t **length)
{
    struct batch *b = &k->batches[k->filling];
    struct err e = ERR_INIT;

    fresh = fresh || b->n == 0 || b->lengths[b->n - 1] == CHUNK_SIZE;
    if (fresh && b->n == SINK_CHUNKS) {
        turn(k);
        b = &k->batches[k->filling];
    }
    if (!b->bytes && !(b->bytes = malloc(SINK_CHUNKS * (size_t)CHUNK_SIZE)))
        fail(k, err_set(&e, E_NOMEM, "no memory for %d chunks", SINK_CHUNKS), &e);
    if (k->rc != OK)
        return NULL;
    if (fresh) {
        b->given[b->n] = false;
        b->lengths[b->n++] = 0;
    }
    *length = &b->lengths[b->n - 1];
    return b->bytes + (b->n - 1) * CHUNK_SIZE;
}

int sink_write(struct sink *k, const void *p, size_t n, struct err *e)
{
    const uint8_t *from = p;
    size_t *length;
    uint8_t *to;

    while (n > 0 && (to = room(k, false, &length))) {
        size_t left = CHUNK_SIZE - *length, take = n < left ? n : left;
        memcpy(to + *length, from, take);
        *length += take;
        from += take;
        n -= take;
    }
    if (k->rc != OK)
        *e = k->err;
    return k->rc;
}

int sink_chunk(struct sink *k, const void *p, size_t n, const struct id *id, struct err *e)
{
    size_t *length;
    uint8_t *to = n > 0 && n <= CHUNK_SIZE ? room(k, true, &length) : NULL;
    struct batch *b = &k->batches[k->filling];

    if (!to) {
        if (k->rc == OK)
            return err_set(e, E_INPUT, "a chunk of %zu bytes", n);
        *e = k->err;
        return k->rc;
    }
    memcpy(to, p, n);
    *length = n;
    b->ids[b->n - 1] = *id;
    b->given[b->n - 1] = true;
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
