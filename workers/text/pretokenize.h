#ifndef WORKERS_TEXT_PRETOKENIZE_H
#define WORKERS_TEXT_PRETOKENIZE_H

#include "proto/bytes.h"

/* Cuts text into the pieces that merges never cross: by one pattern or several, each of which cuts
 * what the one before has left into its matches and what is between them. Immutable: threads may
 * share one. */
struct pretokenizer;

#define SPLIT_PATTERNS 5

/* split: a name of the table, with or without "/unicode-VERSION" behind it. The version is that
 * of the tables which the tokenizer was trained with; characters that one of two versions does
 * not know yet may be cut differently. E_INPUT: unknown name. */
int pretokenizer_new(struct pretokenizer **out, const char *split, struct err *e);
void pretokenizer_free(struct pretokenizer *p);
/* The split's name with the version of Unicode that this process knows. */
const char *pretokenizer_name(const struct pretokenizer *p);

/* The pieces of one text, which is borrowed. They are in order, not empty, and together they are
 * the text, whatever its bytes: a run of bytes that are no UTF-8 is a piece of its own. */
struct pieces {
    const struct pretokenizer *split;
    const char *text;
    size_t n, at;
    size_t valid; /* text[at..valid) is well-formed */
    /* What the patterns have still to cut: pattern i text[part[i].at..part[i].end), of which the
     * bytes before `match` are no match. */
    struct part {
        size_t at, match, end;
    } parts[SPLIT_PATTERNS];
    void *match;
};
int pieces_begin(
    struct pieces *it, const struct pretokenizer *p, const char *text, size_t n, struct err *e);
/* piece->n is 0 at the end. */
int pieces_next(struct pieces *it, struct span *piece, struct err *e);
void pieces_end(struct pieces *it);

#endif
