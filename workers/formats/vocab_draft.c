#include "workers/formats/vocab_draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/text/bpe.h"
#include "workers/text/interner.h"
#include "workers/text/template.h"

struct vocab_draft {
    TokenizerModel *m;
    uint8_t *kinds; /* of each id */
    bool *given;
    struct interner names; /* texts of normal and added tokens */
    uint32_t *ids;         /* of each name */
    size_t cap_merges, cap_ranks;
};

static int no_memory(struct err *e)
{
    return err_set(e, E_NOMEM, "no memory for a vocabulary");
}

int vocab_draft_new(struct vocab_draft **out, size_t n_tokens, struct err *e)
{
    struct vocab_draft *d = calloc(1, sizeof *d);

    if (d) {
        d->m = malloc(sizeof *d->m);
        d->kinds = calloc(n_tokens + 1, sizeof *d->kinds);
        d->given = calloc(n_tokens + 1, sizeof *d->given);
        d->ids = calloc(n_tokens + 1, sizeof *d->ids);
    }
    if (d && d->m) {
        tokenizer_model__init(d->m);
        d->m->tokens = calloc(n_tokens + 1, sizeof *d->m->tokens);
    }
    if (!d || !d->m || !d->kinds || !d->given || !d->ids || !d->m->tokens) {
        vocab_draft_free(d);
        return no_memory(e);
    }
    d->m->n_tokens = n_tokens;
    *out = d;
    return OK;
}

void vocab_draft_free(struct vocab_draft *d)
{
    if (!d)
        return;
    if (d->m)
        message_free(d->m);
    interner_free(&d->names);
    free(d->kinds);
    free(d->given);
    free(d->ids);
    free(d);
}

/* ---- tokens ---- */

static int set_text(ProtobufCBinaryData *out, const void *p, size_t n)
{
    uint8_t *copy = malloc(n + 1);

    if (!copy)
        return E_NOMEM;
    memcpy(copy, p, n);
    free(out->data);
    *out = (ProtobufCBinaryData){ n, copy };
    return OK;
}

int vocab_draft_token(struct vocab_draft *d, size_t id, const void *text, size_t n,
    enum token_kind kind, struct err *e)
{
    uint32_t number;

    if (id >= d->m->n_tokens)
        return err_set(e, E_INPUT, "token %zu: the vocabulary has %zu", id, d->m->n_tokens);
    if (n == 0)
        return err_set(e, E_INPUT, "token %zu is empty", id);
    if (d->given[id] && kind != TOKEN_SPECIAL && kind != TOKEN_ADDED)
        return err_set(e, E_INPUT, "token %zu is there twice", id);
    if (set_text(&d->m->tokens[id], text, n) != OK)
        return no_memory(e);
    d->given[id] = true;
    d->kinds[id] = (uint8_t)kind;
    if (kind == TOKEN_SPECIAL || kind == TOKEN_BYTE)
        return OK;
    if (interner_find(&d->names, text, n, &number) && d->ids[number] != id) {
        if (kind == TOKEN_ADDED) /* merges make the other one */
            return OK;
        return err_set(e, E_INPUT, "tokens %u and %zu have the same text", d->ids[number], id);
    }
    if (interner_add(&d->names, text, n, &number) != OK)
        return no_memory(e);
    d->ids[number] = (uint32_t)id;
    return OK;
}

bool vocab_draft_special(const struct vocab_draft *d, const void *text, size_t n, uint32_t *id)
{
    for (size_t i = 0; i < d->m->n_tokens; i++)
        if (d->given[i] && d->kinds[i] == TOKEN_SPECIAL && d->m->tokens[i].len == n &&
            memcmp(d->m->tokens[i].data, text, n) == 0) {
            *id = (uint32_t)i;
            return true;
        }
    return false;
}

/* The token with this text that merges may make. */
static bool find(const struct vocab_draft *d, const void *p, size_t n, uint32_t *id)
{
    uint32_t number;

    if (!interner_find(&d->names, p, n, &number) || d->kinds[d->ids[number]] == TOKEN_SPECIAL)
        return false;
    *id = d->ids[number];
    return true;
}

/* ---- merges ---- */

static int push(uint32_t **array, size_t *n, size_t *cap, uint32_t value)
{
    if (*n == *cap) {
        size_t more = *cap ? 2 * *cap : 1024;
        uint32_t *p = realloc(*array, more * sizeof *p);
        if (!p)
            return E_NOMEM;
        *array = p;
        *cap = more;
    }
    (*array)[(*n)++] = value;
    return OK;
}

static int push_merge(struct vocab_draft *d, uint32_t left, uint32_t right)
{
    TokenizerModel *m = d->m;
    int rc = push(&m->merges, &m->n_merges, &d->cap_merges, left);

    return rc == OK ? push(&m->merges, &m->n_merges, &d->cap_merges, right) : rc;
}

int vocab_draft_merge(struct vocab_draft *d, struct span left, struct span right, struct err *e)
{
    uint32_t l, r;

    if (!find(d, left.p, left.n, &l) || !find(d, right.p, right.n, &r))
        return err_set(e, E_INPUT, "merge %zu: its sides are no tokens", d->m->n_merges / 2);
    return push_merge(d, l, r) == OK ? OK : no_memory(e);
}

/* All merges that make this token. */
static int merges_of(struct vocab_draft *d, uint32_t id, uint32_t rank)
{
    const ProtobufCBinaryData *token = &d->m->tokens[id];
    uint32_t left, right;
    int rc = OK;

    for (size_t at = 1; rc == OK && at < token->len; at++) {
        if (!find(d, token->data, at, &left) || !find(d, token->data + at, token->len - at, &right))
            continue;
        rc = push_merge(d, left, right);
        if (rc == OK)
            rc = push(&d->m->ranks, &d->m->n_ranks, &d->cap_ranks, rank);
    }
    return rc;
}

struct ordered {
    float order;
    uint32_t id;
};

static int better(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;

    if (x->order != y->order)
        return x->order > y->order ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

int vocab_draft_merge_all(struct vocab_draft *d, const float *order, struct err *e)
{
    size_t n = d->m->n_tokens;
    struct ordered *sorted = malloc((n + 1) * sizeof *sorted);
    uint32_t rank = 0;
    int rc = sorted ? OK : E_NOMEM;

    for (size_t i = 0; rc == OK && i < n; i++)
        sorted[i] = (struct ordered){ order[i], (uint32_t)i };
    if (rc == OK)
        qsort(sorted, n, sizeof *sorted, better);
    for (size_t i = 0; rc == OK && i < n; i++) {
        uint32_t id = sorted[i].id;
        rank += i > 0 && sorted[i].order != sorted[i - 1].order;
        if (d->given[id] && (d->kinds[id] == TOKEN_NORMAL || d->kinds[id] == TOKEN_ADDED))
            rc = merges_of(d, id, rank);
    }
    free(sorted);
    return rc == OK ? OK : no_memory(e);
}

/* byte_id of the tokens of one byte; E_INPUT when one is missing. */
static int find_bytes(const struct vocab_draft *d, uint32_t byte_id[256], struct err *e)
{
    for (unsigned b = 0; b < 256; b++)
        if (!find(d, &(uint8_t){ (uint8_t)b }, 1, &byte_id[b]))
            return err_set(e, E_INPUT, "no token for byte 0x%02x", b);
    return OK;
}

static int merge_of_rank(struct vocab_draft *d, struct merger *g, struct ids *ids,
    struct merges *known, const uint32_t byte_id[256], uint32_t id, struct err *e)
{
    const ProtobufCBinaryData *token = &d->m->tokens[id];

    ids->n = 0;
    if (merger_begin(g, token->len) != OK)
        return no_memory(e);
    for (size_t i = 0; i < token->len; i++)
        merger_add(g, byte_id[token->data[i]]);
    if (merger_finish(g, ids, known) != OK)
        return no_memory(e);
    if (ids->n != 2)
        return err_set(e, E_INPUT, "token %u is made of no two tokens of lower rank", id);
    known->at[known->n] = (struct merge){ (uint32_t)ids->p[0], (uint32_t)ids->p[1], id };
    if (pair_map_add(
            &known->places, (uint32_t)ids->p[0], (uint32_t)ids->p[1], (uint32_t)known->n) != OK)
        return no_memory(e);
    known->n++;
    return push_merge(d, (uint32_t)ids->p[0], (uint32_t)ids->p[1]) == OK ? OK : no_memory(e);
}

int vocab_draft_merge_by_rank(struct vocab_draft *d, struct err *e)
{
    struct merges known = { .at = calloc(d->m->n_tokens + 1, sizeof *known.at) };
    struct merger g = { 0 };
    struct ids ids = { 0 };
    uint32_t byte_id[256];
    int rc = known.at ? find_bytes(d, byte_id, e) : no_memory(e);

    for (uint32_t id = 0; rc == OK && id < d->m->n_tokens; id++)
        if (d->given[id] && d->kinds[id] == TOKEN_NORMAL && d->m->tokens[id].len > 1)
            rc = merge_of_rank(d, &g, &ids, &known, byte_id, id, e);
    merger_free(&g);
    ids_free(&ids);
    merges_free(&known);
    return rc;
}

/* ---- roles ---- */

#define BAR "\xef\xbd\x9c" /* U+FF5C, and below U+2581: DeepSeek's */
#define LOW "\xe2\x96\x81"

/* What the special tokens of well-known models are called, likeliest first. */
static const char *const ends_of_text[] = { "<|endoftext|>", "<|end_of_text|>", "</s>",
    "<" BAR "end" LOW "of" LOW "sentence" BAR ">", "<eos>", "<|eos|>", NULL };
static const char *const ends_of_answer[] = { "<|im_end|>", "<|eot_id|>", "<|end|>", "<|EOT|>",
    "<end_of_turn>", NULL };
static const char *const pads[] = { "<|pad|>", "<pad>", "[PAD]", "<|padding|>",
    "<|finetune_right_pad_id|>", NULL };
static const char *const starts[] = { "<|begin_of_text|>", "<s>",
    "<" BAR "begin" LOW "of" LOW "sentence" BAR ">", "<bos>", NULL };

#undef BAR
#undef LOW

static int64_t named(const struct vocab_draft *d, const char *const *names)
{
    uint32_t id;

    for (; *names; names++)
        if (vocab_draft_special(d, *names, strlen(*names), &id))
            return id;
    return -1;
}

static bool is_named(const struct vocab_draft *d, int64_t id, const char *const *names)
{
    const ProtobufCBinaryData *token = &d->m->tokens[id];

    for (; *names; names++)
        if (strlen(*names) == token->len && memcmp(token->data, *names, token->len) == 0)
            return true;
    return false;
}

static int64_t first(int64_t a, int64_t b)
{
    return a >= 0 ? a : b;
}

/* A file's end token ends texts, or with a chat model answers. */
static int set_roles(struct vocab_draft *d, const struct token_roles *r, struct err *e)
{
    TokenizerModel *m = d->m;
    const int64_t given[] = { r->begin, r->end, r->pad };
    bool chat;
    int64_t text, answer;

    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i] >= (int64_t)m->n_tokens)
            return err_set(e, E_INPUT, "special token %lld is none", (long long)given[i]);
    chat = r->end >= 0 && is_named(d, r->end, ends_of_answer);
    text = first(chat ? -1 : r->end, named(d, ends_of_text));
    answer = first(chat ? r->end : -1, named(d, ends_of_answer));
    text = first(text, answer);
    if (text < 0)
        return err_set(e, E_INPUT, "no token ends a text: none has a well-known name");
    m->has_end_of_text = m->has_end_of_answer = m->has_pad = 1;
    m->end_of_text = (uint32_t)text;
    m->end_of_answer = (uint32_t)first(answer, text);
    m->pad = (uint32_t)first(first(r->pad, named(d, pads)), text);
    text = r->has_begin ? first(r->begin, named(d, starts)) : named(d, starts);
    m->has_start = text >= 0 && text != m->end_of_text;
    m->start = m->has_start ? (uint32_t)text : 0;
    return OK;
}

static int set_template(struct vocab_draft *d, struct err *e)
{
    const char *const *names = template_names();
    const ChatTemplate *found = template_named(names[0]);
    uint32_t id;

    for (; *names; names++) {
        const char *const *marks = template_specials(*names);
        const char *end = template_end_of_answer(*names);
        bool all = *marks != NULL && vocab_draft_special(d, end, strlen(end), &id);
        for (; all && *marks; marks++)
            all = vocab_draft_special(d, *marks, strlen(*marks), &id);
        if (all)
            found = template_named(*names);
    }
    return message_copy((ProtobufCMessage **)&d->m->template_, &found->base, e);
}

/* ---- the model ---- */

static int list_kinds(struct vocab_draft *d, struct err *e)
{
    TokenizerModel *m = d->m;
    size_t n = m->n_tokens, cap_special = 0, cap_added = 0;
    int rc = OK;

    for (uint32_t id = 0; rc == OK && id < n; id++) {
        if (d->kinds[id] == TOKEN_SPECIAL)
            rc = push(&m->special, &m->n_special, &cap_special, id);
        else if (d->kinds[id] == TOKEN_ADDED)
            rc = push(&m->added, &m->n_added, &cap_added, id);
    }
    return rc == OK ? OK : no_memory(e);
}

/* byte_fallback[b]: the byte token of b. */
static int list_bytes(struct vocab_draft *d, struct err *e)
{
    TokenizerModel *m = d->m;
    size_t n = 0;

    for (size_t id = 0; id < m->n_tokens; id++)
        n += d->kinds[id] == TOKEN_BYTE;
    if (n == 0)
        return OK;
    if (n != 256)
        return err_set(e, E_INPUT, "%zu tokens stand for bytes, not 256", n);
    m->byte_fallback = calloc(256, sizeof *m->byte_fallback);
    if (!m->byte_fallback)
        return no_memory(e);
    m->n_byte_fallback = 256;
    for (uint32_t id = 0; id < m->n_tokens; id++)
        if (d->kinds[id] == TOKEN_BYTE)
            m->byte_fallback[m->tokens[id].data[0]] = id;
    return OK;
}

static int fill_holes(struct vocab_draft *d, struct err *e)
{
    char name[32];
    int rc = OK;

    for (size_t id = 0; rc == OK && id < d->m->n_tokens; id++)
        if (!d->given[id]) {
            int n = snprintf(name, sizeof name, "<|unused %zu|>", id);
            rc = vocab_draft_token(d, id, name, (size_t)n, TOKEN_SPECIAL, e);
        }
    return rc;
}

/* Whatever has a role is a special token. */
static void mark_roles(struct vocab_draft *d)
{
    const TokenizerModel *m = d->m;

    d->kinds[m->pad] = d->kinds[m->end_of_text] = d->kinds[m->end_of_answer] = TOKEN_SPECIAL;
    if (m->has_start)
        d->kinds[m->start] = TOKEN_SPECIAL;
}

int vocab_draft_finish(struct vocab_draft *d, TokenizerModel **out, const struct token_roles *roles,
    const struct draft_traits *traits, struct err *e)
{
    TokenizerModel *m = d->m;
    int rc = fill_holes(d, e);

    m->split = strdup(traits->split);
    m->has_ignore_merges = m->ignore_merges = traits->ignore_merges;
    m->has_space_prefix = m->space_prefix = traits->space_prefix;
    m->has_nfc = m->nfc = traits->nfc;
    if (rc == OK && !m->split)
        rc = no_memory(e);
    if (rc == OK)
        rc = set_roles(d, roles, e);
    if (rc == OK)
        rc = set_template(d, e);
    if (rc == OK) {
        mark_roles(d);
        rc = list_kinds(d, e);
    }
    if (rc == OK)
        rc = list_bytes(d, e);
    if (rc == OK) {
        *out = m;
        d->m = NULL;
    }
    vocab_draft_free(d);
    return rc;
}
