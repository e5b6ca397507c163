#include <stdlib.h>
#include <string.h>

#include "workers/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static struct tokenizer *small_tokenizer(void)
{
    static const char text[] =
        "the cat and the dog, the dog's 12 12 bones\n\n世界上最高的山，世界上最长的河\n";
    struct tokenizer_trainer *trainer;
    struct tokenizer *t = NULL;
    TokenizerModel *m = NULL;
    struct err e = ERR_INIT;

    check(tokenizer_trainer_new(&trainer, "gpt-2", 1, &e) == OK);
    check(tokenizer_trainer_add(trainer, text, strlen(text), &e) == OK);
    check(tokenizer_trainer_finish(trainer, &m, 300, "chatml", &e) == OK);
    check(tokenizer_new(&t, m, &e) == OK);
    message_free(m);
    return t;
}

/* whole: it has a token for every byte; else a text may be refused. */
static void round_trip(const struct tokenizer *t, const char *text, size_t n, bool whole)
{
    struct ids ids = { 0 };
    struct buf back = { 0 };
    struct err e = ERR_INIT;
    int rc = tokenizer_encode(t, &ids, text, n, &e);

    check(rc == OK || (rc == E_INPUT && !whole && ids.n == 0));
    if (rc != OK) {
        ids_free(&ids);
        return;
    }
    check(tokenizer_decode(t, &back, ids.p, ids.n) == OK);
    check(tokenizer_model(t)->nfc || (back.n == n && (n == 0 || memcmp(back.p, text, n) == 0)));
    ids.n = 0;
    check(tokenizer_encode_special(t, &ids, text, n, &e) == OK || !whole);
    for (size_t i = 0; i < ids.n; i++)
        check(ids.p[i] >= 0 && (size_t)ids.p[i] < tokenizer_size(t));
    buf_free(&back);
    ids_free(&ids);
}

/* The bytes as text, then as a packed model: what tokenizer_new accepts must be able to encode, or
 * to refuse. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *small;
    ProtobufCMessage *m = NULL;
    struct tokenizer *t = NULL;
    struct err e = ERR_INIT;

    if (!small)
        small = small_tokenizer();
    round_trip(small, (const char *)data, size, true);
    if (message_unpack(&m, &tokenizer_model__descriptor, data, size, &e) == OK &&
        tokenizer_new(&t, (const TokenizerModel *)m, &e) == OK)
        round_trip(t, (const char *)data, size, false);
    tokenizer_free(t);
    message_free(m);
    return 0;
}
