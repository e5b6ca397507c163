#include <stdlib.h>
#include <string.h>

#include "workers/formats/alphabet.h"
#include "workers/formats/pieces.h"
#include "workers/formats/tokenizer_file.h"
#include "workers/formats/vocab_draft.h"

/* llama.cpp's enum llama_token_type. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

static const struct gguf_value *list(const struct gguf *g, const char *key, bool texts, size_t n)
{
    const struct gguf_value *v = gguf_find(g, key);

    if (!v || !v->array || (v->type == GGUF_TEXT) != texts || (n > 0 && v->n != n))
        return NULL;
    return v;
}

static enum token_kind kind_of(const struct gguf_value *types, size_t id)
{
    double type = types ? gguf_at(types, id) : TYPE_NORMAL; /* of any of GGUF's types */

    switch (type >= TYPE_NORMAL && type <= TYPE_BYTE ? (int)type : TYPE_NORMAL) {
    case TYPE_UNKNOWN:
    case TYPE_CONTROL:
    case TYPE_UNUSED:
        return TOKEN_SPECIAL;
    case TYPE_USER:
        return TOKEN_ADDED;
    case TYPE_BYTE:
        return TOKEN_BYTE;
    }
    return TOKEN_NORMAL;
}

static int add_tokens(struct vocab_draft *d, const struct gguf_value *tokens,
    const struct gguf_value *types, bool sentencepiece, struct err *e)
{
    struct buf bytes = { 0 };
    size_t at = 0;
    int rc = OK;

    for (size_t id = 0; rc == OK && id < tokens->n; id++) {
        struct span text = gguf_next_text(tokens, &at);
        enum token_kind kind = kind_of(types, id);
        rc = sentencepiece ? piece_token(d, id, text, kind, &bytes, e)
                           : alphabet_token(d, id, text, kind, &bytes, e);
    }
    buf_free(&bytes);
    return rc;
}

static int add_merges(struct vocab_draft *d, const struct gguf_value *merges, struct err *e)
{
    struct buf room = { 0 };
    size_t at = 0;
    int rc = OK;

    for (size_t i = 0; rc == OK && i < merges->n; i++) {
        struct span text = gguf_next_text(merges, &at);
        rc = alphabet_merge(d, text, &room, e);
    }
    buf_free(&room);
    return rc;
}

static int64_t id_at(const struct gguf *g, const char *key)
{
    struct err none = ERR_INIT;
    int64_t id;

    return gguf_get_number(g, key, 0, INT32_MAX, &id, &none) == OK ? id : -1;
}

static bool flag(const struct gguf *g, const char *key, bool otherwise)
{
    struct err none = ERR_INIT;
    int64_t v;

    return gguf_get_number(g, key, 0, 1, &v, &none) == OK ? v == 1 : otherwise;
}

static int finish(struct vocab_draft *d, TokenizerModel **out, const struct gguf *g,
    bool sentencepiece, struct err *e)
{
    const struct token_roles roles = { .begin = id_at(g, "tokenizer.ggml.bos_token_id"),
        .end = id_at(g, "tokenizer.ggml.eos_token_id"),
        .pad = id_at(g, "tokenizer.ggml.padding_token_id"),
        .has_begin = flag(g, "tokenizer.ggml.add_bos_token", sentencepiece) };
    struct draft_traits traits = { .split = "none",
        .space_prefix = flag(g, "tokenizer.ggml.add_space_prefix", true) };
    struct span pre = { "gpt-2", 5 };
    char name[64];

    if (sentencepiece)
        return vocab_draft_finish(d, out, &roles, &traits, e);
    if (gguf_find(g, "tokenizer.ggml.pre") &&
        gguf_get_text(g, "tokenizer.ggml.pre", &pre, e) != OK) {
        vocab_draft_free(d);
        return e->code;
    }
    size_t n = pre.n < sizeof name ? pre.n : sizeof name - 1;
    memcpy(name, pre.p, n);
    name[n] = '\0';
    traits =
        (struct draft_traits){ .split = name, .ignore_merges = strcmp(name, "llama-bpe") == 0 };
    return vocab_draft_finish(d, out, &roles, &traits, e);
}

/* Scores as numbers, one for each token. */
static int merge_by_scores(struct vocab_draft *d, const struct gguf_value *scores, struct err *e)
{
    float *order = malloc((scores->n + 1) * sizeof *order);
    int rc = order ? OK : err_set(e, E_NOMEM, "out of memory");

    for (size_t i = 0; rc == OK && i < scores->n; i++)
        order[i] = (float)gguf_at(scores, i);
    if (rc == OK)
        rc = vocab_draft_merge_all(d, order, e);
    free(order);
    return rc;
}

static int read_vocabulary(
    struct vocab_draft **out, const struct gguf *g, bool sentencepiece, struct err *e)
{
    const struct gguf_value *tokens = list(g, "tokenizer.ggml.tokens", true, 0);
    const struct gguf_value *types, *merges, *scores;
    struct vocab_draft *d = NULL;
    int rc;

    if (!tokens || tokens->n == 0)
        return err_set(e, E_INPUT, "the key 'tokenizer.ggml.tokens' is no list of texts");
    types = list(g, "tokenizer.ggml.token_type", false, tokens->n);
    merges = list(g, "tokenizer.ggml.merges", true, 0);
    scores = list(g, "tokenizer.ggml.scores", false, tokens->n);
    if (!types || !(sentencepiece ? scores : merges))
        return err_set(e, E_INPUT, "the key 'tokenizer.ggml.%s' is missing or no such list",
            !types          ? "token_type"
            : sentencepiece ? "scores"
                            : "merges");
    rc = vocab_draft_new(&d, tokens->n, e);
    if (rc == OK)
        rc = add_tokens(d, tokens, types, sentencepiece, e);
    if (rc == OK)
        rc = sentencepiece ? merge_by_scores(d, scores, e) : add_merges(d, merges, e);
    if (rc == OK)
        *out = d;
    else
        vocab_draft_free(d);
    return rc;
}

int tokenizer_from_gguf(TokenizerModel **out, const struct gguf *g, struct err *e)
{
    struct vocab_draft *d = NULL;
    struct span model;
    bool sentencepiece;
    int rc = gguf_get_text(g, "tokenizer.ggml.model", &model, e);

    if (rc != OK)
        return rc;
    sentencepiece = model.n == 5 && memcmp(model.p, "llama", 5) == 0;
    if (!sentencepiece && !(model.n == 4 && memcmp(model.p, "gpt2", 4) == 0))
        return err_set(e, E_INPUT, "a tokenizer of the model '%.*s'; gpt2 and llama can be read",
            (int)(model.n < 32 ? model.n : 32), (const char *)model.p);
    rc = read_vocabulary(&d, g, sentencepiece, e);
    return rc == OK ? finish(d, out, g, sentencepiece, e) : rc;
}
