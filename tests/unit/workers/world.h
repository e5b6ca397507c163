#ifndef TESTS_UNIT_WORKERS_WORLD_H
#define TESTS_UNIT_WORKERS_WORLD_H

#include <math.h>

#include "tests/unit/workers/chain.h"
#include "workers/model/model.h"

/* A world small enough to train in a second: a text, demonstrations, rankings. */

struct world {
    struct chain c;
    struct id text, tokenizer, tokens, base;
};

static inline char *small_text(void)
{
    static char text[60000];
    static const char *const subject[] = { "the cat", "the dog", "a bird", "我们", "他们" };
    static const char *const verb[] = { " sees ", " likes ", " follows ", "看见", "喜欢" };
    uint32_t x = 1;
    size_t n = 0;

    while (n < 20000) {
        x = x * 1664525 + 1013904223;
        n += (size_t)sprintf(text + n, "%s%s%s.\n\n", subject[(x >> 8) % 5], verb[(x >> 16) % 5],
            subject[(x >> 24) % 5]);
    }
    return text;
}

static inline struct id run_tokenizer(struct chain *c, struct id text)
{
    struct spec s;
    TokenizerTask k = TOKENIZER_TASK__INIT;

    spec_start(&s, TASK_SPEC__KIND_TOKENIZER);
    k.has_vocab_size = 1;
    k.vocab_size = 320;
    k.template_ = "plain";
    k.split = "gpt-2";
    s.m.tokenizer = &k;
    spec_input(&s, "text", text);
    TaskAnswer *a = spec_run(c, &s);
    struct id id = answer_id(a, "tokenizer");
    message_free(a);
    return id;
}

static inline struct id run_encode(struct chain *c, EncodeAs as, const char *port, struct id files,
    const char *with, struct id other, const char *output)
{
    struct spec s;
    EncodeTask k = ENCODE_TASK__INIT;

    spec_start(&s, TASK_SPEC__KIND_ENCODE);
    k.has_as = k.has_shards = k.has_shard = k.has_held_out = 1;
    k.as = as;
    k.shards = 1;
    k.held_out = .2;
    s.m.encode = &k;
    spec_input(&s, with, other);
    spec_input(&s, port, files);
    TaskAnswer *a = spec_run(c, &s);
    struct id id = answer_id(a, output);
    message_free(a);
    return id;
}

static inline void train_task(TrainTask *k, TrainTask__Objective objective, uint32_t segment)
{
    train_task__init(k);
    k->has_objective = k->has_segment = k->has_batch_size = k->has_learning_rate = 1;
    k->objective = objective;
    k->segment = segment;
    k->batch_size = 4;
    k->learning_rate = 3e-3;
    k->schedule = SCHEDULE__COSINE;
    k->min_lr_ratio = .1;
    k->warmup_steps = 4;
    k->beta1 = .9;
    k->beta2 = .95;
    k->eps = 1e-8;
    k->weight_decay = .1;
    k->grad_clip = 1;
    k->gradient_accumulation = 1;
}

static inline ModelConfig small_model(void)
{
    ModelConfig m = MODEL_CONFIG__INIT;

    m.layers = 2;
    m.width = 32;
    m.heads = 2;
    m.context = 32;
    m.has_layers = m.has_width = m.has_heads = m.has_context = 1;
    return m;
}

/* Segment after segment until the checkpoint is there; cold: forgets all between them. */
static inline struct id train_to_end(struct chain *c, TrainTask *k, const char *first,
    struct id first_id, const char *data, struct id data_id, bool cold, double *metric)
{
    struct id state;
    bool goes_on = false;

    for (;;) {
        struct spec s;
        spec_start(&s, TASK_SPEC__KIND_TRAIN);
        s.m.train = k;
        spec_input(&s, goes_on ? "state" : first, goes_on ? state : first_id);
        spec_input(&s, data, data_id);
        TaskAnswer *a = spec_run(c, &s);
        if (metric)
            *metric = answer_metric_of(a, "loss");
        if (answer_has(a, "checkpoint")) {
            struct id id = answer_id(a, "checkpoint");
            message_free(a);
            return id;
        }
        state = answer_id(a, "state");
        message_free(a);
        goes_on = true;
        if (cold)
            chain_cold(c, 1);
    }
}

static inline struct id pretrain(
    struct world *w, uint32_t steps, uint32_t segment, bool cold, double *loss)
{
    TrainTask k;
    ModelConfig m = small_model();

    train_task(&k, TRAIN_TASK__OBJECTIVE__LM, segment);
    k.has_steps = 1;
    k.steps = steps;
    k.model = &m;
    return train_to_end(&w->c, &k, "tokenizer", w->tokenizer, "tokens", w->tokens, cold, loss);
}

static inline int start(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    chain_start(&w->c, 2);
    w->text = chain_file(&w->c, "text.txt", small_text(), SPLIT__PARAGRAPH);
    w->tokenizer = run_tokenizer(&w->c, w->text);
    w->tokens =
        run_encode(&w->c, ENCODE_AS__AS_TEXT, "text", w->text, "tokenizer", w->tokenizer, "tokens");
    w->base = pretrain(w, 60, 60, false, NULL);
    *state = w;
    return 0;
}

static inline int end(void **state)
{
    struct world *w = *state;

    chain_end(&w->c);
    free(w);
    return 0;
}

static inline void same_id(struct id a, struct id b)
{
    assert_memory_equal(a.b, b.b, sizeof a.b);
}

static const char demonstrations[] = "{\"instruction\": \"the cat\", \"output\": \"meows\"}\n"
                                     "{\"instruction\": \"the dog\", \"output\": \"barks\"}\n"
                                     "{\"instruction\": \"a bird\", \"output\": \"sings\"}\n"
                                     "{\"instruction\": \"我们\", \"output\": \"说话\"}\n";

static inline struct id sft(struct world *w, uint32_t epochs, double *loss)
{
    struct id files = chain_file(&w->c, "demos.jsonl", demonstrations, SPLIT__FILE);
    struct id examples = run_encode(
        &w->c, ENCODE_AS__AS_DEMONSTRATIONS, "demonstrations", files, "model", w->base, "examples");
    TrainTask k;

    train_task(&k, TRAIN_TASK__OBJECTIVE__ANSWERS, 1000);
    k.has_epochs = 1;
    k.epochs = epochs;
    k.schedule = SCHEDULE__CONSTANT;
    return train_to_end(&w->c, &k, "init", w->base, "examples", examples, false, loss);
}

static inline char *rankings_text(void)
{
    static char text[20000];
    size_t n = 0;

    for (int i = 0; i < 40; i++)
        n += (size_t)sprintf(text + n,
            "{\"instruction\": \"the cat %d\", \"output\": "
            "[\"meows\", \"sees\", \"barks barks\"]}\n",
            i);
    return text;
}

static inline struct id rankings(struct world *w)
{
    struct id files = chain_file(&w->c, "rankings.jsonl", rankings_text(), SPLIT__FILE);
    struct spec s;
    RankTask k = RANK_TASK__INIT;

    spec_start(&s, TASK_SPEC__KIND_RANK);
    s.m.rank = &k;
    spec_input(&s, "rankings", files);
    TaskAnswer *a = spec_run(&w->c, &s);
    struct id id = answer_id(a, "rankings");
    message_free(a);
    return id;
}

static inline struct id reward_model(struct world *w, struct id init, double *accuracy)
{
    struct id ranked = rankings(w);
    struct id examples =
        run_encode(&w->c, ENCODE_AS__AS_RANKINGS, "rankings", ranked, "model", init, "examples");
    struct spec s;
    TrainTask k;
    CalibrateTask calibrate = CALIBRATE_TASK__INIT;

    train_task(&k, TRAIN_TASK__OBJECTIVE__RANKING, 1000);
    k.has_epochs = 1;
    k.epochs = 4;
    struct id trained = train_to_end(&w->c, &k, "init", init, "examples", examples, false, NULL);
    spec_start(&s, TASK_SPEC__KIND_CALIBRATE);
    s.m.calibrate = &calibrate;
    spec_input(&s, "model", trained);
    spec_input(&s, "rankings", ranked);
    spec_input(&s, "examples", examples);
    TaskAnswer *a = spec_run(&w->c, &s);
    struct id id = answer_id(a, "checkpoint");
    if (accuracy)
        *accuracy = answer_metric_of(a, "accuracy");
    message_free(a);
    return id;
}

#endif
