#include "store/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/id_set.h"
#include "proto/log.h"
#include "store/store_int.h"

#define HAVE_MAX 1024   /* ids in one question */
#define POLL_MS 200     /* so often is looked whether to stop */
#define AGAIN_MS 3000   /* without a word: ask again, the connection may have been another one */
#define SILENT_MS 60000 /* without a word: give up */

static struct id id_in(ProtobufCBinaryData b)
{
    struct id id = { { 0 } };

    id_from_span(&id, b.data, b.len);
    return id;
}

static ProtobufCBinaryData id_out(const struct id *id)
{
    return (ProtobufCBinaryData){ sizeof id->b, (uint8_t *)(uintptr_t)id->b };
}

/* ---- one piece: a chunk or a manifest, as bytes ---- */

static int piece_find(
    struct span *out, struct store *s, MDB_txn *t, ChunkOf of, const struct id *id, struct err *e)
{
    return store_find(out, s, t, of == CHUNK_OF__MANIFEST ? STORE_MANIFEST : STORE_CHUNK, id, e);
}

static int piece_get(
    struct buf *out, struct store *s, ChunkOf of, const struct id *id, struct err *e)
{
    struct span value;
    MDB_txn *t = NULL;
    int rc = env_begin(&t, &s->env, false, e);

    if (rc == OK)
        rc = piece_find(&value, s, t, of, id, e);
    out->n = 0;
    if (rc == OK && buf_add(out, value.p, value.n) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    env_abort(&s->env, t);
    return rc;
}

static bool piece_there(struct store *s, ChunkOf of, const struct id *id)
{
    struct err e = ERR_INIT;
    struct span value;
    MDB_txn *t = NULL;
    bool there =
        env_begin(&t, &s->env, false, &e) == OK && piece_find(&value, s, t, of, id, &e) == OK;

    env_abort(&s->env, t);
    return there;
}

static int piece_put(
    struct store *s, ChunkOf of, const struct id *id, struct span bytes, struct err *e)
{
    Manifest *m = NULL;
    struct id found;
    int rc;

    sha256(&found, bytes.p, bytes.n);
    if (!id_equal(&found, id))
        return err_set(e, E_CORRUPT, "bytes came that have another hash than was asked for");
    if (of != CHUNK_OF__MANIFEST)
        return store_chunk_put(s, bytes.p, bytes.n, &found, e);
    rc = manifest_parse(&m, bytes.p, bytes.n, e);
    if (rc == OK)
        rc = store_manifest_put(s, m, &found, e);
    message_free(m);
    return rc;
}

/* ---- answering ---- */

static void tell_gone(void *ctx, const struct id *artifact)
{
    char hex[ID_HEX];

    (void)ctx;
    id_hex(hex, artifact);
    log_error("artifact %.12s was damaged on the disk and is taken away", hex);
}

/* Damaged bytes are not given to others, and the store is rid of them. */
static bool piece_is_sound(
    struct store *s, ChunkOf of, const struct id *id, const struct buf *bytes)
{
    struct err e = ERR_INIT;
    struct id found;

    sha256(&found, bytes->p, bytes->n);
    if (id_equal(&found, id))
        return true;
    if (store_mend(s, id, of == CHUNK_OF__DATA, tell_gone, NULL, &e) != OK)
        log_error("%s", e.msg);
    return false;
}

static int answer_request(struct store *s, struct socket *socket, const struct peer *from,
    const ChunkRequest *q, struct err *e)
{
    struct id id = id_in(q->id);
    struct buf bytes = { 0 };
    struct err why = ERR_INIT;
    Envelope m = ENVELOPE__INIT;
    ChunkReply r = CHUNK_REPLY__INIT;

    r.has_id = r.has_of = r.has_found = true;
    r.id = id_out(&id);
    r.of = q->of;
    r.found = piece_get(&bytes, s, q->of, &id, &why) == OK && piece_is_sound(s, q->of, &id, &bytes);
    m.kind_case = ENVELOPE__KIND_CHUNK_REPLY;
    m.chunk_reply = &r;
    int rc =
        socket_send_bytes(socket, from, &m, (struct span){ bytes.p, r.found ? bytes.n : 0 }, e);
    buf_free(&bytes);
    return rc;
}

static int answer_have(struct store *s, struct socket *socket, const struct peer *from,
    const ChunkHave *q, struct err *e)
{
    ProtobufCBinaryData *lacking = malloc((q->n_ids + 1) * sizeof *lacking);
    Envelope m = ENVELOPE__INIT;
    ChunkLack r = CHUNK_LACK__INIT;
    int rc;

    if (!lacking)
        return err_set(e, E_NOMEM, "out of memory");
    r.ids = lacking;
    for (size_t i = 0; i < q->n_ids; i++) {
        struct id id = id_in(q->ids[i]);
        if (!piece_there(s, CHUNK_OF__DATA, &id))
            lacking[r.n_ids++] = q->ids[i];
    }
    m.kind_case = ENVELOPE__KIND_CHUNK_LACK;
    m.chunk_lack = &r;
    rc = socket_send(socket, from, &m, e);
    free(lacking);
    return rc;
}

static int answer_put(struct store *s, struct deposit *in, struct socket *socket,
    const struct peer *from, const ChunkPut *q, struct span bytes, struct err *e)
{
    struct id id = id_in(q->id);
    struct err why = ERR_INIT;
    Envelope m = ENVELOPE__INIT;
    ChunkStored r = CHUNK_STORED__INIT;

    if (q->of == CHUNK_OF__DATA)
        return deposit_put(in, socket, from, &id, bytes, e);
    int rc = deposit_settle(in, socket, e); /* a manifest comes after its chunks */
    if (rc != OK)
        return rc;
    r.has_id = r.has_of = true;
    r.id = id_out(&id);
    r.of = q->of;
    if (piece_put(s, q->of, &id, bytes, &why) != OK)
        r.error = why.msg;
    m.kind_case = ENVELOPE__KIND_CHUNK_STORED;
    m.chunk_stored = &r;
    return socket_send(socket, from, &m, e);
}

int transfer_answer(struct store *s, struct deposit *in, struct socket *socket,
    const struct peer *from, const Envelope *m, struct span bytes, struct err *e)
{
    if (m->kind_case == ENVELOPE__KIND_CHUNK_REQUEST)
        return answer_request(s, socket, from, m->chunk_request, e);
    if (m->kind_case == ENVELOPE__KIND_CHUNK_HAVE)
        return answer_have(s, socket, from, m->chunk_have, e);
    if (m->kind_case == ENVELOPE__KIND_CHUNK_PUT)
        return answer_put(s, in, socket, from, m->chunk_put, bytes, e);
    return err_set(e, E_PROTOCOL, "a '%s' on the bulk socket", message_kind(&m->base));
}

/* ---- asking: a list of pieces, a window of them under way ---- */

struct pieces {
    struct transfer *t;
    ChunkOf of;
    struct id *ids;
    bool *asked, *done;
    size_t n, open, left;
    /* Sends the question about piece i. */
    int (*ask)(struct pieces *p, size_t i, struct err *e);
    /* Takes its answer. */
    int (*take)(struct pieces *p, size_t i, const Envelope *m, struct span bytes, struct err *e);
    struct buf scratch; /* freed by who made it */
    struct sink *sink;  /* where fetched chunks go */
};

/* The piece that an answer is about; n: none of these. */
static size_t piece_of(const struct pieces *p, const Envelope *m)
{
    bool reply = m->kind_case == ENVELOPE__KIND_CHUNK_REPLY;
    struct id id;

    if (!reply && m->kind_case != ENVELOPE__KIND_CHUNK_STORED)
        return p->n;
    if ((reply ? m->chunk_reply->of : m->chunk_stored->of) != p->of)
        return p->n;
    id = id_in(reply ? m->chunk_reply->id : m->chunk_stored->id);
    for (size_t i = 0; i < p->n; i++)
        if (p->asked[i] && !p->done[i] && id_equal(&p->ids[i], &id))
            return i;
    return p->n;
}

static int ask_more(struct pieces *p, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < p->n && p->open < TRANSFER_WINDOW && rc == OK; i++) {
        if (p->asked[i])
            continue;
        rc = p->ask(p, i, e);
        if (rc == E_MISSING)
            return OK; /* the queue is full, or nobody is connected: later */
        p->asked[i] = true;
        p->open++;
    }
    return rc;
}

static int take_answers(struct pieces *p, bool *heard, struct err *e)
{
    struct buf bytes = { 0 };
    int rc = OK;

    for (;;) {
        struct peer none;
        Envelope *m = NULL;
        rc = socket_receive_bytes(p->t->socket, &none, &m, &bytes, e);
        if (rc != OK || !m)
            break;
        size_t i = piece_of(p, m);
        *heard = true;
        if (i < p->n) {
            rc = p->take(p, i, m, (struct span){ bytes.p, bytes.n }, e);
            p->done[i] = true;
            p->open--;
            p->left--;
        }
        message_free(m);
        if (rc != OK)
            break;
    }
    buf_free(&bytes);
    return rc;
}

static void forget_asked(struct pieces *p)
{
    for (size_t i = 0; i < p->n; i++)
        p->asked[i] = p->done[i];
    p->open = 0;
}

static int pieces_run(struct pieces *p, struct err *e)
{
    int64_t heard = clock_ms(), asked = heard;
    int rc = OK;

    p->asked = calloc(p->n + 1, sizeof *p->asked);
    p->done = calloc(p->n + 1, sizeof *p->done);
    p->left = p->n;
    if (!p->asked || !p->done)
        rc = err_set(e, E_NOMEM, "out of memory");
    while (rc == OK && p->left > 0) {
        bool ready = false, word = false;
        if (atomic_load(p->t->stop)) {
            rc = err_set(e, E_CANCELLED, "stopped");
            break;
        }
        rc = ask_more(p, e);
        if (rc == OK)
            rc = socket_poll(&p->t->socket, 1, NULL, 0, &ready, POLL_MS, e);
        if (rc == OK && ready)
            rc = take_answers(p, &word, e);
        int64_t now = clock_ms();
        if (word)
            heard = asked = now;
        if (now - asked > AGAIN_MS) {
            forget_asked(p);
            asked = now;
        }
        if (rc == OK && now - heard > SILENT_MS)
            rc = err_set(e, E_IO, "no word about %zu chunks for %d s", p->left, SILENT_MS / 1000);
    }
    free(p->asked);
    free(p->done);
    return rc;
}

/* ---- fetching ---- */

static int ask_for(struct pieces *p, size_t i, struct err *e)
{
    Envelope m = ENVELOPE__INIT;
    ChunkRequest q = CHUNK_REQUEST__INIT;

    q.has_id = q.has_of = true;
    q.id = id_out(&p->ids[i]);
    q.of = p->of;
    m.kind_case = ENVELOPE__KIND_CHUNK_REQUEST;
    m.chunk_request = &q;
    return socket_send(p->t->socket, NULL, &m, e);
}

static int take_chunk(
    struct pieces *p, size_t i, const Envelope *m, struct span bytes, struct err *e)
{
    char hex[ID_HEX];

    id_hex(hex, &p->ids[i]);
    if (m->kind_case != ENVELOPE__KIND_CHUNK_REPLY || !m->chunk_reply->found)
        return err_set(e, E_MISSING, "the orchestrator's store has no %s %.12s",
            p->of == CHUNK_OF__MANIFEST ? "artifact" : "chunk", hex);
    if (p->of == CHUNK_OF__DATA)
        return sink_chunk(p->sink, bytes.p, bytes.n, &p->ids[i], e);
    p->scratch.n = 0; /* its chunks come first */
    return buf_add(&p->scratch, bytes.p, bytes.n) == OK ? OK : err_set(e, E_NOMEM, "out of memory");
}

/* The packed manifest; its chunks come before it is stored. */
static int fetch_manifest(struct buf *out, struct transfer *t, const struct id *id, struct err *e)
{
    struct id copy = *id, found;
    struct pieces p = {
        .t = t, .of = CHUNK_OF__MANIFEST, .ids = &copy, .n = 1, .ask = ask_for, .take = take_chunk
    };
    int rc = pieces_run(&p, e);

    sha256(&found, p.scratch.p, p.scratch.n);
    if (rc == OK && !id_equal(&found, id))
        rc = err_set(e, E_CORRUPT, "a manifest came that has another hash");
    if (rc == OK)
        *out = p.scratch;
    else
        buf_free(&p.scratch);
    return rc;
}

/* Its chunks that are not here, each once. */
static int lacking(struct id_set *out, struct store *s, const Manifest *m, struct err *e)
{
    size_t kept = 0;
    int rc = OK;

    for (size_t i = 0; i < m->n_chunks && rc == OK; i++) {
        struct id id = id_in(m->chunks[i]);
        rc = id_set_add(out, &id, e);
    }
    id_set_sort(out);
    for (size_t i = 0; i < out->n; i++)
        if (!piece_there(s, CHUNK_OF__DATA, &out->ids[i]))
            out->ids[kept++] = out->ids[i];
    out->n = kept;
    return rc;
}

/* Those that came before it was cut off stay: the next one goes on from there. */
static int fetch_chunks(struct transfer *t, const struct id_set *set, struct err *e)
{
    struct pieces p = { .t = t,
        .of = CHUNK_OF__DATA,
        .ids = set->ids,
        .n = set->n,
        .ask = ask_for,
        .take = take_chunk };
    struct err later = ERR_INIT;
    int rc = sink_new(&p.sink, t->store, e);

    if (rc != OK)
        return rc;
    rc = pieces_run(&p, e);
    int flushed = sink_flush(p.sink, &later);
    if (rc == OK && flushed != OK) {
        rc = flushed;
        *e = later;
    }
    sink_free(p.sink);
    return rc;
}

int transfer_fetch(struct transfer *t, const struct id *artifact, struct err *e)
{
    struct buf packed = { 0 };
    struct id_set set = { 0 };
    Manifest *m = NULL;
    char hex[ID_HEX];
    int rc;

    if (store_has(t->store, artifact))
        return OK;
    rc = fetch_manifest(&packed, t, artifact, e);
    if (rc == OK)
        rc = manifest_parse(&m, packed.p, packed.n, e);
    if (rc == OK)
        rc = lacking(&set, t->store, m, e);
    if (rc == OK)
        rc = fetch_chunks(t, &set, e);
    if (rc == OK)
        rc = piece_put(
            t->store, CHUNK_OF__MANIFEST, artifact, (struct span){ packed.p, packed.n }, e);
    message_free(m);
    id_set_free(&set);
    buf_free(&packed);
    id_hex(hex, artifact);
    return rc == OK ? OK : err_wrap(e, "fetching artifact %.12s", hex);
}

/* ---- pushing ---- */

static int send_piece(struct pieces *p, size_t i, struct err *e)
{
    Envelope m = ENVELOPE__INIT;
    ChunkPut q = CHUNK_PUT__INIT;
    int rc = piece_get(&p->scratch, p->t->store, p->of, &p->ids[i], e);

    if (rc != OK)
        return rc == E_MISSING ? (e->code = E_CORRUPT) : rc;
    q.has_id = q.has_of = true;
    q.id = id_out(&p->ids[i]);
    q.of = p->of;
    m.kind_case = ENVELOPE__KIND_CHUNK_PUT;
    m.chunk_put = &q;
    return socket_send_bytes(
        p->t->socket, NULL, &m, (struct span){ p->scratch.p, p->scratch.n }, e);
}

static int take_stored(
    struct pieces *p, size_t i, const Envelope *m, struct span bytes, struct err *e)
{
    (void)bytes;
    if (m->kind_case != ENVELOPE__KIND_CHUNK_STORED)
        return err_set(e, E_PROTOCOL, "a '%s' for what was sent", message_kind(&m->base));
    if (m->chunk_stored->error && *m->chunk_stored->error) {
        struct err none = ERR_INIT; /* damaged here? then the next attempt must write it anew */
        if (piece_get(&p->scratch, p->t->store, p->of, &p->ids[i], &none) == OK)
            piece_is_sound(p->t->store, p->of, &p->ids[i], &p->scratch);
        return err_set(e, E_IO, "the orchestrator: %s", m->chunk_stored->error);
    }
    return OK;
}

static int push_pieces(struct transfer *t, ChunkOf of, struct id *ids, size_t n, struct err *e)
{
    struct pieces p = {
        .t = t, .of = of, .ids = ids, .n = n, .ask = send_piece, .take = take_stored
    };
    int rc = pieces_run(&p, e);

    buf_free(&p.scratch);
    return rc;
}

/* Waits for the answer to a ChunkHave; others are late ones. */
static int await_lack(Envelope **out, struct transfer *t, int64_t until, struct err *e)
{
    int rc = OK;

    *out = NULL;
    while (rc == OK && !*out) {
        bool ready = false;
        struct peer none;
        if (atomic_load(t->stop))
            return err_set(e, E_CANCELLED, "stopped");
        if (clock_ms() > until)
            return OK;
        rc = socket_poll(&t->socket, 1, NULL, 0, &ready, POLL_MS, e);
        if (rc == OK && ready)
            rc = socket_receive(t->socket, &none, out, e);
        if (rc == OK && *out && (*out)->kind_case != ENVELOPE__KIND_CHUNK_LACK) {
            message_free(*out);
            *out = NULL;
        }
    }
    return rc;
}

/* Of ids[0..n) those that the other side has not; *left of them stand in front then. */
static int ask_lacking(struct transfer *t, struct id *ids, size_t n, size_t *left, struct err *e)
{
    ProtobufCBinaryData asked[HAVE_MAX];
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    ChunkHave q = CHUNK_HAVE__INIT;
    int64_t begun = clock_ms();
    int rc = OK;

    for (size_t i = 0; i < n; i++)
        asked[i] = id_out(&ids[i]);
    q.ids = asked;
    q.n_ids = n;
    m.kind_case = ENVELOPE__KIND_CHUNK_HAVE;
    m.chunk_have = &q;
    while (rc == OK && !reply) {
        rc = socket_send(t->socket, NULL, &m, e);
        if (rc == OK || rc == E_MISSING)
            rc = await_lack(&reply, t, clock_ms() + AGAIN_MS, e);
        if (rc == OK && !reply && clock_ms() - begun > SILENT_MS)
            rc = err_set(e, E_IO, "no word for %d s", SILENT_MS / 1000);
    }
    *left = 0;
    for (size_t i = 0; rc == OK && i < reply->chunk_lack->n_ids && *left < n; i++)
        ids[(*left)++] = id_in(reply->chunk_lack->ids[i]);
    message_free(reply);
    return rc;
}

static int push_chunks(struct transfer *t, const Manifest *m, struct err *e)
{
    struct id_set set = { 0 };
    int rc = OK;

    for (size_t i = 0; i < m->n_chunks && rc == OK; i++) {
        struct id id = id_in(m->chunks[i]);
        rc = id_set_add(&set, &id, e);
    }
    id_set_sort(&set);
    for (size_t at = 0; at < set.n && rc == OK; at += HAVE_MAX) {
        size_t n = set.n - at < HAVE_MAX ? set.n - at : HAVE_MAX, left = 0;
        rc = ask_lacking(t, set.ids + at, n, &left, e);
        if (rc == OK)
            rc = push_pieces(t, CHUNK_OF__DATA, set.ids + at, left, e);
    }
    id_set_free(&set);
    return rc;
}

int transfer_push(struct transfer *t, const struct id *artifact, struct err *e)
{
    struct id id = *artifact;
    Manifest *m = NULL;
    char hex[ID_HEX];
    int rc = store_manifest(&m, t->store, artifact, e);

    if (rc == OK)
        rc = push_chunks(t, m, e);
    if (rc == OK)
        rc = push_pieces(t, CHUNK_OF__MANIFEST, &id, 1, e);
    message_free(m);
    id_hex(hex, artifact);
    return rc == OK ? OK : err_wrap(e, "giving artifact %.12s to the orchestrator", hex);
}
