#include "workers/tasks/calibration.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "workers/math/elementary.h"

void pair_share_add(struct pair_share *s, double right, double pairs)
{
    s->prompts += pairs > 0;
    s->right += right;
    s->pairs += pairs;
    s->right_right += right * right;
    s->right_pairs += right * pairs;
    s->pairs_pairs += pairs * pairs;
}

bool pair_share_end(double *mean, double *ci95, const struct pair_share *s)
{
    if (s->pairs == 0)
        return false;
    double p = s->right / s->pairs, g = s->prompts;
    double squares = s->right_right - 2 * p * s->right_pairs + p * p * s->pairs_pairs;

    *mean = p;
    *ci95 = g < 2 ? 0 : 1.96 * sqrt(fmax(0, squares) * g / (g - 1)) / s->pairs;
    return true;
}

/* Tokens of the better answer less those of the worse one: the greatest of each bin but the last.
 */
static const int length_most[LENGTH_BINS - 1] = { -16, -4, 3, 15 };

static int length_bin(int difference)
{
    int k = 0;

    while (k < LENGTH_BINS - 1 && difference > length_most[k])
        k++;
    return k;
}

struct counts {
    double right, pairs;
};

static void add_probability(struct calibration *c, double d)
{
    double p = 1 / (1 + elementary_exp(-fabs(d)));
    int k = (int)fmin(PROBABILITY_BINS - 1, floor((p - .5) * 2 * PROBABILITY_BINS));

    c->bins[k].pairs += 1;
    c->bins[k].predicted += p;
    c->bins[k].observed += d > 0 ? 1 : d < 0 ? 0 : .5;
}

static void add_pairs(struct calibration *c, const struct ranked *r)
{
    struct counts all = { 0 }, gold = { 0 }, by_length[LENGTH_BINS] = { 0 };

    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < r->n; j++) {
            if (r->tier[i] >= r->tier[j])
                continue;
            double d = (double)r->score[i] - r->score[j];
            struct counts *l = &by_length[length_bin((int)r->length[i] - (int)r->length[j])];
            all.pairs += 1;
            all.right += d > 0;
            l->pairs += 1;
            l->right += d > 0;
            gold.pairs += r->gold != NULL;
            gold.right += r->gold && r->gold[i] > r->gold[j];
            add_probability(c, d);
        }
    }
    pair_share_add(&c->all, all.right, all.pairs);
    pair_share_add(&c->gold, gold.right, gold.pairs);
    pair_share_add(&c->by_answers[r->n], all.right, all.pairs);
    for (int k = 0; k < LENGTH_BINS; k++)
        pair_share_add(&c->by_length[k], by_length[k].right, by_length[k].pairs);
}

void calibration_add(struct calibration *c, const struct ranked *r)
{
    assert(r->n <= RANKING_MAX);
    add_pairs(c, r);
    double length = 0, score = 0;
    for (size_t i = 0; i < r->n; i++) {
        length += r->length[i] / (double)r->n;
        score += r->score[i] / (double)r->n;
    }
    for (size_t i = 0; i < r->n; i++) {
        double l = r->length[i] - length, s = r->score[i] - score;
        c->products += l * s;
        c->squares_l += l * l;
        c->squares_s += s * s;
    }
}

static double length_bias(const struct calibration *c)
{
    double squares = c->squares_l * c->squares_s;

    return squares > 0 ? c->products / sqrt(squares) : 0;
}

/* ---- the report ---- */

static int set_interval(Interval **out, const struct pair_share *s, struct err *e)
{
    double mean, ci95;

    if (!pair_share_end(&mean, &ci95, s))
        return OK;
    if (!(*out = malloc(sizeof **out)))
        return err_set(e, E_NOMEM, "no memory for a report");
    interval__init(*out);
    (*out)->has_mean = (*out)->has_ci95 = true;
    (*out)->mean = mean;
    (*out)->ci95 = ci95;
    return OK;
}

/* A bin without pairs is left out. */
static int add_bin(
    AccuracyBin **bins, size_t *n, AccuracyBin bounds, const struct pair_share *s, struct err *e)
{
    AccuracyBin *b = s->pairs > 0 ? malloc(sizeof *b) : NULL;

    if (s->pairs == 0)
        return OK;
    if (!b)
        return err_set(e, E_NOMEM, "no memory for a report");
    *b = bounds;
    b->has_pairs = true;
    b->pairs = (uint32_t)s->pairs;
    bins[(*n)++] = b;
    return set_interval(&b->accuracy, s, e);
}

static int set_accuracies(RewardReport *r, const struct calibration *c, struct err *e)
{
    int rc = OK;

    for (int k = 0; k <= RANKING_MAX && rc == OK; k++) {
        AccuracyBin b = ACCURACY_BIN__INIT;
        b.has_least = b.has_most = true;
        b.least = b.most = k;
        rc = add_bin(r->by_answers, &r->n_by_answers, b, &c->by_answers[k], e);
    }
    for (int k = 0; k < LENGTH_BINS && rc == OK; k++) {
        AccuracyBin b = ACCURACY_BIN__INIT;
        b.has_least = k > 0;
        b.least = k > 0 ? length_most[k - 1] + 1 : 0;
        b.has_most = k < LENGTH_BINS - 1;
        b.most = b.has_most ? length_most[k] : 0;
        rc = add_bin(r->by_length, &r->n_by_length, b, &c->by_length[k], e);
    }
    return rc;
}

static int set_calibration(RewardReport *r, const struct calibration *c, struct err *e)
{
    double error = 0;

    for (int k = 0; k < PROBABILITY_BINS; k++) {
        double n = c->bins[k].pairs;
        CalibrationBin *b = n > 0 ? malloc(sizeof *b) : NULL;
        if (n == 0)
            continue;
        if (!b)
            return err_set(e, E_NOMEM, "no memory for a report");
        calibration_bin__init(b);
        b->has_least = b->has_most = b->has_pairs = b->has_predicted = b->has_observed = true;
        b->least = .5 + .5 * k / PROBABILITY_BINS;
        b->most = .5 + .5 * (k + 1) / PROBABILITY_BINS;
        b->pairs = (uint32_t)n;
        b->predicted = c->bins[k].predicted / n;
        b->observed = c->bins[k].observed / n;
        error += n * fabs(b->predicted - b->observed) / c->all.pairs;
        r->calibration[r->n_calibration++] = b;
    }
    r->has_calibration_error = c->all.pairs > 0;
    r->calibration_error = error;
    return OK;
}

int calibration_report(RewardReport **out, const struct calibration *c, struct err *e)
{
    RewardReport *r = malloc(sizeof *r);
    int rc = OK;

    if (!r)
        return err_set(e, E_NOMEM, "no memory for a report");
    reward_report__init(r);
    r->by_answers = calloc(RANKING_MAX + 1, sizeof *r->by_answers);
    r->by_length = calloc(LENGTH_BINS, sizeof *r->by_length);
    r->calibration = calloc(PROBABILITY_BINS, sizeof *r->calibration);
    if (!r->by_answers || !r->by_length || !r->calibration)
        rc = err_set(e, E_NOMEM, "no memory for a report");
    r->has_prompts = r->has_pairs = true;
    r->prompts = (uint32_t)c->all.prompts;
    r->pairs = (uint32_t)c->all.pairs;
    r->has_length_bias = c->all.pairs > 0;
    r->length_bias = length_bias(c);
    if (rc == OK)
        rc = set_interval(&r->accuracy, &c->all, e);
    if (rc == OK)
        rc = set_interval(&r->ceiling, &c->gold, e);
    if (rc == OK)
        rc = set_accuracies(r, c, e);
    if (rc == OK)
        rc = set_calibration(r, c, e);
    if (rc == OK)
        *out = r;
    else
        message_free(r);
    return rc;
}
