#include "store/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_int.h"

struct state {
    struct env env;
    MDB_dbi dbi[STATE_TABLES];
    int lock; /* open while we are the writer; else -1 */
};

struct state_txn {
    struct state *state;
    MDB_txn *mdb;
};

static const char *const tables[] = DB_STATE_TABLES;
_Static_assert(sizeof tables / sizeof *tables == STATE_TABLES, "a database for each table");

/* ---- the lock ----
 *
 * A lock of an open file description: unlike POSIX's it is not lost when something else in the
 * process closes the file, and unlike flock(2)'s it can be asked for without being taken. */

static struct flock whole_file(void)
{
    return (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
}

static int lock_path(char **out, const char *home, struct err *e)
{
    if (asprintf(out, "%s/%s", home, STATE_LOCK) >= 0)
        return OK;
    *out = NULL;
    return err_set(e, E_NOMEM, "out of memory");
}

static int lock_take(int *out, const char *home, struct err *e)
{
    struct flock l = whole_file();
    char *path = NULL;
    int fd = -1, rc = lock_path(&path, home, e);

    if (rc == OK && mkdir(home, 0700) != 0 && errno != EEXIST)
        rc = err_errno(e, "cannot make the folder '%s'", home);
    if (rc == OK) {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            rc = err_errno(e, "cannot open '%s'", path);
    }
    if (rc == OK && fcntl(fd, F_OFD_SETLK, &l) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            rc = err_set(e, E_BUSY, "another orchestrator runs in '%s'", home);
        else
            rc = err_errno(e, "cannot lock '%s'", path);
    }
    free(path);
    if (rc == OK)
        *out = fd;
    else if (fd >= 0)
        close(fd);
    return rc;
}

bool state_orchestrator_alive(const char *home)
{
    struct flock l = whole_file();
    struct err e = ERR_INIT;
    char *path = NULL;
    bool alive = false;
    int fd;

    if (lock_path(&path, home, &e) != OK)
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        alive = fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
        close(fd);
    }
    free(path);
    return alive;
}

/* ---- opening ---- */

int state_open(struct state **out, const char *home, bool writer, struct err *e)
{
    /* Impatient: one thread may hold several transactions. */
    const struct env_spec spec = { STATE_FOLDER, STATE_SCHEMA, STATE_MAP_SIZE, false, tables,
        STATE_TABLES };
    struct state *s = calloc(1, sizeof *s);
    int rc = OK;

    if (!s)
        return err_set(e, E_NOMEM, "out of memory");
    s->lock = -1;
    if (writer)
        rc = lock_take(&s->lock, home, e);
    if (rc == OK)
        rc = env_open(&s->env, s->dbi, &spec, home, writer ? ENV_CREATE : ENV_READ, e);
    if (rc != OK) {
        if (s->lock >= 0)
            close(s->lock);
        free(s);
        return err_wrap(e, "state");
    }
    *out = s;
    return OK;
}

void state_close(struct state *s)
{
    if (!s)
        return;
    env_close(&s->env);
    if (s->lock >= 0)
        close(s->lock); /* last: who gets the lock finds everything done */
    free(s);
}

/* ---- transactions ---- */

int state_begin(struct state_txn **out, struct state *s, bool write, struct err *e)
{
    struct state_txn *t = calloc(1, sizeof *t);
    int rc = t ? env_begin(&t->mdb, &s->env, write, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc != OK) {
        free(t);
        return err_wrap(e, "state");
    }
    t->state = s;
    *out = t;
    return OK;
}

int state_commit(struct state_txn *t, struct err *e)
{
    int rc = env_commit(&t->state->env, t->mdb, e);

    free(t);
    return rc == OK ? OK : err_wrap(e, "state");
}

void state_abort(struct state_txn *t)
{
    if (!t)
        return;
    env_abort(&t->state->env, t->mdb);
    free(t);
}

/* ---- keys ---- */

struct state_key key_numbers(int n, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t numbers[] = { a, b, c };
    struct state_key key = { .n = (uint8_t)(8 * n) };

    for (int i = 0; i < 8 * n; i++)
        key.b[i] = (uint8_t)(numbers[i / 8] >> (56 - 8 * (i % 8)));
    return key;
}

struct state_key key_id(const struct id *id)
{
    struct state_key key = { .n = sizeof id->b };

    memcpy(key.b, id->b, sizeof id->b);
    return key;
}

/* ---- records ---- */

static int failed(const struct state_txn *t, enum state_table table, int rc, struct err *e)
{
    env_error(&t->state->env, rc, e);
    return err_wrap(e, "state, table '%s'", tables[table]);
}

static int unpack(ProtobufCMessage **out, enum state_table table,
    const ProtobufCMessageDescriptor *type, MDB_val value, struct err *e)
{
    if (message_unpack(out, type, value.mv_data, value.mv_size, e) == OK)
        return OK;
    e->code = E_CORRUPT;
    return err_wrap(e, "state, table '%s'", tables[table]);
}

int state_put(struct state_txn *t, enum state_table table, struct state_key key,
    const ProtobufCMessage *m, struct err *e)
{
    MDB_val k = { key.n, key.b }, value = { protobuf_c_message_get_packed_size(m), NULL };
    int rc = mdb_put(t->mdb, t->state->dbi[table], &k, &value, MDB_RESERVE);

    if (rc != 0)
        return failed(t, table, rc, e);
    protobuf_c_message_pack(m, value.mv_data);
    return OK;
}

int state_get(struct state_txn *t, enum state_table table, struct state_key key,
    const ProtobufCMessageDescriptor *type, ProtobufCMessage **out, struct err *e)
{
    MDB_val k = { key.n, key.b }, value;
    int rc = mdb_get(t->mdb, t->state->dbi[table], &k, &value);

    if (rc == MDB_NOTFOUND) {
        *out = NULL;
        return OK;
    }
    return rc == 0 ? unpack(out, table, type, value, e) : failed(t, table, rc, e);
}

int state_delete(struct state_txn *t, enum state_table table, struct state_key key, struct err *e)
{
    MDB_val k = { key.n, key.b };
    int rc = mdb_del(t->mdb, t->state->dbi[table], &k, NULL);

    return rc == 0 || rc == MDB_NOTFOUND ? OK : failed(t, table, rc, e);
}

/* ---- ranges ---- */

/* The least key above all those that begin with prefix; false: there is none. */
static bool key_after(struct state_key *out, const struct state_key *prefix)
{
    *out = *prefix;
    while (out->n > 0)
        if (++out->b[out->n - 1] != 0)
            return true;
        else
            out->n--;
    return false;
}

static int seek_prefix(
    MDB_cursor *c, MDB_val *k, MDB_val *value, const struct state_key *prefix, bool backwards)
{
    struct state_key from = *prefix;
    bool bounded = backwards ? key_after(&from, prefix) : prefix->n > 0;
    int rc;

    if (!bounded)
        return mdb_cursor_get(c, k, value, backwards ? MDB_LAST : MDB_FIRST);
    *k = (MDB_val){ from.n, from.b };
    rc = mdb_cursor_get(c, k, value, MDB_SET_RANGE);
    if (!backwards)
        return rc;
    return mdb_cursor_get(c, k, value, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
}

static bool has_prefix(MDB_val k, const struct state_key *prefix)
{
    return k.mv_size >= prefix->n && k.mv_size <= sizeof prefix->b &&
           memcmp(k.mv_data, prefix->b, prefix->n) == 0;
}

int state_each(struct state_txn *t, enum state_table table, struct state_key prefix, bool backwards,
    const ProtobufCMessageDescriptor *type,
    int (*each)(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e), void *ctx,
    struct err *e)
{
    MDB_cursor *c = NULL;
    MDB_val k, value;
    int answer = OK, rc = mdb_cursor_open(t->mdb, t->state->dbi[table], &c);

    if (rc != 0)
        return failed(t, table, rc, e);
    rc = seek_prefix(c, &k, &value, &prefix, backwards);
    while (rc == 0 && has_prefix(k, &prefix)) {
        struct state_key key = { .n = (uint8_t)k.mv_size };
        ProtobufCMessage *m = NULL;
        memcpy(key.b, k.mv_data, k.mv_size);
        answer = unpack(&m, table, type, value, e);
        if (answer == OK)
            answer = each(ctx, key, m, e);
        if (answer != OK)
            break;
        rc = mdb_cursor_get(c, &k, &value, backwards ? MDB_PREV : MDB_NEXT);
    }
    mdb_cursor_close(c);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return failed(t, table, rc, e);
    return answer < OK ? answer : OK;
}
