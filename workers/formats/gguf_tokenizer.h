#ifndef WORKERS_FORMATS_GGUF_TOKENIZER_H
#define WORKERS_FORMATS_GGUF_TOKENIZER_H

#include "proto/message.h"
#include "workers/formats/gguf.h"

/* A tokenizer among a GGUF file's keys. */

/* n_rows: of the model's embedding; rows beyond the vocabulary get names of their own. E_INPUT: a
 * split that llama.cpp has no name for. */
int gguf_tokenizer_write(
    struct gguf_writer *w, const TokenizerModel *m, size_t n_rows, struct err *e);

#endif
