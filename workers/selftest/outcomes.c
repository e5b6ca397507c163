#include "workers/selftest/outcomes.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const double letter_share[OUTCOME_LETTERS] = { .4, .3, .2, .1 };

int outcome_letter(int y, int place)
{
    return y >> 2 * (OUTCOME_LENGTH - 1 - place) & 3;
}

double outcome_reward(int y)
{
    double r = 0;

    for (int i = 0; i < OUTCOME_LENGTH; i++)
        r += .5 * (outcome_letter(y, i) == 3);
    bool ab = (outcome_letter(y, 0) == 0 && outcome_letter(y, 1) == 1) ||
              (outcome_letter(y, 1) == 0 && outcome_letter(y, 2) == 1);
    return r + ab;
}

void outcomes_reference(double p[OUTCOMES])
{
    for (int y = 0; y < OUTCOMES; y++) {
        p[y] = 1;
        for (int i = 0; i < OUTCOME_LENGTH; i++)
            p[y] *= letter_share[outcome_letter(y, i)];
    }
}

double outcomes_optimum(double p[OUTCOMES], double beta)
{
    double z = 0;

    outcomes_reference(p);
    for (int y = 0; y < OUTCOMES; y++)
        z += p[y] *= exp(outcome_reward(y) / beta);
    for (int y = 0; y < OUTCOMES; y++)
        p[y] /= z;
    return beta * log(z);
}

double outcomes_mean_reward(const double p[OUTCOMES])
{
    double sum = 0;

    for (int y = 0; y < OUTCOMES; y++)
        sum += p[y] * outcome_reward(y);
    return sum;
}

double outcomes_kl(const double p[OUTCOMES], const double q[OUTCOMES])
{
    double sum = 0;

    for (int y = 0; y < OUTCOMES; y++)
        sum += p[y] > 0 ? p[y] * log(p[y] / q[y]) : 0;
    return sum;
}

double outcomes_value(const double p[OUTCOMES], double beta)
{
    double reference[OUTCOMES];

    outcomes_reference(reference);
    return outcomes_mean_reward(p) - beta * outcomes_kl(p, reference);
}

double outcomes_distance(const double p[OUTCOMES], const double q[OUTCOMES])
{
    double sum = 0, missing = 1;

    for (int y = 0; y < OUTCOMES; y++) {
        sum += fabs(p[y] - q[y]);
        missing -= p[y];
    }
    return (sum + fabs(missing)) / 2;
}

void outcomes_first(double first[OUTCOME_LETTERS], const double p[OUTCOMES])
{
    memset(first, 0, OUTCOME_LETTERS * sizeof *first);
    for (int y = 0; y < OUTCOMES; y++)
        first[outcome_letter(y, 0)] += p[y];
}

/* ---- GRPO ---- */

/* Rewards come in halves. */
enum { LEVELS = 4 };

static int level(int y)
{
    return (int)(2 * outcome_reward(y) + .5);
}

/* (own - mean) / (deviation + 1e-4) in a group with so many answers of each level. */
static double normalised(int own, const int count[LEVELS])
{
    double n = 0, mean = 0, square = 0;

    for (int i = 0; i < LEVELS; i++) {
        n += count[i];
        mean += count[i] * i / 2.0;
        square += count[i] * i * i / 4.0;
    }
    mean /= n;
    return (own / 2.0 - mean) / (sqrt(fmax(square / n - mean * mean, 0)) + 1e-4);
}

/* E of the normalised advantage of an answer of each level, the others of its group being drawn
 * with the levels' shares: a sum over how many of them have which level. */
static void mean_advantages(double advantage[LEVELS], const double share[LEVELS], int group)
{
    int others = group - 1;

    memset(advantage, 0, LEVELS * sizeof *advantage);
    for (int i = 0; i <= others; i++)
        for (int k = 0; i + k <= others; k++)
            for (int l = 0; i + k + l <= others; l++) {
                int count[LEVELS] = { i, k, l, others - i - k - l };
                double log_p = lgamma(group);
                for (int m = 0; m < LEVELS; m++)
                    log_p += count[m] ? count[m] * log(share[m]) - lgamma(count[m] + 1) : 0;
                for (int own = 0; own < LEVELS; own++) {
                    count[own]++;
                    advantage[own] += exp(log_p) * normalised(own, count);
                    count[own]--;
                }
            }
}

/* One place in an answer: after this prefix, letter v leads to a mean advantage q[v]. The update
 * of its logit is p (q - sum p q) + beta (ref - p) and vanishes for p = beta ref / (lambda - q),
 * with the lambda that makes it a distribution (bisection). Returns sum p q. */
static double settle(double p[OUTCOME_LETTERS], const double q[OUTCOME_LETTERS], double beta)
{
    double most = fmax(fmax(q[0], q[1]), fmax(q[2], q[3])), low = most, high = most + beta;
    double mean = 0;

    for (int step = 0; step < 200; step++) {
        double lambda = (low + high) / 2, sum = 0;
        for (int v = 0; v < OUTCOME_LETTERS; v++)
            sum += p[v] = beta * letter_share[v] / (lambda - q[v]);
        if (sum > 1)
            low = lambda;
        else
            high = lambda;
    }
    for (int v = 0; v < OUTCOME_LETTERS; v++)
        mean += p[v] * q[v];
    return mean;
}

/* The stationary policy for given advantages of whole answers, from the last place to the first. */
static void settle_all(double p[OUTCOMES], const double advantage[LEVELS], double beta)
{
    double q[OUTCOMES], choice[OUTCOME_LETTERS];

    for (int y = 0; y < OUTCOMES; y++) {
        q[y] = advantage[level(y)];
        p[y] = 1;
    }
    for (int size = 1; size < OUTCOMES; size *= OUTCOME_LETTERS)
        for (int from = 0; from < OUTCOMES; from += size * OUTCOME_LETTERS) {
            double next[OUTCOME_LETTERS];
            for (int v = 0; v < OUTCOME_LETTERS; v++)
                next[v] = q[from + v * size];
            double mean = settle(choice, next, beta);
            for (int y = 0; y < size * OUTCOME_LETTERS; y++) {
                p[from + y] *= choice[y / size];
                q[from + y] = mean;
            }
        }
}

void outcomes_grpo(double p[OUTCOMES], double beta, int group)
{
    double advantage[LEVELS], next[OUTCOMES];

    outcomes_reference(p);
    for (int step = 0; step < 400; step++) {
        double share[LEVELS] = { 0 };
        for (int y = 0; y < OUTCOMES; y++)
            share[level(y)] += p[y];
        mean_advantages(advantage, share, group);
        settle_all(next, advantage, beta);
        for (int y = 0; y < OUTCOMES; y++)
            p[y] = .7 * p[y] + .3 * next[y]; /* the fixed point, damped */
    }
}
