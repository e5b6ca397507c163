#ifndef WORKERS_TEXT_TOKENIZER_H
#define WORKERS_TEXT_TOKENIZER_H

#include "proto/message.h"

/* Byte-level BPE (Sennrich et al. 2016; bytes as in GPT-2). Text is split by a pattern (PCRE2, \s
 * spelled out), each piece is merged by rank. Ids of what is trained here: special tokens first
 * (pad 0, end_of_text 1, end_of_answer 2, then the template's role marks), the 256 bytes next,
 * merges after. decode(encode(x)) = x for all bytes. What tokenizers of other programs do
 * otherwise, SentencePiece's and normalisers among them, is said by fields of the model
 * (proto/record.proto). */
struct tokenizer;

struct ids {
    int32_t *p;
    size_t n, cap;
};
void ids_free(struct ids *ids);

/* Training counts pieces of documents, with so many threads, and merges the most frequent pair,
 * ties by the smaller (left, right) bytes. The same result with any number of threads. split: a
 * name of workers/text/pretokenize.h. add: call for each document; memory is in proportion to the
 * different pieces, not to the text. */
struct tokenizer_trainer;
int tokenizer_trainer_new(
    struct tokenizer_trainer **out, const char *split, int threads, struct err *e);
int tokenizer_trainer_add(struct tokenizer_trainer *t, const char *text, size_t n, struct err *e);
/* vocab_size too small for bytes and specials: E_INPUT; too little text for so many merges: fewer
 * tokens. template: a name of templates. Takes t. */
int tokenizer_trainer_finish(struct tokenizer_trainer *t, TokenizerModel **out, uint32_t vocab_size,
    const char *template, struct err *e);

/* Checks and copies m. E_INPUT on a malformed model. */
int tokenizer_new(struct tokenizer **out, const TokenizerModel *m, struct err *e);
void tokenizer_free(struct tokenizer *t);
const TokenizerModel *tokenizer_model(const struct tokenizer *t);
size_t tokenizer_size(const struct tokenizer *t); /* ids are 0 .. size-1 */
/* The id that every sequence begins with. */
int32_t tokenizer_start(const struct tokenizer *t);

/* Appends the ids of user text; never a special token. */
int tokenizer_encode(
    const struct tokenizer *t, struct ids *out, const char *text, size_t n, struct err *e);
/* Appends ids of template text, in which special tokens are recognised. */
int tokenizer_encode_special(
    const struct tokenizer *t, struct ids *out, const char *text, size_t n, struct err *e);
/* Appends the bytes; special tokens give nothing. The result may end inside a character: cut
 * with utf8_whole where text is shown. */
int tokenizer_decode(const struct tokenizer *t, struct buf *out, const int32_t *ids, size_t n);
struct span tokenizer_bytes(const struct tokenizer *t, int32_t id);
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);

/* Reads / writes the TOKENIZER artifact. */
struct store;
int tokenizer_load(struct tokenizer **out, struct store *s, const struct id *id, struct err *e);
int tokenizer_save(Output **out, const TokenizerModel *m, struct store *s, struct err *e);

#endif
