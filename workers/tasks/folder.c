#include "workers/tasks/folder.h"

#include <stdlib.h>
#include <string.h>

#include "store/records.h"

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* ---- which files, and how large ---- */

static int count_bytes(size_t *n, struct files_reader *r, struct err *e)
{
    struct span part;
    int rc;

    for (*n = 0; (rc = files_part(r, &part, e)) == OK && part.n > 0;)
        *n += part.n;
    return rc;
}

static int list_file(struct folder *f, const char *path, struct files_reader *r, struct err *e)
{
    struct named_file *more = realloc(f->files, (f->n + 1) * sizeof *more);
    char *name = strdup(last_part(path));
    size_t n = 0;

    if (more)
        f->files = more;
    if (!more || !name) {
        free(name);
        return err_set(e, E_NOMEM, "out of memory");
    }
    int rc = count_bytes(&n, r, e);
    f->files[f->n++] = (struct named_file){ name, { NULL, n } };
    f->bytes += n;
    f->json += name_ends(name, ".json") ? n : 0;
    return rc;
}

int folder_list(struct folder *f, struct store *s, const struct id *id, struct err *e)
{
    struct files_reader *r = NULL;
    const char *path = NULL;
    int rc = files_open(&r, s, id, ARTIFACT_KIND__FILES, e);

    while (rc == OK && (rc = files_next(r, &path, e)) == OK && path) {
        if (!model_file_wanted(last_part(path))) /* would only take memory */
            continue;
        if (file_named(f->files, f->n, last_part(path)))
            rc = err_set(e, E_INPUT, "%s: another file has the same name", path);
        else
            rc = list_file(f, path, r, e);
    }
    files_close(r);
    return rc;
}

/* ---- their bytes ---- */

static int read_file(struct named_file *f, struct files_reader *r, struct err *e)
{
    char *bytes = malloc(f->bytes.n + 1);
    struct span part;
    size_t n = 0;
    int rc;

    if (!bytes)
        return err_set(e, E_NOMEM, "no memory for %s (%zu bytes)", f->name, f->bytes.n);
    f->bytes.p = bytes;
    while ((rc = files_part(r, &part, e)) == OK && part.n > 0) {
        if (part.n > f->bytes.n - n)
            return err_set(e, E_CORRUPT, "%s has more bytes than it had", f->name);
        memcpy(bytes + n, part.p, part.n);
        n += part.n;
    }
    return rc;
}

int folder_read(struct folder *f, struct store *s, const struct id *id, struct err *e)
{
    struct files_reader *r = NULL;
    const char *path = NULL;
    size_t at = 0;
    int rc = files_open(&r, s, id, ARTIFACT_KIND__FILES, e);

    while (rc == OK && (rc = files_next(r, &path, e)) == OK && path)
        if (model_file_wanted(last_part(path)))
            rc = read_file(&f->files[at++], r, e);
    files_close(r);
    return rc;
}

void folder_free(struct folder *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free((void *)(uintptr_t)f->files[i].name);
        free((void *)(uintptr_t)f->files[i].bytes.p);
    }
    free(f->files);
}
