#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/selftest/known.h"
#include "workers/selftest/letters.h"
#include "workers/tasks/scorer.h"

/* Equal bits: what may not depend on neighbours, threads, segments or warmth does not. */

/* ---- scores and log-probabilities in any batch ---- */

enum { SEQUENCES = 40, LONGEST = 24 };

struct pile {
    int32_t tokens[SEQUENCES][LONGEST];
    struct scored_sequence s[SEQUENCES];
    float out[3][SEQUENCES][LONGEST]; /* alone, all together, in another order */
    float *rows[SEQUENCES];
};

static void pile_fill(struct pile *x)
{
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        size_t n = 3 + (size_t)(rng_uniform(1, RNG_INIT, 0, i) * (LONGEST - 2));
        for (uint32_t k = 0; k < LONGEST; k++)
            x->tokens[i][k] = (int32_t)(rng_uniform(2, RNG_INIT, i, k) * LETTERS);
        x->s[i] = (struct scored_sequence){ x->tokens[i], x->tokens[i] + 2, 2, n - 2 };
    }
}

static int pile_score(
    struct pile *x, int way, const struct task_context *c, const struct model *m, struct err *e)
{
    struct scored_sequence turned[SEQUENCES];
    const struct scorer_options how = { 1, PRECISION__FP32 };
    bool each = !m->config.scalar_head;
    int rc = OK;

    for (size_t i = 0; i < SEQUENCES; i++) {
        size_t from = way == 2 ? SEQUENCES - 1 - i : i;
        turned[i] = x->s[from];
        x->rows[i] = x->out[way][from];
    }
    size_t at_once = way == 0 ? 1 : SEQUENCES;
    for (size_t i = 0; i < SEQUENCES && rc == OK; i += at_once)
        rc = each ? score_log_probs(x->rows + i, c, m, turned + i, at_once, &how, e)
                  : score_values(x->rows + i, c, m, turned + i, at_once, how.precision, e);
    return rc;
}

static int any_batch(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    static struct pile x;
    ModelConfig c = letters_config((ModelConfig__Family)k->variant, 2, 32, LONGEST);
    struct task_context context = testbed_context(t);
    struct model *m[2] = { NULL, NULL };
    struct id none = { { 0 } };
    size_t differ = 0;
    int rc = letters_model(&m[0], &c, &none, 4, e);

    pile_fill(&x);
    if (rc == OK)
        rc = model_with_scalar_head(&m[1], m[0], 5, e);
    for (int head = 0; head < 2 && rc == OK; head++) {
        for (int way = 0; way < 3 && rc == OK; way++)
            rc = pile_score(&x, way, &context, m[head], e);
        differ += memcmp(x.out[0], x.out[1], sizeof x.out[0]) != 0;
        differ += memcmp(x.out[0], x.out[2], sizeof x.out[0]) != 0;
    }
    if (rc == OK)
        verdict_say(
            v, differ == 0, "equal bits", differ ? "%zu of 4 differ" : "equal bits", differ);
    model_free(m[0]);
    model_free(m[1]);
    return rc;
}

/* ---- labels of the prompt ---- */

enum { PROMPT = 9 }; /* tokens; the rest of LONGEST is the answer */

/* The gradient of the answer's loss, with these labels at the prompt's positions. */
static int answer_gradient(
    float *grad, const struct engine *en, const struct model *m, uint64_t labels, struct err *e)
{
    static const uint32_t start[] = { 0, LONGEST };
    int32_t tokens[LONGEST], target[LONGEST];
    float g[LONGEST], log_prob[LONGEST];
    struct batch b = { .n_sequences = 1, .n_tokens = LONGEST, .start = start, .tokens = tokens };
    struct workspace *w = NULL;
    int rc = workspace_new(&w, &m->config, LONGEST, WORKSPACE_TRAINING, e);

    for (uint32_t i = 0; i < LONGEST; i++) {
        bool answer = i >= PROMPT;
        tokens[i] = (int32_t)(rng_uniform(8, RNG_INIT, 0, i) * LETTERS);
        target[i] = (int32_t)(rng_uniform(answer ? 9 : labels, RNG_INIT, 0, i) * LETTERS);
        if (labels == 0 && !answer)
            target[i] = -1;
        g[i] = answer ? -1.F / (LONGEST - PROMPT) : 0;
    }
    if (rc != OK)
        return rc;
    memset(grad, 0, m->n_params * sizeof *grad);
    transformer_forward(w, en, m, &b);
    transformer_backward_log_probs(w, en, m, grad, target, g, 1, log_prob);
    workspace_free(w);
    return OK;
}

static int prompt_labels(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    ModelConfig c = letters_config(MODEL_CONFIG__FAMILY__LLAMA, 2, 32, LONGEST);
    struct model *m = NULL;
    struct id none = { { 0 } };
    float *grad[3] = { NULL };
    size_t differ = 0;
    int rc = letters_model(&m, &c, &none, 4, e);

    (void)k;
    for (uint64_t i = 0; i < 3 && rc == OK; i++) {
        grad[i] = malloc(m->n_params * sizeof(float));
        rc = grad[i] ? answer_gradient(grad[i], &t->engine, m, i * 20, e)
                     : err_set(e, E_NOMEM, "no memory for a gradient");
        for (size_t j = 0; j < m->n_params && rc == OK; j++)
            differ += grad[i][j] != grad[0][j];
    }
    if (rc == OK)
        verdict_say(v, differ == 0, "the same gradient",
            differ ? "%zu numbers differ" : "the same gradient", differ);
    for (int i = 0; i < 3; i++)
        free(grad[i]);
    model_free(m);
    return rc;
}

/* ---- training ---- */

static int small_text(
    struct id *tokens, struct testbed *t, const struct id *tokenizer, struct err *e)
{
    char text[6000];
    struct id file;
    struct spec s;
    EncodeTask k = ENCODE_TASK__INIT;

    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = i % 60 == 59 ? '\n' : (char)('a' + rng_uniform(3, RNG_INIT, 0, i) * 9);
    text[sizeof text - 1] = '\0';
    int rc = testbed_file(&file, t, "text.txt", text, SPLIT__LINE, e);
    spec_start(&s, TASK_SPEC__KIND_ENCODE);
    k.has_as = k.has_shards = k.has_shard = k.has_held_out = true;
    k.as = ENCODE_AS__AS_TEXT;
    k.shards = 1;
    s.m.encode = &k;
    spec_input(&s, "tokenizer", *tokenizer);
    spec_input(&s, "text", file);
    return rc == OK ? spec_run_for(tokens, t, &s, "tokens", e) : rc;
}

static int train_small(struct id *out, struct testbed *t, const struct id *tokenizer,
    const struct id *tokens, uint32_t segment, struct err *e)
{
    TrainTask k = letters_training(TRAIN_TASK__OBJECTIVE__LM, 12, 3e-3);
    ModelConfig c = letters_config(MODEL_CONFIG__FAMILY__LLAMA, 2, 32, 32);
    struct named_input first = { "tokenizer", *tokenizer }, data = { "tokens", *tokens };

    k.model = &c;
    k.has_steps = true;
    k.steps = 20;
    k.segment = segment;
    return letters_train(out, NULL, t, &k, &first, &data, e);
}

/* variant 0: with 1, 2 and 3 threads; 1: in segments of 20, 7 and 1 steps, the last read back each
 * time. */
static int same_training(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    static const uint32_t segments[] = { 20, 7, 1 };
    struct id tokenizer, tokens, model[3] = { { { 0 } } };
    int rc = letters_tokenizer(&tokenizer, t, "", e);

    if (rc == OK)
        rc = small_text(&tokens, t, &tokenizer, e);
    for (int i = 0; i < 3 && rc == OK; i++) {
        rc = testbed_cold(t, k->variant == 0 ? i + 1 : 1, e);
        t->forgets = i == 2;
        if (rc == OK)
            rc = train_small(
                &model[i], t, &tokenizer, &tokens, k->variant == 0 ? 20 : segments[i], e);
    }
    if (rc == OK) {
        bool same = id_equal(&model[0], &model[1]) && id_equal(&model[0], &model[2]);
        verdict_say(v, same, "equal bits", "%s", same ? "equal bits" : "other bits");
    }
    return rc;
}

static const struct known rows[] = {
    { "bits/batch/llama", "scores and log-probs alone, together, in another order", any_batch,
        MODEL_CONFIG__FAMILY__LLAMA },
    { "bits/batch/gpt2", "the same of the gpt2 family", any_batch, MODEL_CONFIG__FAMILY__GPT2 },
    { "bits/prompt-labels", "gradient of an answer, whatever the labels in its prompt",
        prompt_labels, 0 },
    { "bits/threads", "20 steps of training with 1, 2 and 3 threads", same_training, 0 },
    { "bits/segments", "20 steps in segments of 20, 7 and 1", same_training, 1 },
};
const struct known_table known_bits = { rows, sizeof rows / sizeof *rows };
