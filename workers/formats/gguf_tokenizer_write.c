#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/formats/alphabet.h"
#include "workers/formats/chat_text.h"
#include "workers/formats/gguf_tokenizer.h"

/* llama.cpp's enum llama_token_type. */
enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_UNUSED = 5 };

/* Texts one behind the other; they move while they grow, so spans are made at the end. */
struct texts {
    struct buf bytes;
    size_t *ends;
    size_t n;
    struct span *spans;
};

static int texts_init(struct texts *t, size_t most)
{
    *t = (struct texts){ 0 };
    t->ends = calloc(most + 1, sizeof *t->ends);
    t->spans = calloc(most + 1, sizeof *t->spans);
    return t->ends && t->spans ? OK : E_NOMEM;
}

static void texts_end(struct texts *t)
{
    t->ends[t->n++] = t->bytes.n;
}

static void texts_write(struct gguf_writer *w, const char *key, struct texts *t)
{
    for (size_t i = 0, begin = 0; i < t->n; begin = t->ends[i++])
        t->spans[i] = (struct span){ t->bytes.p + begin, t->ends[i] - begin };
    gguf_texts(w, key, t->spans, t->n);
}

static void texts_free(struct texts *t)
{
    buf_free(&t->bytes);
    free(t->ends);
    free(t->spans);
}

/* ---- the vocabulary ---- */

static int fill_tokens(struct texts *t, int32_t *types, const TokenizerModel *m, size_t n_rows)
{
    int rc = OK;

    for (size_t id = 0; id < n_rows; id++)
        types[id] = id < m->n_tokens ? TYPE_NORMAL : TYPE_UNUSED;
    for (size_t i = 0; i < m->n_special; i++)
        types[m->special[i]] = TYPE_CONTROL;
    for (size_t id = 0; rc == OK && id < n_rows; id++) {
        if (types[id] == TYPE_UNUSED)
            rc = buf_printf(&t->bytes, "[PAD%zu]", id);
        else if (types[id] == TYPE_CONTROL)
            rc = buf_add(&t->bytes, m->tokens[id].data, m->tokens[id].len);
        else
            rc = alphabet_write(&t->bytes, m->tokens[id].data, m->tokens[id].len);
        texts_end(t);
    }
    return rc;
}

static int write_tokens(struct gguf_writer *w, const TokenizerModel *m, size_t n_rows)
{
    int32_t *types = calloc(n_rows + 1, sizeof *types);
    struct texts t;
    int rc = texts_init(&t, n_rows);

    if (!types)
        rc = E_NOMEM;
    if (rc == OK)
        rc = fill_tokens(&t, types, m, n_rows);
    if (rc == OK) {
        texts_write(w, "tokenizer.ggml.tokens", &t);
        gguf_numbers(w, "tokenizer.ggml.token_type", types, n_rows);
    }
    texts_free(&t);
    free(types);
    return rc;
}

static int write_merges(struct gguf_writer *w, const TokenizerModel *m)
{
    struct texts t;
    int rc = texts_init(&t, m->n_merges / 2);

    for (size_t i = 0; rc == OK && i + 1 < m->n_merges; i += 2) {
        const ProtobufCBinaryData *left = &m->tokens[m->merges[i]];
        const ProtobufCBinaryData *right = &m->tokens[m->merges[i + 1]];
        rc = alphabet_write(&t.bytes, left->data, left->len);
        if (rc == OK)
            rc = buf_add(&t.bytes, " ", 1);
        if (rc == OK)
            rc = alphabet_write(&t.bytes, right->data, right->len);
        texts_end(&t);
    }
    if (rc == OK)
        texts_write(w, "tokenizer.ggml.merges", &t);
    texts_free(&t);
    return rc;
}

/* Our names of splits are llama.cpp's, but for the version of Unicode behind them. */
static int write_split(struct gguf_writer *w, const TokenizerModel *m, struct err *e)
{
    char name[64];
    size_t n = strcspn(m->split, "/");

    if (n >= sizeof name)
        return err_set(e, E_INPUT, "the split '%.40s' has no name there", m->split);
    snprintf(name, sizeof name, "%.*s", (int)n, m->split);
    gguf_text(w, "tokenizer.ggml.model", "gpt2");
    gguf_text(w, "tokenizer.ggml.pre", name);
    return OK;
}

int gguf_tokenizer_write(
    struct gguf_writer *w, const TokenizerModel *m, size_t n_rows, struct err *e)
{
    struct buf jinja = { 0 };
    int rc = write_split(w, m, e);

    if (rc != OK)
        return rc;
    rc = write_tokens(w, m, n_rows);
    if (rc == OK)
        rc = write_merges(w, m);
    if (rc == OK)
        rc = chat_jinja(&jinja, m);
    if (rc == OK) {
        gguf_number(w, "tokenizer.ggml.bos_token_id", m->end_of_text);
        gguf_number(w, "tokenizer.ggml.eos_token_id", m->end_of_text);
        gguf_number(w, "tokenizer.ggml.eot_token_id", m->end_of_answer);
        gguf_number(w, "tokenizer.ggml.padding_token_id", m->pad);
        gguf_bool(w, "tokenizer.ggml.add_bos_token", true); /* as every sequence in training */
        gguf_bool(w, "tokenizer.ggml.add_space_prefix", false);
        gguf_text(w, "tokenizer.chat_template", jinja.p);
    }
    buf_free(&jinja);
    return rc == OK ? OK : err_set(e, rc, "no memory for the vocabulary");
}
