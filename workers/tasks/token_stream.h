#ifndef WORKERS_TASKS_TOKEN_STREAM_H
#define WORKERS_TASKS_TOKEN_STREAM_H

#include "store/store.h"
#include "workers/tasks/rows.h"

/* TOKENS artifacts, one after the other, behind one end-of-text token, cut into windows of
 * `context` predictions. Which window a step reads is a pure function of its number: a resumed
 * training goes on at the same place. Read as needed: memory does not grow with the text. */
struct token_stream;

/* E_INPUT when there are fewer than two tokens. */
int token_stream_open(struct token_stream **out, struct store *s, const struct id *ids, size_t n,
    int32_t end_of_text, size_t context, struct err *e);
void token_stream_close(struct token_stream *t);

size_t token_stream_windows(const struct token_stream *t);
size_t token_stream_window_tokens(const struct token_stream *t);   /* <= context */
double token_stream_bytes_per_token(const struct token_stream *t); /* of the text behind it */

/* Adds window number `index` of an endless shuffle of all windows (a fresh permutation for each
 * pass) as one unit: a sequence for each document in it, begun by the end-of-text token before
 * it, or one sequence when cross_documents. Every position has a target of the given weight. */
int token_stream_add(struct token_stream *t, struct rows *r, uint64_t index, uint64_t seed,
    int purpose, bool cross_documents, float weight, struct err *e);

#endif
