#ifndef WORKERS_FORMATS_HF_CONFIG_H
#define WORKERS_FORMATS_HF_CONFIG_H

#include "workers/formats/naming.h"

/* Hugging Face's config.json. */

/* Of gpt2, llama, mistral, qwen2 or qwen3, with the LM head or a scalar one. E_INPUT: anything that
 * would make other numbers than ours, were it passed over. A context of at most `context`; 0: the
 * file's.
 */
int hf_config_read(
    ModelConfig *out, enum scheme *scheme, struct span json, uint32_t context, struct err *e);

/* The same of ours. end_of_text …: as in the tokenizer. */
int hf_config_write(struct buf *out, const struct model *m, const TokenizerModel *t,
    const char *element, struct err *e);

#endif
