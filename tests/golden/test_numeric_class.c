#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "workers/math/rng.h"
#include "workers/model/generator.h"
#include "workers/tasks/losses.h"
#include "workers/tasks/optimizer.h"

/* A numeric class is a promise of bits. Small computations of every kind are hashed, in a process
 * of their own for each class that this machine provides, started as a worker starts its executor,
 * with one thread and with three; what is pinned below must come out. Where a change to the
 * numbers is meant: raise ENGINE_VERSION, and take the hashes that this test prints. */

static const struct pin {
    const char *class, *what, *hash;
} pins[] = {
    { "openblas-0.3.21/SkylakeX/avx512", "train llama fp32", "88f5d4765db71730" },
    { "openblas-0.3.21/SkylakeX/avx512", "train llama bf16", "a051e67781e0fef5" },
    { "openblas-0.3.21/SkylakeX/avx512", "train gpt2 fp32", "9602be078069557c" },
    { "openblas-0.3.21/SkylakeX/avx512", "train gpt2 bf16", "b245e8356f70ce03" },
    { "openblas-0.3.21/SkylakeX/avx512", "update policy", "64a1be2300f20144" },
    { "openblas-0.3.21/SkylakeX/avx512", "update value", "e865cba09b06071d" },
    { "openblas-0.3.21/SkylakeX/avx512", "decode", "43612bb1992588d2" },
    { "openblas-0.3.21/SkylakeX/avx512bf16", "train llama fp32", "88f5d4765db71730" },
    { "openblas-0.3.21/SkylakeX/avx512bf16", "train llama bf16", "a051e67781e0fef5" },
    { "openblas-0.3.21/SkylakeX/avx512bf16", "train gpt2 fp32", "9602be078069557c" },
    { "openblas-0.3.21/SkylakeX/avx512bf16", "train gpt2 bf16", "b245e8356f70ce03" },
    { "openblas-0.3.21/SkylakeX/avx512bf16", "update policy", "64a1be2300f20144" },
    { "openblas-0.3.21/SkylakeX/avx512bf16", "update value", "e865cba09b06071d" },
    { "openblas-0.3.21/SkylakeX/avx512bf16", "decode", "43612bb1992588d2" },
    { "openblas-0.3.21/Haswell/avx2", "train llama fp32", "951308bbb46d05b6" },
    { "openblas-0.3.21/Haswell/avx2", "train llama bf16", "b8483e5e63d6f314" },
    { "openblas-0.3.21/Haswell/avx2", "train gpt2 fp32", "048396b308a082fa" },
    { "openblas-0.3.21/Haswell/avx2", "train gpt2 bf16", "c5c206bf35eb5211" },
    { "openblas-0.3.21/Haswell/avx2", "update policy", "9892764105b12776" },
    { "openblas-0.3.21/Haswell/avx2", "update value", "42e2a6e6495a0013" },
    { "openblas-0.3.21/Haswell/avx2", "decode", "43612bb1992588d2" },
    { "openblas-0.3.21/Prescott/generic", "train llama fp32", "07863c2ab826d759" },
    { "openblas-0.3.21/Prescott/generic", "train llama bf16", "8916738cc400cc2f" },
    { "openblas-0.3.21/Prescott/generic", "train gpt2 fp32", "9eaff38940bd63eb" },
    { "openblas-0.3.21/Prescott/generic", "train gpt2 bf16", "56734277ad09751c" },
    { "openblas-0.3.21/Prescott/generic", "update policy", "9316b42eb2778739" },
    { "openblas-0.3.21/Prescott/generic", "update value", "959b6b6553fd7de5" },
    { "openblas-0.3.21/Prescott/generic", "decode", "43612bb1992588d2" },
    { NULL, NULL, NULL },
};

/* ---- what is computed ---- */

#define SEED 17

enum { WIDTH = 192, CONTEXT = 64, VOCAB = 500, SEQUENCES = 5, TOKENS = 250, STEPS = 3 };
enum { PROMPTS = 3, ANSWER = 12 };

static const uint32_t starts[SEQUENCES + 1] = { 0, 64, 65, 129, 190, 250 };

struct bench {
    struct engine engine;
    struct network n;
    struct batch batch;
    int32_t tokens[TOKENS], target[TOKENS];
    float log_prob[TOKENS], g[TOKENS];
};

static void check(int rc, const struct err *e)
{
    if (rc == OK)
        return;
    fprintf(stderr, "%s\n", e->msg);
    exit(1);
}

static void set_up(struct bench *b, ModelConfig__Family family, bool scalar, unsigned mode)
{
    ModelConfig c = MODEL_CONFIG__INIT;
    struct err e = ERR_INIT;
    struct model *m;

    c.family = family;
    c.layers = 2;
    c.width = WIDTH;
    c.heads = 6;
    c.kv_heads = family == MODEL_CONFIG__FAMILY__LLAMA ? 2 : 6;
    c.context = CONTEXT;
    c.vocab_size = VOCAB;
    c.scalar_head = scalar;
    check(model_new(&m, &c, &e), &e);
    model_init(m, SEED);
    check(network_init(&b->n, m, &e), &e);
    check(workspace_new(&b->n.workspace, &m->config, TOKENS, mode, &e), &e);
    for (uint32_t i = 0; i < TOKENS; i++) {
        uint32_t words[4];
        rng_words(words, SEED, RNG_SHUFFLE, 0, i);
        b->tokens[i] = (int32_t)(words[0] % VOCAB);
        b->target[i] = words[1] % 5 == 0 ? -1 : (int32_t)(words[2] % VOCAB);
    }
    b->batch = (struct batch){
        .n_sequences = SEQUENCES, .n_tokens = TOKENS, .start = starts, .tokens = b->tokens
    };
}

static void tear_down(struct bench *b)
{
    workspace_free(b->n.workspace);
    network_free(&b->n);
}

static void add_hash(struct id *h, const void *p, size_t n)
{
    struct id both[2] = { *h };

    sha256(&both[1], p, n);
    sha256(h, both, sizeof both);
}

static void step(struct bench *b, uint64_t t, bool eps_outside)
{
    const struct optimizer o = { .9, .95, eps_outside ? 1e-5 : 1e-8, .1, 1, eps_outside };
    const struct average none = { NULL, 0 };
    struct err e = ERR_INIT;
    double norm;

    check(network_grad_norm(&norm, &b->engine, &b->n, &e), &e);
    network_step(&b->engine, &b->n, &o, &none, 1e-3, t, norm);
}

static void add_model(struct id *h, const struct bench *b)
{
    add_hash(h, b->n.model->params, b->n.model->n_params * sizeof *b->n.model->params);
}

static void train(struct id *h, struct bench *b, ModelConfig__Family family, Precision precision)
{
    set_up(b, family, false, WORKSPACE_TRAINING | workspace_precision(precision));
    for (uint64_t t = 1; t <= STEPS; t++) {
        for (int i = 0; i < TOKENS; i++)
            b->g[i] = b->target[i] < 0 ? 0 : -1.F / TOKENS;
        transformer_forward(b->n.workspace, &b->engine, b->n.model, &b->batch);
        transformer_backward_log_probs(
            b->n.workspace, &b->engine, b->n.model, b->n.grad, b->target, b->g, 1, b->log_prob);
        add_hash(h, b->log_prob, sizeof b->log_prob);
        step(b, t, false);
    }
    add_model(h, b);
    tear_down(b);
}

static void train_llama(struct id *h, struct bench *b)
{
    train(h, b, MODEL_CONFIG__FAMILY__LLAMA, PRECISION__FP32);
}

static void train_llama_bf16(struct id *h, struct bench *b)
{
    train(h, b, MODEL_CONFIG__FAMILY__LLAMA, PRECISION__BF16);
}

static void train_gpt2(struct id *h, struct bench *b)
{
    train(h, b, MODEL_CONFIG__FAMILY__GPT2, PRECISION__FP32);
}

static void train_gpt2_bf16(struct id *h, struct bench *b)
{
    train(h, b, MODEL_CONFIG__FAMILY__GPT2, PRECISION__BF16);
}

/* Two minibatches of the policy: the second has ratios. */
static void update_policy(struct id *h, struct bench *b)
{
    float old[TOKENS], entropy[TOKENS], advantage[TOKENS];

    set_up(b, MODEL_CONFIG__FAMILY__LLAMA, false, WORKSPACE_TRAINING);
    rng_normal(advantage, TOKENS, SEED, RNG_NOISE, 0);
    for (uint64_t t = 1; t <= 2; t++) {
        transformer_forward(b->n.workspace, &b->engine, b->n.model, &b->batch);
        transformer_log_probs(
            b->n.workspace, &b->engine, b->n.model, b->target, .7F, b->log_prob, entropy);
        if (t == 1)
            memcpy(old, b->log_prob, sizeof old);
        for (int i = 0; i < TOKENS; i++) {
            double grad;
            bool clipped;
            ppo_policy_loss(&grad, b->log_prob[i], old[i], advantage[i], .2, &clipped);
            b->g[i] = b->target[i] < 0 ? 0 : (float)(grad / TOKENS);
        }
        transformer_backward_log_probs(
            b->n.workspace, &b->engine, b->n.model, b->n.grad, b->target, b->g, .7F, b->log_prob);
        add_hash(h, entropy, sizeof entropy);
        step(b, t, true);
    }
    add_model(h, b);
    tear_down(b);
}

static void update_value(struct id *h, struct bench *b)
{
    float old[TOKENS], returns[TOKENS];

    set_up(b, MODEL_CONFIG__FAMILY__GPT2, true, WORKSPACE_TRAINING);
    rng_normal(returns, TOKENS, SEED, RNG_NOISE, 1);
    for (uint64_t t = 1; t <= 2; t++) {
        transformer_forward(b->n.workspace, &b->engine, b->n.model, &b->batch);
        transformer_values(b->n.workspace, &b->engine, b->n.model, b->log_prob);
        if (t == 1)
            memcpy(old, b->log_prob, sizeof old);
        for (int i = 0; i < TOKENS; i++) {
            double grad;
            bool clipped;
            ppo_value_loss(&grad, b->log_prob[i], old[i], returns[i], .2, &clipped);
            b->g[i] = (float)(grad / TOKENS);
        }
        transformer_backward_values(b->n.workspace, &b->engine, b->n.model, b->n.grad, b->g);
        step(b, t, true);
    }
    add_model(h, b);
    tear_down(b);
}

static void decode(struct id *h, struct bench *b)
{
    struct generation g[PROMPTS];
    int32_t answers[PROMPTS][ANSWER] = { { 0 } };
    struct err e = ERR_INIT;
    struct generator_options o = {
        .sampler = { .temperature = 1, .top_p = 1 }, .seed = SEED, .max_new = ANSWER, .slots = 2
    };

    set_up(b, MODEL_CONFIG__FAMILY__LLAMA, false, 0);
    for (uint32_t i = 0; i < PROMPTS; i++)
        g[i] = (struct generation){
            .prompt = b->tokens + starts[i], .n_prompt = i + 1, .item = i, .tokens = answers[i]
        };
    check(generate(&b->engine, b->n.model, g, PROMPTS, &o, NULL, NULL, &e), &e);
    add_hash(h, answers, sizeof answers);
    tear_down(b);
}

static const struct computation {
    const char *name;
    void (*run)(struct id *h, struct bench *b);
} computations[] = {
    { "train llama fp32", train_llama },
    { "train llama bf16", train_llama_bf16 },
    { "train gpt2 fp32", train_gpt2 },
    { "train gpt2 bf16", train_gpt2_bf16 },
    { "update policy", update_policy },
    { "update value", update_value },
    { "decode", decode },
};
#define COMPUTATIONS (sizeof computations / sizeof *computations)

/* In the process that was started for a class: a line for each computation. */
static int compute(const char *class, int threads)
{
    static struct bench b;
    struct err e = ERR_INIT;

    check(engine_init(&b.engine, class, threads, &e), &e);
    for (size_t i = 0; i < COMPUTATIONS; i++) {
        struct id h = { { 0 } };
        char hex[ID_HEX];
        computations[i].run(&h, &b);
        id_hex(hex, &h);
        printf("%.16s\n", hex);
    }
    engine_free(&b.engine);
    return 0;
}

/* ---- the test ---- */

static void start_for_class(char hash[COMPUTATIONS][20], const char *class, int threads)
{
    char self[512], command[1024];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    assert_true(n > 0);
    self[n] = '\0';
    snprintf(command, sizeof command,
        "env -u OPENBLAS_L2_SIZE OPENBLAS_CORETYPE=%s OPENBLAS_NUM_THREADS=1 '%s' '%s' %d",
        numeric_class_core(class), self, class, threads);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    for (size_t i = 0; i < COMPUTATIONS; i++)
        if (fscanf(f, "%19s", hash[i]) != 1)
            fail_msg("%s: %s: nothing came out", class, computations[i].name);
    assert_int_equal(pclose(f), 0);
}

static const char *pinned(const char *class, const char *what)
{
    for (size_t i = 0; pins[i].class != NULL; i++)
        if (strcmp(pins[i].class, class) == 0 && strcmp(pins[i].what, what) == 0)
            return pins[i].hash;
    return NULL;
}

static void check_class(const char *class)
{
    char one[COMPUTATIONS][20], three[COMPUTATIONS][20];

    start_for_class(one, class, 1);
    start_for_class(three, class, 3);
    for (size_t i = 0; i < COMPUTATIONS; i++) {
        const char *what = computations[i].name, *pin = pinned(class, what);
        if (strcmp(one[i], three[i]) != 0)
            fail_msg("%s: %s: %s with 1 thread, %s with 3", class, what, one[i], three[i]);
        if (pin == NULL)
            print_message("not pinned yet: { \"%s\", \"%s\", \"%s\" },\n", class, what, one[i]);
        else if (strcmp(pin, one[i]) != 0)
            fail_msg("%s: %s: %s is pinned, %s came out", class, what, pin, one[i]);
    }
}

static void every_class_gives_its_bits_with_any_number_of_threads(void **state)
{
    (void)state;
    for (const char *const *class = numeric_classes(); *class != NULL; class ++)
        check_class(*class);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class_gives_its_bits_with_any_number_of_threads),
    };

    if (argc == 3)
        return compute(argv[1], atoi(argv[2]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
