#include "workers/formats/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE 8192 /* numbers converted at once; a multiple of every block */

struct output_file {
    FILE *file;
    char *path;
};

int output_create(struct output_file **out, const char *path, struct err *e)
{
    struct output_file *f = calloc(1, sizeof *f);
    int fd;

    if (f)
        f->path = strdup(path);
    if (!f || !f->path) {
        free(f);
        return err_set(e, E_NOMEM, "out of memory");
    }
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    f->file = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!f->file) {
        int rc = errno == EEXIST ? err_set(e, E_INPUT, "%s is there already", path)
                                 : err_errno(e, "%s", path);
        free(f->path);
        free(f);
        return rc;
    }
    *out = f;
    return OK;
}

int output_write(struct output_file *f, const void *p, size_t n, struct err *e)
{
    if (n > 0 && fwrite(p, 1, n, f->file) != n)
        return err_errno(e, "writing %s", f->path);
    return OK;
}

int output_elements(
    struct output_file *f, enum element type, const float *p, size_t n, struct err *e)
{
    uint8_t piece[4 * PIECE];
    int rc = OK;

    for (size_t at = 0; rc == OK && at < n; at += PIECE) {
        size_t some = n - at < PIECE ? n - at : PIECE;
        uint64_t bytes = 0;
        element_bytes(type, some, &bytes);
        element_write(type, piece, p + at, some);
        rc = output_write(f, piece, (size_t)bytes, e);
    }
    return rc;
}

int output_commit(struct output_file *f, struct err *e)
{
    if (fflush(f->file) != 0 || fsync(fileno(f->file)) != 0) {
        err_errno(e, "writing %s", f->path);
        output_abort(f);
        return e->code;
    }
    fclose(f->file);
    free(f->path);
    free(f);
    return OK;
}

void output_abort(struct output_file *f)
{
    if (!f)
        return;
    unlink(f->path);
    fclose(f->file);
    free(f->path);
    free(f);
}
