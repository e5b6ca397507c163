#include "store/store_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define READERS_MAX 1024
#define DATABASES_MAX 16
#define DISK_FULL (16u << 20) /* bytes: a transaction's worth */

/* INVARIANTS
 * (1) A process has an environment open once: LMDB's locks are the process's, and closing one
 *     of two copies would drop them for both.
 * (2) A transaction holds the gate for reading; whoever moves the map holds it for writing. */

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct env *registry;

/* What a parent process had open is not open in its forked child. */
static int registry_add(struct env *v, struct err *e)
{
    struct env *other;
    struct stat st;

    if (stat(v->path, &st) != 0)
        return err_errno(e, "'%s'", v->path);
    v->dev = st.st_dev;
    v->ino = st.st_ino;
    v->pid = getpid();
    pthread_mutex_lock(&registry_lock);
    for (other = registry; other; other = other->next)
        if (other->pid == v->pid && other->dev == v->dev && other->ino == v->ino)
            break;
    if (!other) {
        v->next = registry;
        registry = v;
    }
    pthread_mutex_unlock(&registry_lock);
    if (!other)
        return OK;
    v->pid = 0;
    return err_set(e, E_BUSY, "'%s' is open in this process already", v->path);
}

static void registry_remove(struct env *v)
{
    pthread_mutex_lock(&registry_lock);
    for (struct env **p = &registry; *p; p = &(*p)->next) {
        if (*p == v) {
            *p = v->next;
            break;
        }
    }
    pthread_mutex_unlock(&registry_lock);
}

/* LMDB calls a write that was cut short EIO, and what cuts it is a disk that is full. */
static bool disk_full(const char *path, int rc)
{
    struct statvfs fs;

    return rc == ENOSPC || rc == EDQUOT ||
           (rc == EIO && statvfs(path, &fs) == 0 &&
               (uint64_t)fs.f_bavail * fs.f_frsize < DISK_FULL);
}

int env_error(const struct env *v, int rc, struct err *e)
{
    if (disk_full(v->path, rc))
        return err_set(e, E_IO, "'%s': the disk is full", v->path);
    switch (rc) {
    case MDB_MAP_FULL: {
        MDB_envinfo info = { 0 };
        mdb_env_info(v->mdb, &info);
        return err_set(e, E_IO, "'%s' is full: its map has %zu GiB of address space", v->path,
            info.me_mapsize >> 30);
    }
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        return err_set(e, E_CORRUPT, "'%s' is damaged: %s", v->path, mdb_strerror(rc));
    case MDB_PANIC:
        return err_set(e, E_IO, "'%s': an earlier write failed; start again", v->path);
    case MDB_READERS_FULL:
        return err_set(e, E_BUSY, "'%s': more than %d readers at once", v->path, READERS_MAX);
    case ENOMEM:
        return err_set(e, E_NOMEM, "'%s': out of memory or address space", v->path);
    }
    return err_set(e, E_IO, "'%s': %s", v->path, mdb_strerror(rc));
}

/* ---- opening ---- */

static int folder_make(const char *path, struct err *e)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_errno(e, "cannot make the folder '%s'", path);
    return OK;
}

/* A file that was made is only there after a power cut when its folder was synced. */
static int folder_sync(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 && fsync(fd) == 0 ? OK : err_errno(e, "cannot sync the folder '%s'", path);

    if (fd >= 0)
        close(fd);
    return rc;
}

static int folder_prepare(
    struct env *v, const char *home, const char *folder, enum env_mode mode, struct err *e)
{
    char *data = NULL;
    struct stat st = { 0 };
    int rc = OK;

    if (asprintf(&v->path, "%s/%s", home, folder) < 0) {
        v->path = NULL;
        return err_set(e, E_NOMEM, "out of memory");
    }
    if (mode == ENV_CREATE) {
        rc = folder_make(home, e);
        return rc == OK ? folder_make(v->path, e) : rc;
    }
    if (asprintf(&data, "%s/data.mdb", v->path) < 0)
        return err_set(e, E_NOMEM, "out of memory");
    if (stat(data, &st) != 0 && errno != ENOENT && errno != ENOTDIR)
        rc = err_errno(e, "'%s'", data);
    else if (st.st_size == 0)
        rc = err_set(e, E_MISSING, "there is no %s in '%s'", folder, home);
    free(data);
    return rc;
}

/* LMDB's own return code. An environment that failed to open cannot be tried again. */
static int map_open(struct env *v, size_t map_size, enum env_mode mode)
{
    unsigned flags = MDB_NOTLS | (mode == ENV_READ ? MDB_RDONLY : 0);
    int rc = mdb_env_create(&v->mdb);

    if (rc != 0) {
        v->mdb = NULL;
        return rc;
    }
    rc = mdb_env_set_mapsize(v->mdb, map_size);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(v->mdb, DATABASES_MAX);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(v->mdb, READERS_MAX);
    if (rc == 0)
        rc = mdb_env_open(v->mdb, v->path, flags, 0600);
    if (rc != 0) {
        mdb_env_close(v->mdb);
        v->mdb = NULL;
    }
    return rc;
}

static int lmdb_open(struct env *v, size_t map_size, enum env_mode mode, struct err *e)
{
    int rc, fd, stale;

    do {
        rc = map_open(v, map_size, mode);
        map_size /= 2;
    } while (rc == ENOMEM && map_size >= LEAST_MAP_SIZE);
    if (rc != 0)
        return env_error(v, rc, e);
    rc = mdb_env_get_fd(v->mdb, &fd);
    if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        rc = errno;
    if (rc == 0)
        rc = mdb_reader_check(v->mdb, &stale);
    return rc == 0 ? extent_check(v, e) : env_error(v, rc, e);
}

static MDB_val text_val(const char *s)
{
    return (MDB_val){ strlen(s), (void *)(uintptr_t)s };
}

static int about_write(MDB_txn *t, MDB_dbi about, uint32_t schema)
{
    uint8_t number[4] = { (uint8_t)(schema >> 24), (uint8_t)(schema >> 16), (uint8_t)(schema >> 8),
        (uint8_t)schema };
    uint8_t uuid[sizeof(struct id)];
    MDB_val key = text_val(KEY_SCHEMA), value = { sizeof number, number };
    int rc = mdb_put(t, about, &key, &value, MDB_NOOVERWRITE);

    if (rc == MDB_KEYEXIST)
        return 0;
    if (rc == 0 && getrandom(uuid, sizeof uuid, 0) != sizeof uuid)
        rc = EIO;
    key = text_val(KEY_UUID);
    value = (MDB_val){ sizeof uuid, uuid };
    return rc == 0 ? mdb_put(t, about, &key, &value, 0) : rc;
}

static int about_read(struct env *v, MDB_txn *t, MDB_dbi about, uint32_t schema, struct err *e)
{
    MDB_val key = text_val(KEY_SCHEMA), value;
    int rc = mdb_get(t, about, &key, &value);
    const uint8_t *b = value.mv_data;

    if (rc != 0)
        return env_error(v, rc, e);
    uint32_t found = value.mv_size == 4
                         ? (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]
                         : 0;
    if (found != schema)
        return err_set(e, E_INPUT,
            "'%s' has schema %u and this program reads schema %u: use the "
            "program that made it, or another home",
            v->path, found, schema);
    key = text_val(KEY_UUID);
    rc = mdb_get(t, about, &key, &value);
    if (rc != 0)
        return env_error(v, rc, e);
    if (!id_from_span(&v->uuid, value.mv_data, value.mv_size))
        return err_set(e, E_CORRUPT, "'%s' is damaged: its id is malformed", v->path);
    return OK;
}

/* MDB_NOTFOUND: not made yet. */
static int databases_open(
    MDB_dbi *about, MDB_dbi *dbi, MDB_txn *t, const struct env_spec *spec, bool make)
{
    unsigned flags = make ? MDB_CREATE : 0;
    int rc = mdb_dbi_open(t, DB_ABOUT, flags, about);

    for (size_t i = 0; rc == 0 && i < spec->n_databases; i++)
        rc = mdb_dbi_open(t, spec->databases[i], flags, &dbi[i]);
    if (rc == 0 && make)
        rc = about_write(t, *about, spec->schema);
    return rc;
}

/* Reads first: opening what exists must not wait for whoever is writing. */
static int schema_open(struct env *v, bool *made, MDB_dbi *dbi, const struct env_spec *spec,
    enum env_mode mode, struct err *e)
{
    MDB_dbi about;
    MDB_txn *t = NULL;
    int found, rc = env_begin(&t, v, false, e);

    if (rc != OK)
        return rc;
    found = databases_open(&about, dbi, t, spec, false);
    if (found == MDB_NOTFOUND && mode == ENV_CREATE) {
        env_abort(v, t);
        rc = env_begin(&t, v, true, e);
        if (rc != OK)
            return rc;
        found = databases_open(&about, dbi, t, spec, true);
        *made = true;
    }
    if (found == MDB_NOTFOUND)
        rc = err_set(e, E_MISSING, "'%s' was never finished", v->path);
    else if (found != 0)
        rc = env_error(v, found, e);
    else
        rc = about_read(v, t, about, spec->schema, e);
    if (rc == OK)
        return env_commit(v, t, e);
    env_abort(v, t);
    return rc;
}

int env_open(struct env *v, MDB_dbi *dbi, const struct env_spec *spec, const char *home,
    enum env_mode mode, struct err *e)
{
    bool made = false;
    int rc;

    *v = (struct env){ .patient = spec->patient };
    if (pthread_rwlock_init(&v->gate, NULL) != 0)
        return err_set(e, E_NOMEM, "out of memory");
    rc = folder_prepare(v, home, spec->folder, mode, e);
    if (rc == OK)
        rc = filesystem_check(v->path, e);
    if (rc == OK)
        rc = registry_add(v, e);
    if (rc == OK)
        rc = lmdb_open(v, spec->map_size, mode, e);
    if (rc == OK)
        rc = schema_open(v, &made, dbi, spec, mode, e);
    if (rc == OK && made)
        rc = folder_sync(v->path, e);
    if (rc == OK && made)
        rc = folder_sync(home, e);
    if (rc != OK)
        env_close(v);
    return rc;
}

void env_close(struct env *v)
{
    mdb_txn_abort(v->idle);
    v->idle = NULL;
    if (v->mdb)
        mdb_env_close(v->mdb);
    v->mdb = NULL;
    if (v->pid)
        registry_remove(v);
    v->pid = 0;
    free(v->path);
    v->path = NULL;
    pthread_rwlock_destroy(&v->gate);
}

/* ---- transactions ---- */

/* A failed mmap leaves LMDB without any map, so that the room is tried out before. */
static int map_follow(struct env *v, struct err *e)
{
    MDB_envinfo info;
    MDB_stat st;
    size_t want;
    void *room;
    int rc = v->patient ? pthread_rwlock_wrlock(&v->gate) : pthread_rwlock_trywrlock(&v->gate);

    if (rc != 0)
        return err_set(e, E_BUSY, "'%s' has grown while a transaction is open", v->path);
    mdb_env_info(v->mdb, &info);
    mdb_env_stat(v->mdb, &st);
    want = (info.me_last_pgno + 1) * st.ms_psize;
    rc = OK;
    if (want > info.me_mapsize) { /* else another thread was first */
        want += want / 2;
        want -= want % st.ms_psize;
        room = mmap(NULL, want, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED) {
            rc = env_error(v, ENOMEM, e);
        } else {
            munmap(room, want);
            rc = mdb_env_set_mapsize(v->mdb, want);
            rc = rc == 0 ? OK : env_error(v, rc, e);
        }
    }
    pthread_rwlock_unlock(&v->gate);
    return rc;
}

static int txn_begin(MDB_txn **out, struct env *v, bool write)
{
    MDB_txn *idle = write ? NULL : atomic_exchange(&v->idle, NULL);
    int rc;

    if (idle && mdb_txn_renew(idle) == 0) {
        *out = idle;
        return 0;
    }
    mdb_txn_abort(idle);
    rc = mdb_txn_begin(v->mdb, NULL, write ? 0 : MDB_RDONLY, out);
    if (rc == 0 && write)
        v->writing = *out;
    return rc;
}

int env_begin(MDB_txn **out, struct env *v, bool write, struct err *e)
{
    bool cleared = false;
    int rc, stale;

    for (;;) {
        pthread_rwlock_rdlock(&v->gate);
        rc = txn_begin(out, v, write);
        if (rc == 0)
            return OK;
        pthread_rwlock_unlock(&v->gate);
        *out = NULL;
        if (rc == MDB_MAP_RESIZED) {
            rc = map_follow(v, e);
            if (rc != OK)
                return rc;
        } else if (rc == MDB_READERS_FULL && !cleared) {
            cleared = true;
            mdb_reader_check(v->mdb, &stale);
        } else {
            return env_error(v, rc, e);
        }
    }
}

int env_commit(struct env *v, MDB_txn *t, struct err *e)
{
    int rc;

    if (t == v->writing)
        v->writing = NULL;
    rc = mdb_txn_commit(t);
    pthread_rwlock_unlock(&v->gate);
    return rc == 0 ? OK : env_error(v, rc, e);
}

void env_abort(struct env *v, MDB_txn *t)
{
    if (!t)
        return;
    if (t == v->writing) {
        v->writing = NULL;
    } else {
        mdb_txn_reset(t);
        t = atomic_exchange(&v->idle, t);
    }
    mdb_txn_abort(t); /* NULL is fine */
    pthread_rwlock_unlock(&v->gate);
}
