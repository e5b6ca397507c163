#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "workers/formats/pieces.h"
#include "workers/formats/splits.h"
#include "workers/formats/tokenizer_file.h"
#include "workers/formats/vocab_draft.h"

#define MOST_IDS (1 << 24)

/* What is known of the file before its tokens are read. */
struct reading {
    const struct json *root, *model, *vocab, *merges, *added;
    bool byte_fallback; /* SentencePiece-like */
    bool prepends;      /* its normalizer puts a space before text */
    bool cuts;          /* its pre_tokenizer cuts text before every space */
    size_t n;           /* ids */
    struct draft_traits traits;
    struct token_roles roles;
};

/* NULL: v is none, no object, or has it not. */
static const struct json *member(const struct json *v, const char *key)
{
    return v ? json_get(v, key) : NULL;
}

static bool is_text(const struct json *v, const char *text)
{
    size_t n;
    const char *p = v ? json_text(v, &n) : NULL;

    return p && n == strlen(text) && memcmp(p, text, n) == 0;
}

static bool flag_of(const struct json *v, bool otherwise)
{
    return v ? json_bool(v, otherwise) : otherwise;
}

static struct span text_of(const struct json *v)
{
    struct span s = { NULL, 0 };

    if (v)
        s.p = json_text(v, &s.n);
    return s;
}

/* ---- how text is cut ---- */

/* NULL: not known here. */
static const char *split_of(const struct json *pre)
{
    const struct json *list = pre ? member(pre, "pretokenizers") : NULL;
    const struct json *cut = list ? json_at(list, 0) : pre, *level = list ? json_at(list, 1) : pre;

    if (!pre || !is_text(member(level, "type"), "ByteLevel") ||
        flag_of(member(level, "add_prefix_space"), true) || (list && json_size(list) != 2))
        return NULL;
    if (!list)
        return flag_of(member(level, "use_regex"), true) ? "gpt-2" : NULL;
    if (flag_of(member(level, "use_regex"), true) || flag_of(member(cut, "invert"), false))
        return NULL; /* GPT-2's expression would cut what the other has cut; what matches goes */
    struct span regex = text_of(member(member(cut, "pattern"), "Regex"));
    return regex.p && is_text(member(cut, "type"), "Split") &&
                   is_text(member(cut, "behavior"), "Isolated")
               ? split_of_regex(regex.p, regex.n)
               : NULL;
}

static bool is_null(const struct json *v)
{
    return !v || json_kind(v) == JSON_NULL_;
}

#define LOW_LINE "\xe2\x96\x81" /* SentencePiece's space */

/* A file may have several, in a list. */
static int read_normalizer(struct reading *r, const struct json *v, struct err *e)
{
    const struct json *list = is_null(v) ? NULL : member(v, "normalizers");
    struct span type = text_of(is_null(v) ? NULL : member(v, "type"));
    int rc = OK;

    for (size_t i = 0; rc == OK && list && i < json_size(list); i++)
        rc = read_normalizer(r, json_at(list, i), e);
    if (list || is_null(v))
        return rc;
    if (is_text(member(v, "type"), "NFC")) {
        r->traits.nfc = true;
        return OK;
    }
    if (r->byte_fallback && is_text(member(v, "type"), "Prepend") &&
        is_text(member(v, "prepend"), LOW_LINE)) {
        r->traits.space_prefix = r->prepends = true;
        return OK;
    }
    if (r->byte_fallback && is_text(member(v, "type"), "Replace") &&
        is_text(member(member(v, "pattern"), "String"), " ") &&
        is_text(member(v, "content"), LOW_LINE))
        return OK;
    return err_set(e, E_INPUT, "the normalizer '%.*s' is not known here",
        (int)(type.n < 32 ? type.n : 32), type.p ? (const char *)type.p : "");
}

/* SentencePiece's spaces where no normaliser makes them. */
static int read_metaspace(struct reading *r, const struct json *pre, struct err *e)
{
    if (is_null(pre))
        return OK;
    if (!is_text(member(pre, "type"), "Metaspace") ||
        !is_text(member(pre, "replacement"), LOW_LINE))
        return err_set(e, E_INPUT, "a pre_tokenizer that is not known here beside byte_fallback");
    r->cuts = flag_of(member(pre, "split"), true);
    if (!is_text(member(pre, "prepend_scheme"), "never") &&
        flag_of(member(pre, "add_prefix_space"), true))
        r->traits.space_prefix = true;
    return OK;
}

/* What marks the inside or the end of a word in other kinds of BPE. */
static int check_affixes(const struct json *model, struct err *e)
{
    static const char *const keys[] = { "continuing_subword_prefix", "end_of_word_suffix" };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct json *v = member(model, keys[i]);
        if (!is_null(v) && !is_text(v, ""))
            return err_set(e, E_INPUT, "a model with a %s: that is not known here", keys[i]);
    }
    return OK;
}

static int read_traits(struct reading *r, struct err *e)
{
    const struct json *pre = member(r->root, "pre_tokenizer");
    int rc = check_affixes(r->model, e);

    r->byte_fallback = flag_of(member(r->model, "byte_fallback"), false);
    r->traits.ignore_merges = flag_of(member(r->model, "ignore_merges"), false);
    if (rc == OK)
        rc = read_normalizer(r, member(r->root, "normalizer"), e);
    if (rc == OK && r->byte_fallback)
        rc = read_metaspace(r, pre, e);
    if (rc != OK)
        return rc;
    r->traits.split = r->byte_fallback ? "none" : split_of(pre);
    return r->traits.split ? OK
                           : err_set(e, E_INPUT,
                                 "a pre_tokenizer that is not known here: those of GPT-2, Llama 3 "
                                 "and Qwen2 are");
}

/* ---- tokens and merges ---- */

static int id_of(const struct json *v, size_t *out, struct err *e)
{
    double id = v ? json_number(v, -1) : -1;

    if (!(id >= 0 && id < MOST_IDS) || id != (double)(size_t)id)
        return err_set(e, E_INPUT, "an id that is no whole number below %d", MOST_IDS);
    *out = (size_t)id;
    return OK;
}

static int count_ids(struct reading *r, struct err *e)
{
    size_t id = 0;
    int rc = OK;

    for (size_t i = 0; rc == OK && i < json_size(r->vocab); i++) {
        rc = id_of(json_value(r->vocab, i), &id, e);
        r->n = rc == OK && id >= r->n ? id + 1 : r->n;
    }
    for (size_t i = 0; rc == OK && r->added && i < json_size(r->added); i++) {
        rc = id_of(member(json_at(r->added, i), "id"), &id, e);
        r->n = rc == OK && id >= r->n ? id + 1 : r->n;
    }
    if (rc == OK && r->n > 2 * (json_size(r->vocab) + 1024))
        rc = err_set(e, E_INPUT, "ids up to %zu of %zu tokens", r->n, json_size(r->vocab));
    return rc;
}

static bool is_ascii(struct span text)
{
    const uint8_t *p = text.p;

    for (size_t i = 0; i < text.n; i++)
        if (p[i] > 127)
            return false;
    return true;
}

/* One that text may hold is found as it stands, before text is normalised. */
static int check_added(
    const struct reading *r, const struct json *token, struct span text, struct err *e)
{
    static const char *const ways[] = { "lstrip", "rstrip", "single_word" };
    bool normalised = flag_of(member(token, "normalized"), false);

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (flag_of(member(token, ways[i]), false))
            return err_set(e, E_INPUT, "the added token '%.*s' has '%s': that is not known here",
                (int)(text.n < 64 ? text.n : 64), (const char *)text.p, ways[i]);
    if (normalised && (r->prepends || (r->traits.nfc && !is_ascii(text))))
        return err_set(e, E_INPUT,
            "the added token '%.*s' is looked for in normalised text ('normalized'): that is not "
            "known here",
            (int)(text.n < 64 ? text.n : 64), (const char *)text.p);
    return OK;
}

static int add_added(struct vocab_draft *d, const struct reading *r, size_t i, struct err *e)
{
    const struct json *token = json_at(r->added, i);
    struct span text = text_of(member(token, "content"));
    bool special = flag_of(member(token, "special"), true);
    size_t id;
    int rc = id_of(member(token, "id"), &id, e);

    if (rc == OK && text.p && !special)
        rc = check_added(r, token, text, e);
    return rc == OK
               ? vocab_draft_token(d, id, text.p, text.n, special ? TOKEN_SPECIAL : TOKEN_ADDED, e)
               : rc;
}

static int add_tokens(struct vocab_draft *d, const struct reading *r, struct err *e)
{
    struct buf room = { 0 };
    size_t id;
    uint8_t byte;
    int rc = OK;

    for (size_t i = 0; rc == OK && i < json_size(r->vocab); i++) {
        const char *key = json_key(r->vocab, i);
        struct span text = { key, strlen(key) };
        rc = id_of(json_value(r->vocab, i), &id, e);
        if (rc != OK)
            break;
        if (!r->byte_fallback)
            rc = alphabet_token(d, id, text, TOKEN_NORMAL, &room, e);
        else
            rc = piece_token(
                d, id, text, piece_byte(text, &byte) ? TOKEN_BYTE : TOKEN_NORMAL, &room, e);
    }
    for (size_t i = 0; rc == OK && r->added && i < json_size(r->added); i++)
        rc = add_added(d, r, i, e);
    buf_free(&room);
    return rc;
}

/* "left right", or since 2024 ["left", "right"]. */
static int sides(const struct json *merge, struct span *left, struct span *right, struct err *e)
{
    struct span text = text_of(merge);
    const char *space;

    if (json_kind(merge) == JSON_ARRAY_ && json_size(merge) == 2) {
        *left = text_of(json_at(merge, 0));
        *right = text_of(json_at(merge, 1));
        return left->p && right->p ? OK : err_set(e, E_INPUT, "a merge that is no pair");
    }
    space = text.p ? memchr(text.p, ' ', text.n) : NULL;
    if (!space)
        return err_set(e, E_INPUT, "a merge that is no pair");
    *left = (struct span){ text.p, (size_t)(space - (const char *)text.p) };
    *right = (struct span){ space + 1, text.n - left->n - 1 };
    return OK;
}

static int add_merges(struct vocab_draft *d, const struct reading *r, struct err *e)
{
    struct span left = { NULL, 0 }, right = { NULL, 0 };
    struct buf room = { 0 };
    int rc = OK;

    for (size_t i = 0; rc == OK && i < json_size(r->merges); i++) {
        rc = sides(json_at(r->merges, i), &left, &right, e);
        if (rc == OK && r->cuts && memmem(right.p, right.n, LOW_LINE, sizeof LOW_LINE - 1))
            rc = err_set(e, E_INPUT,
                "it joins what the pre_tokenizer (Metaspace, with 'split') keeps apart: that is "
                "not known here");
        if (rc == OK)
            rc = r->byte_fallback ? piece_merge_of(d, left, right, &room, e)
                                  : alphabet_merge_of(d, left, right, &room, e);
        if (rc != OK)
            err_wrap(e, "merge %zu", i);
    }
    buf_free(&room);
    return rc;
}

/* ---- roles ---- */

/* What the post-processor puts in front of a text; NULL: nothing. */
static const struct json *put_in_front(const struct json *post)
{
    const struct json *list = post ? member(post, "processors") : NULL;
    const struct json *single, *first;

    for (size_t i = 0; list && i < json_size(list); i++) {
        first = put_in_front(json_at(list, i));
        if (first)
            return first;
    }
    single = post ? member(post, "single") : NULL;
    first = single ? json_at(single, 0) : NULL;
    first = first ? member(first, "SpecialToken") : NULL;
    return first ? member(first, "id") : NULL;
}

/* A token of tokenizer_config.json: its text, or an object with its content. */
static int64_t role(const struct vocab_draft *d, const struct json *config, const char *key)
{
    const struct json *v = config ? member(config, key) : NULL;
    struct span text = text_of(v && json_kind(v) == JSON_OBJECT_ ? member(v, "content") : v);
    uint32_t id;

    return text.p && vocab_draft_special(d, text.p, text.n, &id) ? (int64_t)id : -1;
}

static void read_roles(struct reading *r, const struct vocab_draft *d, const struct json *config)
{
    struct span front = text_of(put_in_front(member(r->root, "post_processor")));
    uint32_t id;

    r->roles = (struct token_roles){ .begin = role(d, config, "bos_token"),
        .end = role(d, config, "eos_token"),
        .pad = role(d, config, "pad_token") };
    if (front.p && vocab_draft_special(d, front.p, front.n, &id)) {
        r->roles.begin = id;
        r->roles.has_begin = true;
    }
    if (config && flag_of(member(config, "add_bos_token"), false) && r->roles.begin >= 0)
        r->roles.has_begin = true;
}

/* ---- the file ---- */

static int not_bpe(const struct json *type, struct err *e)
{
    struct span name = text_of(type);

    if (name.p && !is_text(type, "BPE"))
        return err_set(e, E_INPUT, "a model of the type '%.*s': only BPE is read",
            (int)(name.n < 32 ? name.n : 32), (const char *)name.p);
    return err_set(e, E_INPUT, "a model that is no BPE with vocab and merges");
}

static int read_draft(struct vocab_draft **out, struct reading *r, struct err *e)
{
    struct vocab_draft *d = NULL;
    int rc;

    r->model = member(r->root, "model");
    r->vocab = r->model ? member(r->model, "vocab") : NULL;
    r->merges = r->model ? member(r->model, "merges") : NULL;
    r->added = member(r->root, "added_tokens");
    if (!r->vocab || json_kind(r->vocab) != JSON_OBJECT_ || !r->merges ||
        json_kind(r->merges) != JSON_ARRAY_ ||
        !(is_null(member(r->model, "type")) || is_text(member(r->model, "type"), "BPE")))
        return not_bpe(member(r->model, "type"), e);
    rc = read_traits(r, e);
    if (rc == OK)
        rc = count_ids(r, e);
    if (rc == OK)
        rc = vocab_draft_new(&d, r->n, e);
    if (rc == OK)
        rc = add_tokens(d, r, e);
    if (rc == OK)
        rc = add_merges(d, r, e);
    if (rc == OK)
        *out = d;
    else
        vocab_draft_free(d);
    return rc;
}

int tokenizer_from_json(TokenizerModel **out, struct span json, struct span config, struct err *e)
{
    struct reading r = { 0 };
    struct json *root = NULL, *other = NULL;
    struct vocab_draft *d = NULL;
    int rc = json_parse(&root, json.p, json.n, e);

    if (rc == OK && config.n > 0)
        rc = json_parse(&other, config.p, config.n, e);
    r.root = root;
    if (rc == OK)
        rc = read_draft(&d, &r, e);
    if (rc == OK) {
        read_roles(&r, d, other);
        rc = vocab_draft_finish(d, out, &r.roles, &r.traits, e);
    }
    json_free(root);
    json_free(other);
    return rc;
}
