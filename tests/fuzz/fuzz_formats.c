#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/formats/chat_text.h"
#include "workers/formats/hf_config.h"
#include "workers/formats/model_import.h"
#include "workers/formats/safetensors.h"
#include "workers/formats/tokenizer_file.h"
#include "workers/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A tokenizer that was read and passes gives back any text. */
static void try_tokenizer(int rc, TokenizerModel *m, const struct err *e)
{
    static const char text[] = "a  b\n\xe4\xbd\xa0\xff";
    struct tokenizer *t = NULL;
    struct err other = ERR_INIT;
    struct ids ids = { 0 };
    struct buf back = { 0 };

    if (rc != OK) {
        if (e->code != E_INPUT && e->code != E_NOMEM)
            abort();
        return;
    }
    if (tokenizer_new(&t, m, &other) == OK &&
        tokenizer_encode(t, &ids, text, sizeof text - 1, &other) == OK) {
        if (tokenizer_decode(t, &back, ids.p, ids.n) != OK || back.n != sizeof text - 1 ||
            memcmp(back.p, text, back.n) != 0)
            abort();
    }
    ids_free(&ids);
    buf_free(&back);
    tokenizer_free(t);
    message_free(m);
}

static void try_gguf(struct span s)
{
    struct err e = ERR_INIT;
    struct gguf *g = NULL;
    TokenizerModel *m = NULL;
    int rc;

    if (gguf_open(&g, s, &e) != OK) {
        if (e.code != E_INPUT && e.code != E_NOMEM)
            abort();
        return;
    }
    for (size_t i = 0; i < gguf_tensors(g); i++) { /* lies within the file: a read is safe */
        const struct gguf_info *t = gguf_tensor_at(g, i);
        float x[32];
        element_read(t->type, x, t->bytes.p, element_block(t->type));
    }
    rc = tokenizer_from_gguf(&m, g, &e);
    try_tokenizer(rc, m, &e);
    gguf_free(g);
}

/* Whatever the file says, a model takes no more memory than it has bytes for. */
static void try_model(const char *name, struct span s)
{
    static const uint8_t words[] = { 1, 0, 0, 0 };
    const struct named_file files[] = { { name, s }, { "tok.bin", { words, sizeof words } } };
    struct imported m = { 0 };
    struct err e = ERR_INIT;
    const char *what;

    if (model_import(&m, &what, files, 2, &(struct import_options){ 0 }, &e) == OK)
        imported_free(&m);
    else if (e.code != E_INPUT && e.code != E_NOMEM)
        abort();
}

static void try_gguf_model(struct span s)
{
    try_model("x.gguf", s);
}

static void try_llama2c_model(struct span s)
{
    try_model("x.bin", s);
}

static void try_safetensors(struct span s)
{
    struct err e = ERR_INIT;
    struct safetensors *t = NULL;
    struct tensor_view v;
    float x;

    if (safetensors_open(&t, s, &e) != OK) {
        if (e.code != E_INPUT && e.code != E_NOMEM)
            abort();
        return;
    }
    for (size_t i = 0; i < safetensors_count(t); i++)
        if (safetensors_find(t, safetensors_name(t, i), &v))
            element_read(v.type, &x, v.bytes.p, 1);
    safetensors_free(t);
}

static void try_config(struct span s)
{
    struct err e = ERR_INIT;
    enum scheme scheme;
    ModelConfig c;

    if (hf_config_read(&c, &scheme, s, 0, &e) != OK && e.code != E_INPUT && e.code != E_NOMEM)
        abort();
}

static void try_json(struct span s)
{
    const struct span none = { NULL, 0 };
    struct err e = ERR_INIT;
    TokenizerModel *m = NULL;
    int rc = tokenizer_from_json(&m, s, none, &e);

    try_tokenizer(rc, m, &e);
}

static void try_tiktoken(struct span s)
{
    struct err e = ERR_INIT;
    TokenizerModel *m = NULL;
    int rc = tokenizer_from_tiktoken(&m, s, "gpt-2", &e);

    try_tokenizer(rc, m, &e);
}

static void try_llama2c(struct span s)
{
    struct err e = ERR_INIT;
    TokenizerModel *m = NULL;
    int rc = tokenizer_from_llama2c(&m, s, &e);

    try_tokenizer(rc, m, &e);
}

/* vocab.json, NUL, merges.txt */
static void try_merges(struct span s)
{
    const char *cut = s.n > 0 ? memchr(s.p, 0, s.n) : NULL;
    struct span vocab = s, merges = { NULL, 0 };
    struct err e = ERR_INIT;
    TokenizerModel *m = NULL;

    if (!cut)
        return;
    merges.p = cut + 1;
    vocab.n = (size_t)(cut - (const char *)s.p);
    merges.n = s.n - vocab.n - 1;
    int rc = tokenizer_from_merges(&m, vocab, merges, &e);
    try_tokenizer(rc, m, &e);
}

/* What becomes of a chat template goes out as one that is known again. */
static void try_chat(struct span s)
{
    static const char text[] = "a text\n";
    static TokenizerModel *m;
    struct tokenizer_trainer *t;
    struct buf jinja = { 0 };
    struct err e = ERR_INIT;
    char name[16];

    if (!m && (tokenizer_trainer_new(&t, "gpt-2", 1, &e) != OK ||
                  tokenizer_trainer_add(t, text, strlen(text), &e) != OK ||
                  tokenizer_trainer_finish(t, &m, 270, "chatml", &e) != OK))
        abort();
    if (chat_adopt(m, s, &e) != OK)
        return;
    snprintf(name, sizeof name, "%s", m->template_->name);
    if (chat_jinja(&jinja, m) != OK || chat_adopt(m, (struct span){ jinja.p, jinja.n }, &e) != OK ||
        strcmp(name, m->template_->name) != 0)
        abort();
    buf_free(&jinja);
}

static const struct {
    char letter;
    void (*run)(struct span s);
} targets[] = {
    { 'g', try_gguf },
    { 'j', try_json },
    { 't', try_tiktoken },
    { 'l', try_llama2c },
    { 'v', try_merges },
    { 'm', try_gguf_model },
    { 'w', try_llama2c_model },
    { 's', try_safetensors },
    { 'c', try_config },
    { 'h', try_chat },
};

/* The first byte says what the rest is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t i = 0; size > 0 && i < sizeof targets / sizeof *targets; i++)
        if (targets[i].letter == (char)data[0])
            targets[i].run((struct span){ data + 1, size - 1 });
    return 0;
}
