#include <stdlib.h>
#include <string.h>

#include "workers/formats/element.h"
#include "workers/formats/pieces.h"
#include "workers/formats/tokenizer_file.h"
#include "workers/formats/vocab_draft.h"

/* The file: int32 longest token, then for each token float32 score, int32 length, bytes. Texts are
 * as they are decoded: the first three stand for nothing, then come the bytes as "<0xNN>". Bytes
 * of tokens 1 and 2 are "\n<s>\n" and "\n</s>\n". */

#define FRONT 4
#define EACH 8
enum { UNKNOWN, BEGIN, END, FIRST_BYTE, FIRST_PIECE = FIRST_BYTE + 256 };

struct record {
    float score;
    struct span text;
};

static uint32_t little32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool next_record(struct span *rest, struct record *out)
{
    const uint8_t *p = rest->p;
    size_t n;

    if (rest->n < EACH)
        return false;
    n = little32(p + 4);
    if (n > rest->n - EACH)
        return false;
    element_read(ELEMENT_F32, &out->score, p, 1);
    out->text = (struct span){ p + EACH, n };
    rest->p = p + EACH + n;
    rest->n -= EACH + n;
    return true;
}

static int add_record(
    struct vocab_draft *d, size_t id, const struct record *r, struct buf *room, struct err *e)
{
    static const char *const marks[] = { "<unk>", "<s>", "</s>" };

    if (id < FIRST_BYTE)
        return vocab_draft_token(d, id, marks[id], strlen(marks[id]), TOKEN_SPECIAL, e);
    return piece_token(d, id, r->text, id < FIRST_PIECE ? TOKEN_BYTE : TOKEN_NORMAL, room, e);
}

static int add_records(struct vocab_draft *d, struct span rest, float *order, struct err *e)
{
    struct record r;
    struct buf room = { 0 };
    int rc = OK;

    for (size_t id = 0; rc == OK && next_record(&rest, &r); id++) {
        order[id] = r.score;
        rc = add_record(d, id, &r, &room, e);
    }
    buf_free(&room);
    return rc;
}

int tokenizer_from_llama2c(TokenizerModel **out, struct span file, struct err *e)
{
    const struct token_roles roles = { BEGIN, END, UNKNOWN, true };
    const struct draft_traits traits = { .split = "none", .space_prefix = true };
    struct span rest = { (const uint8_t *)file.p + FRONT, file.n - FRONT }, each;
    struct vocab_draft *d = NULL;
    struct record r;
    float *order = NULL;
    size_t n = 0;
    int rc;

    if (file.n < FRONT)
        return err_set(e, E_INPUT, "this is no tokenizer of llama2.c");
    for (each = rest; next_record(&each, &r);)
        n++;
    if (each.n > 0 || n <= FIRST_PIECE)
        return err_set(
            e, E_INPUT, "this is no tokenizer of llama2.c: the file ends within a token");
    order = calloc(n, sizeof *order);
    rc = order ? vocab_draft_new(&d, n, e) : err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        rc = add_records(d, rest, order, e);
    if (rc == OK)
        rc = vocab_draft_merge_all(d, order, e);
    free(order);
    if (rc == OK)
        return vocab_draft_finish(d, out, &roles, &traits, e);
    vocab_draft_free(d);
    return rc;
}
