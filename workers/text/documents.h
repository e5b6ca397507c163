#ifndef WORKERS_TEXT_DOCUMENTS_H
#define WORKERS_TEXT_DOCUMENTS_H

#include "store/records.h"

/* People's files (a FILES artifact) as typed records. A file that is not what it should be is
 * E_INPUT "FILE:LINE: reason": nothing is dropped silently. each() gets the record to keep
 * (freed by message_free) or borrows text; a nonzero return stops.
 *
 * Raw text: .txt and any other text file, by the artifact's fact `split` (file, line, paragraph);
 * .jsonl / .json: the field "text" of each record. UTF-8 with or without BOM, LF or CRLF;
 * a file that is not UTF-8 is E_INPUT with file, line and byte. Empty documents are skipped. */
int documents_each(struct store *s, const struct id *files,
    int (*each)(void *ctx, const char *text, size_t n, struct err *e), void *ctx, struct err *e);

/* Demonstrations: Alpaca {instruction, input?, output, history?} (array or JSONL),
 * {prompt|question, answer|completion|output|response}, chat {messages: [{role, content}]}. Gives
 * turns that end with the assistant's. */
struct conversation {
    Turn **turns;
    size_t n;
};
int demonstrations_each(struct store *s, const struct id *files,
    int (*each)(void *ctx, const struct conversation *c, struct err *e), void *ctx, struct err *e);

/* Prompts: {prompt|question|instruction(+input)|messages, id?|id_?, lang?, answers?|answer?} in
 * JSON or JSONL, or a .txt file with one prompt for each line. lang is guessed from the script (zh
 * when it holds CJK ideographs, else en) when not given; id counts when not given. */
int prompts_each(struct store *s, const struct id *files,
    int (*each)(void *ctx, Prompt *p, struct err *e), void *ctx, struct err *e);

/* Rankings: {instruction|prompt, input?, output: [best … worst]}, {…, chosen, rejected} as strings,
 * or {prompt, answers: […], tiers: [[0], [1, 2]]}. At least two answers. */
int rankings_each(struct store *s, const struct id *files,
    int (*each)(void *ctx, Ranking *r, struct err *e), void *ctx, struct err *e);

#endif
