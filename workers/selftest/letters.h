#ifndef WORKERS_SELFTEST_LETTERS_H
#define WORKERS_SELFTEST_LETTERS_H

#include "workers/model/model.h"
#include "workers/selftest/testbed.h"

/* Worlds of letters: a tokenizer in which every byte is a token and nothing is merged, and models
 * of its size. A prompt is end-of-text, its text, the suffix; an answer ends with a token of its
 * own. */
enum { LETTER_PAD, LETTER_END_OF_TEXT, LETTER_END, LETTER_BYTES, LETTERS = LETTER_BYTES + 256 };
#define LETTER(c) (LETTER_BYTES + (unsigned char)(c))

int letters_tokenizer(struct id *out, struct testbed *t, const char *suffix, struct err *e);

/* One head for each 8 floats of width; output tied to the embedding. */
ModelConfig letters_config(
    ModelConfig__Family family, uint32_t layers, uint32_t width, uint32_t context);
/* A fresh model with initial weights, and its checkpoint. */
int letters_model(struct model **out, const ModelConfig *c, const struct id *tokenizer,
    uint64_t seed, struct err *e);
int letters_save(struct id *out, struct testbed *t, const struct model *m, struct err *e);

/* The checkpoint of a fresh model, with a tokenizer of its own. */
int letters_fresh(struct id *out, struct testbed *t, const ModelConfig *c, const char *suffix,
    uint64_t seed, struct err *e);

/* The usual training: AdamW (.9, .95), weight decay 0, gradient norm clipped at 1, cosine to a
 * hundredth of the learning rate. */
TrainTask letters_training(TrainTask__Objective objective, uint32_t batch_size, double rate);
/* Runs task after task until the checkpoint is there. `first` goes to the first segment, `data` to
 * all. metrics (may be NULL): of the last segment; freed by message_free. */
struct named_input {
    const char *name;
    struct id id;
};
int letters_train(struct id *out, TaskAnswer **metrics, struct testbed *t, TrainTask *k,
    const struct named_input *first, const struct named_input *data, struct err *e);

#endif
