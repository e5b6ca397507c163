#ifndef WORKERS_TEXT_TOKENIZER_INT_H
#define WORKERS_TEXT_TOKENIZER_INT_H

#include "workers/text/bpe.h"
#include "workers/text/interner.h"
#include "workers/text/pretokenize.h"
#include "workers/text/tokenizer.h"

/* What a piece of text that is a token becomes: the token alone, or what the merges make of it. */
enum whole { PIECE_MERGED, PIECE_WHOLE };

#define NO_TOKEN UINT32_MAX

struct tokenizer {
    TokenizerModel *m;
    bool *special; /* of each id */
    bool *silent;  /* no text of its own becomes it: special tokens, and bytes of byte_fallback */
    uint32_t byte_id[256]; /* NO_TOKEN: the vocabulary lacks it */
    struct interner names; /* texts of the tokens that are not silent */
    uint32_t *ids;         /* of each name */
    uint8_t *whole;        /* of each name, enum whole */
    size_t longest;        /* bytes of the longest name */
    struct merges merges;
    struct pretokenizer *split;
};

/* Fills a tokenizer of which only m is set. E_INPUT on a malformed model. */
int vocabulary_fill(struct tokenizer *t, struct err *e);
void vocabulary_free(struct tokenizer *t);

/* Appends the ids of a piece that no split cuts. E_NOMEM; E_INPUT: a byte has no token. */
int vocabulary_encode(
    const struct tokenizer *t, struct merger *g, struct ids *out, struct span piece);

#endif
