#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/math/rng.h"
#include "workers/selftest/known.h"
#include "workers/selftest/letters.h"
#include "workers/tasks/scorer.h"

/* Reward models by the whole chain of tasks, from a file of rankings to the calibrated model, with
 * labels whose worth is known. */

enum { PROMPTS = 700, ANSWERS = 4, LENGTH = 3, ALPHABET = 8, TRIALS = 60 };

enum labels { BY_LETTERS, FLIPPED, RANDOM };

struct answer_text {
    char text[LENGTH + 1];
    double worth;
};

/* An answer, and what its letters are worth. */
static struct answer_text answer_number(uint64_t number)
{
    static const double worth[ALPHABET] = { 1.1, -.4, .3, -1.2, .8, -.1, -.8, .4 };
    struct answer_text a = { .worth = 0 };

    for (uint32_t i = 0; i < LENGTH; i++) {
        int letter = (int)(rng_uniform(41, RNG_NOISE, i, number) * ALPHABET);
        a.text[i] = (char)('a' + letter);
        a.worth += worth[letter];
    }
    return a;
}

static int by_worth(const void *a, const void *b)
{
    double x = ((const struct answer_text *)a)->worth, y = ((const struct answer_text *)b)->worth;

    return (x < y) - (x > y);
}

static int write_rankings(struct id *file, struct testbed *t, enum labels labels, struct err *e)
{
    struct buf text = { 0 };
    int rc = OK;

    for (uint64_t i = 0; i < PROMPTS && rc == OK; i++) {
        struct answer_text a[ANSWERS];
        for (uint64_t k = 0; k < ANSWERS; k++) {
            a[k] = answer_number(i * ANSWERS + k);
            if (labels == RANDOM)
                a[k].worth = rng_uniform(43, RNG_NOISE, (uint32_t)k, i);
            else if (labels == FLIPPED)
                a[k].worth = -a[k].worth;
        }
        qsort(a, ANSWERS, sizeof *a, by_worth);
        rc = buf_printf(&text,
            "{\"prompt\": \"p%llu\", \"output\": [\"%s\", \"%s\", \"%s\", \"%s\"]}\n",
            (unsigned long long)i, a[0].text, a[1].text, a[2].text, a[3].text);
    }
    rc = rc == OK ? testbed_file(file, t, "rankings.jsonl", text.p, SPLIT__FILE, e)
                  : err_set(e, E_NOMEM, "no memory");
    buf_free(&text);
    return rc;
}

static int rank(struct id *rankings, struct testbed *t, const struct id *file, struct err *e)
{
    struct spec s;
    RankTask k = RANK_TASK__INIT;

    spec_start(&s, TASK_SPEC__KIND_RANK);
    s.m.rank = &k;
    spec_input(&s, "rankings", *file);
    return spec_run_for(rankings, t, &s, "rankings", e);
}

static int encode(struct id *examples, struct testbed *t, const struct id *init,
    const struct id *rankings, struct err *e)
{
    struct spec s;
    EncodeTask k = ENCODE_TASK__INIT;

    spec_start(&s, TASK_SPEC__KIND_ENCODE);
    k.has_as = k.has_held_out = true;
    k.as = ENCODE_AS__AS_RANKINGS;
    k.held_out = .5;
    s.m.encode = &k;
    spec_input(&s, "model", *init);
    spec_input(&s, "rankings", *rankings);
    return spec_run_for(examples, t, &s, "examples", e);
}

struct teacher {
    struct id checkpoint;
    double accuracy, pairs; /* on held-out rankings */
};

static int calibrate(struct teacher *out, struct testbed *t, const struct id *model,
    const struct id *rankings, const struct id *examples, struct err *e)
{
    struct spec s;
    CalibrateTask k = CALIBRATE_TASK__INIT;
    TaskAnswer *a = NULL;

    spec_start(&s, TASK_SPEC__KIND_CALIBRATE);
    s.m.calibrate = &k;
    spec_input(&s, "model", *model);
    spec_input(&s, "rankings", *rankings);
    spec_input(&s, "examples", *examples);
    int rc = spec_run(&a, t, &s, e);
    if (rc == OK) {
        answer_find(&out->checkpoint, a, "checkpoint");
        out->accuracy = answer_value(a, "accuracy");
        out->pairs = answer_value(a, "pairs");
    }
    message_free(a);
    return rc;
}

static int teach(struct teacher *out, struct testbed *t, const struct id *init, enum labels labels,
    struct err *e)
{
    TrainTask k = letters_training(TRAIN_TASK__OBJECTIVE__RANKING, 8, 5e-3);
    struct named_input first = { "init", *init }, data = { "examples", { { 0 } } };
    struct id file, rankings, model;
    int rc = write_rankings(&file, t, labels, e);

    k.has_epochs = true;
    k.epochs = 3;
    if (rc == OK)
        rc = rank(&rankings, t, &file, e);
    if (rc == OK)
        rc = encode(&data.id, t, init, &rankings, e);
    if (rc == OK)
        rc = letters_train(&model, NULL, t, &k, &first, &data, e);
    return rc == OK ? calibrate(out, t, &model, &rankings, &data.id, e) : rc;
}

/* Pairs of one ranking hang together: a random ranking of 4 has a variance of accuracy of .060,
 * 6 independent pairs have .042. */
static int random_labels(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    ModelConfig config = letters_config(MODEL_CONFIG__FAMILY__LLAMA, 1, 16, 16);
    struct id init;
    struct teacher teacher;
    int rc = letters_fresh(&init, t, &config, ">", 6, e);

    (void)k;
    if (rc == OK)
        rc = teach(&teacher, t, &init, RANDOM, e);
    if (rc == OK)
        verdict_near(v, teacher.accuracy, .5, 3 * sqrt(.060 / (teacher.pairs / 6)));
    return rc;
}

/* Scores of answers that neither was trained on. */
static int trial_scores(
    float score[TRIALS], struct testbed *t, const struct id *checkpoint, struct err *e)
{
    enum { ROW = 4 + LENGTH + 1 };
    int32_t tokens[TRIALS][ROW] = { { 0 } };
    struct scored_sequence s[TRIALS];
    struct task_context c = testbed_context(t);
    struct model *m = NULL;
    int rc = model_load(&m, t->store, checkpoint, "", e);

    for (uint64_t i = 0; i < TRIALS; i++) {
        struct answer_text a = answer_number(PROMPTS * ANSWERS + i);
        int32_t *row = tokens[i];
        row[0] = LETTER_END_OF_TEXT;
        row[1] = LETTER('p');
        row[2] = LETTER('1');
        row[3] = LETTER('>');
        for (int k = 0; k < LENGTH; k++)
            row[4 + k] = LETTER(a.text[k]);
        row[ROW - 1] = LETTER_END;
        s[i] = (struct scored_sequence){ row, NULL, ROW, 0 };
    }
    if (rc == OK)
        rc = score_rewards(score, &c, m, s, TRIALS, e);
    model_free(m);
    return rc;
}

static double correlation(const float *x, const float *y, size_t n)
{
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;

    for (size_t i = 0; i < n; i++) {
        mx += x[i] / (double)n;
        my += y[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
        xy += (x[i] - mx) * (y[i] - my);
    }
    return xy / sqrt(xx * yy);
}

static int flipped_labels(
    struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    ModelConfig config = letters_config(MODEL_CONFIG__FAMILY__LLAMA, 1, 16, 16);
    struct id init;
    struct teacher straight, flipped;
    float a[TRIALS], b[TRIALS];
    int rc = letters_fresh(&init, t, &config, ">", 6, e);

    (void)k;
    if (rc == OK)
        rc = teach(&straight, t, &init, BY_LETTERS, e);
    if (rc == OK)
        rc = teach(&flipped, t, &init, FLIPPED, e);
    if (rc == OK)
        rc = trial_scores(a, t, &straight.checkpoint, e);
    if (rc == OK)
        rc = trial_scores(b, t, &flipped.checkpoint, e);
    if (rc == OK) {
        double r = correlation(a, b, TRIALS);
        verdict_say(v, r < -.95 && straight.accuracy > .9 && flipped.accuracy > .9,
            "r < -.95, both right", "r %.3f, right %.2f, %.2f", r, straight.accuracy,
            flipped.accuracy);
    }
    return rc;
}

static const struct known rows[] = {
    { "reward/random-labels", "random labels: accuracy on held-out rankings", random_labels, 0 },
    { "reward/flipped-labels", "flipped labels: correlation of new scores, accuracy",
        flipped_labels, 0 },
};
const struct known_table known_labels = { rows, sizeof rows / sizeof *rows };
