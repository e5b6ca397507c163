#include "proto/keys.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zmq.h>

#define FILE_LIMIT (1u << 20)
#define NAME_MAX_BYTES 64
#define OWN_FILE "orchestrator.key"
#define ALLOWED_FILE "allowed"

bool keys_valid(const char *public)
{
    uint8_t raw[32];

    return strlen(public) == KEY_TEXT - 1 && zmq_z85_decode(raw, public) != NULL;
}

int keys_make(struct keys *out, struct err *e)
{
    *out = (struct keys){ .orchestrator = "" };
    if (zmq_curve_keypair(out->public, out->secret) != 0)
        return err_set(e, E_IO, "cannot make keys: %s", zmq_strerror(errno));
    return OK;
}

/* ---- key files ---- */

static int take_line(struct keys *k, const char *word, const char *value, struct err *e)
{
    const struct {
        const char *word;
        char *place;
    } rows[] = {
        { "orchestrator", k->orchestrator },
        { "public", k->public },
        { "secret", k->secret },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].word, word) == 0) {
            if (!keys_valid(value))
                return err_set(e, E_INPUT, "'%s' is followed by what is no key", word);
            memcpy(rows[i].place, value, KEY_TEXT);
            return OK;
        }
    return err_set(e, E_INPUT, "unknown word '%s'", word);
}

/* Calls line(ctx, first word, second word) for every line that is not empty. */
static int each_line(const char *path,
    int (*line)(void *ctx, const char *a, const char *b, struct err *e), void *ctx, struct err *e)
{
    char *text = NULL, *save = NULL;
    size_t n = 0;
    int number = 0;
    int rc = access(path, F_OK) == 0 ? file_read(&text, &n, path, FILE_LIMIT, e)
                                     : err_set(e, E_MISSING, "there is no %s", path);

    for (char *p = rc == OK ? strtok_r(text, "\n", &save) : NULL; p && rc == OK;
         p = strtok_r(NULL, "\n", &save)) {
        char *inner = NULL, *a = strtok_r(p, " \t\r", &inner), *b = strtok_r(NULL, " \t\r", &inner);
        number++;
        if (!a)
            continue;
        rc = b ? line(ctx, a, b, e) : err_set(e, E_INPUT, "a word stands alone");
        if (rc != OK)
            err_wrap(e, "%s:%d", path, number);
    }
    free(text);
    return rc;
}

static int keys_line(void *ctx, const char *a, const char *b, struct err *e)
{
    return take_line(ctx, a, b, e);
}

int keys_read(struct keys *out, const char *path, struct err *e)
{
    struct keys k = { .orchestrator = "" };
    int rc = each_line(path, keys_line, &k, e);

    if (rc == OK && (!*k.public || !*k.secret))
        rc = err_set(e, E_INPUT, "%s: a public and a secret key belong there", path);
    if (rc == OK)
        *out = k;
    memset(&k, 0, sizeof k);
    return rc;
}

int keys_write(const struct keys *k, const char *path, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST)
        return err_set(e, E_BUSY, "%s is there already", path);
    if (fd < 0)
        return err_errno(e, "%s", path);
    int n = *k->orchestrator ? dprintf(fd, "orchestrator %s\n", k->orchestrator) : 0;
    if (n >= 0)
        n = dprintf(fd, "public %s\nsecret %s\n", k->public, k->secret);
    bool failed = n < 0 || fsync(fd) != 0;
    if ((close(fd) != 0 || failed) && unlink(path) == 0)
        return err_errno(e, "%s", path);
    return OK;
}

int keys_path(char *out, size_t size, const char *home, const char *file, struct err *e)
{
    int n = snprintf(out, size, "%s/" KEYS_FOLDER, home);

    if (n < 0 || (size_t)n >= size)
        return err_set(e, E_INPUT, "too long a path: %s", home);
    if ((mkdir(home, 0700) != 0 && errno != EEXIST) || (mkdir(out, 0700) != 0 && errno != EEXIST))
        return err_errno(e, "%s", out);
    n = snprintf(out, size, "%s/" KEYS_FOLDER "/%s", home, file);
    return n > 0 && (size_t)n < size ? OK : err_set(e, E_INPUT, "too long a path: %s", home);
}

int keys_own(struct keys *out, const char *home, struct err *e)
{
    char path[PATH_MAX];
    int rc = keys_path(path, sizeof path, home, OWN_FILE, e);

    if (rc != OK)
        return rc;
    rc = keys_read(out, path, e);
    if (rc != E_MISSING)
        return rc;
    rc = keys_make(out, e);
    return rc == OK ? keys_write(out, path, e) : rc;
}

/* ---- who may come in ---- */

struct each_key {
    int (*each)(void *ctx, const char *public, const char *name, struct err *e);
    void *ctx;
};

static int allowed_line(void *ctx, const char *a, const char *b, struct err *e)
{
    struct each_key *k = ctx;

    if (!keys_valid(a))
        return err_set(e, E_INPUT, "'%s' is no key", a);
    return k->each(k->ctx, a, b, e);
}

int keys_allowed(const char *home,
    int (*each)(void *ctx, const char *public, const char *name, struct err *e), void *ctx,
    struct err *e)
{
    struct each_key k = { each, ctx };
    char path[PATH_MAX];
    int rc = keys_path(path, sizeof path, home, ALLOWED_FILE, e);

    if (rc == OK && access(path, F_OK) == 0)
        rc = each_line(path, allowed_line, &k, e);
    return rc;
}

/* The list but for `without`, and whether that was in it. */
struct rewriting {
    struct buf text;
    const char *without;
    bool found;
};

static int keep_line(void *ctx, const char *public, const char *name, struct err *e)
{
    struct rewriting *w = ctx;

    if (strcmp(name, w->without) == 0) {
        w->found = true;
        return OK;
    }
    return buf_printf(&w->text, "%s %s\n", public, name) == OK
               ? OK
               : err_set(e, E_NOMEM, "out of memory");
}

static int write_allowed(const char *home, const struct rewriting *w, struct err *e)
{
    char path[PATH_MAX];
    int rc = keys_path(path, sizeof path, home, ALLOWED_FILE, e);

    return rc == OK ? file_write(path, w->text.p ? w->text.p : "", w->text.n, e) : rc;
}

static bool good_name(const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    return n > 0 && n <= NAME_MAX_BYTES && name[0] != '.';
}

int keys_allow(const char *home, const char *public, const char *name, struct err *e)
{
    struct rewriting w = { .without = name };
    int rc = OK;

    if (!keys_valid(public))
        return err_set(e, E_INPUT, "'%s' is no public key: it has 40 characters", public);
    if (!good_name(name))
        return err_set(
            e, E_INPUT, "'%s': a name has from 1 to 64 letters, digits, '-', '_', '.'", name);
    rc = keys_allowed(home, keep_line, &w, e);
    if (rc == OK && w.found)
        rc = err_set(e, E_BUSY, "'%s' is allowed already: revoke it first", name);
    if (rc == OK && buf_printf(&w.text, "%s %s\n", public, name) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        rc = write_allowed(home, &w, e);
    buf_free(&w.text);
    return rc;
}

int keys_revoke(const char *home, const char *name, struct err *e)
{
    struct rewriting w = { .without = name };
    int rc = keys_allowed(home, keep_line, &w, e);

    if (rc == OK && !w.found)
        rc = err_set(e, E_MISSING, "nobody called '%s' is allowed", name);
    if (rc == OK)
        rc = write_allowed(home, &w, e);
    buf_free(&w.text);
    return rc;
}
