#ifndef WORKERS_TASKS_CALIBRATION_H
#define WORKERS_TASKS_CALIBRATION_H

#include "proto/message.h"
#include "workers/tasks/losses.h"

/* How well scores tell the better of two answers, from rankings that were not trained on. Pure. */

/* The ranked answers to one prompt; arrays of n, borrowed. */
struct ranked {
    const float *score;
    const uint32_t *tier;   /* lower is better; equal: a tie, which counts for nothing */
    const uint32_t *length; /* tokens */
    const double *gold;     /* of a rubric without its slips; NULL: not known */
    size_t n;               /* <= RANKING_MAX */
};

/* A share of pairs whose interval takes prompts as what was drawn: the sums of a ratio estimator
 * (Cochran 1977, sec. 9.3: clusters of unequal sizes). All are whole numbers, so exact. */
struct pair_share {
    double prompts, right, pairs, right_right, right_pairs, pairs_pairs;
};
/* The pairs of one more prompt; none: it does not count. */
void pair_share_add(struct pair_share *s, double right, double pairs);
/* Mean and half-width of the 95 % interval; false: no pairs. One prompt has no interval: 0. */
bool pair_share_end(double *mean, double *ci95, const struct pair_share *s);

enum { LENGTH_BINS = 5, PROBABILITY_BINS = 5 };

/* Zero-initialise. */
struct calibration {
    struct pair_share all, gold, by_answers[RANKING_MAX + 1], by_length[LENGTH_BINS];
    struct {
        double pairs, predicted, observed;
    } bins[PROBABILITY_BINS]; /* of [.5, 1], by the probability that the higher score is better */
    double products, squares_l, squares_s; /* lengths and scores less their prompt's means */
};

void calibration_add(struct calibration *c, const struct ranked *r);

/* *out is freed by message_free. */
int calibration_report(RewardReport **out, const struct calibration *c, struct err *e);

#endif
