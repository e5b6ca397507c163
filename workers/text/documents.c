#include "workers/text/documents_int.h"

#include <string.h>

/* The public doors: all files of an artifact. */

static int next_part(void *files, struct span *out, struct err *e)
{
    return files_part(files, out, e);
}

static int read_files(struct content *c, struct store *s, const struct id *id, struct err *e)
{
    struct files_reader *files = NULL;
    const char *path = NULL;
    int rc = files_open(&files, s, id, ARTIFACT_KIND__FILES, e);

    if (rc == OK) {
        c->im->how = files_reading(files);
        rc = files_next(files, &path, e);
    }
    while (rc == OK && path) {
        rc = content_read(c, path, (struct bytes_in){ next_part, files }, e);
        if (rc == OK)
            rc = files_next(files, &path, e);
    }
    if (rc >= OK)
        rc = intake_verdict(c->im, e);
    c->im->how = NULL;
    files_close(files);
    return rc;
}

int documents_each(struct intake *im, struct store *s, const struct id *files,
    int (*each)(void *ctx, const char *text, size_t n, struct err *e), void *ctx, struct err *e)
{
    struct content c = { GIVES_TEXT, { .document = each }, ctx, 0, im, NULL };

    return read_files(&c, s, files, e);
}

int demonstrations_each(struct intake *im, struct store *s, const struct id *files,
    int (*each)(void *ctx, const struct conversation *c, struct err *e), void *ctx, struct err *e)
{
    struct content c = { GIVES_DEMONSTRATION, { .demonstration = each }, ctx, 0, im, NULL };

    return read_files(&c, s, files, e);
}

int prompts_each(struct intake *im, struct store *s, const struct id *files,
    int (*each)(void *ctx, Prompt *p, struct err *e), void *ctx, struct err *e)
{
    struct content c = { GIVES_PROMPT, { .prompt = each }, ctx, 0, im, NULL };

    return read_files(&c, s, files, e);
}

int rankings_each(struct intake *im, struct store *s, const struct id *files,
    int (*each)(void *ctx, Ranking *r, struct err *e), void *ctx, struct err *e)
{
    struct content c = { GIVES_RANKING, { .ranking = each }, ctx, 0, im, NULL };

    return read_files(&c, s, files, e);
}
