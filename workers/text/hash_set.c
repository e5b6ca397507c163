#include "workers/text/hash_set.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IN_MEMORY ((size_t)32 << 20) /* bytes */

/* A file that nobody else sees and that is gone with its last user. */
static int nameless_file(void)
{
    const char *folder = getenv("TMPDIR");
    char path[4096];
    int fd;

    folder = folder && *folder ? folder : "/var/tmp";
    snprintf(path, sizeof path, "%s/jielong-XXXXXX", folder);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

/* All bytes are there before it is mapped: a full disk must not be met by a write to memory. */
static void *map_zeros(size_t bytes)
{
    int fd = nameless_file();
    void *p = MAP_FAILED;

    if (fd >= 0 && posix_fallocate(fd, 0, (off_t)bytes) == 0)
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return p == MAP_FAILED ? NULL : p;
}

void hash_set_free(struct hash_set *s)
{
    if (s->mapped)
        munmap(s->at, s->cap * sizeof *s->at);
    else
        free(s->at);
    *s = (struct hash_set){ 0 };
}

static size_t slot_of(const struct hash_set *s, uint64_t key)
{
    size_t i = (size_t)key & (s->cap - 1);

    while (s->at[i] != 0 && s->at[i] != key)
        i = (i + 1) & (s->cap - 1);
    return i;
}

static int grow(struct hash_set *s, struct err *e)
{
    struct hash_set more = { .n = s->n, .cap = s->cap ? 2 * s->cap : 4096 };
    size_t bytes = more.cap * sizeof *more.at;

    more.at = bytes > IN_MEMORY ? map_zeros(bytes) : NULL;
    more.mapped = more.at != NULL;
    if (!more.at)
        more.at = calloc(more.cap, sizeof *more.at);
    if (!more.at)
        return err_set(e, E_NOMEM, "no memory to remember %zu documents", s->n);
    for (size_t i = 0; i < s->cap; i++)
        if (s->at[i] != 0)
            more.at[slot_of(&more, s->at[i])] = s->at[i];
    hash_set_free(s);
    *s = more;
    return OK;
}

int hash_set_add(bool *was, struct hash_set *s, uint64_t key, struct err *e)
{
    int rc = 4 * s->n >= 3 * s->cap ? grow(s, e) : OK;

    *was = false;
    if (rc != OK)
        return rc;
    key += key == 0;
    size_t i = slot_of(s, key);
    *was = s->at[i] == key;
    s->at[i] = key;
    s->n += !*was;
    return OK;
}
