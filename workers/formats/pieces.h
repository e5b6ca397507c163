#ifndef WORKERS_FORMATS_PIECES_H
#define WORKERS_FORMATS_PIECES_H

#include "workers/formats/vocab_draft.h"

/* Tokens as two kinds of files spell them, given to a draft. `room` is the caller's, for use again
 * and again. */

/* GPT-2's alphabet; special and added tokens are plain text. */
int alphabet_token(struct vocab_draft *d, size_t id, struct span text, enum token_kind kind,
    struct buf *room, struct err *e);
/* "left right". */
int alphabet_merge(struct vocab_draft *d, struct span text, struct buf *room, struct err *e);
int alphabet_merge_of(
    struct vocab_draft *d, struct span left, struct span right, struct buf *room, struct err *e);

/* SentencePiece's: U+2581 is a space, "<0xNN>" of TOKEN_BYTE a byte. */
int piece_token(struct vocab_draft *d, size_t id, struct span text, enum token_kind kind,
    struct buf *room, struct err *e);
int piece_merge_of(
    struct vocab_draft *d, struct span left, struct span right, struct buf *room, struct err *e);
/* True for "<0xNN>". */
bool piece_byte(struct span text, uint8_t *byte);

#endif
