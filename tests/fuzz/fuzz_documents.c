#include "workers/text/documents_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see_document(void *ctx, const char *text, size_t n, struct err *e)
{
    (void)ctx, (void)text, (void)n, (void)e;
    return OK;
}

static int see_conversation(void *ctx, const struct conversation *c, struct err *e)
{
    (void)ctx, (void)c, (void)e;
    return OK;
}

static int see_prompt(void *ctx, Prompt *p, struct err *e)
{
    (void)ctx, (void)e;
    message_free(p);
    return OK;
}

static int see_ranking(void *ctx, Ranking *r, struct err *e)
{
    (void)ctx, (void)e;
    message_free(r);
    return OK;
}

/* Pieces of a size that the bytes themselves choose. */
struct pieces {
    const uint8_t *p;
    size_t n, size;
};

static int next_piece(void *ctx, struct span *out, struct err *e)
{
    struct pieces *p = ctx;

    (void)e;
    *out = (struct span){ p->p, p->n < p->size ? p->n : p->size };
    p->p += out->n;
    p->n -= out->n;
    return OK;
}

static void read_file(struct content c, const char *path, Split split, Reading__Encoding encoding,
    const uint8_t *data, size_t size)
{
    struct pieces p = { data, size, size > 0 ? 1 + data[size - 1] : 1 };
    Reading how = READING__INIT;
    struct err e = ERR_INIT;

    how.split = split;
    how.encoding = encoding;
    how.on_bad_record = READING__ON_BAD_RECORD__SKIP;
    if (intake_new(&c.im, &e) != OK)
        return;
    c.im->how = &how;
    content_read(&c, path, (struct bytes_in){ next_piece, &p }, &e);
    const struct intake_counts *n = intake_counts(c.im);
    uint64_t fates = 0;
    for (int i = 0; i < FATES; i++)
        fates += n->fates[i];
    if (fates != n->read)
        __builtin_trap();
    intake_free(c.im);
}

/* The bytes as a person's file of every kind, in every encoding: read = the sum of the fates. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "f.txt", "f.json", "f.csv", "f.tsv.gz" };
    const struct content contents[] = {
        { .gives = GIVES_TEXT, .each.document = see_document },
        { .gives = GIVES_DEMONSTRATION, .each.demonstration = see_conversation },
        { .gives = GIVES_PROMPT, .each.prompt = see_prompt },
        { .gives = GIVES_RANKING, .each.ranking = see_ranking },
    };

    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            read_file(contents[i], names[k], SPLIT__FILE, READING__ENCODING__DETECT, data, size);
    read_file(contents[0], "f.txt", SPLIT__LINE, READING__ENCODING__DETECT, data, size);
    read_file(contents[0], "f.txt", SPLIT__PARAGRAPH, READING__ENCODING__DETECT, data, size);
    for (int encoding = READING__ENCODING__UTF8; encoding <= READING__ENCODING__WINDOWS1252;
         encoding++)
        read_file(contents[0], "f.txt", SPLIT__LINE, (Reading__Encoding)encoding, data, size);
    return 0;
}
