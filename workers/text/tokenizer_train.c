#include "workers/text/tokenizer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "workers/text/bpe_learn.h"
#include "workers/text/pretokenize.h"
#include "workers/text/template.h"

/* Documents are gathered, and counted block by block: document i of a block by thread i % threads,
 * each into a counter of its own. Neither the order of pieces nor who counted them matters to what
 * is learnt of the sums. */
#define BLOCK ((size_t)4 << 20) /* bytes */
#define THREADS_MAX 64

struct counter {
    struct interner pieces;
    uint64_t *counts; /* of each piece */
    size_t cap;
};

struct tokenizer_trainer {
    struct pretokenizer *split;
    struct counter counters[THREADS_MAX];
    size_t threads;
    struct buf text; /* of the block */
    size_t *ends;    /* of its documents */
    size_t n, cap;
};

static void counter_free(struct counter *c)
{
    interner_free(&c->pieces);
    free(c->counts);
}

static void trainer_free(struct tokenizer_trainer *t)
{
    if (!t)
        return;
    pretokenizer_free(t->split);
    for (size_t i = 0; i < t->threads; i++)
        counter_free(&t->counters[i]);
    buf_free(&t->text);
    free(t->ends);
    free(t);
}

int tokenizer_trainer_new(
    struct tokenizer_trainer **out, const char *split, int threads, struct err *e)
{
    struct tokenizer_trainer *t = calloc(1, sizeof *t);
    int rc = t ? pretokenizer_new(&t->split, split, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        t->threads = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : (size_t)threads;
        *out = t;
    } else {
        trainer_free(t);
    }
    return rc;
}

/* ---- counting ---- */

static int count_piece(struct counter *c, struct span piece, uint64_t times)
{
    size_t known = c->pieces.n;
    uint32_t number;

    if (known == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 1024;
        uint64_t *counts = realloc(c->counts, cap * sizeof *counts);
        if (!counts)
            return E_NOMEM;
        c->counts = counts;
        c->cap = cap;
    }
    if (interner_add(&c->pieces, piece.p, piece.n, &number) != OK)
        return E_NOMEM;
    if (c->pieces.n > known)
        c->counts[number] = 0;
    c->counts[number] += times;
    return OK;
}

static int count_document(
    struct counter *c, const struct pretokenizer *split, struct span text, struct err *e)
{
    struct pieces pieces;
    struct span piece;
    int rc = pieces_begin(&pieces, split, text.p, text.n, e);

    if (rc != OK)
        return rc;
    while ((rc = pieces_next(&pieces, &piece, e)) == OK && piece.n > 0) {
        if (count_piece(c, piece, 1) != OK) {
            rc = err_set(e, E_NOMEM, "out of memory");
            break;
        }
    }
    pieces_end(&pieces);
    return rc;
}

/* One thread's share of a block. */
struct share {
    struct tokenizer_trainer *t;
    size_t number;
    int rc;
    struct err e;
};

static void *count_share(void *ctx)
{
    struct share *s = ctx;
    const struct tokenizer_trainer *t = s->t;

    for (size_t i = s->number; s->rc == OK && i < t->n; i += t->threads) {
        size_t begin = i ? t->ends[i - 1] : 0;
        struct span text = { t->text.p + begin, t->ends[i] - begin };
        s->rc = count_document(&s->t->counters[s->number], t->split, text, &s->e);
    }
    return NULL;
}

/* A thread that cannot be had leaves its share to this one. */
static int count_block(struct tokenizer_trainer *t, struct err *e)
{
    struct share shares[THREADS_MAX] = { { 0 } };
    pthread_t threads[THREADS_MAX];
    bool runs[THREADS_MAX] = { false };
    int rc = OK;

    for (size_t i = 0; i < t->threads; i++) {
        shares[i] = (struct share){ .t = t, .number = i };
        runs[i] =
            i > 0 && i < t->n && pthread_create(&threads[i], NULL, count_share, &shares[i]) == 0;
    }
    for (size_t i = 0; i < t->threads; i++)
        if (!runs[i])
            count_share(&shares[i]);
    for (size_t i = 0; i < t->threads; i++) {
        if (runs[i])
            pthread_join(threads[i], NULL);
        if (rc == OK && shares[i].rc != OK) {
            *e = shares[i].e;
            rc = shares[i].rc;
        }
    }
    t->text.n = t->n = 0;
    return rc;
}

int tokenizer_trainer_add(struct tokenizer_trainer *t, const char *text, size_t n, struct err *e)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 256;
        size_t *ends = realloc(t->ends, cap * sizeof *ends);
        if (!ends)
            return err_set(e, E_NOMEM, "out of memory");
        t->ends = ends;
        t->cap = cap;
    }
    if (buf_add(&t->text, text, n) != OK)
        return err_set(e, E_NOMEM, "out of memory");
    t->ends[t->n++] = t->text.n;
    return t->text.n >= BLOCK ? count_block(t, e) : OK;
}

/* Adds all counters up in the first one. */
static int sum_counters(struct tokenizer_trainer *t, struct err *e)
{
    struct counter *sum = &t->counters[0];
    int rc = count_block(t, e);

    for (size_t i = 1; rc == OK && i < t->threads; i++) {
        struct counter *c = &t->counters[i];
        for (uint32_t k = 0; rc == OK && k < c->pieces.n; k++)
            rc = count_piece(sum, interner_at(&c->pieces, k), c->counts[k]);
        counter_free(c);
        *c = (struct counter){ 0 };
        if (rc != OK)
            err_set(e, rc, "out of memory");
    }
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
    /* llama.cpp takes whole pieces wherever it cuts so */
    m->has_ignore_merges = m->ignore_merges = strncmp(split, "llama-bpe", 9) == 0;
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
        rc = sum_counters(t, e);
    if (rc == OK)
        rc = learn_merges(
            &learned, &t->counters[0].pieces, t->counters[0].counts, vocab_size - (uint32_t)n, e);
    if (rc == OK)
        rc = build_model(
            out, &learned, specials, n, pretokenizer_name(t->split), template_named(template), e);
    learned_free(&learned);
    trainer_free(t);
    return rc;
}
