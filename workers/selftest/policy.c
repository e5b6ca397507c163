#include "workers/selftest/policy.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/model/generator.h"
#include "workers/tasks/optimizer.h"

enum { LAYERS = 2, WIDTH = 32, CONTEXT = 8, ROW = POLICY_PROMPT + OUTCOME_LENGTH - 1 };

const char policy_prompt[] = "x\n"; /* a file of one line */
const int32_t policy_prompt_tokens[POLICY_PROMPT] = { LETTER_END_OF_TEXT, LETTER('x') };

static int32_t letter_token(int y, int place)
{
    return LETTER('a') + outcome_letter(y, place);
}

static float *weights(struct model *m, const char *name)
{
    const struct tensor *t = model_tensor(m, name);

    assert(t);
    return m->params + t->offset;
}

int policy_reference(struct model **out, const struct id *tokenizer, struct err *e)
{
    static const double share[OUTCOME_LETTERS] = { .4, .3, .2, .1 };
    ModelConfig c = letters_config(MODEL_CONFIG__FAMILY__GPT2, LAYERS, WIDTH, CONTEXT);

    c.has_tied_output = true;
    c.tied_output = false;
    int rc = letters_model(out, &c, tokenizer, 1, e);
    if (rc != OK)
        return rc;
    float *output = weights(*out, "output");
    memset(output, 0, LETTERS * WIDTH * sizeof *output);
    for (int v = 0; v < LETTERS; v++) {
        int letter = v - LETTER('a');
        bool used = letter >= 0 && letter < OUTCOME_LETTERS;
        output[v * WIDTH] = used ? (float)log(share[letter]) : -40;
    }
    weights(*out, "final_norm.weight")[0] = 0;
    weights(*out, "final_norm.bias")[0] = 1;
    return OK;
}

/* ---- all outcomes as one batch ---- */

struct all {
    uint32_t start[OUTCOMES + 1];
    int32_t tokens[OUTCOMES * ROW], target[OUTCOMES * ROW];
    float g[OUTCOMES * ROW], log_prob[OUTCOMES * ROW];
    struct batch b;
};

static void all_outcomes(struct all *x, const double weight[OUTCOMES])
{
    size_t n = 0;

    for (int y = 0; y < OUTCOMES; y++) {
        x->start[y] = (uint32_t)n;
        for (int i = 0; i < ROW; i++, n++) {
            int place = i - (POLICY_PROMPT - 1); /* of the letter that is predicted here */
            x->tokens[n] = place <= 0 ? policy_prompt_tokens[i] : letter_token(y, place - 1);
            x->target[n] = place < 0 ? -1 : letter_token(y, place);
            x->g[n] = place < 0 || !weight ? 0 : (float)-weight[y];
        }
    }
    x->start[OUTCOMES] = (uint32_t)n;
    x->b = (struct batch){ OUTCOMES, n, x->start, x->tokens, NULL, NULL };
}

int policy_distribution(
    double p[OUTCOMES], const struct engine *en, const struct model *m, struct err *e)
{
    struct workspace *w = NULL;
    static struct all x;

    all_outcomes(&x, NULL);
    int rc = workspace_new(&w, &m->config, OUTCOMES * ROW, 0, e);
    if (rc != OK)
        return rc;
    transformer_forward(w, en, m, &x.b);
    transformer_log_probs(w, en, m, x.target, 1, x.log_prob, NULL);
    workspace_free(w);
    for (int y = 0; y < OUTCOMES; y++) {
        double sum = 0;
        for (int i = POLICY_PROMPT - 1; i < ROW; i++)
            sum += x.log_prob[y * ROW + i];
        p[y] = exp(sum);
    }
    return OK;
}

int policy_fit(struct model **out, struct model *takes, const struct engine *en,
    const double target[OUTCOMES], struct err *e)
{
    enum { STEPS = 600 };
    static const struct optimizer o = { .9, .95, 1e-5, 0, 1, true };
    static struct all x;
    const struct average none = { .weights = NULL };
    struct network n;
    double norm;
    int rc = network_init(&n, takes, e);

    all_outcomes(&x, target);
    if (rc == OK)
        rc = workspace_new(&n.workspace, &n.model->config, OUTCOMES * ROW, WORKSPACE_TRAINING, e);
    for (uint64_t step = 0; step < STEPS && rc == OK; step++) {
        memset(n.grad, 0, n.model->n_params * sizeof *n.grad);
        transformer_forward(n.workspace, en, n.model, &x.b);
        transformer_backward_log_probs(
            n.workspace, en, n.model, n.grad, x.target, x.g, 1, x.log_prob);
        rc = network_grad_norm(&norm, en, &n, e);
        double rate = learning_rate_at(SCHEDULE__COSINE, 1e-2, 0, 0, step, 10, STEPS);
        if (rc == OK)
            network_step(en, &n, &o, &none, rate, step + 1, norm);
    }
    if (rc == OK) {
        *out = n.model;
        n.model = NULL;
    }
    workspace_free(n.workspace);
    network_free(&n);
    return rc;
}

/* ---- the sampler ---- */

static int outcome_of(const int32_t *tokens, size_t n)
{
    int y = 0;

    for (size_t i = 0; i < n; i++) {
        int letter = tokens[i] - LETTER('a');
        if (letter < 0 || letter >= OUTCOME_LETTERS)
            return -1;
        y = OUTCOME_LETTERS * y + letter;
    }
    return n == OUTCOME_LENGTH ? y : -1;
}

int policy_histogram(
    double p[OUTCOMES], const struct engine *en, const struct model *m, size_t n, struct err *e)
{
    enum { CHUNK = 4096 };
    static struct generation g[CHUNK];
    static int32_t tokens[CHUNK][OUTCOME_LENGTH];
    struct generator_options o = { .sampler = { .temperature = 1, .top_p = 1 },
        .seed = 23,
        .max_new = OUTCOME_LENGTH,
        .slots = 64,
        .stops = { LETTER_END, LETTER_END_OF_TEXT },
        .n_stops = 2 };
    int rc = OK;

    memset(p, 0, OUTCOMES * sizeof *p);
    for (size_t done = 0; done < n && rc == OK; done += CHUNK) {
        size_t count = n - done < CHUNK ? n - done : CHUNK;
        for (size_t i = 0; i < count; i++)
            g[i] = (struct generation){ .prompt = policy_prompt_tokens,
                .n_prompt = POLICY_PROMPT,
                .item = done + i,
                .tokens = tokens[i] };
        rc = generate(en, m, g, count, &o, NULL, NULL, e);
        for (size_t i = 0; i < count && rc == OK; i++) {
            int y = outcome_of(g[i].tokens, g[i].n_tokens);
            if (y >= 0)
                p[y] += 1 / (double)n;
        }
    }
    return rc;
}
