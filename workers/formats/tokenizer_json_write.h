#ifndef WORKERS_FORMATS_TOKENIZER_JSON_WRITE_H
#define WORKERS_FORMATS_TOKENIZER_JSON_WRITE_H

#include "proto/message.h"

/* tokenizer.json, which Hugging Face's library reads to equal ids. E_INPUT: a split that it has no
 * way to say. */
int tokenizer_json_write(struct buf *out, const TokenizerModel *m, struct err *e);
/* tokenizer_config.json: what the special tokens are for, and the chat template. */
int tokenizer_config_write(
    struct buf *out, const TokenizerModel *m, uint32_t context, struct err *e);

#endif
