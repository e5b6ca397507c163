#include "workers/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "workers/text/bpe_learn.h"
#include "workers/text/pretokenize.h"
#include "workers/text/template.h"

struct tokenizer_trainer {
    struct pretokenizer *split;
    struct interner pieces;
    uint64_t *counts; /* of each piece */
    size_t cap_counts;
};

static void trainer_free(struct tokenizer_trainer *t)
{
    if (!t)
        return;
    pretokenizer_free(t->split);
    interner_free(&t->pieces);
    free(t->counts);
    free(t);
}

int tokenizer_trainer_new(struct tokenizer_trainer **out, struct err *e)
{
    struct tokenizer_trainer *t = calloc(1, sizeof *t);
    int rc = t ? pretokenizer_new(&t->split, "gpt-2", e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        *out = t;
    else
        trainer_free(t);
    return rc;
}

static int count_piece(struct tokenizer_trainer *t, struct span piece)
{
    size_t known = t->pieces.n;
    uint32_t number;

    if (known == t->cap_counts) {
        size_t cap = t->cap_counts ? 2 * t->cap_counts : 1024;
        uint64_t *counts = realloc(t->counts, cap * sizeof *counts);
        if (!counts)
            return E_NOMEM;
        t->counts = counts;
        t->cap_counts = cap;
    }
    if (interner_add(&t->pieces, piece.p, piece.n, &number) != OK)
        return E_NOMEM;
    if (t->pieces.n > known)
        t->counts[number] = 0;
    t->counts[number]++;
    return OK;
}

int tokenizer_trainer_add(struct tokenizer_trainer *t, const char *text, size_t n, struct err *e)
{
    struct pieces pieces;
    struct span piece;
    int rc = pieces_begin(&pieces, t->split, text, n, e);

    if (rc != OK)
        return rc;
    while ((rc = pieces_next(&pieces, &piece, e)) == OK && piece.n > 0) {
        if (count_piece(t, piece) != OK) {
            rc = err_set(e, E_NOMEM, "out of memory");
            break;
        }
    }
    pieces_end(&pieces);
    return rc;
}

/* ---- the model ---- */

static int set_bytes(ProtobufCBinaryData *out, const void *p, size_t n)
{
    out->data = malloc(n + 1);
    if (!out->data)
        return E_NOMEM;
    memcpy(out->data, p, n);
    out->len = n;
    return OK;
}

/* Special tokens come first: pad 0, end_of_text 1, end_of_answer 2, role marks. */
static int fill_specials(TokenizerModel *m, const char *const *texts, size_t n)
{
    m->special = malloc(n * sizeof *m->special);
    if (!m->special)
        return E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        m->special[m->n_special++] = (uint32_t)i;
        if (set_bytes(&m->tokens[m->n_tokens++], texts[i], strlen(texts[i])) != OK)
            return E_NOMEM;
    }
    m->has_pad = m->has_end_of_text = m->has_end_of_answer = 1;
    m->pad = 0;
    m->end_of_text = 1;
    m->end_of_answer = 2;
    return OK;
}

/* The learned tokens' numbers, moved behind the n special tokens. */
static int fill_learned(TokenizerModel *m, const struct learned *l, uint32_t n_special)
{
    for (uint32_t i = 0; i < l->tokens.n; i++) {
        struct span token = interner_at(&l->tokens, i);
        if (set_bytes(&m->tokens[m->n_tokens++], token.p, token.n) != OK)
            return E_NOMEM;
    }
    m->merges = malloc((2 * l->n_merges + 1) * sizeof *m->merges);
    if (!m->merges)
        return E_NOMEM;
    for (size_t i = 0; i < l->n_merges; i++) {
        m->merges[m->n_merges++] = l->merges[i].left + n_special;
        m->merges[m->n_merges++] = l->merges[i].right + n_special;
    }
    return OK;
}

static int build_model(TokenizerModel **out, const struct learned *l, const char *const *specials,
    size_t n_special, const char *split, const ChatTemplate *template, struct err *e)
{
    TokenizerModel *m = malloc(sizeof *m);
    int rc;

    if (!m)
        return err_set(e, E_NOMEM, "out of memory");
    tokenizer_model__init(m);
    m->tokens = calloc(n_special + l->tokens.n, sizeof *m->tokens);
    m->split = strdup(split);
    rc = m->tokens && m->split ? fill_specials(m, specials, n_special) : E_NOMEM;
    if (rc == OK)
        rc = fill_learned(m, l, (uint32_t)n_special);
    if (rc != OK)
        err_set(e, rc, "out of memory");
    else
        rc = message_copy((ProtobufCMessage **)&m->template_, &template->base, e);
    if (rc == OK)
        *out = m;
    else
        message_free(m);
    return rc;
}

int tokenizer_trainer_finish(struct tokenizer_trainer *t, TokenizerModel **out, uint32_t vocab_size,
    const char *template, struct err *e)
{
    const char *specials[8] = { "<|pad|>", "<|endoftext|>", template_end_of_answer(template) };
    const char *const *marks = template_specials(template);
    struct learned learned = { 0 };
    size_t n = 3;
    int rc = OK;

    while (*marks && n < sizeof specials / sizeof *specials)
        specials[n++] = *marks++;
    if (!template_named(template))
        rc = err_set(e, E_INPUT, "unknown chat template '%.40s'", template);
    else if (vocab_size < n + 256)
        rc = err_set(e, E_INPUT,
            "vocab_size %u is too small: 256 bytes and %zu special tokens need %zu", vocab_size, n,
            n + 256);
    if (rc == OK)
        rc = learn_merges(&learned, &t->pieces, t->counts, vocab_size - (uint32_t)n, e);
    if (rc == OK)
        rc = build_model(
            out, &learned, specials, n, pretokenizer_name(t->split), template_named(template), e);
    learned_free(&learned);
    trainer_free(t);
    return rc;
}
