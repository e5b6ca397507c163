#include <stdlib.h>
#include <string.h>

#include "store/store_int.h"
#include "store/transfer.h"

#define DEPOSIT_CHUNKS 8 /* that share a transaction */

struct given {
    struct peer from;
    struct id id;
    size_t n;
};

struct deposit {
    struct store *store;
    uint8_t *bytes; /* DEPOSIT_CHUNKS of CHUNK_SIZE */
    struct given items[DEPOSIT_CHUNKS];
    size_t n;
};

int deposit_new(struct deposit **out, struct store *s, struct err *e)
{
    struct deposit *in = calloc(1, sizeof *in);

    if (!in || !(in->bytes = malloc(DEPOSIT_CHUNKS * (size_t)CHUNK_SIZE))) {
        free(in);
        return err_set(e, E_NOMEM, "out of memory");
    }
    in->store = s;
    *out = in;
    return OK;
}

void deposit_free(struct deposit *in)
{
    if (in)
        free(in->bytes);
    free(in);
}

/* why: NULL when the chunk is durable. */
static int reply(struct socket *socket, const struct given *g, const char *why, struct err *e)
{
    Envelope m = ENVELOPE__INIT;
    ChunkStored r = CHUNK_STORED__INIT;

    r.has_id = r.has_of = true;
    r.id = (ProtobufCBinaryData){ sizeof g->id.b, (uint8_t *)(uintptr_t)g->id.b };
    r.of = CHUNK_OF__DATA;
    r.error = (char *)(uintptr_t)why;
    m.kind_case = ENVELOPE__KIND_CHUNK_STORED;
    m.chunk_stored = &r;
    return socket_send(socket, &g->from, &m, e);
}

static int commit(struct deposit *in, struct err *e)
{
    struct env *env = &in->store->env;
    MDB_txn *t = NULL;
    int rc = env_begin(&t, env, true, e);

    if (rc != OK)
        return rc;
    for (size_t i = 0; i < in->n && rc == OK; i++) {
        struct span chunk = { in->bytes + i * CHUNK_SIZE, in->items[i].n };
        rc = store_add_chunk(in->store, t, &in->items[i].id, chunk, sum64(chunk.p, chunk.n), e);
    }
    if (rc == OK)
        return env_commit(env, t, e);
    env_abort(env, t);
    return rc;
}

int deposit_settle(struct deposit *in, struct socket *socket, struct err *e)
{
    struct err why = ERR_INIT, gone = ERR_INIT;
    int stored = in->n > 0 ? commit(in, &why) : OK, rc = OK;

    for (size_t i = 0; i < in->n && rc == OK; i++) {
        rc = reply(socket, &in->items[i], stored == OK ? NULL : why.msg, &gone);
        if (rc == E_MISSING) /* that peer is gone */
            rc = OK;
    }
    in->n = 0;
    if (rc != OK)
        *e = gone;
    return rc;
}

int deposit_put(struct deposit *in, struct socket *socket, const struct peer *from,
    const struct id *id, struct span bytes, struct err *e)
{
    struct given g = { *from, *id, bytes.n };
    struct id found;

    sha256(&found, bytes.p, bytes.n);
    if (bytes.n == 0 || bytes.n > CHUNK_SIZE || !id_equal(&found, id))
        return reply(socket, &g, "bytes came that have another hash than was said", e);
    memcpy(in->bytes + in->n * CHUNK_SIZE, bytes.p, bytes.n);
    in->items[in->n++] = g;
    return in->n == DEPOSIT_CHUNKS ? deposit_settle(in, socket, e) : OK;
}
