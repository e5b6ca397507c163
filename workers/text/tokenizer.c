#include "workers/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/text/bpe.h"
#include "workers/text/interner.h"
#include "workers/text/pretokenize.h"

struct tokenizer {
    TokenizerModel *m;
    bool *special; /* of each id */
    uint32_t byte_id[256];
    struct merges merges;
    struct pretokenizer *split;
};

/* ---- a model, checked ---- */

static int check_special(struct tokenizer *t, struct err *e)
{
    const TokenizerModel *m = t->m;

    for (size_t i = 0; i < m->n_special; i++) {
        uint32_t id = m->special[i];
        if (id >= m->n_tokens)
            return err_set(e, E_INPUT, "special token %u is not among the tokens", id);
        if (t->special[id])
            return err_set(e, E_INPUT, "special token %u is listed twice", id);
        if (m->tokens[id].len == 0)
            return err_set(e, E_INPUT, "special token %u has no text", id);
        t->special[id] = true;
    }
    if (!m->has_pad || !m->has_end_of_text || !m->has_end_of_answer)
        return err_set(e, E_INPUT, "pad, end_of_text or end_of_answer is missing");
    if (!tokenizer_is_special(t, (int32_t)m->pad) ||
        !tokenizer_is_special(t, (int32_t)m->end_of_text) ||
        !tokenizer_is_special(t, (int32_t)m->end_of_answer))
        return err_set(e, E_INPUT, "pad, end_of_text or end_of_answer is no special token");
    /* One id for two of them would mask the end token: a model that never stops. */
    if (m->pad == m->end_of_text || m->pad == m->end_of_answer ||
        m->end_of_text == m->end_of_answer)
        return err_set(e, E_INPUT, "pad, end_of_text and end_of_answer must be three tokens");
    return OK;
}

/* Numbers the byte strings of all tokens: ids[number of the string] = id. Specials have a number
 * of their own kind, so that no merge can make one. */
static int number_tokens(struct tokenizer *t, struct interner *names, uint32_t *ids, struct err *e)
{
    const TokenizerModel *m = t->m;
    uint32_t number;

    for (size_t id = 0; id < m->n_tokens; id++) {
        const ProtobufCBinaryData *token = &m->tokens[id];
        if (t->special[id])
            continue;
        if (token->len == 0)
            return err_set(e, E_INPUT, "token %zu is empty", id);
        if (interner_find(names, token->data, token->len, &number))
            return err_set(e, E_INPUT, "tokens %u and %zu are the same bytes", ids[number], id);
        if (interner_add(names, token->data, token->len, &number) != OK)
            return err_set(e, E_NOMEM, "out of memory");
        ids[number] = (uint32_t)id;
    }
    for (unsigned b = 0; b < 256; b++) {
        if (!interner_find(names, &(uint8_t){ (uint8_t)b }, 1, &number))
            return err_set(e, E_INPUT, "no token for byte 0x%02x", b);
        t->byte_id[b] = ids[number];
    }
    return OK;
}

static int add_merge(struct tokenizer *t, uint32_t left, uint32_t right,
    const struct interner *names, const uint32_t *ids, struct err *e)
{
    const TokenizerModel *m = t->m;
    size_t rank = t->merges.n;
    struct buf bytes = { 0 };
    uint32_t number = 0;
    bool found;

    if (left >= m->n_tokens || right >= m->n_tokens || t->special[left] || t->special[right])
        return err_set(e, E_INPUT, "merge %zu: no such tokens", rank);
    if (pair_map_find(&t->merges.ranks, left, right) != PAIR_NONE)
        return err_set(e, E_INPUT, "merge %zu is there twice", rank);
    if (buf_add(&bytes, m->tokens[left].data, m->tokens[left].len) != OK ||
        buf_add(&bytes, m->tokens[right].data, m->tokens[right].len) != OK) {
        buf_free(&bytes);
        return err_set(e, E_NOMEM, "out of memory");
    }
    found = interner_find(names, bytes.p, bytes.n, &number);
    buf_free(&bytes);
    if (!found)
        return err_set(e, E_INPUT, "merge %zu makes no token", rank);
    if (pair_map_add(&t->merges.ranks, left, right, (uint32_t)rank) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    t->merges.at[t->merges.n++] = (struct merge){ left, right, ids[number] };
    return OK;
}

static int tokenizer_fill(struct tokenizer *t, struct interner *names, uint32_t *ids, struct err *e)
{
    const TokenizerModel *m = t->m;
    int rc = check_special(t, e);

    if (rc == OK && m->n_merges % 2)
        rc = err_set(e, E_INPUT, "the last merge has no right side");
    if (rc == OK && (!m->template_ || !m->split))
        rc = err_set(e, E_INPUT, "no %s", m->split ? "template" : "split");
    if (rc == OK)
        rc = number_tokens(t, names, ids, e);
    for (size_t i = 0; rc == OK && i < m->n_merges; i += 2)
        rc = add_merge(t, m->merges[i], m->merges[i + 1], names, ids, e);
    if (rc == OK)
        rc = pretokenizer_new(&t->split, m->split, e);
    return rc;
}

int tokenizer_new(struct tokenizer **out, const TokenizerModel *m, struct err *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    struct interner names = { 0 };
    uint32_t *ids = calloc(m->n_tokens + 1, sizeof *ids);
    int rc = E_NOMEM;

    if (t && m->n_tokens < INT32_MAX) {
        t->special = calloc(m->n_tokens + 1, sizeof *t->special);
        t->merges.at = calloc(m->n_merges / 2 + 1, sizeof *t->merges.at);
    }
    if (!t || !ids || !t->special || !t->merges.at)
        err_set(e, E_NOMEM, "out of memory");
    else
        rc = message_copy((ProtobufCMessage **)&t->m, &m->base, e);
    if (rc == OK)
        rc = tokenizer_fill(t, &names, ids, e);
    interner_free(&names);
    free(ids);
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
    merges_free(&t->merges);
    free(t->special);
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

/* ---- text to ids ---- */

int tokenizer_encode(
    const struct tokenizer *t, struct ids *out, const char *text, size_t n, struct err *e)
{
    struct merger merger = { 0 };
    struct pieces pieces;
    struct span piece;
    size_t before = out->n;
    int rc = pieces_begin(&pieces, t->split, text, n, e);

    if (rc != OK)
        return rc;
    while ((rc = pieces_next(&pieces, &piece, e)) == OK && piece.n > 0) {
        rc = merge_piece(&merger, out, &t->merges, t->byte_id, piece);
        if (rc != OK) {
            err_set(e, rc, "out of memory");
            break;
        }
    }
    if (rc != OK)
        out->n = before;
    merger_free(&merger);
    pieces_end(&pieces);
    return rc;
}

/* The longest special token that text[0..n) begins with. */
static bool find_special(const struct tokenizer *t, const char *text, size_t n, uint32_t *id)
{
    size_t longest = 0;

    for (size_t i = 0; i < t->m->n_special; i++) {
        const ProtobufCBinaryData *token = &t->m->tokens[t->m->special[i]];
        if (token->len > longest && token->len <= n && !memcmp(token->data, text, token->len)) {
            longest = token->len;
            *id = t->m->special[i];
        }
    }
    return longest > 0;
}

int tokenizer_encode_special(
    const struct tokenizer *t, struct ids *out, const char *text, size_t n, struct err *e)
{
    size_t before = out->n, begin = 0, at = 0;
    uint32_t id;
    int rc = OK;

    while (rc == OK && at < n) {
        if (!find_special(t, text + at, n - at, &id)) {
            at++;
            continue;
        }
        rc = tokenizer_encode(t, out, text + begin, at - begin, e);
        if (rc == OK && ids_push(out, (int32_t)id) != OK)
            rc = err_set(e, E_NOMEM, "out of memory");
        at += t->m->tokens[id].len;
        begin = at;
    }
    if (rc == OK)
        rc = tokenizer_encode(t, out, text + begin, n - begin, e);
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
    for (size_t i = 0; i < n; i++) {
        struct span bytes = tokenizer_bytes(t, ids[i]);
        if (!tokenizer_is_special(t, ids[i]) && buf_add(out, bytes.p, bytes.n) != OK)
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
