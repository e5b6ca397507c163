#ifndef WORKERS_FORMATS_GGUF_MODEL_H
#define WORKERS_FORMATS_GGUF_MODEL_H

#include "workers/formats/gguf.h"
#include "workers/model/model.h"

/* A model and its tokenizer as one GGUF file. Norms and biases are float32 there, matrices of
 * `type` (where rows are no whole number of blocks: F16). llama.cpp knows no scalar head on these
 * architectures: it loads a reward model as one that gives embeddings, and the head stands among
 * the keys, as jielong.score.weight, .bias, .reward_bias, .reward_scale: score = (weight · final
 * embedding + bias - reward_bias) x reward_scale. */
int gguf_export(const struct model *m, const TokenizerModel *t, const char *path, enum element type,
    const char *name, struct err *e);

#endif
