#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "workers/formats/pieces.h"
#include "workers/formats/tokenizer_file.h"
#include "workers/formats/vocab_draft.h"

static const struct token_roles unknown_roles = { -1, -1, -1, false };

/* The next line of a text, without its end; false: there is none. */
static bool next_line(struct span *rest, struct span *line)
{
    const char *p = rest->p, *end;

    if (rest->n == 0)
        return false;
    end = memchr(p, '\n', rest->n);
    line->p = p;
    line->n = end ? (size_t)(end - p) : rest->n;
    rest->p = p + line->n + (end != NULL);
    rest->n -= line->n + (end != NULL);
    if (line->n > 0 && p[line->n - 1] == '\r')
        line->n--;
    return true;
}

/* ---- vocab.json and merges.txt ---- */

static bool looks_special(struct span text)
{
    const char *p = text.p;

    return text.n > 2 && p[0] == '<' && p[text.n - 1] == '>' && p[1] == '|';
}

static int add_vocab(struct vocab_draft *d, const struct json *vocab, struct err *e)
{
    struct buf room = { 0 };
    int rc = OK;

    for (size_t i = 0; rc == OK && i < json_size(vocab); i++) {
        const char *key = json_key(vocab, i);
        struct span text = { key, strlen(key) };
        double id = json_number(json_value(vocab, i), -1);
        if (!(id >= 0 && id < (double)json_size(vocab)))
            rc = err_set(e, E_INPUT, "token '%.40s' has no id below %zu", key, json_size(vocab));
        else
            rc = alphabet_token(
                d, (size_t)id, text, looks_special(text) ? TOKEN_SPECIAL : TOKEN_NORMAL, &room, e);
    }
    buf_free(&room);
    return rc;
}

static int add_merge_lines(struct vocab_draft *d, struct span rest, struct err *e)
{
    struct buf room = { 0 };
    struct span line;
    size_t number = 0;
    int rc = OK;

    while (rc == OK && next_line(&rest, &line)) {
        number++;
        if (line.n == 0 || (number == 1 && memcmp(line.p, "#", 1) == 0))
            continue;
        rc = alphabet_merge(d, line, &room, e);
        if (rc != OK)
            err_wrap(e, "line %zu", number);
    }
    buf_free(&room);
    return rc;
}

int tokenizer_from_merges(
    TokenizerModel **out, struct span vocab, struct span merges, struct err *e)
{
    const struct draft_traits traits = { .split = "gpt-2" };
    struct json *root = NULL;
    struct vocab_draft *d = NULL;
    int rc = json_parse(&root, vocab.p, vocab.n, e);

    if (rc == OK && json_kind(root) != JSON_OBJECT_)
        rc = err_set(e, E_INPUT, "the vocabulary is no object");
    if (rc == OK)
        rc = vocab_draft_new(&d, json_size(root), e);
    if (rc == OK)
        rc = add_vocab(d, root, e);
    if (rc == OK)
        rc = add_merge_lines(d, merges, e);
    json_free(root);
    if (rc == OK)
        return vocab_draft_finish(d, out, &unknown_roles, &traits, e);
    vocab_draft_free(d);
    return rc;
}

/* ---- .tiktoken ---- */

static int digit64(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* RFC 4648, with or without the '=' at the end. */
static bool decode64(struct buf *out, const char *p, size_t n, int *rc)
{
    uint32_t bits = 0;
    unsigned have = 0;

    out->n = 0;
    *rc = OK;
    while (n > 0 && p[n - 1] == '=')
        n--;
    for (size_t i = 0; *rc == OK && i < n; i++) {
        int digit = digit64(p[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            uint8_t byte = (uint8_t)(bits >> (have - 8));
            *rc = buf_add(out, &byte, 1);
            have -= 8;
        }
    }
    return n % 4 != 1;
}

/* Lines are in the order of ranks, without holes. */
static int add_rank(
    struct vocab_draft *d, struct span line, size_t rank, struct buf *room, struct err *e)
{
    const char *p = line.p, *space = memchr(p, ' ', line.n);
    size_t value = 0, at = space ? (size_t)(space - p) + 1 : line.n;
    int rc;

    if (!space || at == line.n || line.n - at > 8)
        return err_set(e, E_INPUT, "no token and rank");
    for (; at < line.n; at++) {
        if (p[at] < '0' || p[at] > '9')
            return err_set(e, E_INPUT, "no rank");
        value = 10 * value + (size_t)(p[at] - '0');
    }
    if (value != rank)
        return err_set(e, E_INPUT, "rank %zu comes where %zu should", value, rank);
    if (!decode64(room, p, (size_t)(space - p), &rc))
        return err_set(e, E_INPUT, "a token that is no base64");
    return rc == OK ? vocab_draft_token(d, rank, room->p, room->n, TOKEN_NORMAL, e)
                    : err_set(e, E_NOMEM, "out of memory");
}

static size_t count_lines(struct span rest)
{
    struct span line;
    size_t n = 0;

    while (next_line(&rest, &line))
        n += line.n > 0;
    return n;
}

int tokenizer_from_tiktoken(
    TokenizerModel **out, struct span file, const char *split, struct err *e)
{
    static const char end[] = "<|endoftext|>";
    const struct draft_traits traits = { .split = split };
    struct vocab_draft *d = NULL;
    struct buf room = { 0 };
    struct span line;
    size_t n = count_lines(file), rank = 0;
    int rc = vocab_draft_new(&d, n + 1, e);

    while (rc == OK && next_line(&file, &line)) {
        if (line.n == 0)
            continue;
        rc = add_rank(d, line, rank, &room, e);
        if (rc != OK)
            err_wrap(e, "line %zu", rank + 1);
        rank++;
    }
    buf_free(&room);
    if (rc == OK)
        rc = vocab_draft_merge_by_rank(d, e);
    if (rc == OK)
        rc = vocab_draft_token(d, n, end, sizeof end - 1, TOKEN_SPECIAL, e);
    if (rc == OK)
        return vocab_draft_finish(d, out, &unknown_roles, &traits, e);
    vocab_draft_free(d);
    return rc;
}
