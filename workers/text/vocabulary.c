#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"
#include "workers/text/tokenizer_int.h"

/* ---- a model, checked ---- */

static int mark(bool *marks, const TokenizerModel *m, const uint32_t *ids, size_t n,
    const char *what, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= m->n_tokens)
            return err_set(e, E_INPUT, "%s %u is not among the tokens", what, ids[i]);
        if (marks[ids[i]])
            return err_set(e, E_INPUT, "%s %u is listed twice", what, ids[i]);
        if (m->tokens[ids[i]].len == 0)
            return err_set(e, E_INPUT, "%s %u has no text", what, ids[i]);
        marks[ids[i]] = true;
    }
    return OK;
}

static bool is_special(const struct tokenizer *t, uint32_t id)
{
    return id < t->m->n_tokens && t->special[id];
}

static int check_special(struct tokenizer *t, struct err *e)
{
    const TokenizerModel *m = t->m;
    int rc = mark(t->special, m, m->special, m->n_special, "special token", e);

    if (rc != OK)
        return rc;
    if (!m->has_pad || !m->has_end_of_text || !m->has_end_of_answer)
        return err_set(e, E_INPUT, "pad, end_of_text or end_of_answer is missing");
    if (!is_special(t, m->pad) || !is_special(t, m->end_of_text) ||
        !is_special(t, m->end_of_answer) || (m->has_start && !is_special(t, m->start)))
        return err_set(e, E_INPUT, "pad, end_of_text, end_of_answer or start is no special token");
    memcpy(t->silent, t->special, m->n_tokens * sizeof *t->silent);
    return OK;
}

static int check_byte_fallback(struct tokenizer *t, struct err *e)
{
    const TokenizerModel *m = t->m;
    int rc;

    if (m->n_byte_fallback == 0)
        return OK;
    if (m->n_byte_fallback != 256)
        return err_set(e, E_INPUT, "byte_fallback has %zu ids, not 256", m->n_byte_fallback);
    rc = mark(t->silent, m, m->byte_fallback, 256, "byte_fallback", e);
    for (unsigned b = 0; rc == OK && b < 256; b++) {
        const ProtobufCBinaryData *token = &m->tokens[m->byte_fallback[b]];
        if (token->len != 1 || token->data[0] != b)
            rc = err_set(e, E_INPUT, "byte_fallback of 0x%02x is another token", b);
        t->byte_id[b] = m->byte_fallback[b];
    }
    return rc;
}

static int number_token(struct tokenizer *t, uint32_t id, struct err *e)
{
    const ProtobufCBinaryData *token = &t->m->tokens[id];
    uint32_t number;

    if (token->len == 0)
        return err_set(e, E_INPUT, "token %u is empty", id);
    if (interner_find(&t->names, token->data, token->len, &number))
        return err_set(e, E_INPUT, "tokens %u and %u are the same bytes", t->ids[number], id);
    if (interner_add(&t->names, token->data, token->len, &number) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    t->ids[number] = id;
    if (token->len > t->longest)
        t->longest = token->len;
    return OK;
}

/* Numbers the texts of the tokens: ids[number] = id. Silent ones have none, so that no merge can
 * make one. */
static int number_tokens(struct tokenizer *t, struct err *e)
{
    const TokenizerModel *m = t->m;
    int rc = OK;

    for (uint32_t id = 0; rc == OK && id < m->n_tokens; id++)
        if (!t->silent[id])
            rc = number_token(t, id, e);
    for (unsigned b = 0; rc == OK && m->n_byte_fallback == 0 && b < 256; b++) {
        uint32_t number;
        bool found = interner_find(&t->names, &(uint8_t){ (uint8_t)b }, 1, &number);
        t->byte_id[b] = found ? t->ids[number] : NO_TOKEN;
    }
    return rc;
}

static int add_merge(
    struct tokenizer *t, uint32_t left, uint32_t right, struct buf *bytes, struct err *e)
{
    const TokenizerModel *m = t->m;
    size_t place = t->merges.n;
    uint32_t number = 0;

    if (left >= m->n_tokens || right >= m->n_tokens || t->silent[left] || t->silent[right])
        return err_set(e, E_INPUT, "merge %zu: no such tokens", place);
    if (pair_map_find(&t->merges.places, left, right) != PAIR_NONE)
        return err_set(e, E_INPUT, "merge %zu is there twice", place);
    bytes->n = 0;
    if (buf_add(bytes, m->tokens[left].data, m->tokens[left].len) != OK ||
        buf_add(bytes, m->tokens[right].data, m->tokens[right].len) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    if (!interner_find(&t->names, bytes->p, bytes->n, &number))
        return err_set(e, E_INPUT, "merge %zu makes no token", place);
    if (pair_map_add(&t->merges.places, left, right, (uint32_t)place) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    t->merges.at[t->merges.n++] = (struct merge){ left, right, t->ids[number] };
    return OK;
}

static int add_merges(struct tokenizer *t, struct err *e)
{
    const TokenizerModel *m = t->m;
    struct buf bytes = { 0 };
    int rc = OK;

    if (m->n_merges % 2)
        return err_set(e, E_INPUT, "the last merge has no right side");
    if (m->n_ranks != 0 && m->n_ranks != m->n_merges / 2)
        return err_set(e, E_INPUT, "%zu ranks of %zu merges", m->n_ranks, m->n_merges / 2);
    for (size_t i = 0; rc == OK && i < m->n_merges; i += 2)
        rc = add_merge(t, m->merges[i], m->merges[i + 1], &bytes, e);
    t->merges.ranks = m->n_ranks > 0 ? m->ranks : NULL;
    buf_free(&bytes);
    return rc;
}

/* An added token may have the text of another one: that one is then what merges make. */
static int silence_added(struct tokenizer *t, bool *added, struct interner *texts, struct err *e)
{
    const TokenizerModel *m = t->m;
    uint32_t number;
    int rc = mark(added, m, m->added, m->n_added, "added token", e);

    for (size_t i = 0; rc == OK && i < m->n_tokens; i++)
        if (!added[i] && !t->silent[i] &&
            interner_add(texts, m->tokens[i].data, m->tokens[i].len, &number) != OK)
            rc = err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; rc == OK && i < m->n_added; i++) {
        const ProtobufCBinaryData *token = &m->tokens[m->added[i]];
        if (t->silent[m->added[i]])
            rc = err_set(e, E_INPUT, "added token %u is special", m->added[i]);
        t->silent[m->added[i]] = interner_find(texts, token->data, token->len, &number);
    }
    return rc;
}

static int check_added(struct tokenizer *t, struct err *e)
{
    struct interner texts = { 0 };
    bool *added;
    int rc;

    if (t->m->n_added == 0)
        return OK;
    added = calloc(t->m->n_tokens + 1, sizeof *added);
    rc = added ? silence_added(t, added, &texts, e) : err_set(e, E_NOMEM, "out of memory");
    interner_free(&texts);
    free(added);
    return rc;
}

/* Of which tokens the merges make nothing else: their texts need no merging. */
static int find_whole(struct tokenizer *t, struct err *e)
{
    struct merger g = { 0 };
    struct ids ids = { 0 };
    int rc = OK;

    for (uint32_t i = 0; rc == OK && i < t->names.n; i++) {
        ids.n = 0;
        rc = vocabulary_encode(t, &g, &ids, interner_at(&t->names, i));
        if (rc == E_INPUT)
            rc = OK;
        if (t->m->ignore_merges || (ids.n == 1 && ids.p[0] == (int32_t)t->ids[i]))
            t->whole[i] = PIECE_WHOLE;
    }
    merger_free(&g);
    ids_free(&ids);
    return rc == OK ? OK : err_set(e, rc, "out of memory");
}

int vocabulary_fill(struct tokenizer *t, struct err *e)
{
    const TokenizerModel *m = t->m;
    int rc = OK;

    t->special = calloc(m->n_tokens + 1, sizeof *t->special);
    t->silent = calloc(m->n_tokens + 1, sizeof *t->silent);
    t->ids = calloc(m->n_tokens + 1, sizeof *t->ids);
    t->whole = calloc(m->n_tokens + 1, sizeof *t->whole);
    t->merges.at = calloc(m->n_merges / 2 + 1, sizeof *t->merges.at);
    if (m->n_tokens >= INT32_MAX || !t->special || !t->silent || !t->ids || !t->whole ||
        !t->merges.at)
        return err_set(e, E_NOMEM, "out of memory");
    rc = check_special(t, e);
    if (rc == OK)
        rc = check_byte_fallback(t, e);
    if (rc == OK && (!m->template_ || !m->split))
        rc = err_set(e, E_INPUT, "no %s", m->split ? "template" : "split");
    if (rc == OK)
        rc = check_added(t, e);
    if (rc == OK)
        rc = number_tokens(t, e);
    if (rc == OK)
        rc = add_merges(t, e);
    return rc == OK ? find_whole(t, e) : rc;
}

void vocabulary_free(struct tokenizer *t)
{
    merges_free(&t->merges);
    interner_free(&t->names);
    free(t->special);
    free(t->silent);
    free(t->ids);
    free(t->whole);
}

/* ---- a piece ---- */

/* Characters that are tokens, and the bytes of the others. */
static void add_characters(const struct tokenizer *t, struct merger *g, struct span piece)
{
    const uint8_t *p = piece.p;
    uint32_t code, number;

    for (size_t at = 0, n; at < piece.n; at += n) {
        n = utf8_decode(&code, p + at, piece.n - at);
        if (n > 0 && interner_find(&t->names, p + at, n, &number)) {
            merger_add(g, t->ids[number]);
            continue;
        }
        n = n > 0 ? n : 1;
        for (size_t i = 0; i < n; i++)
            merger_add(g, t->byte_id[p[at + i]]);
    }
}

int vocabulary_encode(
    const struct tokenizer *t, struct merger *g, struct ids *out, struct span piece)
{
    const uint8_t *p = piece.p;
    uint32_t number;

    if (piece.n <= t->longest && interner_find(&t->names, p, piece.n, &number) &&
        t->whole[number] == PIECE_WHOLE)
        return ids_push(out, (int32_t)t->ids[number]);
    if (merger_begin(g, piece.n) != OK)
        return E_NOMEM;
    if (t->m->n_byte_fallback > 0)
        add_characters(t, g, piece);
    for (size_t i = 0; t->m->n_byte_fallback == 0 && i < piece.n; i++) {
        if (t->byte_id[p[i]] == NO_TOKEN)
            return E_INPUT;
        merger_add(g, t->byte_id[p[i]]);
    }
    return merger_finish(g, out, &t->merges);
}
