#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "workers/math/rng.h"
#include "workers/selftest/known.h"
#include "workers/selftest/letters.h"
#include "workers/selftest/rankings.h"
#include "workers/tasks/scorer.h"

/* Reward models on rankings whose law is known. */

/* ---- Plackett-Luce: utilities come back, with an error that shrinks as 1 / sqrt(n) ---- */

enum { ITEMS = 24, RANKED = 6, SEEDS = 2 };

static double utility(uint32_t item)
{
    float u[ITEMS];

    rng_normal(u, ITEMS, 91, RNG_NOISE, 0);
    return .8 * u[item];
}

/* The order of RANKED of the items by utility + Gumbel noise: Plackett and Luce's law (Yellott
 * 1977). place[i]: the place of item[i]. */
static void draw_ranking(
    uint32_t item[RANKED], uint32_t place[RANKED], uint64_t seed, uint32_t number)
{
    uint32_t order[ITEMS];
    double score[RANKED];

    rng_permutation(order, ITEMS, seed, RNG_SHUFFLE, number);
    for (uint32_t i = 0; i < RANKED; i++) {
        double u = rng_uniform(seed, RNG_NOISE, number, i);
        item[i] = order[i];
        score[i] = utility(item[i]) - log(-log(u > 0 ? u : .5));
    }
    for (int i = 0; i < RANKED; i++) {
        place[i] = 0;
        for (int k = 0; k < RANKED; k++)
            place[i] += score[k] > score[i];
    }
}

/* Best first. */
static void fill_ranking(struct order *r, size_t number, const void *seed)
{
    uint32_t item[RANKED], place[RANKED];

    draw_ranking(item, place, *(const uint64_t *)seed, (uint32_t)number);
    for (uint32_t want = 0; want < RANKED; want++)
        for (uint32_t i = 0; i < RANKED; i++) {
            uint32_t tokens[] = { LETTER_END_OF_TEXT, LETTER('a') + item[i] };
            if (place[i] != want)
                continue;
            order_tier(r);
            order_row(r, tokens, 2, 1);
        }
}

/* The scores of n sequences by a checkpoint with a scalar head. */
static int score_with(float *score, struct testbed *t, const struct id *checkpoint,
    const struct scored_sequence *s, size_t n, struct err *e)
{
    struct task_context c = testbed_context(t);
    struct model *m = NULL;
    int rc = model_load(&m, t->store, checkpoint, "", e);

    if (rc == OK)
        rc = score_rewards(score, &c, m, s, n, e);
    model_free(m);
    return rc;
}

/* Root of the mean square of score - utility, both centred. */
static int recovered_error(
    double *out, struct testbed *t, const struct id *init, uint32_t n, uint64_t seed, struct err *e)
{
    TrainTask k = letters_training(TRAIN_TASK__OBJECTIVE__RANKING, 16, 1e-2);
    struct named_input first = { "init", *init }, data = { "examples", { { 0 } } };
    struct scored_sequence s[ITEMS];
    int32_t tokens[ITEMS][2];
    float score[ITEMS];
    struct id model;
    double mean = 0, square = 0;
    int rc = rankings_write(&data.id, t, n, fill_ranking, &seed, e);

    k.has_epochs = true;
    k.epochs = n < 1024 ? 4096 / n : 4;
    if (rc == OK)
        rc = letters_train(&model, NULL, t, &k, &first, &data, e);
    for (int i = 0; i < ITEMS; i++) {
        tokens[i][0] = LETTER_END_OF_TEXT;
        tokens[i][1] = LETTER('a') + i;
        s[i] = (struct scored_sequence){ tokens[i], NULL, 2, 0 };
    }
    if (rc == OK)
        rc = score_with(score, t, &model, s, ITEMS, e);
    for (uint32_t i = 0; i < ITEMS && rc == OK; i++)
        mean += (score[i] - utility(i)) / ITEMS;
    for (uint32_t i = 0; i < ITEMS && rc == OK; i++)
        square += pow(score[i] - utility(i) - mean, 2) / ITEMS;
    *out = sqrt(square);
    return rc;
}

/* Least squares of log error on log n. */
static int plackett_luce(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    static const uint32_t n[] = { 64, 256, 1024 };
    ModelConfig config = letters_config(MODEL_CONFIG__FAMILY__LLAMA, 1, 16, 16);
    struct id init;
    double sx = 0, sy = 0, sxx = 0, sxy = 0, last = 0, count = 0;
    int rc = letters_fresh(&init, t, &config, ">", 6, e);

    (void)k;
    for (int i = 0; i < 3 * SEEDS && rc == OK; i++) {
        double x = log(n[i / SEEDS]), error;
        rc = recovered_error(&error, t, &init, n[i / SEEDS], 100 + (uint64_t)i, e);
        double y = log(error);
        sx += x, sy += y, sxx += x * x, sxy += x * y, count++;
        last = error;
    }
    if (rc == OK) {
        double slope = (sxy - sx * sy / count) / (sxx - sx * sx / count);
        verdict_say(v, fabs(slope + .5) <= .15 && last < .2, "slope -0.50 ± 0.15",
            "%.2f, error %.2f at 1024", slope, last);
    }
    return rc;
}

static const struct known rows[] = {
    { "reward/plackett-luce", "error of recovered utilities over the number of rankings",
        plackett_luce, 0 },
};
const struct known_table known_reward = { rows, sizeof rows / sizeof *rows };
