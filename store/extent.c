#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "store/store_int.h"

/* Whether the file is as long as its newest commit needs. LMDB maps it and asks no more: a page
 * behind the end of a file that was cut kills whoever reads it. Pages that are free may be missing:
 * LMDB does not write what it has freed in the same transaction. */

struct tail {
    uint8_t *at; /* in the map, of the missing pages */
    size_t bytes;
    off_t offset;        /* in the file */
    size_t first, pages; /* numbers of the missing pages: from first on */
};

/* Where the file is mapped: LMDB tells it only of maps at a fixed address. NULL: not found. */
static uint8_t *map_address(const struct env *v)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char *folder = realpath(v->path, NULL), *line = NULL;
    size_t cap = 0;
    uintptr_t at = 0;

    while (f && folder && !at && getline(&line, &cap, f) > 0) {
        uintptr_t from;
        unsigned long long offset;
        const char *path = strchr(line, '/');
        size_t n = strlen(folder);
        if (path && strncmp(path, folder, n) == 0 && strcmp(path + n, "/data.mdb\n") == 0 &&
            sscanf(line, "%" SCNxPTR "-%*x %*s %llx", &from, &offset) == 2 && offset == 0)
            at = from;
    }
    free(folder);
    free(line);
    if (f)
        fclose(f);
    return (uint8_t *)at;
}

/* The pages behind the file's end, by the commit that t reads. */
static int tail_find(struct tail *out, const struct env *v, MDB_txn *t, bool *same)
{
    MDB_envinfo info;
    MDB_stat st;
    struct stat file;
    int fd, rc = mdb_env_info(v->mdb, &info);

    if (rc == 0)
        rc = mdb_env_stat(v->mdb, &st);
    if (rc == 0)
        rc = mdb_env_get_fd(v->mdb, &fd);
    if (rc == 0 && fstat(fd, &file) != 0)
        rc = EIO;
    if (rc != 0)
        return rc;
    size_t there = (size_t)file.st_size / st.ms_psize, needed = info.me_last_pgno + 1;
    *same = info.me_last_txnid == mdb_txn_id(t);
    *out = (struct tail){ .first = there };
    if (there < needed) {
        out->pages = needed - there;
        out->offset = (off_t)(there * st.ms_psize);
        out->bytes = out->pages * st.ms_psize;
        out->at = map_address(v);
        if (out->at)
            out->at += out->offset;
    }
    return 0;
}

/* How many of the missing pages are free: database 0 has lists of them, each with its length. */
static size_t free_pages(const struct tail *missing, MDB_txn *t)
{
    MDB_cursor *c = NULL;
    MDB_val key, value;
    size_t n = 0;
    int found = mdb_cursor_open(t, 0, &c);

    while (found == 0 && (found = mdb_cursor_get(c, &key, &value, MDB_NEXT)) == 0) {
        const uint8_t *list = value.mv_data;
        size_t length, page;
        memcpy(&length, list, sizeof length);
        for (size_t i = 1; i <= length && (i + 1) * sizeof page <= value.mv_size; i++) {
            memcpy(&page, list + i * sizeof page, sizeof page);
            n += page >= missing->first && page < missing->first + missing->pages;
        }
    }
    if (c)
        mdb_cursor_close(c);
    return n;
}

/* Reads the lists while zeros stand where the file has nothing. */
static int tail_is_free(const struct env *v, const struct tail *missing, MDB_txn *t, bool *all)
{
    int fd, rc = mdb_env_get_fd(v->mdb, &fd);
    if (rc == 0 && mmap(missing->at, missing->bytes, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        rc = ENOMEM;
    if (rc != 0)
        return rc;
    *all = free_pages(missing, t) == missing->pages;
    if (mmap(missing->at, missing->bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, missing->offset) ==
        MAP_FAILED)
        rc = ENOMEM;
    return rc;
}

/* The lock file counts commits, and readers begin by it. A writer that was killed after its commit
 * and before it counted it leaves the count behind, until the next writer finds it dead. */
static int count_settle(const struct env *v)
{
    MDB_txn *t = NULL;
    int rc = mdb_txn_begin(v->mdb, NULL, 0, &t);

    mdb_txn_abort(t);
    return rc;
}

#define LOOKS 3 /* how often a writer that lives may commit meanwhile, before it is waited for */

int extent_check(struct env *v, struct err *e)
{
    struct tail missing = { 0 };
    bool same = false, all = true;
    int rc = 0;

    for (int looks = 0; rc == 0 && !same; looks++) {
        MDB_txn *t = NULL;
        if (looks >= LOOKS)
            rc = count_settle(v);
        if (rc == 0)
            rc = mdb_txn_begin(v->mdb, NULL, MDB_RDONLY, &t);
        if (rc == 0)
            rc = tail_find(&missing, v, t, &same);
        if (rc == 0 && same && missing.at)
            rc = tail_is_free(v, &missing, t, &all);
        mdb_txn_abort(t);
    }
    if (rc == EACCES) /* who may only read cannot settle it, and reads an older commit */
        return OK;
    if (rc != 0)
        return rc == MDB_MAP_RESIZED ? OK : env_error(v, rc, e);
    if (all)
        return OK;
    return err_set(e, E_CORRUPT,
        "'%s/data.mdb' was cut off: its last %zu KiB are missing. Nothing was changed; bring the "
        "file back from a copy, or take another home",
        v->path, missing.bytes >> 10);
}
