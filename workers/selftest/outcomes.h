#ifndef WORKERS_SELFTEST_OUTCOMES_H
#define WORKERS_SELFTEST_OUTCOMES_H

#include <stdint.h>

/* The gate's world, small enough to enumerate: all answers of three letters out of a, b, c, d.
 * Outcome 16 i + 4 k + l is letters i, k, l. The reference draws each letter with .4, .3, .2, .1;
 * the reward is 1 for an "ab" and .5 for each d. */
enum { OUTCOMES = 64, OUTCOME_LENGTH = 3, OUTCOME_LETTERS = 4 };

int outcome_letter(int y, int place); /* 0: a, … 3: d */
double outcome_reward(int y);
void outcomes_reference(double p[OUTCOMES]);
/* argmax of E r - beta KL(p, reference) = reference e^(r / beta) / Z; returns the value there,
 * beta log Z. */
double outcomes_optimum(double p[OUTCOMES], double beta);
/* E r - beta KL(p, reference) */
double outcomes_value(const double p[OUTCOMES], double beta);
double outcomes_mean_reward(const double p[OUTCOMES]);
double outcomes_kl(const double p[OUTCOMES], const double q[OUTCOMES]);
/* p and q may leave out some probability: what is missing of p is counted. */
double outcomes_distance(const double p[OUTCOMES], const double q[OUTCOMES]); /* total variation */
void outcomes_first(double first[OUTCOME_LETTERS], const double p[OUTCOMES]);

/* Where GRPO's expected update vanishes: rewards in units of the deviation of their group of
 * `group` answers, KL in the loss by k3. */
void outcomes_grpo(double p[OUTCOMES], double beta, int group);

#endif
