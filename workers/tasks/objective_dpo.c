#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/tasks/losses.h"
#include "workers/tasks/ranked.h"
#include "workers/tasks/scorer.h"

/* A policy straight from rankings (Rafailov et al. 2023): an answer's reward is beta times its
 * log-ratio, log pi(y|x) - log pi_ref(y|x), both summed over its tokens; the loss is that of all
 * pairs of a prompt, mean over prompts. The reference was asked once (reference.c).
 *
 * INVARIANTS (1) Where the policy starts as the reference, every log-ratio is exactly 0 before the
 * first step.
 * (2) No loss, log-ratio or gradient norm is NaN or infinite. */

static int dpo_open(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    if (!(t->task->beta > 0))
        return err_set(e, E_PROTOCOL, "DPO needs a beta above 0");
    return ranked_open(t, spec, true, e);
}

static struct preference preference_of(const TrainTask *k)
{
    static const enum preference_kind kinds[] = {
        [DPO_STAGE__LOSS__SIGMOID] = PREFERENCE_SIGMOID,
        [DPO_STAGE__LOSS__IPO] = PREFERENCE_IPO,
        [DPO_STAGE__LOSS__CONSERVATIVE] = PREFERENCE_CONSERVATIVE,
    };

    return (struct preference){ kinds[k->loss], k->beta, k->label_smoothing };
}

static int check_ratio(const struct trainer *t, size_t u, double ratio, struct err *e)
{
    bool same = t->task->from_reference && t->counters.step == 0;

    if (isfinite(ratio) && (!same || ratio == 0))
        return OK;
    return err_set(e, E_INVARIANT, "step %llu, prompt %zu of the batch: a log-ratio is %.9g%s",
        (unsigned long long)t->counters.step, u, ratio,
        same ? ", but the policy is the reference: it must be exactly 0" : "");
}

/* The answers to the prompt of unit u: sequences first … first + n - 1 of the micro-batch, whose
 * tokens stand from token0 on in the rows. Sets their gradient. */
static int prompt_loss(
    struct trainer *t, const struct batch *b, size_t u, size_t first, size_t token0, struct err *e)
{
    const RankingExample *x = ranked_example(t, u);
    const struct preference p = preference_of(t->task);
    const int32_t *target = t->rows.target + token0;
    double ratio[RANKING_MAX], grad[RANKING_MAX];
    struct pairs pairs;
    int rc = OK;

    for (size_t i = 0; i < x->n_rows && rc == OK; i++) {
        double sum = 0;
        for (size_t k = b->start[first + i]; k < b->start[first + i + 1]; k++)
            sum += target[k] < 0 ? 0 : t->log_prob[k];
        ratio[i] = sum - x->rows[i]->ref_log_prob;
        rc = check_ratio(t, u, ratio[i], e);
    }
    if (rc != OK)
        return rc;
    t->tally.loss +=
        preference_loss(grad, &pairs, ratio, t->rows.tier + t->rows.unit[u], x->n_rows, &p);
    t->tally.weight += 1;
    t->tally.pairs += (double)pairs.n;
    t->tally.right += (double)pairs.right;
    t->tally.chosen += pairs.chosen;
    t->tally.rejected += pairs.rejected;
    for (size_t i = 0; i < x->n_rows; i++)
        for (size_t k = b->start[first + i]; k < b->start[first + i + 1]; k++)
            t->g[k] = target[k] < 0 ? 0 : (float)(grad[i] / (double)t->rows.n_units);
    return OK;
}

static int dpo_loss(
    struct trainer *t, const struct batch *b, size_t token0, size_t sequence0, struct err *e)
{
    const struct engine *en = t->c->engine;
    const int32_t *target = t->rows.target + token0;
    struct network *n = &t->policy;
    int rc = OK;

    transformer_forward(n->workspace, en, n->model, b);
    transformer_log_probs(n->workspace, en, n->model, target, 1, t->log_prob, NULL);
    for (size_t u = 0; u < t->rows.n_units && rc == OK; u++) {
        size_t first = t->rows.unit[u], last = t->rows.unit[u + 1];
        if (first >= sequence0 && last <= sequence0 + b->n_sequences)
            rc = prompt_loss(t, b, u, first - sequence0, token0, e);
    }
    if (rc == OK)
        transformer_backward_log_probs(
            n->workspace, en, n->model, n->grad, target, t->g, 1, t->log_prob);
    return rc;
}

/* ---- what it has come to ---- */

static int measure_held_out(struct tally *y, const struct trainer *t, struct err *e)
{
    const struct preference p = preference_of(t->task);
    int rc = OK;

    for (size_t i = 0; i < t->source->n_held_out && rc == OK; i++) {
        const RankingExample *x = t->source->held_out[i];
        double ratio[RANKING_MAX], grad[RANKING_MAX];
        uint32_t tier[RANKING_MAX];
        struct pairs pairs;
        rc = score_answers(ratio, t->c, t->policy.model, x, t->task->precision, e);
        for (uint32_t k = 0; k < x->n_rows && rc == OK; k++) {
            ratio[k] -= x->rows[k]->ref_log_prob;
            tier[k] = ranked_tier(x, k);
        }
        if (rc != OK)
            break;
        preference_loss(grad, &pairs, ratio, tier, x->n_rows, &p);
        y->pairs += (double)pairs.n;
        y->right += (double)pairs.right;
        y->chosen += pairs.chosen;
        y->rejected += pairs.rejected;
    }
    return rc;
}

/* Names as people know them from TRL. */
static int report_pairs(
    struct answer *out, const struct tally *y, double beta, bool held_out, struct err *e)
{
    const struct {
        const char *name, *held_out;
        double value;
    } metrics[] = {
        { "rewards/accuracies", "eval_rewards/accuracies", y->right / y->pairs },
        { "rewards/margins", "eval_rewards/margins", beta * (y->chosen - y->rejected) / y->pairs },
        { "rewards/chosen", "eval_rewards/chosen", beta * y->chosen / y->pairs },
        { "rewards/rejected", "eval_rewards/rejected", beta * y->rejected / y->pairs },
    };
    int rc = OK;

    for (size_t i = 0; i < sizeof metrics / sizeof *metrics && rc == OK && y->pairs > 0; i++)
        rc = answer_metric(
            out, held_out ? metrics[i].held_out : metrics[i].name, metrics[i].value, e);
    return rc;
}

static int dpo_finish(struct trainer *t, struct answer *out, struct err *e)
{
    struct tally held_out = { 0 };
    int rc = report_pairs(out, &t->tally, t->task->beta, false, e);

    if (rc != OK || t->counters.step < t->counters.total)
        return rc;
    rc = measure_held_out(&held_out, t, e);
    if (rc == OK)
        rc = answer_metric(out, "eval_pairs", held_out.pairs, e);
    return rc == OK ? report_pairs(out, &held_out, t->task->beta, true, e) : rc;
}

const struct objective objective_dpo = {
    .name = "dpo",
    .open = dpo_open,
    .batch = ranked_batch,
    .loss = dpo_loss,
    .finish = dpo_finish,
    .rate = rate_by_step,
};
