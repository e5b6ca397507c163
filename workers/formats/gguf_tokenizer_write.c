#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/formats/alphabet.h"
#include "workers/formats/chat_text.h"
#include "workers/formats/gguf_tokenizer.h"
#include "workers/text/interner.h"

/* llama.cpp's enum llama_token_type. */
enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5, TYPE_BYTE = 6 };

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

static bool is_pieces(const TokenizerModel *m)
{
    return m->n_byte_fallback > 0;
}

static void fill_types(int32_t *types, const TokenizerModel *m, size_t n_rows)
{
    for (size_t id = 0; id < n_rows; id++)
        types[id] = id < m->n_tokens ? TYPE_NORMAL : TYPE_UNUSED;
    for (size_t i = 0; i < m->n_byte_fallback; i++)
        types[m->byte_fallback[i]] = TYPE_BYTE;
    for (size_t i = 0; i < m->n_added; i++)
        types[m->added[i]] = TYPE_USER;
    for (size_t i = 0; i < m->n_special; i++)
        types[m->special[i]] = TYPE_CONTROL;
}

/* SentencePiece's text of a token: U+2581 is a space. */
static int add_piece(struct buf *out, const ProtobufCBinaryData *token)
{
    int rc = OK;

    for (size_t i = 0; rc == OK && i < token->len; i++)
        rc = token->data[i] == ' ' ? buf_add(out, "\xe2\x96\x81", 3)
                                   : buf_add(out, &token->data[i], 1);
    return rc;
}

static int fill_tokens(struct texts *t, int32_t *types, const TokenizerModel *m, size_t n_rows)
{
    int rc = OK;

    fill_types(types, m, n_rows);
    for (size_t id = 0; rc == OK && id < n_rows; id++) {
        if (types[id] == TYPE_UNUSED)
            rc = buf_printf(&t->bytes, "[PAD%zu]", id);
        else if (types[id] == TYPE_BYTE)
            rc = buf_printf(&t->bytes, "<0x%02X>", m->tokens[id].data[0]);
        else if (types[id] != TYPE_NORMAL)
            rc = buf_add(&t->bytes, m->tokens[id].data, m->tokens[id].len);
        else if (is_pieces(m))
            rc = add_piece(&t->bytes, &m->tokens[id]);
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

/* A token's score is better the sooner it is merged; what no merge makes has the worst. */
static int fill_scores(
    float *scores, const TokenizerModel *m, struct interner *names, uint32_t *ids)
{
    struct buf text = { 0 };
    uint32_t number;
    int rc = OK;

    for (uint32_t id = 0; rc == OK && id < m->n_tokens; id++) {
        rc = interner_add(names, m->tokens[id].data, m->tokens[id].len, &number);
        ids[number] = id; /* of a byte and a piece the piece: bytes come first */
    }
    for (size_t i = 0; rc == OK && i + 1 < m->n_merges; i += 2) {
        const ProtobufCBinaryData *l = &m->tokens[m->merges[i]], *r = &m->tokens[m->merges[i + 1]];
        float score = -1 - (float)(m->n_ranks > 0 ? m->ranks[i / 2] : i / 2);
        text.n = 0;
        rc = buf_add(&text, l->data, l->len);
        if (rc == OK)
            rc = buf_add(&text, r->data, r->len);
        if (rc == OK && interner_find(names, text.p, text.n, &number) &&
            score > scores[ids[number]])
            scores[ids[number]] = score;
    }
    buf_free(&text);
    return rc;
}

static int write_scores(struct gguf_writer *w, const TokenizerModel *m, size_t n_rows)
{
    struct interner names = { 0 };
    float *scores = malloc((n_rows + 1) * sizeof *scores);
    uint32_t *ids = calloc(n_rows + 1, sizeof *ids);
    int rc = scores && ids ? OK : E_NOMEM;

    for (size_t i = 0; rc == OK && i < n_rows; i++)
        scores[i] = -1e9F;
    if (rc == OK)
        rc = fill_scores(scores, m, &names, ids);
    if (rc == OK)
        gguf_reals(w, "tokenizer.ggml.scores", scores, n_rows);
    interner_free(&names);
    free(scores);
    free(ids);
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
    gguf_text(w, "tokenizer.ggml.model", is_pieces(m) ? "llama" : "gpt2");
    gguf_text(w, "tokenizer.ggml.pre", is_pieces(m) ? "default" : name);
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
        rc = is_pieces(m) ? write_scores(w, m, n_rows) : write_merges(w, m);
    if (rc == OK)
        rc = chat_jinja(&jinja, m);
    if (rc == OK) {
        gguf_number(w, "tokenizer.ggml.bos_token_id", m->has_start ? m->start : m->end_of_text);
        gguf_number(w, "tokenizer.ggml.eos_token_id", m->end_of_text);
        gguf_number(w, "tokenizer.ggml.eot_token_id", m->end_of_answer);
        gguf_number(w, "tokenizer.ggml.padding_token_id", m->pad);
        gguf_bool(w, "tokenizer.ggml.add_bos_token", true); /* as every sequence in training */
        gguf_bool(w, "tokenizer.ggml.add_space_prefix", m->space_prefix);
        gguf_text(w, "tokenizer.chat_template", jinja.p);
    }
    buf_free(&jinja);
    return rc == OK ? OK : err_set(e, rc, "no memory for the vocabulary");
}
