#include <math.h>
#include <stdint.h>

#include "workers/selftest/known.h"
#include "workers/tasks/losses.h"

/* The fixtures of ranking and PPO: numbers worked out by hand or elsewhere. */

static double worst_of(const float *got, const double *want, size_t n)
{
    double worst = 0;

    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs(got[i] - want[i]));
    return worst;
}

static int ranking(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    const float score[] = { 1.5F, .5F, -.5F, -1.5F }, shifted[] = { 8.5F, 7.5F, 6.5F, 5.5F };
    static const uint32_t tier[] = { 0, 1, 2, 3 };
    static const double want[] = { -.072595, -.019867, .019867, .072595 };
    float grad[4];
    size_t pairs, right;
    double loss = ranking_loss(grad, score, tier, 4, &pairs, &right);

    (void)t, (void)e;
    if (k->variant == 0)
        verdict_near(v, loss, .207038, 1e-6);
    else if (k->variant == 1)
        verdict_at_most(v, worst_of(grad, want, 4), 1e-6);
    else
        verdict_at_most(
            v, fabs(ranking_loss(grad, shifted, tier, 4, &pairs, &right) - loss), 1e-12);
    return OK;
}

/* Gradient descent on three scores, by the ranking loss of single games. */
static double fit_games(float score[3])
{
    static const struct {
        uint8_t better, worse, wins;
    } games[] = { { 0, 1, 7 }, { 1, 0, 3 }, { 0, 2, 9 }, { 2, 0, 1 }, { 1, 2, 6 }, { 2, 1, 4 } };
    static const uint32_t tier[] = { 0, 1 };
    double loss = 0;

    for (int step = 0; step < 5000; step++) {
        double g[3] = { 0 };
        loss = 0;
        for (size_t i = 0; i < sizeof games / sizeof *games; i++) {
            float pair[] = { score[games[i].better], score[games[i].worse] }, grad[2];
            size_t pairs, right;
            double share = games[i].wins / 30.0;
            loss += share * ranking_loss(grad, pair, tier, 2, &pairs, &right);
            g[games[i].better] += share * grad[0];
            g[games[i].worse] += share * grad[1];
        }
        for (int i = 0; i < 3; i++)
            score[i] -= (float)(2 * g[i]);
    }
    return loss;
}

static int bradley_terry(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    static const double want[] = { .943606, -.160161, -.783445 };
    float score[3] = { 0 };
    double loss = fit_games(score);

    (void)t, (void)e;
    if (k->variant == 0)
        verdict_at_most(v, worst_of(score, want, 3), 1e-5);
    else
        verdict_near(v, loss, .544166, 1e-6);
    return OK;
}

static int estimation(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    static const float reward[] = { -.1F, -.1F, -.1F, .9F }, value[] = { .2F, .3F, .4F, .5F };
    static const double want[3][4] = { { .342950, .361, .38, .4 }, { .542950, .661, .78, .9 },
        { -1.318466, -.469663, .423814, 1.364316 } };
    float a[4], returns[4];

    (void)t, (void)e;
    gae(a, returns, reward, value, 4, 1, .95);
    if (k->variant == 2)
        whiten(a, 4, false);
    verdict_at_most(v, worst_of(k->variant == 1 ? returns : a, want[k->variant], 4),
        k->variant == 2 ? 2e-6 : 1e-6);
    return OK;
}

static int coefficient(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    (void)t, (void)k, (void)e;
    verdict_near(v, adaptive_kl(.15, 12, 6, 512, 10000), .151536, 1e-9);
    return OK;
}

/* The reward is the signed k1, of the sampled token, and the score lands on the last token. */
static int rewards(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    static const float log_prob[] = { -1, -2, -3 }, reference[] = { -1.5F, -1, -3 };
    static const double want[] = { -.05, .1, 2 };
    float reward[3];

    (void)t, (void)k, (void)e;
    kl_rewards(reward, log_prob, reference, 3, .1, KL_K1, 2);
    verdict_at_most(v, worst_of(reward, want, 3), 1e-7);
    return OK;
}

static int best_of_n(struct verdict *v, struct testbed *t, const struct known *k, struct err *e)
{
    static const double n[] = { 2, 4, 16, 64 }, want[] = { .193147, .636294, 1.835089, 3.174508 };
    double worst = 0;

    (void)t, (void)k, (void)e;
    for (int i = 0; i < 4; i++)
        worst = fmax(worst, fabs(best_of_n_kl(n[i]) - want[i]));
    verdict_at_most(v, worst, 1e-6);
    return OK;
}

static const struct known rows[] = {
    { "loss/ranking", "K-wise loss of 4 ranked answers", ranking, 0 },
    { "loss/ranking-gradient", "its gradient: error", ranking, 1 },
    { "loss/ranking-shift", "a constant added to all scores: change", ranking, 2 },
    { "loss/bradley-terry", "scores fitted to 7:3, 9:1, 6:4: error", bradley_terry, 0 },
    { "loss/bradley-terry-loss", "loss at that fit", bradley_terry, 1 },
    { "loss/kl-reward", "rewards: signed KL, score at the last token: error", rewards, 0 },
    { "loss/gae", "advantages of 4 tokens, lambda .95: error", estimation, 0 },
    { "loss/returns", "their returns: error", estimation, 1 },
    { "loss/whitened", "the advantages whitened: error", estimation, 2 },
    { "loss/adaptive-kl", "coefficient after KL 12 at target 6", coefficient, 0 },
    { "loss/best-of-n", "KL of best of 2, 4, 16, 64: error", best_of_n, 0 },
};
const struct known_table known_losses = { rows, sizeof rows / sizeof *rows };
