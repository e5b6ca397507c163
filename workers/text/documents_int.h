#ifndef WORKERS_TEXT_DOCUMENTS_INT_H
#define WORKERS_TEXT_DOCUMENTS_INT_H

#include "workers/text/documents.h"
#include "workers/text/source.h"

/* One file, as documents.h says of all of an artifact's; each() as there. */
int documents_read(const char *path, struct span bytes, Split split,
    int (*each)(void *ctx, const char *text, size_t n, struct err *e), void *ctx, struct err *e);
int demonstrations_read(const char *path, struct span bytes,
    int (*each)(void *ctx, const struct conversation *c, struct err *e), void *ctx, struct err *e);
/* *count: prompts before this file; goes on from there. */
int prompts_read(const char *path, struct span bytes, uint64_t *count,
    int (*each)(void *ctx, Prompt *p, struct err *e), void *ctx, struct err *e);
int rankings_read(const char *path, struct span bytes, uint64_t *count,
    int (*each)(void *ctx, Ranking *r, struct err *e), void *ctx, struct err *e);

/* ---- fields of a record; errors name the field ---- */

/* *out borrows from the record; NULL when the field is absent or null. E_INPUT: no string. */
int field_text(const char **out, const struct json *record, const char *key, struct err *e);
/* The same for the first of `keys` (NULL-terminated) that is there; *key is its name. */
int field_text_of(const char **out, const char **key, const struct json *record,
    const char *const *keys, struct err *e);

/* ---- conversations and prompts ---- */

void conversation_free(struct conversation *c);
int conversation_add(
    struct conversation *c, Role role, const char *text, struct err *e); /* copies */
/* {role, content} of an array, in order. */
int conversation_add_messages(struct conversation *c, const struct json *messages, struct err *e);
/* system?, history?, and the question of {instruction|prompt|question, input?}. */
int conversation_add_question(struct conversation *c, const struct json *record, struct err *e);

/* A prompt from a record, without accepted answers; its number is its id when the record has none.
 * *out is freed by message_free. */
int prompt_from_record(Prompt **out, const struct json *record, uint64_t number, struct err *e);
/* A prompt of one turn. */
int prompt_from_text(Prompt **out, const char *text, size_t n, uint64_t number, struct err *e);

#endif
