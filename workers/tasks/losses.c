#include "workers/tasks/losses.h"

#include <assert.h>
#include <math.h>

#include "workers/math/elementary.h"

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* log(1 + e^x) without overflow; -log sigmoid(d) = softplus(-d). */
static double softplus(double x)
{
    double rest = elementary_log(1 + elementary_exp(x > 0 ? -x : x));

    return x > 0 ? x + rest : rest;
}

/* Of a pair whose labels are right. *grad = dloss/dd. */
static double sigmoid_loss(double *grad, double d, double beta)
{
    *grad = -beta / (1 + elementary_exp(beta * d)); /* -beta sigmoid(-beta d) */
    return softplus(-beta * d);
}

double preference_pair_loss(double *grad, double d, const struct preference *p)
{
    double wrong, loss, ahead = d - 1 / (2 * p->beta);

    switch (p->kind) {
    case PREFERENCE_SIGMOID:
        return sigmoid_loss(grad, d, p->beta);
    case PREFERENCE_IPO:
        *grad = 2 * ahead;
        return ahead * ahead;
    case PREFERENCE_CONSERVATIVE:
        loss = (1 - p->smoothing) * sigmoid_loss(grad, d, p->beta);
        loss += p->smoothing * sigmoid_loss(&wrong, -d, p->beta);
        *grad = (1 - p->smoothing) * *grad - p->smoothing * wrong;
        return loss;
    }
    assert(!"a kind of preference");
    return 0;
}

double preference_loss(double *grad, struct pairs *pairs, const double *x, const uint32_t *tier,
    size_t k, const struct preference *p)
{
    double loss = 0;

    assert(k <= RANKING_MAX);
    *pairs = (struct pairs){ 0 };
    for (size_t i = 0; i < k; i++)
        grad[i] = 0;
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < k; j++) {
            double g;
            if (tier[i] >= tier[j])
                continue;
            loss += preference_pair_loss(&g, x[i] - x[j], p);
            grad[i] += g;
            grad[j] -= g;
            pairs->n++;
            pairs->right += x[i] > x[j];
            pairs->chosen += x[i];
            pairs->rejected += x[j];
        }
    }
    for (size_t i = 0; i < k && pairs->n > 0; i++)
        grad[i] /= (double)pairs->n;
    return pairs->n > 0 ? loss / (double)pairs->n : 0;
}

double ranking_loss(
    float *grad, const float *score, const uint32_t *tier, size_t k, size_t *pairs, size_t *right)
{
    static const struct preference plain = { PREFERENCE_SIGMOID, 1, 0 };
    double x[RANKING_MAX] = { 0 }, g[RANKING_MAX];
    struct pairs all;

    assert(k <= RANKING_MAX);
    for (size_t i = 0; i < k; i++)
        x[i] = score[i];
    double loss = preference_loss(g, &all, x, tier, k, &plain);
    for (size_t i = 0; i < k && grad; i++)
        grad[i] = (float)g[i];
    *pairs = all.n;
    *right = all.right;
    return loss;
}

double kl_estimate(enum kl_estimator k, double d)
{
    switch (k) {
    case KL_K1:
        return d;
    case KL_ABS_K1:
        return fabs(d);
    case KL_K2:
        return .5 * d * d;
    case KL_K3:
        return elementary_exp(-d) - 1 + d;
    case KL_ESTIMATORS:
        break;
    }
    assert(!"an estimator of KL");
    return 0;
}

double kl_loss(double *grad, double log_prob, double ref_log_prob)
{
    double d = log_prob - ref_log_prob;

    *grad = 1 - elementary_exp(-d);
    return kl_estimate(KL_K3, d);
}

void kl_rewards(float *reward, const float *log_prob, const float *ref_log_prob, size_t n,
    double kl_coef, enum kl_estimator k, double score)
{
    for (size_t t = 0; t < n; t++)
        reward[t] = (float)(-kl_coef * kl_estimate(k, (double)log_prob[t] - ref_log_prob[t]));
    if (n > 0)
        reward[n - 1] = (float)(reward[n - 1] + score);
}

static double mean_of(const double *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

/* r_i less the mean of the others = (r_i - mean of all) n / (n - 1). */
void leave_one_out(double *advantage, const double *reward, size_t n)
{
    double mean = mean_of(reward, n), scale = (double)n / (double)(n - 1);

    assert(n >= 2);
    for (size_t i = 0; i < n; i++)
        advantage[i] = (reward[i] - mean) * scale;
}

void group_normalise(double *advantage, const double *reward, size_t n, bool scale)
{
    double mean = mean_of(reward, n), square = 0;

    for (size_t i = 0; i < n; i++)
        square += (reward[i] - mean) * (reward[i] - mean);
    double unit = scale ? 1 / (sqrt(square / (double)n) + 1e-4) : 1;
    for (size_t i = 0; i < n; i++)
        advantage[i] = (reward[i] - mean) * unit;
}

void gae(float *advantage, float *returns, const float *reward, const float *value, size_t n,
    double discount, double lambda)
{
    double a = 0, next = 0;

    for (size_t t = n; t-- > 0;) {
        double delta = reward[t] + discount * next - value[t];
        a = delta + discount * lambda * a;
        advantage[t] = (float)a;
        returns[t] = (float)(a + value[t]);
        next = value[t];
    }
}

void whiten(float *x, size_t n, bool keep_mean)
{
    double mean = 0, variance = 0;

    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        mean += x[i];
    mean /= (double)n;
    for (size_t i = 0; i < n; i++)
        variance += (x[i] - mean) * (x[i] - mean);
    variance /= (double)n;
    double scale = 1 / sqrt(variance + 1e-8);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((x[i] - mean) * scale + (keep_mean ? mean : 0));
}

double adaptive_kl(double beta, double kl, double target, double n, double horizon)
{
    return beta * (1 + clamp(kl / target - 1, -.2, .2) * n / horizon);
}

double ppo_policy_loss(double *grad, double log_prob, double old_log_prob, double advantage,
    double clip_ratio, bool *clipped)
{
    double ratio = elementary_exp(log_prob - old_log_prob);
    double free = -advantage * ratio;
    double held = -advantage * clamp(ratio, 1 - clip_ratio, 1 + clip_ratio);

    *clipped = held > free;
    *grad = *clipped ? 0 : free; /* d ratio / d log_prob = ratio */
    return *clipped ? held : free;
}

double ppo_value_loss(
    double *grad, double value, double old_value, double returns, double clip, bool *clipped)
{
    double held = clamp(value, old_value - clip, old_value + clip);
    double a = (value - returns) * (value - returns), b = (held - returns) * (held - returns);

    *clipped = b > a;
    *grad = !*clipped ? value - returns : held == value ? held - returns : 0;
    return .5 * (*clipped ? b : a);
}

double best_of_n_kl(double n)
{
    return elementary_log(n) - (n - 1) / n;
}

void mean_ci95(double *mean, double *half, const double *x, size_t n)
{
    double m = 0, v = 0;

    for (size_t i = 0; i < n; i++)
        m += x[i];
    m = n ? m / (double)n : 0;
    for (size_t i = 0; i < n; i++)
        v += (x[i] - m) * (x[i] - m);
    *mean = m;
    *half = n < 2 ? 0 : 1.96 * sqrt(v / (double)(n - 1) / (double)n);
}
