#include "store/records.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_int.h"

#define DEPTH_MAX 64 /* folders within folders */

/* ---- parts ---- */

static int add_part(struct records_writer *w, const char *path, struct span reading, const void *p,
    size_t n, struct err *e)
{
    FilePart part = FILE_PART__INIT;

    part.path = (char *)(uintptr_t)path;
    part.has_reading = reading.n > 0;
    part.reading = (ProtobufCBinaryData){ reading.n, (uint8_t *)(uintptr_t)reading.p };
    part.has_data = true;
    part.data = (ProtobufCBinaryData){ n, (uint8_t *)(uintptr_t)p };
    return records_add(w, &part.base, e);
}

int files_add(struct records_writer *w, const char *path, const void *p, size_t n, struct err *e)
{
    const uint8_t *from = p;
    int rc = OK;

    do {
        size_t part = n < FILE_PART ? n : FILE_PART;
        rc = add_part(w, path, (struct span){ 0 }, from, part, e);
        path = NULL;
        from += part;
        n -= part;
    } while (rc == OK && n > 0);
    return rc;
}

/* ---- finding: names before bytes, so that the order is that of names ---- */

struct found {
    char **paths; /* relative to the folder */
    size_t n, cap;
    struct files_left left;
};

static void found_free(struct found *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->paths[i]);
    free(f->paths);
}

/* Takes path, freed even on failure; NULL: there was no memory for it. */
static int found_add(struct found *f, char *path, struct err *e)
{
    if (path && f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 64;
        char **paths = realloc(f->paths, cap * sizeof *paths);
        if (paths) {
            f->paths = paths;
            f->cap = cap;
        }
    }
    if (!path || f->n == f->cap) {
        free(path);
        return err_set(e, E_NOMEM, "out of memory");
    }
    f->paths[f->n++] = path;
    return OK;
}

static int refused(const char *path, struct err *e)
{
    return err_set(e, E_INPUT, "cannot read '%s': %s", path, strerror(errno));
}

static char *joined(const char *folder, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", name) < 0 ? NULL : path;
}

static int find(struct found *f, const char *root, const char *folder, int depth, struct err *e);

/* Files and links to files; a link to a folder could lead in circles or out of the root. */
static int find_entry(struct found *f, const char *root, char *path, int depth, struct err *e)
{
    char *full = path ? joined(root, path) : NULL;
    struct stat st = { 0 };
    int rc = OK;

    if (!full) {
        free(path);
        return err_set(e, E_NOMEM, "out of memory");
    }
    int found = lstat(full, &st);
    bool link = found == 0 && S_ISLNK(st.st_mode);
    if (found != 0) {
        rc = refused(full, e);
    } else if (S_ISDIR(st.st_mode)) {
        rc = find(f, root, path, depth + 1, e);
    } else if (S_ISREG(st.st_mode) || (link && stat(full, &st) == 0 && S_ISREG(st.st_mode))) {
        rc = found_add(f, path, e);
        path = NULL;
    } else if (link) {
        f->left.links++;
    } else {
        f->left.others++;
    }
    free(path);
    free(full);
    return rc;
}

static int find(struct found *f, const char *root, const char *folder, int depth, struct err *e)
{
    char *full = joined(root, folder);
    struct dirent *entry;
    DIR *dir = NULL;
    int rc = OK;

    if (!full)
        rc = err_set(e, E_NOMEM, "out of memory");
    else if (depth > DEPTH_MAX)
        rc = err_set(e, E_INPUT, "'%s': more than %d folders within folders", full, DEPTH_MAX);
    else if (!(dir = opendir(full)))
        rc = refused(full, e);
    while (rc == OK) {
        errno = 0;
        entry = readdir(dir);
        if (!entry) {
            rc = errno ? refused(full, e) : OK;
            break;
        }
        if (entry->d_name[0] != '.')
            rc = find_entry(f, root, joined(folder, entry->d_name), depth, e);
        else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            f->left.hidden++;
    }
    if (dir)
        closedir(dir);
    free(full);
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- taking ---- */

/* Fills the part unless the file ends: parts are cut by place, not by what a read returns. */
static int part_read(size_t *n, int fd, uint8_t *part, const char *path, struct err *e)
{
    ssize_t got;

    *n = 0;
    do {
        got = read(fd, part + *n, FILE_PART - *n);
        if (got < 0 && errno != EINTR)
            return refused(path, e);
        *n += got > 0 ? (size_t)got : 0;
    } while (got != 0 && *n < FILE_PART);
    return OK;
}

struct taking {
    struct records_writer *w;
    uint8_t *part;      /* FILE_PART */
    struct buf reading; /* for the first part */
    int64_t files, bytes;
    struct files_left left;
};

static int take_file(struct taking *t, const char *full, const char *path, struct err *e)
{
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* does not wait for a pipe's writer */
    bool first = true;
    size_t n = 0;
    int rc = OK;

    if (fd < 0)
        return refused(full, e);
    do {
        rc = part_read(&n, fd, t->part, full, e);
        if (rc == OK && (first || n > 0))
            rc = add_part(t->w, first ? path : NULL, (struct span){ t->reading.p, t->reading.n },
                t->part, n, e);
        first = false;
        t->reading.n = 0;
        t->bytes += (int64_t)n;
    } while (rc == OK && n == FILE_PART);
    t->files++;
    close(fd);
    return rc;
}

static int take_folder(struct taking *t, const char *root, struct err *e)
{
    struct found f = { 0 };
    int rc = find(&f, root, "", 0, e);

    t->left = f.left;
    if (rc == OK && f.n == 0)
        rc = err_set(e, E_INPUT, "there are no files in '%s'", root);
    if (f.n)
        qsort(f.paths, f.n, sizeof *f.paths, by_bytes);
    for (size_t i = 0; rc == OK && i < f.n; i++) {
        char *full = joined(root, f.paths[i]);
        rc = full ? take_file(t, full, f.paths[i], e) : err_set(e, E_NOMEM, "out of memory");
        free(full);
    }
    found_free(&f);
    return rc;
}

static int take_path(struct taking *t, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    struct stat st;

    if (stat(path, &st) != 0)
        return refused(path, e);
    if (S_ISDIR(st.st_mode))
        return take_folder(t, path, e);
    if (S_ISREG(st.st_mode))
        return take_file(t, path, slash ? slash + 1 : path, e);
    return err_set(e, E_INPUT, "'%s' is neither a file nor a folder", path);
}

static bool says_more_than_split(const Reading *how)
{
    return how && (how->encoding != READING__ENCODING__DETECT ||
                      how->on_bad_record != READING__ON_BAD_RECORD__STOP || how->keep_duplicates ||
                      how->format);
}

bool files_left_say(char *out, size_t size, const struct files_left *left)
{
    const struct {
        uint64_t n;
        const char *one, *many;
    } kinds[] = {
        { left->hidden, "hidden file or folder", "hidden files and folders" },
        { left->links, "link to a folder or to nothing", "links to folders or to nothing" },
        { left->others, "that is neither file nor folder", "that are neither files nor folders" },
    };
    size_t at = 0;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && at < size; i++)
        if (kinds[i].n > 0)
            at += (size_t)snprintf(out + at, size - at, "%s%llu %s",
                at > 0 ? ", " : "left out: ", (unsigned long long)kinds[i].n,
                kinds[i].n == 1 ? kinds[i].one : kinds[i].many);
    return at > 0;
}

int files_take(Output **out, struct store *s, const char *path, const Reading *how,
    struct files_left *left, struct err *e)
{
    struct taking t = { .part = malloc(FILE_PART) };
    int64_t split = how ? how->split : SPLIT__FILE;
    int rc = t.part ? OK : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK && says_more_than_split(how) && message_pack(&t.reading, &how->base) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        rc = records_create(&t.w, s, ARTIFACT_KIND__FILES, e);
    if (rc == OK)
        rc = take_path(&t, path, e);
    if (rc == OK)
        rc = records_fact(t.w, "files", t.files, e);
    if (rc == OK)
        rc = records_fact(t.w, "bytes", t.bytes, e);
    if (rc == OK)
        rc = records_fact(t.w, "split", split, e);
    if (rc == OK) {
        rc = records_commit(t.w, "files", out, e);
        t.w = NULL;
    }
    if (left)
        *left = t.left;
    records_abort(t.w);
    buf_free(&t.reading);
    free(t.part);
    return rc;
}
