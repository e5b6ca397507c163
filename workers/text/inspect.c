#include "workers/text/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/utf8.h"
#include "workers/text/documents_int.h"
#include "workers/text/inspect_int.h"

/* ---- files on disk ---- */

struct disk {
    const char *path;
    int fd;
    uint8_t bytes[1 << 18];
};

static int disk_next(void *ctx, struct span *out, struct err *e)
{
    struct disk *d = ctx;
    ssize_t n;

    do
        n = read(d->fd, d->bytes, sizeof d->bytes);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(e, E_INPUT, "cannot read '%s': %s", d->path, strerror(errno));
    *out = (struct span){ d->bytes, (size_t)n };
    return OK;
}

/* Opens the file and lets `use` have its bytes. */
static int with_file(struct inspecting *x, const char *path,
    int (*use)(struct inspecting *x, const char *path, struct bytes_in in, struct err *e),
    struct err *e)
{
    struct disk *d = malloc(sizeof *d);
    int rc;

    if (!d)
        return err_set(e, E_NOMEM, "out of memory");
    d->path = path;
    d->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    rc = d->fd < 0 ? err_set(e, E_INPUT, "cannot read it: %s", strerror(errno))
                   : use(x, path, (struct bytes_in){ disk_next, d }, e);
    if (d->fd >= 0)
        close(d->fd);
    free(d);
    return rc;
}

/* ---- what a file is ---- */

static int see_first(void *ctx, const struct record *r, enum fate *fate, struct err *e)
{
    struct inspecting *x = ctx;
    const struct shape *s = shape_find(r, GIVES_TEXT | GIVES_RANKING | GIVES_DEMONSTRATION);

    (void)fate, (void)e;
    if (s) {
        unsigned gives = shape_gives(s);
        x->gives = gives & GIVES_RANKING         ? GIVES_RANKING
                   : gives & GIVES_DEMONSTRATION ? GIVES_DEMONSTRATION
                   : gives & GIVES_TEXT          ? GIVES_TEXT
                                                 : GIVES_PROMPT;
    }
    return 1; /* enough */
}

static int probe(struct inspecting *x, const char *path, struct bytes_in in, struct err *e)
{
    struct source *s = NULL;
    struct intake *im = NULL;
    int rc = source_open(&s, path, in, x->o->how->encoding, e);

    if (rc == OK)
        rc = intake_new(&im, e);
    if (rc == OK && !source_named_records(s)) {
        x->gives = GIVES_TEXT;
    } else if (rc == OK) {
        im->how = x->o->how;
        rc = records_each(s, im, x->o->how->format, see_first, x, e);
    }
    intake_free(im);
    source_close(s);
    return rc == E_INPUT || rc > 0 ? OK : rc; /* what is wrong is told when it is read */
}

static int count_lines(struct inspecting *x, const char *path, struct bytes_in in, struct err *e)
{
    struct source *s = NULL;
    struct span line = { "", 0 };
    char name[64];
    int rc = source_open(&s, path, in, x->o->how->encoding, e);

    if (rc == OK) {
        const char *packed = source_packed(s);
        snprintf(name, sizeof name, "%s%s%s", encoding_name(source_encoding(s)), packed ? ", " : "",
            packed ? packed : "");
        rc = facts_count(&x->m->encodings, &x->m->n_encodings, name, 1, e);
    }
    while (rc == OK && x->gives == GIVES_TEXT && !source_named_records(s)) {
        rc = source_next_line(s, &line, e);
        if (rc != OK || !line.p)
            break;
        x->m->has_lines = x->m->has_lines_with_text = true;
        x->m->lines++;
        x->m->lines_with_text += !text_blank(line.p, line.n);
    }
    source_close(s);
    return rc == E_INPUT ? OK : rc;
}

/* ---- reading ---- */

#define UNREAD_MOST 32 /* names that are told */

/* Texts that nothing is made of: who meant one of them must know. */
static void see_unread(InspectedInput *m, const struct record *r)
{
    struct err e = ERR_INIT;

    for (size_t i = 0; i < json_size(r->json) && i < 64; i++) {
        size_t n = 0;
        const char *text = json_text(json_value(r->json, i), &n);
        if (!(*r->read >> i & 1) && text && !text_blank(text, n) && m->n_unread < UNREAD_MOST)
            facts_count(&m->unread, &m->n_unread, json_key(r->json, i), 1, &e);
    }
}

static void see_shape(void *ctx, const struct record *r, const struct shape *shape)
{
    struct inspecting *x = ctx;
    struct err e = ERR_INIT;

    if (shape && shape_gives(shape) & x->gives)
        see_unread(x->m, r);
    facts_count(&x->m->shapes, &x->m->n_shapes, shape ? shape_name(shape) : "unknown", 1, &e);
}

static int read_file(struct inspecting *x, const char *path, struct bytes_in in, struct err *e)
{
    struct content c = { .gives = x->gives, .ctx = x, .im = x->im, .look = see_shape };
    int rc;

    switch (x->gives) {
    case GIVES_TEXT:
        c.each.document = inspect_document;
        break;
    case GIVES_DEMONSTRATION:
        c.each.demonstration = inspect_demonstration;
        break;
    case GIVES_RANKING:
        c.each.ranking = inspect_ranking;
        break;
    case GIVES_PROMPT:
        c.each.prompt = inspect_prompt;
        break;
    }
    c.number = x->number;
    rc = content_read(&c, path, in, e);
    x->number = c.number;
    return rc;
}

/* The first file of an input tells what all of it is. */
static int inspect_file(void *ctx, const char *path, struct err *e)
{
    struct inspecting *x = ctx;
    bool first = x->im->counts.files == 0;
    int rc = OK;

    if (first && !x->o->as)
        rc = with_file(x, path, probe, e);
    if (rc == OK)
        rc = with_file(x, path, count_lines, e);
    if (rc == OK)
        rc = with_file(x, path, read_file, e);
    return rc == E_INPUT ? intake_refuse(x->im, path, 1, e) : rc;
}

static int find_gives(enum gives *out, const char *as, struct err *e)
{
    static const enum gives all[] = { GIVES_TEXT, GIVES_DEMONSTRATION, GIVES_RANKING,
        GIVES_PROMPT };

    *out = GIVES_DEMONSTRATION; /* until a file tells */
    if (!as)
        return OK;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const char *name = gives_name(all[i]);
        if (strcmp(as, all[i] == GIVES_TEXT ? "text" : name) == 0) {
            *out = all[i];
            return OK;
        }
    }
    return err_set(
        e, E_INPUT, "--as: '%s' is none of text, demonstrations, rankings and prompts", as);
}

static int begin(struct inspecting *x, const char *path, struct err *e)
{
    int rc = find_gives(&x->gives, x->o->as, e);

    if (rc == OK)
        rc = intake_new(&x->im, e);
    if (rc == OK)
        rc = intake_new(&x->items, e);
    if (rc == OK)
        rc = intake_new(&x->prompts, e);
    if (rc != OK)
        return rc;
    x->im->how = x->o->how;
    x->m = calloc(1, sizeof *x->m);
    if (!x->m)
        return err_set(e, E_NOMEM, "out of memory");
    inspected_input__init(x->m);
    x->m->path = strdup(path);
    return x->m->path ? OK : err_set(e, E_NOMEM, "out of memory");
}

int inspect_path(
    InspectedInput **out, const char *path, const struct inspect_options *o, struct err *e)
{
    struct inspecting *x = calloc(1, sizeof *x);
    int rc = OK;

    if (!x)
        return err_set(e, E_NOMEM, "out of memory");
    x->o = o;
    rc = begin(x, path, e);
    if (rc == OK)
        rc = folder_each(path, inspect_file, x, &x->left, e);
    if (rc == OK)
        rc = inspect_finish(x, e);
    if (rc == OK) {
        *out = x->m;
        x->m = NULL;
    }
    message_free(x->m);
    intake_free(x->im);
    intake_free(x->items);
    intake_free(x->prompts);
    free(x);
    return rc;
}
