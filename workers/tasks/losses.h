#ifndef WORKERS_TASKS_LOSSES_H
#define WORKERS_TASKS_LOSSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The mathematics of ranking and PPO on plain arrays. Pure; sums in double, in index order. */

#define RANKING_MAX 64 /* answers to one prompt */

/* K-wise ranking loss (Ouyang et al. 2022, eq. 1): mean over the pairs (i, j) of one prompt in
 * which tier[i] < tier[j] (i is better) of -log sigmoid(s_i - s_j). Ties drop out. grad[k] (may be
 * NULL) is set. k <= RANKING_MAX. Returns the loss; *pairs: how many, *right: in how many s_i >
 * s_j. No pair: 0. */
double ranking_loss(
    float *grad, const float *score, const uint32_t *tier, size_t k, size_t *pairs, size_t *right);

/* Per-token rewards of an episode of n answer tokens: -kl_coef (log_prob - ref_log_prob) of the
 * sampled token (k1, signed), and `score` added at the last one (Ouyang et al. 2022, eq. 2). */
void kl_rewards(float *reward, const float *log_prob, const float *ref_log_prob, size_t n,
    double kl_coef, double score);

/* Generalised advantage estimation (Schulman et al. 2016, eq. 16) of one episode; the value after
 * the last token is 0. return[t] = advantage[t] + value[t]. */
void gae(float *advantage, float *returns, const float *reward, const float *value, size_t n,
    double discount, double lambda);

/* x = (x - mean) / sqrt(variance + 1e-8), biased variance; keep_mean adds the mean back. */
void whiten(float *x, size_t n, bool keep_mean);

/* beta <- beta (1 + clip(kl / target - 1, -.2, .2) n / horizon). Ziegler et al. 2019, sec. 2.2. */
double adaptive_kl(double beta, double kl, double target, double n, double horizon);

/* One token of the clipped policy objective (Schulman et al. 2017, eq. 7), as a loss:
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
