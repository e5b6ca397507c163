#include "workers/formats/pieces.h"

#include <stdio.h>
#include <string.h>

#include "workers/formats/alphabet.h"

static int no_memory(struct err *e)
{
    return err_set(e, E_NOMEM, "no memory for a vocabulary");
}

/* ---- GPT-2's alphabet ---- */

int alphabet_token(struct vocab_draft *d, size_t id, struct span text, enum token_kind kind,
    struct buf *room, struct err *e)
{
    int rc;

    room->n = 0;
    if (kind != TOKEN_NORMAL)
        return vocab_draft_token(d, id, text.p, text.n, kind, e);
    if (!alphabet_read(room, text.p, text.n, &rc)) /* as HF's: such a token is never made */
        return vocab_draft_token(d, id, text.p, text.n, TOKEN_SPECIAL, e);
    return rc == OK ? vocab_draft_token(d, id, room->p, room->n, kind, e) : no_memory(e);
}

int alphabet_merge_of(
    struct vocab_draft *d, struct span left, struct span right, struct buf *room, struct err *e)
{
    size_t middle;
    int rc;

    room->n = 0;
    if (!alphabet_read(room, left.p, left.n, &rc))
        return err_set(e, E_INPUT, "a merge that is not in the byte-level alphabet");
    middle = room->n;
    if (rc == OK && !alphabet_read(room, right.p, right.n, &rc))
        return err_set(e, E_INPUT, "a merge that is not in the byte-level alphabet");
    if (rc != OK)
        return no_memory(e);
    return vocab_draft_merge(d, (struct span){ room->p, middle },
        (struct span){ room->p + middle, room->n - middle }, e);
}

int alphabet_merge(struct vocab_draft *d, struct span text, struct buf *room, struct err *e)
{
    const char *p = text.p, *space = memchr(p, ' ', text.n);
    size_t n = space ? (size_t)(space - p) : 0;

    if (!space || n == 0 || n + 1 == text.n)
        return err_set(e, E_INPUT, "a merge that is no pair");
    return alphabet_merge_of(
        d, (struct span){ p, n }, (struct span){ space + 1, text.n - n - 1 }, room, e);
}

/* ---- SentencePiece's ---- */

#define SPACE "\xe2\x96\x81"

static int unspace(struct buf *out, struct span text)
{
    const char *p = text.p;
    int rc = OK;

    for (size_t at = 0; rc == OK && at < text.n;) {
        bool space = text.n - at >= 3 && memcmp(p + at, SPACE, 3) == 0;
        rc = buf_add(out, space ? " " : p + at, 1);
        at += space ? 3 : 1;
    }
    return rc;
}

bool piece_byte(struct span text, uint8_t *byte)
{
    const char *p = text.p;
    unsigned value = 0;

    if (text.n != 6 || memcmp(p, "<0x", 3) != 0 || p[5] != '>')
        return false;
    for (int i = 3; i < 5; i++) {
        const char *digits = "0123456789ABCDEF", *at = p[i] ? strchr(digits, p[i]) : NULL;
        if (!at)
            return false;
        value = 16 * value + (unsigned)(at - digits);
    }
    *byte = (uint8_t)value;
    return true;
}

int piece_token(struct vocab_draft *d, size_t id, struct span text, enum token_kind kind,
    struct buf *room, struct err *e)
{
    uint8_t byte;

    if (kind == TOKEN_BYTE) {
        if (!piece_byte(text, &byte))
            return err_set(e, E_INPUT, "token %zu stands for no byte", id);
        return vocab_draft_token(d, id, &byte, 1, kind, e);
    }
    if (kind == TOKEN_SPECIAL)
        return vocab_draft_token(d, id, text.p, text.n, kind, e);
    room->n = 0;
    if (unspace(room, text) != OK)
        return no_memory(e);
    return vocab_draft_token(d, id, room->p, room->n, kind, e);
}

int piece_merge_of(
    struct vocab_draft *d, struct span left, struct span right, struct buf *room, struct err *e)
{
    size_t middle;

    room->n = 0;
    if (unspace(room, left) != OK)
        return no_memory(e);
    middle = room->n;
    if (unspace(room, right) != OK)
        return no_memory(e);
    return vocab_draft_merge(d, (struct span){ room->p, middle },
        (struct span){ room->p + middle, room->n - middle }, e);
}
