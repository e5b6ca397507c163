#include "proto/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads to the end of fd; one byte more than `limit` is enough to know that it is too long. */
static int fd_read(struct buf *b, int fd, size_t limit, const char *path, struct err *e)
{
    char block[65536];
    ssize_t got;

    do {
        got = read(fd, block, sizeof block);
        if (got < 0 && errno != EINTR)
            return err_errno(e, "cannot read '%s'", path);
        if (got > 0 && (size_t)got > limit - b->n)
            return err_set(e, E_INPUT, "'%s' is larger than %zu bytes", path, limit);
        if (got >= 0 && buf_add(b, block, (size_t)got) != OK)
            return err_set(e, E_NOMEM, "cannot read '%s': out of memory", path);
    } while (got != 0);
    return OK;
}

int file_read(char **out, size_t *n, const char *path, size_t limit, struct err *e)
{
    struct buf b = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return err_errno(e, "cannot read '%s'", path);
    rc = fd_read(&b, fd, limit, path, e);
    close(fd);
    if (rc != OK) {
        buf_free(&b);
        return rc;
    }
    *out = b.p;
    *n = b.n;
    return OK;
}

static int fd_write(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno != EINTR)
            return -1;
        if (put > 0) {
            p += put;
            n -= (size_t)put;
        }
    }
    return fsync(fd);
}

/* Makes PATH.PID-I.tmp, which nobody else holds; a killed process may have left some behind. */
static int temporary_open(char *name, size_t size, const char *path)
{
    int fd = -1;

    for (int i = 0; i < 1000 && fd < 0; i++) {
        snprintf(name, size, "%s.%ld-%d.tmp", path, (long)getpid(), i);
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd;
}

/* Makes the rename itself durable. */
static int folder_sync(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int fd, rc;

    if (!folder) {
        errno = ENOMEM;
        return -1;
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0)
        return -1;
    rc = fsync(fd);
    close(fd);
    return rc;
}

int file_write(const char *path, const void *p, size_t n, struct err *e)
{
    size_t size = strlen(path) + 64;
    char *name = malloc(size);
    int fd, rc = OK;

    if (!name)
        return err_set(e, E_NOMEM, "cannot write '%s': out of memory", path);
    fd = temporary_open(name, size, path);
    if (fd < 0) {
        rc = err_errno(e, "cannot write '%s'", path);
    } else {
        if (fd_write(fd, p, n) != 0)
            rc = err_errno(e, "cannot write '%s'", path);
        if (close(fd) != 0 && rc == OK)
            rc = err_errno(e, "cannot write '%s'", path);
        if (rc == OK && (rename(name, path) != 0 || folder_sync(path) != 0))
            rc = err_errno(e, "cannot write '%s'", path);
        if (rc != OK)
            unlink(name);
    }
    free(name);
    return rc;
}
