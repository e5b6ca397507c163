#ifndef WORKERS_FORMATS_CHAT_TEXT_H
#define WORKERS_FORMATS_CHAT_TEXT_H

#include "proto/message.h"

/* A chat template as other programs want it: a Jinja text over `messages` and
 * `add_generation_prompt`. It gives bos_token, as every sequence begins in training, and what
 * template_prompt and template_conversation give. E_NOMEM. */
int chat_jinja(struct buf *out, const TokenizerModel *m);

#endif
