#include "store/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulation/sim_disk.h"

/* The simulation's own store/state.c: rows in memory. What is not committed is gone after a crash;
 * what is committed outlives every orchestrator, until disk_wipe. */

struct row {
    struct state_key key;
    struct buf kept, next;                   /* as committed; as this transaction has it */
    bool has_kept, has_next, changed, fresh; /* fresh: disk_changed has not told of it */
};

static struct {
    struct row *rows[STATE_TABLES];
    size_t n[STATE_TABLES], cap[STATE_TABLES];
    uint64_t version[STATE_TABLES];
    bool locked, in_txn, fails, fresh;
} disk;

struct state {
    bool writer;
};

struct state_txn {
    struct state *state;
};

static int compare(struct state_key a, struct state_key b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = memcmp(a.b, b.b, n);

    return c ? c : (int)a.n - (int)b.n;
}

static size_t lower(enum state_table t, struct state_key key)
{
    size_t lo = 0, hi = disk.n[t];

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (compare(disk.rows[t][mid].key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct row *find(enum state_table t, struct state_key key)
{
    size_t i = lower(t, key);

    return i < disk.n[t] && !compare(disk.rows[t][i].key, key) ? &disk.rows[t][i] : NULL;
}

static struct row *make(enum state_table t, struct state_key key)
{
    size_t i = lower(t, key);

    if (i < disk.n[t] && !compare(disk.rows[t][i].key, key))
        return &disk.rows[t][i];
    if (disk.n[t] == disk.cap[t]) {
        disk.cap[t] = disk.cap[t] ? 2 * disk.cap[t] : 64;
        disk.rows[t] = realloc(disk.rows[t], disk.cap[t] * sizeof *disk.rows[t]);
        assert(disk.rows[t]);
    }
    memmove(&disk.rows[t][i + 1], &disk.rows[t][i], (disk.n[t] - i) * sizeof *disk.rows[t]);
    disk.n[t]++;
    disk.rows[t][i] = (struct row){ .key = key };
    return &disk.rows[t][i];
}

/* ---- the disk, for the simulation ---- */

void disk_wipe(void)
{
    for (int t = 0; t < STATE_TABLES; t++) {
        for (size_t i = 0; i < disk.n[t]; i++) {
            buf_free(&disk.rows[t][i].kept);
            buf_free(&disk.rows[t][i].next);
        }
        free(disk.rows[t]);
        disk.rows[t] = NULL;
        disk.n[t] = disk.cap[t] = 0;
    }
    disk.locked = disk.in_txn = disk.fails = disk.fresh =
        false; /* also when a test has failed half-way */
}

bool disk_has(enum state_table table, struct state_key key)
{
    const struct row *r = find(table, key);

    return r && r->has_kept;
}

size_t disk_count(enum state_table table)
{
    size_t n = 0;

    for (size_t i = 0; i < disk.n[table]; i++)
        n += disk.rows[table][i].has_kept;
    return n;
}

uint64_t disk_version(enum state_table table)
{
    return disk.version[table];
}

int disk_get(enum state_table table, struct state_key key, const ProtobufCMessageDescriptor *type,
    ProtobufCMessage **out, struct err *e)
{
    const struct row *r = find(table, key);

    *out = NULL;
    return r && r->has_kept ? message_unpack(out, type, r->kept.p, r->kept.n, e) : OK;
}

void disk_fail(void)
{
    disk.fails = true;
}

void disk_changed(
    void (*each)(void *ctx, enum state_table t, struct state_key key, struct span row), void *ctx)
{
    for (int t = 0; disk.fresh && t < STATE_TABLES; t++)
        for (size_t i = 0; i < disk.n[t]; i++) {
            struct row *r = &disk.rows[t][i];
            if (r->fresh && r->has_kept)
                each(ctx, (enum state_table)t, r->key, (struct span){ r->kept.p, r->kept.n });
            r->fresh = false;
        }
    disk.fresh = false;
}

/* ---- store/state.h ---- */

int state_open(struct state **out, const char *home, bool writer, struct err *e)
{
    (void)home;
    if (disk.locked)
        return err_set(e, E_BUSY, "another orchestrator is at work");
    *out = calloc(1, sizeof **out);
    assert(*out);
    (*out)->writer = disk.locked = writer;
    return OK;
}

void state_close(struct state *s)
{
    if (s && s->writer)
        disk.locked = false;
    free(s);
}

bool state_orchestrator_alive(const char *home)
{
    (void)home;
    return disk.locked;
}

struct state_key key_numbers(int n, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t v[3] = { a, b, c };
    struct state_key k = { .n = (uint8_t)(8 * n) };

    for (int i = 0; i < n; i++)
        for (int byte = 0; byte < 8; byte++)
            k.b[8 * i + byte] = (uint8_t)(v[i] >> (56 - 8 * byte));
    return k;
}

struct state_key key_id(const struct id *id)
{
    struct state_key k = { .n = sizeof id->b };

    memcpy(k.b, id->b, sizeof id->b);
    return k;
}

int state_begin(struct state_txn **out, struct state *s, bool write, struct err *e)
{
    (void)e;
    assert(!write || (s->writer && !disk.in_txn));
    disk.in_txn = true;
    *out = calloc(1, sizeof **out);
    assert(*out);
    (*out)->state = s;
    return OK;
}

static void end(struct state_txn *t, bool keep)
{
    for (int k = 0; k < STATE_TABLES; k++)
        for (size_t i = 0; i < disk.n[k]; i++) {
            struct row *r = &disk.rows[k][i];
            if (!r->changed)
                continue;
            r->changed = false;
            if (keep) {
                struct buf old = r->kept;
                r->kept = r->next;
                r->next = old;
                r->has_kept = r->has_next;
                r->fresh = disk.fresh = true;
                disk.version[k]++;
            }
        }
    disk.in_txn = false;
    free(t);
}

int state_commit(struct state_txn *t, struct err *e)
{
    bool fails = disk.fails;

    disk.fails = false;
    end(t, !fails);
    return fails ? err_set(e, E_IO, "no space left on the simulated disk") : OK;
}

void state_abort(struct state_txn *t)
{
    if (t)
        end(t, false);
}

int state_put(struct state_txn *t, enum state_table table, struct state_key key,
    const ProtobufCMessage *m, struct err *e)
{
    struct row *r = make(table, key);

    (void)t;
    (void)e;
    r->next.n = 0;
    r->changed = r->has_next = true;
    return message_pack(&r->next, m);
}

static const struct buf *value(const struct row *r)
{
    if (r->changed)
        return r->has_next ? &r->next : NULL;
    return r->has_kept ? &r->kept : NULL;
}

int state_get(struct state_txn *t, enum state_table table, struct state_key key,
    const ProtobufCMessageDescriptor *type, ProtobufCMessage **out, struct err *e)
{
    const struct row *r = find(table, key);
    const struct buf *v = r ? value(r) : NULL;

    (void)t;
    *out = NULL;
    return v ? message_unpack(out, type, v->p, v->n, e) : OK;
}

int state_delete(struct state_txn *t, enum state_table table, struct state_key key, struct err *e)
{
    struct row *r = find(table, key);

    (void)t;
    (void)e;
    if (r) {
        r->changed = true;
        r->has_next = false;
    }
    return OK;
}

int state_each(struct state_txn *t, enum state_table table, struct state_key prefix, bool backwards,
    const ProtobufCMessageDescriptor *type,
    int (*each)(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e), void *ctx,
    struct err *e)
{
    (void)t;
    for (size_t k = 0; k < disk.n[table]; k++) {
        struct row *r = &disk.rows[table][backwards ? disk.n[table] - 1 - k : k];
        const struct buf *v = value(r);
        ProtobufCMessage *m = NULL;
        int rc;
        if (!v || r->key.n < prefix.n || memcmp(r->key.b, prefix.b, prefix.n))
            continue;
        rc = message_unpack(&m, type, v->p, v->n, e);
        if (rc == OK)
            rc = each(ctx, r->key, m, e);
        if (rc != OK)
            return rc < OK ? rc : OK;
    }
    return OK;
}
