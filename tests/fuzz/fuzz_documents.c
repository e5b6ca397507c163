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

/* The bytes as a person's file of every kind. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = { data, size };
    struct err e = ERR_INIT;
    uint64_t count = 0;

    documents_read("f.txt", bytes, SPLIT__FILE, see_document, NULL, &e);
    documents_read("f.txt", bytes, SPLIT__LINE, see_document, NULL, &e);
    documents_read("f.txt", bytes, SPLIT__PARAGRAPH, see_document, NULL, &e);
    documents_read("f.jsonl", bytes, SPLIT__FILE, see_document, NULL, &e);
    demonstrations_read("f.json", bytes, see_conversation, NULL, &e);
    prompts_read("f.json", bytes, &count, see_prompt, NULL, &e);
    prompts_read("f.txt", bytes, &count, see_prompt, NULL, &e);
    rankings_read("f.json", bytes, &count, see_ranking, NULL, &e);
    return 0;
}
