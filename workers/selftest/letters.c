#include "workers/selftest/letters.h"

#include <string.h>

#include "store/records.h"
#include "workers/text/tokenizer.h"

int letters_tokenizer(struct id *out, struct testbed *t, const char *suffix, struct err *e)
{
    static char specials[LETTER_BYTES][16] = { "<|pad|>", "<|text|>", "<|end|>" };
    static uint32_t special[] = { LETTER_PAD, LETTER_END_OF_TEXT, LETTER_END };
    static char none[] = "", name[] = "letters", split[] = "gpt-2";
    ProtobufCBinaryData tokens[LETTERS];
    uint8_t bytes[256];
    TokenizerModel m = TOKENIZER_MODEL__INIT;
    ChatTemplate c = CHAT_TEMPLATE__INIT;
    Output *o = NULL;
    int rc = testbed_store(t, e);

    for (size_t i = 0; i < LETTER_BYTES; i++)
        tokens[i] = (ProtobufCBinaryData){ strlen(specials[i]), (uint8_t *)specials[i] };
    for (size_t i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
        tokens[LETTER_BYTES + i] = (ProtobufCBinaryData){ 1, &bytes[i] };
    }
    c.name = name;
    c.system_prefix = c.system_suffix = c.user_prefix = none;
    c.assistant_prefix = c.assistant_suffix = none;
    c.user_suffix = (char *)(uintptr_t)suffix;
    m.tokens = tokens;
    m.n_tokens = LETTERS;
    m.special = special;
    m.n_special = sizeof special / sizeof *special;
    m.split = split;
    m.has_pad = m.has_end_of_text = m.has_end_of_answer = true;
    m.pad = LETTER_PAD;
    m.end_of_text = LETTER_END_OF_TEXT;
    m.end_of_answer = LETTER_END;
    m.template_ = &c;
    if (rc == OK)
        rc = tokenizer_save(&o, &m, t->store, e);
    if (rc == OK)
        id_from_span(out, o->id.data, o->id.len);
    message_free(o);
    return rc;
}

ModelConfig letters_config(
    ModelConfig__Family family, uint32_t layers, uint32_t width, uint32_t context)
{
    ModelConfig c = MODEL_CONFIG__INIT;

    c.has_family = c.has_layers = c.has_width = c.has_heads = true;
    c.has_context = c.has_vocab_size = true;
    c.family = family;
    c.layers = layers;
    c.width = width;
    c.heads = width / 8;
    c.context = context;
    c.vocab_size = LETTERS;
    message_fill_defaults(&c.base);
    return c;
}

int letters_model(struct model **out, const ModelConfig *c, const struct id *tokenizer,
    uint64_t seed, struct err *e)
{
    ModelConfig checked = *c;
    int rc = model_config_check(&checked, e);

    if (rc == OK)
        rc = model_new(out, &checked, e);
    if (rc == OK) {
        model_init(*out, seed);
        (*out)->tokenizer = *tokenizer;
    }
    return rc;
}

int letters_save(struct id *out, struct testbed *t, const struct model *m, struct err *e)
{
    Output *o = NULL;
    int rc = model_save(&o, m, t->store, "checkpoint", e);

    if (rc == OK)
        id_from_span(out, o->id.data, o->id.len);
    message_free(o);
    return rc;
}

int letters_fresh(struct id *out, struct testbed *t, const ModelConfig *c, const char *suffix,
    uint64_t seed, struct err *e)
{
    struct model *m = NULL;
    struct id tokenizer;
    int rc = letters_tokenizer(&tokenizer, t, suffix, e);

    if (rc == OK)
        rc = letters_model(&m, c, &tokenizer, seed, e);
    if (rc == OK)
        rc = letters_save(out, t, m, e);
    model_free(m);
    return rc;
}

TrainTask letters_training(TrainTask__Objective objective, uint32_t batch_size, double rate)
{
    TrainTask k = TRAIN_TASK__INIT;

    k.has_objective = k.has_segment = k.has_batch_size = k.has_learning_rate = true;
    k.objective = objective;
    k.segment = UINT32_MAX;
    k.batch_size = batch_size;
    k.learning_rate = rate;
    k.has_min_lr_ratio = k.has_schedule = k.has_warmup_steps = true;
    k.min_lr_ratio = .01;
    k.schedule = SCHEDULE__COSINE;
    k.warmup_steps = 10;
    k.has_beta1 = k.has_beta2 = k.has_eps = k.has_grad_clip = true;
    k.beta1 = .9;
    k.beta2 = .95;
    k.eps = 1e-8;
    k.grad_clip = 1;
    return k;
}

int letters_train(struct id *out, TaskAnswer **metrics, struct testbed *t, TrainTask *k,
    const struct named_input *first, const struct named_input *data, struct err *e)
{
    struct id state;
    bool goes_on = false, done = false;
    TaskAnswer *a = NULL;
    int rc = OK;

    while (rc == OK && !done) {
        struct spec s;
        spec_start(&s, TASK_SPEC__KIND_TRAIN);
        s.m.train = k;
        if (goes_on)
            spec_input(&s, "state", state);
        else
            spec_input(&s, first->name, first->id);
        spec_input(&s, data->name, data->id);
        message_free(a);
        a = NULL;
        rc = spec_run(&a, t, &s, e);
        done = rc == OK && answer_find(out, a, "checkpoint");
        if (rc == OK && !done && !answer_find(&state, a, "state"))
            rc = err_set(e, E_MISSING, "training gave neither a state nor a checkpoint");
        goes_on = true;
    }
    if (rc == OK && metrics) {
        *metrics = a;
        a = NULL;
    }
    message_free(a);
    return rc;
}
