#ifndef WORKERS_FORMATS_TOKENIZER_FILE_H
#define WORKERS_FORMATS_TOKENIZER_FILE_H

#include "proto/message.h"
#include "workers/formats/gguf.h"

/* Tokenizers as other programs store them, read into a TokenizerModel (freed by message_free).
 * E_INPUT says what is wrong or not known here. */

/* Hugging Face's tokenizer.json: byte-level BPE, or SentencePiece-like BPE with byte fallback.
 * config: tokenizer_config.json, or empty. The chat template is chosen by special tokens alone. */
int tokenizer_from_json(TokenizerModel **out, struct span json, struct span config, struct err *e);
/* GPT-2's vocab.json and merges.txt. */
int tokenizer_from_merges(
    TokenizerModel **out, struct span vocab, struct span merges, struct err *e);
/* A .tiktoken file, "base64 rank" in each line, of the split `split`; "<|endoftext|>" is put behind
 * the ranks. */
int tokenizer_from_tiktoken(
    TokenizerModel **out, struct span file, const char *split, struct err *e);
/* llama2.c's tokenizer.bin of n_tokens tokens. */
int tokenizer_from_llama2c(TokenizerModel **out, struct span file, struct err *e);
/* Among the keys of a GGUF file. */
int tokenizer_from_gguf(TokenizerModel **out, const struct gguf *g, struct err *e);

#endif
