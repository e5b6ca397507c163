#include "workers/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/text/normalize.h"
#include "workers/text/tokenizer_int.h"

int tokenizer_new(struct tokenizer **out, const TokenizerModel *m, struct err *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    int rc = t ? message_copy((ProtobufCMessage **)&t->m, &m->base, e)
               : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        rc = vocabulary_fill(t, e);
    if (rc == OK)
        rc = pretokenizer_new(&t->split, t->m->split, e);
    if (rc == OK)
        *out = t;
    else
        tokenizer_free(t);
    return rc == OK ? OK : err_wrap(e, "tokenizer");
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    pretokenizer_free(t->split);
    vocabulary_free(t);
    message_free(t->m);
    free(t);
}

const TokenizerModel *tokenizer_model(const struct tokenizer *t)
{
    return t->m;
}

size_t tokenizer_size(const struct tokenizer *t)
{
    return t->m->n_tokens;
}

int32_t tokenizer_start(const struct tokenizer *t)
{
    return (int32_t)(t->m->has_start ? t->m->start : t->m->end_of_text);
}

/* ---- text to ids ---- */

static int cannot_encode(const struct tokenizer *t, struct span piece, int rc, struct err *e)
{
    const uint8_t *p = piece.p;
    size_t i = 0;

    if (rc == E_NOMEM)
        return err_set(e, rc, "out of memory");
    while (i < piece.n && t->byte_id[p[i]] != NO_TOKEN)
        i++;
    if (i == piece.n)
        return err_set(e, rc, "the vocabulary lacks a byte of the text");
    return err_set(e, rc, "the vocabulary lacks the byte 0x%02x, which the text has", p[i]);
}

/* Text in which no token stands as such. */
static int encode_plain(const struct tokenizer *t, struct merger *g, struct ids *out,
    const char *text, size_t n, struct err *e)
{
    struct pieces pieces;
    struct span piece;
    int rc = pieces_begin(&pieces, t->split, text, n, e);

    if (rc != OK)
        return rc;
    while ((rc = pieces_next(&pieces, &piece, e)) == OK && piece.n > 0) {
        rc = vocabulary_encode(t, g, out, piece);
        if (rc != OK) {
            rc = cannot_encode(t, piece, rc, e);
            break;
        }
    }
    pieces_end(&pieces);
    return rc;
}

/* The longest of some tokens that text[0..n) begins with. */
static bool find_token(const struct tokenizer *t, const uint32_t *ids, size_t n_ids,
    const char *text, size_t n, uint32_t *id)
{
    size_t longest = 0;

    for (size_t i = 0; i < n_ids; i++) {
        const ProtobufCBinaryData *token = &t->m->tokens[ids[i]];
        if (token->len > longest && token->len <= n && !memcmp(token->data, text, token->len)) {
            longest = token->len;
            *id = ids[i];
        }
    }
    return longest > 0;
}

/* Text in which some tokens stand as such; what is between them is encoded by `between`. */
static int encode_around(const struct tokenizer *t, struct ids *out, const char *text, size_t n,
    const uint32_t *ids, size_t n_ids,
    int (*between)(
        const struct tokenizer *t, struct ids *out, const char *text, size_t n, struct err *e),
    struct err *e)
{
    size_t begin = 0, at = 0;
    uint32_t id;
    int rc = OK;

    while (rc == OK && n_ids > 0 && at < n) {
        if (!find_token(t, ids, n_ids, text + at, n - at, &id)) {
            at++;
            continue;
        }
        rc = between(t, out, text + begin, at - begin, e);
        if (rc == OK && ids_push(out, (int32_t)id) != OK)
            rc = err_set(e, E_NOMEM, "out of memory");
        at += t->m->tokens[id].len;
        begin = at;
    }
    return rc == OK ? between(t, out, text + begin, n - begin, e) : rc;
}

static int encode_run(
    const struct tokenizer *t, struct ids *out, const char *text, size_t n, struct err *e)
{
    struct merger g = { 0 };
    struct buf other = { 0 };
    int rc = OK;

    if (n > 0 && (t->m->space_prefix || t->m->nfc)) {
        rc = t->m->space_prefix ? buf_add(&other, " ", 1) : OK;
        if (rc == OK)
            rc = t->m->nfc ? normalize_nfc(&other, text, n) : buf_add(&other, text, n);
        if (rc != OK)
            err_set(e, rc, "out of memory");
        text = other.p;
        n = other.n;
    }
    if (rc == OK)
        rc = encode_plain(t, &g, out, text, n, e);
    merger_free(&g);
    buf_free(&other);
    return rc;
}

int tokenizer_encode(
    const struct tokenizer *t, struct ids *out, const char *text, size_t n, struct err *e)
{
    size_t before = out->n;
    int rc = encode_around(t, out, text, n, t->m->added, t->m->n_added, encode_run, e);

    if (rc != OK)
        out->n = before;
    return rc;
}

int tokenizer_encode_special(
    const struct tokenizer *t, struct ids *out, const char *text, size_t n, struct err *e)
{
    size_t before = out->n;
    int rc = encode_around(t, out, text, n, t->m->special, t->m->n_special, tokenizer_encode, e);

    if (rc != OK)
        out->n = before;
    return rc;
}

/* ---- ids to text ---- */

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->m->n_tokens && t->special[id];
}

struct span tokenizer_bytes(const struct tokenizer *t, int32_t id)
{
    if (id < 0 || (size_t)id >= t->m->n_tokens)
        return (struct span){ NULL, 0 };
    return (struct span){ t->m->tokens[id].data, t->m->tokens[id].len };
}

/* An id beyond the vocabulary, which a model with padded embeddings may give, has no bytes. */
int tokenizer_decode(const struct tokenizer *t, struct buf *out, const int32_t *ids, size_t n)
{
    bool first = t->m->space_prefix; /* of the text: the space is no part of it */

    for (size_t i = 0; i < n; i++) {
        struct span bytes = tokenizer_bytes(t, ids[i]);
        if (tokenizer_is_special(t, ids[i]))
            continue;
        if (first && bytes.n > 0 && *(const char *)bytes.p == ' ')
            bytes = (struct span){ (const char *)bytes.p + 1, bytes.n - 1 };
        first = false;
        if (buf_add(out, bytes.p, bytes.n) != OK)
            return E_NOMEM;
    }
    return OK;
}

/* ---- the artifact ---- */

int tokenizer_load(struct tokenizer **out, struct store *s, const struct id *id, struct err *e)
{
    struct records_reader *r = NULL;
    ProtobufCMessage *m = NULL;
    int rc = records_open(&r, s, id, ARTIFACT_KIND__TOKENIZER, &tokenizer_model__descriptor, e);

    if (rc == OK)
        rc = records_next(r, &m, e);
    if (rc == OK && !m)
        rc = err_set(e, E_CORRUPT, "the tokenizer's artifact is empty");
    if (rc == OK)
        rc = tokenizer_new(out, (const TokenizerModel *)m, e);
    message_free(m);
    records_close(r);
    return rc;
}

int tokenizer_save(Output **out, const TokenizerModel *m, struct store *s, struct err *e)
{
    struct records_writer *w = NULL;
    int rc = records_create(&w, s, ARTIFACT_KIND__TOKENIZER, e);

    if (rc == OK)
        rc = records_add(w, &m->base, e);
    if (rc == OK)
        rc = records_fact(w, "vocab_size", (int64_t)m->n_tokens, e);
    if (rc != OK) {
        records_abort(w);
        return rc;
    }
    return records_commit(w, "tokenizer", out, e);
}
