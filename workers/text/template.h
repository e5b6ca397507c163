#ifndef WORKERS_TEXT_TEMPLATE_H
#define WORKERS_TEXT_TEMPLATE_H

#include "workers/text/tokenizer.h"

/* Chat templates are rows of one table ("plain": prompt, newline, answer; "chatml"; "llama3").
 * NULL: unknown name. Borrows static memory. */
const ChatTemplate *template_named(const char *name);
const char *const *template_names(void); /* NULL-terminated */
/* Texts of the special tokens that a template needs beside pad, end_of_text, end_of_answer. */
const char *const *template_specials(const char *name); /* NULL-terminated, may be empty */
/* Text of the token that ends an answer; NULL: unknown name. */
const char *template_end_of_answer(const char *name);

/* A turn as its text, with what is learnt of it between `open` and `close`; last: nothing comes
 * behind it. end_of_answer: the token's text. */
int template_render(struct buf *out, const ChatTemplate *c, const char *end_of_answer,
    const Turn *turn, bool last, const char *open, const char *close, struct err *e);

/* E_INPUT, with what to do about it: a template that came with a model and is not known here. */
int template_check(const ChatTemplate *c, struct err *e);

/* A turn that the template has no place for (a tool's in "plain") is E_INPUT in the next two. */

/* Prompt turns → ids up to where the assistant starts to speak. */
int template_prompt(
    const struct tokenizer *t, struct ids *out, Turn *const *turns, size_t n, struct err *e);

/* A whole conversation → ids and loss mask (a byte each): 1 on the tokens of every assistant turn
 * and its end_of_answer, 0 elsewhere. INVARIANT: at least one 1 and, since a first turn is the
 * user's, at least one 0; otherwise E_INPUT. mask is malloc'ed, out->n bytes. */
int template_conversation(const struct tokenizer *t, struct ids *out, uint8_t **mask,
    Turn *const *turns, size_t n, struct err *e);

#endif
