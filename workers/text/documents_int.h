#ifndef WORKERS_TEXT_DOCUMENTS_INT_H
#define WORKERS_TEXT_DOCUMENTS_INT_H

#include "workers/text/documents.h"
#include "workers/text/intake_int.h"
#include "workers/text/shape_int.h"

/* A way to read one file: as documents.h says of all of an artifact's. `number` counts prompts over
 * all files. */
struct content {
    enum gives gives;
    union {
        int (*document)(void *ctx, const char *text, size_t n, struct err *e);
        int (*demonstration)(void *ctx, const struct conversation *c, struct err *e);
        int (*prompt)(void *ctx, Prompt *p, struct err *e);
        int (*ranking)(void *ctx, Ranking *r, struct err *e);
    } each;
    void *ctx;
    uint64_t number;
    struct intake *im;
    /* Looks at every record first, whatever comes of it; NULL: nobody does. */
    void (*look)(void *ctx, const struct record *r, const struct shape *shape);
};

/* Reads one file; im->how is set. OK also where it was refused and that is left to the verdict. */
int content_read(struct content *c, const char *path, struct bytes_in in, struct err *e);

/* ---- prompts ---- */

/* A prompt of a copy of the turns; id, lang and, when `accepted`, the accepted
 * answers are the record's, which may be NULL; without an id its number is one. *out is freed by
 * message_free. */
int prompt_make(Prompt **out, const struct conversation *c, const struct record *r, uint64_t number,
    bool accepted, struct err *e);

#endif
