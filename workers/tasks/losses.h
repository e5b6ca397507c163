#ifndef WORKERS_TASKS_LOSSES_H
#define WORKERS_TASKS_LOSSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The mathematics of ranking and practice on plain arrays. Pure; sums in double, in index order. */

#define RANKING_MAX 64 /* answers to one prompt */

/* K-wise ranking loss (Ouyang et al. 2022, eq. 1): mean over the pairs (i, j) of one prompt in
 * which tier[i] < tier[j] (i is better) of -log sigmoid(s_i - s_j). Ties drop out. grad[k] (may be
 * NULL) is set. k <= RANKING_MAX. Returns the loss; *pairs: how many, *right: in how many s_i >
 * s_j. No pair: 0. */
double ranking_loss(
    float *grad, const float *score, const uint32_t *tier, size_t k, size_t *pairs, size_t *right);

/* What is lost on a pair of which the first should be preferred, by d, what it is ahead:
 *   sigmoid        -log sigmoid(beta d)            Rafailov et al. 2023, eq. 7
 *   ipo            (d - 1 / (2 beta))^2            Azar et al. 2023, eq. 17
 *   conservative   the sigmoid's, the label being wrong with chance `smoothing`   Mitchell 2023
 * With beta 1 and scores for log-ratios the first is Bradley and Terry's. */
enum preference_kind { PREFERENCE_SIGMOID, PREFERENCE_IPO, PREFERENCE_CONSERVATIVE };
struct preference {
    enum preference_kind kind;
    double beta, smoothing;
};
double preference_pair_loss(
    double *grad, double d, const struct preference *p); /* *grad = dloss/dd */

/* Of all pairs (i, j) of one prompt in which tier[i] < tier[j] (i is better). */
struct pairs {
    size_t n, right;         /* right: x_i > x_j */
    double chosen, rejected; /* sums of x_i, x_j */
};

/* Mean of the losses of x_i - x_j over the pairs; ties drop out; no pair: 0. grad[k] = dloss/dx_k
 * is set. k <= RANKING_MAX. */
double preference_loss(double *grad, struct pairs *pairs, const double *x, const uint32_t *tier,
    size_t k, const struct preference *p);

/* Estimators of KL(pi, ref) from one sample of pi, by its d = log pi - log ref (Schulman,
 * "Approximating KL divergence", 2020): d; |d|, which estimates nothing; d^2 / 2; e^-d - 1 + d. In
 * a reward only k1 has the gradient of KL. */
enum kl_estimator { KL_K1, KL_ABS_K1, KL_K2, KL_K3, KL_ESTIMATORS };
double kl_estimate(enum kl_estimator k, double d);

/* k3 in the loss (Shao et al. 2024, eq. 4). *grad = d k3 / d log pi. */
double kl_loss(double *grad, double log_prob, double ref_log_prob);

/* Per-token rewards of an episode of n answer tokens: -kl_coef KL of the sampled token, by k1
 * unless a test wants it wrong, and `score` added at the last one (Ouyang et al. 2022, eq. 2). */
void kl_rewards(float *reward, const float *log_prob, const float *ref_log_prob, size_t n,
    double kl_coef, enum kl_estimator k, double score);

/* What each of n answers to one prompt is better than the mean of the others (Ahmadian et al. 2024,
 * RLOO). n >= 2; advantage may be reward. */
void leave_one_out(double *advantage, const double *reward, size_t n);

/* (r - mean) / (deviation + 1e-4), biased deviation (Shao et al. 2024, sec. 4.1.2; eps as TRL's);
 * without scale r - mean. advantage may be reward. */
void group_normalise(double *advantage, const double *reward, size_t n, bool scale);

/* Generalised advantage estimation (Schulman et al. 2016, eq. 16) of one episode; the value after
 * the last token is 0. return[t] = advantage[t] + value[t]. */
void gae(float *advantage, float *returns, const float *reward, const float *value, size_t n,
    double discount, double lambda);

/* x = (x - mean) / sqrt(variance + 1e-8), biased variance; keep_mean adds the mean back. */
void whiten(float *x, size_t n, bool keep_mean);

/* beta <- beta (1 + clip(kl / target - 1, -.2, .2) n / horizon). Ziegler et al. 2019, sec. 2.2. */
double adaptive_kl(double beta, double kl, double target, double n, double horizon);

/* One action of the clipped policy objective (Schulman et al. 2017, eq. 7), as a loss:
 * max(-A ratio, -A clip(ratio, 1 - eps, 1 + eps)). *grad = dloss/dlog_prob. */
double ppo_policy_loss(double *grad, double log_prob, double old_log_prob, double advantage,
    double clip_ratio, bool *clipped);

/* One token of the clipped value loss: .5 max((v - R)^2, (clip(v, old - c, old + c) - R)^2).
 * *grad = dloss/dv. */
double ppo_value_loss(
    double *grad, double value, double old_value, double returns, double clip, bool *clipped);

/* KL of best-of-n sampling from its base: log n - (n - 1) / n. Stiennon et al. 2020, app. G.3. */
double best_of_n_kl(double n);

/* Mean and half-width of its 95 % confidence interval (1.96 standard errors; 0 for n < 2). */
void mean_ci95(double *mean, double *half, const double *x, size_t n);

#endif
