#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/math/rng.h"
#include "workers/model/generator.h"
#include "workers/selftest/known.h"
#include "workers/selftest/letters.h"
#include "workers/tasks/losses.h"
#include "workers/tasks/scorer.h"

/* Floors: what a perfect learner would reach is known. */

/* ---- pretraining on a Markov chain ---- */

/* States: letters, and last the end of the document, which is also the start. */
enum { STATES = 9, END = STATES - 1, DOCUMENTS = 3000 };
#define END_CHANCE .025

struct chain {
    double p[STATES][STATES];
    double rate; /* nats for each token, the ends counted */
};

static void chain_make(struct chain *c)
{
    double share[STATES], next[STATES];

    for (uint32_t s = 0; s < STATES; s++) {
        float z[STATES];
        double sum = 0;
        rng_normal(z, STATES, 77, RNG_NOISE, s);
        for (int k = 0; k < END; k++)
            sum += c->p[s][k] = exp(1.2 * z[k]);
        double stay = s == END ? 1 : 1 - END_CHANCE;
        for (int k = 0; k < END; k++)
            c->p[s][k] *= stay / sum;
        c->p[s][END] = 1 - stay;
    }
    for (int s = 0; s < STATES; s++)
        share[s] = 1.0 / STATES;
    for (int step = 0; step < 1000; step++) {
        memset(next, 0, sizeof next);
        for (int s = 0; s < STATES; s++)
            for (int k = 0; k < STATES; k++)
                next[k] += share[s] * c->p[s][k];
        memcpy(share, next, sizeof share);
    }
    c->rate = 0;
    for (int s = 0; s < STATES; s++)
        for (int k = 0; k < STATES; k++)
            c->rate -= c->p[s][k] > 0 ? share[s] * c->p[s][k] * log(c->p[s][k]) : 0;
}

/* One document for each line. */
static char *chain_text(const struct chain *c)
{
    size_t cap = DOCUMENTS * 400, n = 0;
    char *text = malloc(cap);
    uint64_t draw = 0;

    for (int line = 0; text && line < DOCUMENTS; line++) {
        int s = END;
        for (size_t length = 0; length < 398; length++) {
            double u = rng_uniform(78, RNG_NOISE, 0, draw++);
            int next = 0;
            while (next < END && (u -= c->p[s][next]) >= 0)
                next++;
            s = next;
            if (s == END)
                break;
            text[n++] = (char)('a' + s);
        }
        text[n++] = '\n';
    }
    if (text)
        text[n] = '\0';
    return text;
}

static int pretrain(
    struct id *model, struct id *held_out, struct testbed *t, const char *text, struct err *e)
{
    struct id tokenizer, file;
    struct spec s;
    EncodeTask k = ENCODE_TASK__INIT;
    TaskAnswer *a = NULL;
    TrainTask train = letters_training(TRAIN_TASK__OBJECTIVE__LM, 16, 1e-2);
    ModelConfig c = letters_config(MODEL_CONFIG__FAMILY__LLAMA, 1, 16, 32);
    int rc = letters_tokenizer(&tokenizer, t, "", e);

    if (rc == OK)
        rc = testbed_file(&file, t, "text.txt", text, SPLIT__LINE, e);
    spec_start(&s, TASK_SPEC__KIND_ENCODE);
    k.has_as = k.has_shards = k.has_shard = k.has_held_out = true;
    k.as = ENCODE_AS__AS_TEXT;
    k.shards = 1;
    k.held_out = .2;
    s.m.encode = &k;
    spec_input(&s, "tokenizer", tokenizer);
    if (rc == OK) {
        spec_input(&s, "text", file);
        rc = spec_run(&a, t, &s, e);
    }
    struct named_input first = { "tokenizer", tokenizer }, data = { "tokens", { { 0 } } };
    if (rc == OK && !(answer_find(&data.id, a, "tokens") && answer_find(held_out, a, "held_out")))
        rc = err_set(e, E_MISSING, "no tokens");
    message_free(a);
    train.model = &c;
    train.has_steps = true;
    train.steps = 500;
    return rc == OK ? letters_train(model, NULL, t, &train, &first, &data, e) : rc;
}

static int state_of(int32_t token)
{
    return token == LETTER_END_OF_TEXT ? END : token - LETTER('a');
}

/* What the model loses on a piece of the text more than the chain itself, for each token. */
struct excess {
    double *d;
    size_t n;
    double chain; /* the chain's own loss, summed */
};

enum { PIECE = 31 }; /* predictions in a row: what the context holds */

static int measure(struct excess *x, struct testbed *t, const struct model *m,
    const struct chain *c, const int32_t *tokens, size_t n, struct err *e)
{
    struct task_context context = testbed_context(t);
    const struct scorer_options how = { 1, PRECISION__FP32 };
    struct scored_sequence *s = calloc(n, sizeof *s);
    float *out = calloc(n, sizeof *out), **rows = calloc(n, sizeof *rows);
    size_t pieces = 0;
    int rc = s && out && rows ? OK : err_set(e, E_NOMEM, "no memory for %zu tokens", n);

    for (size_t at = 1; at < n && rc == OK; pieces++) {
        size_t count = 0;
        while (at + count < n && count < PIECE &&
               (count == 0 || tokens[at + count - 1] != LETTER_END_OF_TEXT))
            count++;
        s[pieces] = (struct scored_sequence){ tokens + at - 1, tokens + at, 1, count };
        rows[pieces] = out + at;
        at += count;
    }
    if (rc == OK)
        rc = score_log_probs(rows, &context, m, s, pieces, &how, e);
    for (size_t i = 1; i < n && rc == OK; i++) {
        double truth = log(c->p[state_of(tokens[i - 1])][state_of(tokens[i])]);
        x->d[x->n++] = truth - out[i];
        x->chain -= truth;
    }
    free(s);
    free(out);
    free(rows);
    return rc;
}

static int held_out_excess(struct excess *x, struct testbed *t, const struct id *model,
    const struct id *held_out, const struct chain *c, struct err *e)
{
    struct artifact_reader *r = NULL;
    struct model *m = NULL;
    int32_t *tokens = NULL;
    size_t n = 0;
    int rc = artifact_open(&r, t->store, held_out, ARTIFACT_KIND__TOKENS, e);

    if (rc == OK) {
        n = artifact_manifest(r)->size / sizeof *tokens;
        tokens = calloc(n + 1, sizeof *tokens);
        x->d = calloc(n + 1, sizeof *x->d);
        rc = tokens && x->d ? OK : err_set(e, E_NOMEM, "no memory for %zu tokens", n);
    }
    if (rc == OK) {
        tokens[0] = LETTER_END_OF_TEXT;
        rc = artifact_read(r, 0, tokens + 1, n * sizeof *tokens, e);
    }
    artifact_close(r);
    if (rc == OK)
        rc = model_load(&m, t->store, model, "", e);
    if (rc == OK)
        rc = measure(x, t, m, c, tokens, n + 1, e);
    model_free(m);
    free(tokens);
    return rc;
}

static int markov(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    static struct chain c;
    struct id model, held_out;
    struct excess x = { .d = NULL };
    double mean, half;

    (void)k;
    chain_make(&c);
    char *text = chain_text(&c);
    int rc = text ? pretrain(&model, &held_out, t, text, e) : err_set(e, E_NOMEM, "no memory");
    if (rc == OK)
        rc = held_out_excess(&x, t, &model, &held_out, &c, e);
    if (rc == OK) {
        /* the chain's own loss on this text is its rate but for chance: taken off */
        mean_ci95(&mean, &half, x.d, x.n);
        snprintf(v->expected, sizeof v->expected, "%.4f … + 0.01", c.rate);
        snprintf(v->got, sizeof v->got, "%.4f ± %.4f", c.rate + mean, half);
        v->holds = mean > -1.5 * half && mean < .01 && fabs(x.chain / (double)x.n - c.rate) < .05;
    }
    free(x.d);
    free(text);
    return rc;
}

/* ---- deterministic completions ---- */

enum { WORD = 4, ALPHABET = 8, WORDS = 1500, TRIALS = 256 };

/* Word number i of a shuffle of all 4,096. */
static void word_of(char out[WORD + 1], const uint32_t *order, size_t i)
{
    uint32_t x = order[i];

    for (int k = 0; k < WORD; k++, x /= ALPHABET)
        out[k] = (char)('a' + x % ALPHABET);
    out[WORD] = '\0';
}

static void answer_of(char out[WORD + 1], const char *word, bool reverse)
{
    for (int k = 0; k < WORD; k++)
        out[k] = word[reverse ? WORD - 1 - k : k];
    out[WORD] = '\0';
}

static int write_words(
    struct id *file, struct testbed *t, const uint32_t *order, bool reverse, struct err *e)
{
    struct buf text = { 0 };
    int rc = OK;

    for (size_t i = 0; i < WORDS && rc == OK; i++) {
        char word[WORD + 1], answer[WORD + 1];
        word_of(word, order, i);
        answer_of(answer, word, reverse);
        rc = buf_printf(&text, "{\"prompt\": \"%s\", \"answer\": \"%s\"}\n", word, answer);
    }
    rc = rc == OK ? testbed_file(file, t, "words.jsonl", text.p, SPLIT__FILE, e)
                  : err_set(e, E_NOMEM, "no memory");
    buf_free(&text);
    return rc;
}

static int fine_tune(struct id *model, double *loss, struct testbed *t, const struct id *init,
    const struct id *file, struct err *e)
{
    struct spec s;
    EncodeTask k = ENCODE_TASK__INIT;
    TrainTask train = letters_training(TRAIN_TASK__OBJECTIVE__ANSWERS, 32, 3e-3);
    struct named_input first = { "init", *init }, data = { "examples", { { 0 } } };
    TaskAnswer *a = NULL;

    spec_start(&s, TASK_SPEC__KIND_ENCODE);
    k.has_as = true;
    k.as = ENCODE_AS__AS_DEMONSTRATIONS;
    s.m.encode = &k;
    spec_input(&s, "model", *init);
    spec_input(&s, "demonstrations", *file);
    int rc = spec_run_for(&data.id, t, &s, "examples", e);
    train.has_steps = true;
    train.steps = 560;
    train.segment = train.steps - 20; /* the last tells the loss of its 20 steps */
    if (rc == OK)
        rc = letters_train(model, &a, t, &train, &first, &data, e);
    *loss = rc == OK ? answer_value(a, "loss") : NAN;
    message_free(a);
    return rc;
}

/* Greedy answers to words that were not trained on. */
static int count_right(size_t *right, struct testbed *t, const struct id *model,
    const uint32_t *order, bool reverse, struct err *e)
{
    static int32_t prompts[TRIALS][WORD + 2], tokens[TRIALS][WORD + 1];
    static struct generation g[TRIALS];
    struct generator_options o = {
        .max_new = WORD + 1, .slots = 64, .stops = { LETTER_END }, .n_stops = 1
    };
    struct model *m = NULL;
    char word[WORD + 1], answer[WORD + 1];
    int rc = model_load(&m, t->store, model, "", e);

    for (size_t i = 0; i < TRIALS; i++) {
        word_of(word, order, WORDS + i);
        prompts[i][0] = LETTER_END_OF_TEXT;
        for (int k = 0; k < WORD; k++)
            prompts[i][k + 1] = LETTER(word[k]);
        prompts[i][WORD + 1] = LETTER('>');
        g[i] = (struct generation){
            .prompt = prompts[i], .n_prompt = WORD + 2, .item = i, .tokens = tokens[i]
        };
    }
    if (rc == OK)
        rc = generate(&t->engine, m, g, TRIALS, &o, NULL, NULL, e);
    *right = 0;
    for (size_t i = 0; i < TRIALS && rc == OK; i++) {
        word_of(word, order, WORDS + i);
        answer_of(answer, word, reverse);
        bool same = g[i].n_tokens == WORD + 1 && g[i].ended;
        for (int k = 0; k < WORD && same; k++)
            same = tokens[i][k] == LETTER(answer[k]);
        *right += same;
    }
    model_free(m);
    return rc;
}

/* variant 1: backwards */
static int completion(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    static uint32_t order[4096];
    ModelConfig c = letters_config(MODEL_CONFIG__FAMILY__GPT2, 2, 32, 16);
    struct id init, file, model;
    size_t right = 0;
    double loss = NAN;
    int rc = letters_fresh(&init, t, &c, ">", 2, e);

    rng_permutation(order, 4096, 9, RNG_NOISE, 0);
    if (rc == OK)
        rc = write_words(&file, t, order, k->variant == 1, e);
    if (rc == OK)
        rc = fine_tune(&model, &loss, t, &init, &file, e);
    if (rc == OK)
        rc = count_right(&right, t, &model, order, k->variant == 1, e);
    if (rc == OK)
        verdict_say(v, right == TRIALS && loss < .01, "256 of 256, loss < .01",
            "%zu of 256, loss %.2g", right, loss);
    return rc;
}

static const struct known rows[] = {
    { "floor/markov", "pretraining on a Markov chain: loss from its entropy rate", markov, 0 },
    { "floor/copy", "fine-tuning to copy 4 letters: new words right, loss", completion, 0 },
    { "floor/reverse", "fine-tuning to reverse them: the same", completion, 1 },
};
const struct known_table known_floor = { rows, sizeof rows / sizeof *rows };
