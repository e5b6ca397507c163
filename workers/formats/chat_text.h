#ifndef WORKERS_FORMATS_CHAT_TEXT_H
#define WORKERS_FORMATS_CHAT_TEXT_H

#include "proto/message.h"

/* A chat template as other programs want it: a Jinja text over `messages` and
 * `add_generation_prompt`. It gives bos_token, as every sequence begins in training, and what
 * template_prompt and template_conversation give. One that is not known here goes out as it came.
 * E_NOMEM. */
int chat_jinja(struct buf *out, const TokenizerModel *m);

/* The other way: the template of ours that writes turns as the Jinja text does becomes the
 * tokenizer's. One is known by what chat_jinja writes for it, or by how it begins the assistant's
 * turn and the special tokens that it needs. One that is not known is kept as it is, and has no
 * place for a turn. */
int chat_adopt(TokenizerModel *m, struct span jinja, struct err *e);

/* The template of this name becomes the tokenizer's. E_INPUT: unknown, or the vocabulary lacks a
 * special token that it needs. */
int chat_choose(TokenizerModel *m, const char *name, struct err *e);

#endif
