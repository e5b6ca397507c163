#ifndef WORKERS_FORMATS_VOCAB_DRAFT_H
#define WORKERS_FORMATS_VOCAB_DRAFT_H

#include "proto/message.h"

/* Another program's vocabulary on its way to become a TokenizerModel. */
struct vocab_draft;

enum token_kind {
    TOKEN_NORMAL,
    TOKEN_SPECIAL,
    TOKEN_ADDED, /* found in any text, but no special token */
    TOKEN_BYTE   /* SentencePiece's: stands for a byte of what is no token */
};

/* At most so many tokens, ids 0 … n-1. */
int vocab_draft_new(struct vocab_draft **out, size_t n_tokens, struct err *e);
void vocab_draft_free(struct vocab_draft *d); /* NULL is fine */

/* Copies. E_INPUT: no such id, or it has a token already. A token that only becomes another kind
 * is given with its text once more. */
int vocab_draft_token(struct vocab_draft *d, size_t id, const void *text, size_t n,
    enum token_kind kind, struct err *e);
/* The id that a special token of this text has; false: none. */
bool vocab_draft_special(const struct vocab_draft *d, const void *text, size_t n, uint32_t *id);

/* The next merge, best first. E_INPUT: its sides are no tokens. */
int vocab_draft_merge(struct vocab_draft *d, struct span left, struct span right, struct err *e);
/* Merges of all pairs of tokens that make a token; better products first: `order` has a number for
 * each id, greater is better, equal ones leftmost first (SentencePiece's scores). */
int vocab_draft_merge_all(struct vocab_draft *d, const float *order, struct err *e);
/* The one merge of each token of several bytes, in the order of ids: what merging with the merges
 * so far leaves of it (tiktoken's ranks). */
int vocab_draft_merge_by_rank(struct vocab_draft *d, struct err *e);

/* What a file says about its special tokens; -1: nothing. */
struct token_roles {
    int64_t begin, end, pad;
    bool has_begin; /* whether begin stands before every text */
};

/* Takes d, freed even on failure. Ids that nobody gave become special tokens. Where roles say
 * nothing the tokens' names do; the chat template is the one whose marks are there. ignore_merges,
 * space_prefix, nfc: as in TokenizerModel. */
struct draft_traits {
    const char *split;
    bool ignore_merges, space_prefix, nfc;
};
int vocab_draft_finish(struct vocab_draft *d, TokenizerModel **out, const struct token_roles *roles,
    const struct draft_traits *traits, struct err *e);

#endif
