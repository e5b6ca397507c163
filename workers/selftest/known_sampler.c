#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/model/generator.h"
#include "workers/selftest/known.h"
#include "workers/selftest/letters.h"
#include "workers/tasks/losses.h"
#include "workers/tasks/scorer.h"

/* What the generator draws, against what the training forward pass says. */

enum { PROMPT = 2 };
static const int32_t prompt[PROMPT] = { LETTER_END_OF_TEXT, LETTER('j') };

/* Initial weights times `scale`: at 8 next-token distributions are neither flat nor certain, at 1
 * no two answers are likely to be the same. */
static int scaled_model(struct model **out, ModelConfig__Family family, float scale, struct err *e)
{
    ModelConfig c = letters_config(family, 2, 16, 16);
    struct id none = { { 0 } };
    int rc = letters_model(out, &c, &none, 3, e);

    for (size_t i = 0; rc == OK && i < (*out)->n_params; i++)
        (*out)->params[i] *= scale;
    return rc;
}

static int draw(struct generation *g, int32_t *tokens, size_t n, size_t length, uint64_t seed,
    const struct engine *en, const struct model *m, struct err *e)
{
    struct generator_options o = {
        .sampler = { .temperature = 1, .top_p = 1 }, .seed = seed, .max_new = length, .slots = 64
    };

    for (size_t i = 0; i < n; i++)
        g[i] = (struct generation){
            .prompt = prompt, .n_prompt = PROMPT, .item = i, .tokens = tokens + i * length
        };
    return generate(en, m, g, n, &o, NULL, NULL, e);
}

/* ---- one token: Pearson's chi-square ---- */

static int next_distribution(
    double p[LETTERS], const struct engine *en, const struct model *m, struct err *e)
{
    struct workspace *w = NULL;
    static const uint32_t start[] = { 0, PROMPT };
    struct batch b = { 1, PROMPT, start, prompt, NULL, NULL };
    float logits[LETTERS];
    double sum = 0;
    int rc = workspace_new(&w, &m->config, PROMPT, 0, e);

    if (rc != OK)
        return rc;
    transformer_forward(w, en, m, &b);
    transformer_logits(w, en, m, PROMPT - 1, logits);
    for (int v = 0; v < LETTERS; v++)
        sum += p[v] = exp(logits[v]);
    for (int v = 0; v < LETTERS; v++)
        p[v] /= sum;
    workspace_free(w);
    return OK;
}

/* In standard deviations above its mean; what is expected less than 5 times stands together. */
static double chi_square(const double count[LETTERS], const double p[LETTERS], double n)
{
    double x = 0, rare = 0, rare_p = 0, cells = 0;

    for (int v = 0; v < LETTERS; v++) {
        if (n * p[v] < 5) {
            rare += count[v];
            rare_p += p[v];
            continue;
        }
        x += pow(count[v] - n * p[v], 2) / (n * p[v]);
        cells++;
    }
    if (n * rare_p >= 5) {
        x += pow(rare - n * rare_p, 2) / (n * rare_p);
        cells++;
    }
    return (x - (cells - 1)) / sqrt(2 * (cells - 1));
}

static int softmax(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    enum { DRAWS = 40000 };
    static struct generation g[DRAWS];
    static int32_t tokens[DRAWS];
    struct model *m = NULL;
    double p[LETTERS], count[LETTERS] = { 0 };
    int rc = scaled_model(&m, (ModelConfig__Family)k->variant, 8, e);

    if (rc == OK)
        rc = next_distribution(p, &t->engine, m, e);
    if (rc == OK)
        rc = draw(g, tokens, DRAWS, 1, 11, &t->engine, m, e);
    if (rc == OK) {
        for (size_t i = 0; i < DRAWS; i++)
            count[tokens[i]]++;
        double z = chi_square(count, p, DRAWS);
        verdict_say(v, z < 4, "below 4 std. dev.", "%.2f", z);
    }
    model_free(m);
    return rc;
}

/* ---- best of n ---- */

/* Scores of n sampled answers, by a reward model with other weights than the sampler's. */
static int scored_answers(
    float *score, size_t n, uint64_t seed, struct testbed *t, const struct model *m, struct err *e)
{
    enum { LENGTH = 4 };
    struct generation *g = calloc(n, sizeof *g);
    struct scored_sequence *s = calloc(n, sizeof *s);
    int32_t *tokens = calloc(n, LENGTH * sizeof *tokens);
    struct model *judge = NULL;
    struct task_context c = testbed_context(t);
    int rc = g && s && tokens ? OK : err_set(e, E_NOMEM, "no memory for %zu answers", n);

    if (rc == OK)
        rc = model_with_scalar_head(&judge, m, 5, e);
    if (rc == OK)
        rc = draw(g, tokens, n, LENGTH, seed, &t->engine, m, e);
    for (size_t i = 0; i < n && rc == OK; i++)
        s[i] = (struct scored_sequence){ prompt, g[i].tokens, PROMPT, g[i].n_tokens };
    if (rc == OK)
        rc = score_rewards(score, &c, judge, s, n, e);
    model_free(judge);
    free(g);
    free(s);
    free(tokens);
    return rc;
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* Share of the sorted scores that are below x. */
static double share_below(const float *sorted, size_t n, float x)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sorted[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return (low + .5) / (double)(n + 1);
}

/* The best of n has density n F^(n-1) to its base's: KL = E[log n + (n - 1) log F(best)], F from
 * answers of their own. */
static int best_of_n(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    enum { BASE = 8192, BEST = 2048, N = 4 };
    static float base[BASE], score[BEST * N];
    struct model *m = NULL;
    double kl[BEST], mean, half;
    int rc = scaled_model(&m, MODEL_CONFIG__FAMILY__GPT2, 1, e);

    (void)k;
    if (rc == OK)
        rc = scored_answers(base, BASE, 31, t, m, e);
    if (rc == OK)
        rc = scored_answers(score, BEST * N, 32, t, m, e);
    qsort(base, BASE, sizeof *base, by_size);
    for (size_t i = 0; i < BEST; i++) {
        float best = score[i * N];
        for (size_t j = 1; j < N; j++)
            best = fmaxf(best, score[i * N + j]);
        kl[i] = log(N) + (N - 1) * log(share_below(base, BASE, best));
    }
    mean_ci95(&mean, &half, kl, BEST);
    if (rc == OK)
        verdict_near(v, mean, best_of_n_kl(N), 2 * half);
    model_free(m);
    return rc;
}

static const struct known rows[] = {
    { "sampler/softmax/llama", "40,000 next tokens against the softmax: chi-square", softmax,
        MODEL_CONFIG__FAMILY__LLAMA },
    { "sampler/softmax/gpt2", "the same of the gpt2 family", softmax, MODEL_CONFIG__FAMILY__GPT2 },
    { "sampler/best-of-n", "KL of best of 4 sampled answers, by their scores", best_of_n, 0 },
};
const struct known_table known_sampler = { rows, sizeof rows / sizeof *rows };
