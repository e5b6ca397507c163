#ifndef WORKERS_FORMATS_HF_EXPORT_H
#define WORKERS_FORMATS_HF_EXPORT_H

#include "workers/formats/element.h"
#include "workers/model/model.h"

/* A model and its tokenizer as a folder that Hugging Face's transformers reads: config.json,
 * generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json,
 * chat_template.jinja. type: F32, F16 or BF16, of everything. A reward model is a …ForSequence-
 * Classification of one label; its head's scale is in the weights, and what is added to every score
 * is jielong_score_offset in config.json. The folder is made; E_INPUT: a file is there already. */
int hf_export(const struct model *m, const TokenizerModel *t, const char *path, enum element type,
    struct err *e);

#endif
