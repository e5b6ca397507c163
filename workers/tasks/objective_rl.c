#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/tasks/experience.h"
#include "workers/tasks/losses.h"
#include "workers/tasks/train.h"

/* Practice against a reward: PPO (Ouyang et al. 2022, eq. 2; Schulman et al. 2017), RLOO (Ahmadian
 * et al. 2024), GRPO (Shao et al. 2024), which differ in their row of estimators.c. One segment is
 * one iteration: the batch that the rollout tasks made, in minibatches, `epochs` times over.
 *
 * INVARIANTS, checked while it runs
 * (1) In the first minibatch of each batch the policy is the one that sampled: every
 *     log-probability equals the recorded one bit for bit, so ratio = 1 and approximate KL = 0.
 * (2) In that minibatch the critic is the one that was asked: every value equals the recorded one.
 * (3) The mask covers every token of a minibatch's answers, and nothing else; its weights sum to
 *     what they should.
 * (4) No loss or gradient norm is NaN or infinite.
 * What the batch itself must be like: experience.h. That KL is 0 in iteration 0: rollout.c. */

struct source {
    struct experience x;
    uint32_t *order;
    uint64_t base, per_epoch; /* first step of this iteration; minibatches in an epoch */
    bool ordered;
    uint64_t epoch;
};

static void source_free(struct source *s)
{
    if (!s)
        return;
    experience_close(&s->x);
    free(s->order);
    free(s);
}

/* "iteration 3, minibatch 1: …" */
static int broken(const struct trainer *t, const char *what, struct err *e)
{
    return err_set(e, E_INVARIANT, "iteration %llu, minibatch %llu: %s",
        (unsigned long long)t->counters.iteration,
        (unsigned long long)(t->counters.step - t->source->base), what);
}

static void tally_batch(struct trainer *t)
{
    const struct experience *x = &t->source->x;

    for (size_t i = 0; i < x->n; i++) {
        const Episode *one = x->episodes[i];
        double kl = 0;
        for (size_t k = 0; k < one->n_answer; k++)
            kl += (double)one->log_probs[k] - one->ref_log_probs[k];
        t->tally.episodes += 1;
        t->tally.kl += kl;
        t->tally.score += one->score;
        t->tally.reward += episode_score(one, t->task->rl) - t->counters.kl_coef * kl;
        t->tally.golds += one->has_gold;
        t->tally.gold += one->gold;
        t->tally.ended += one->ended;
        t->tally.length += (double)one->n_answer;
        t->tally.repetition += one->repetition;
    }
}

static int rl_room(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    const RlConfig *rl = t->task->rl;
    size_t context = t->policy.model->config.context, minibatch = t->task->batch_size;
    int rc = OK;

    if (rl->ptx_coef > 0)
        rc = trainer_open_text(t, spec, e);
    if (rc == OK && t->text) {
        double windows = rl->ptx_examples * (double)minibatch;
        t->mix_windows = windows < 1 ? 1 : (size_t)(windows + .5);
        t->mix_weight = (float)rl->ptx_coef;
        rc = rows_init(
            &t->mix, t->mix_windows, t->mix_windows * context, t->mix_windows * context, e);
    }
    if (rc == OK)
        rc = rows_init(&t->rows, minibatch, minibatch, minibatch * t->source->x.max_tokens, e);
    return rc;
}

static int rl_open(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    const TrainTask *k = t->task;
    struct source *s = calloc(1, sizeof *s);
    int rc = s ? OK : err_set(e, E_NOMEM, "no memory for episodes");

    t->source = s;
    t->source_free = source_free;
    if (rc == OK)
        rc = experience_open(
            &s->x, t->c, spec, t->objective->estimator, t->policy.model->config.context, e);
    if (rc == OK && !(s->order = calloc(s->x.n, sizeof *s->order)))
        rc = err_set(e, E_NOMEM, "no memory for episodes");
    if (rc == OK) {
        experience_learn(&s->x, t->objective->estimator, k->rl, t->counters.kl_coef);
        tally_batch(t);
        rc = rl_room(t, spec, e);
    }
    if (rc != OK)
        return err_wrap(e, "iteration %llu", (unsigned long long)t->counters.iteration);
    s->base = t->counters.step;
    s->per_epoch = (s->x.n + k->batch_size - 1) / k->batch_size;
    t->stop = s->base + s->per_epoch * k->rl->epochs;
    t->counters.total = k->rl->iterations * s->per_epoch * k->rl->epochs;
    return OK;
}

static void episode_rows(struct trainer *t, size_t i, double weight)
{
    const struct experience *x = &t->source->x;
    struct rows *r = &t->rows;
    const Episode *one = x->episodes[i];

    rows_unit(r);
    size_t at = rows_sequence(r);
    for (size_t k = 0; k < one->n_prompt; k++)
        rows_token(r, (int32_t)one->prompt[k], -1, 0);
    for (size_t k = 0; k + 1 < one->n_answer; k++)
        rows_token(r, (int32_t)one->answer[k], -1, 0);
    at += one->n_prompt - 1; /* the position that predicts the answer's first token */
    for (size_t k = 0; k < one->n_answer; k++) {
        r->target[at + k] = (int32_t)one->answer[k];
        r->weight[at + k] = (float)weight;
        r->column[ROW_OLD_LOG_PROB][at + k] = one->log_probs[k];
        r->column[ROW_REF_LOG_PROB][at + k] = one->ref_log_probs[k];
        r->column[ROW_ADVANTAGE][at + k] = x->advantage[x->first[i] + k];
        r->column[ROW_RETURN][at + k] = x->returns[x->first[i] + k];
        r->column[ROW_OLD_VALUE][at + k] = one->n_values ? one->values[k] : 0;
    }
}

static void shuffle(struct trainer *t, uint64_t epoch)
{
    struct source *s = t->source;
    uint64_t number = t->counters.iteration * t->task->rl->epochs + epoch;

    if (s->ordered && s->epoch == epoch)
        return;
    rng_permutation(s->order, (uint32_t)s->x.n, t->seed, RNG_SHUFFLE, (uint32_t)number);
    s->ordered = true;
    s->epoch = epoch;
}

static int rl_batch(struct trainer *t, struct err *e)
{
    struct source *s = t->source;
    uint64_t local = t->counters.step - s->base;
    size_t from = (size_t)(local % s->per_epoch) * t->task->batch_size;
    size_t to = from + t->task->batch_size < s->x.n ? from + t->task->batch_size : s->x.n;
    size_t tokens = 0;
    double sum = 0;

    shuffle(t, local / s->per_epoch);
    for (size_t i = from; i < to; i++)
        tokens += s->x.episodes[s->order[i]]->n_answer;
    for (size_t i = from; i < to; i++) {
        size_t own = s->x.episodes[s->order[i]]->n_answer;
        double weight = t->objective->estimator->weight(to - from, own, tokens);
        episode_rows(t, s->order[i], weight);
        sum += weight * (double)own;
    }
    int rc = trainer_check_mask(t, &t->rows, tokens, sum, e);
    if (rc != OK)
        return err_wrap(e, "iteration %llu", (unsigned long long)t->counters.iteration);
    return trainer_mix(t, e);
}

/* ---- the policy ---- */

/* Invariant (1), and what is told of a token. */
static int tally_token(struct trainer *t, size_t i, float old, struct err *e)
{
    char what[128];
    double d = (double)old - t->log_prob[i];

    if (t->counters.step == t->source->base && t->log_prob[i] != old) {
        snprintf(what, sizeof what,
            "the first ratio is not 1: log-probability %.9g, was %.9g when sampled",
            (double)t->log_prob[i], (double)old);
        return broken(t, what, e);
    }
    t->tally.predicted += 1;
    t->tally.approx_kl += .5 * d * d;
    t->tally.entropy += t->entropy[i];
    return OK;
}

/* The clipped objective of one action: the answer's tokens [first, last) of the micro-batch, that
 * stand from k on in the rows. Adds its gradient at each of them to t->g. */
static int action_gradient(struct trainer *t, size_t first, size_t last, size_t k, struct err *e)
{
    const struct rows *r = &t->rows;
    double now = 0, old = 0, grad;
    bool clipped;

    for (size_t i = 0; i < last - first; i++) {
        now += t->log_prob[first + i];
        old += r->column[ROW_OLD_LOG_PROB][k + i];
    }
    double loss = ppo_policy_loss(
        &grad, now, old, r->column[ROW_ADVANTAGE][k], t->task->rl->clip_ratio, &clipped);
    if (!isfinite(loss) || !isfinite(grad))
        return broken(t, "the policy loss is not finite", e);
    for (size_t i = first; i < last; i++)
        t->g[i] += (float)(grad * r->weight[k]);
    t->tally.loss += loss * r->weight[k];
    t->tally.weight += r->weight[k];
    t->tally.actions += 1;
    t->tally.clipped += clipped;
    return OK;
}

static int kl_gradient(struct trainer *t, size_t i, size_t k, struct err *e)
{
    const struct rows *r = &t->rows;
    double coef = t->counters.kl_coef, grad;
    double loss = kl_loss(&grad, t->log_prob[i], r->column[ROW_REF_LOG_PROB][k]);

    if (!isfinite(loss) || !isfinite(grad))
        return broken(t, "KL in the loss is not finite", e);
    t->g[i] += (float)(coef * grad * r->weight[k]);
    t->tally.loss += coef * loss * r->weight[k];
    return OK;
}

/* One answer: tokens [first, last) of the micro-batch, from k on in the rows. */
static int answer_gradient(struct trainer *t, size_t first, size_t last, size_t k, struct err *e)
{
    const struct estimator *how = t->objective->estimator;
    int rc = OK;

    for (size_t i = first; i < last && rc == OK; i++)
        rc = tally_token(t, i, t->rows.column[ROW_OLD_LOG_PROB][k + i - first], e);
    if (rc == OK && how->whole_answer)
        rc = action_gradient(t, first, last, k, e);
    for (size_t i = first; i < last && rc == OK && !how->whole_answer; i++)
        rc = action_gradient(t, i, i + 1, k + i - first, e);
    for (size_t i = first; i < last && rc == OK && how->kl_in_loss; i++)
        rc = kl_gradient(t, i, k + i - first, e);
    return rc;
}

/* Gradient of the objective at each target, into t->g. An answer's targets stand together, up to
 * the end of its sequence. */
static int policy_gradient(struct trainer *t, const struct batch *b, size_t token0, struct err *e)
{
    int rc = OK;

    memset(t->g, 0, b->n_tokens * sizeof *t->g);
    for (size_t s = 0; s < b->n_sequences && rc == OK; s++) {
        size_t first = b->start[s], last = b->start[s + 1];
        while (first < last && t->rows.target[token0 + first] < 0)
            first++;
        rc = answer_gradient(t, first, last, token0 + first, e);
    }
    return rc;
}

/* ---- the critic ---- */

/* Invariant (2). */
static int check_value(const struct trainer *t, float value, float old, struct err *e)
{
    char what[128];

    if (t->counters.step != t->source->base || value == old)
        return OK;
    snprintf(what, sizeof what, "the first value is %.9g, but was %.9g when the answer was sampled",
        (double)value, (double)old);
    return broken(t, what, e);
}

/* Of value_out at each target, into value_g. */
static int value_gradient(struct trainer *t, const struct batch *b, size_t token0, struct err *e)
{
    const RlConfig *rl = t->task->rl;
    const struct rows *r = &t->rows;
    double coef = t->apart ? 1 : rl->value_coef;

    memset(t->value_g, 0, b->n_tokens * sizeof *t->value_g);
    for (size_t i = 0; i < b->n_tokens; i++) {
        size_t k = token0 + i;
        double grad;
        bool clipped;
        if (r->target[k] < 0)
            continue;
        int rc = check_value(t, t->value_out[i], r->column[ROW_OLD_VALUE][k], e);
        if (rc != OK)
            return rc;
        double loss = ppo_value_loss(&grad, t->value_out[i], r->column[ROW_OLD_VALUE][k],
            r->column[ROW_RETURN][k], rl->value_clip, &clipped);
        if (!isfinite(loss))
            return broken(t, "the value loss is not finite", e);
        t->value_g[i] = (float)(coef * grad * r->weight[k]);
        t->tally.value_loss += loss;
        t->tally.value_clipped += clipped;
    }
    return OK;
}

/* A critic that is a network of its own. */
static int critic_loss(struct trainer *t, const struct batch *b, size_t token0, struct err *e)
{
    struct network *v = &t->value;

    transformer_forward(v->workspace, t->c->engine, v->model, b);
    transformer_values(v->workspace, t->c->engine, v->model, t->value_out);
    int rc = value_gradient(t, b, token0, e);
    if (rc == OK)
        transformer_backward_values(v->workspace, t->c->engine, v->model, v->grad, t->value_g);
    return rc;
}

/* A critic that is a head of the policy: one pass back through the body for both losses. */
static int shared_loss(struct trainer *t, const struct batch *b, size_t token0, struct err *e)
{
    const struct head_gradients g = { t->g, t->value_g };
    struct network *p = &t->policy;

    transformer_values(p->workspace, t->c->engine, p->model, t->value_out);
    int rc = value_gradient(t, b, token0, e);
    if (rc == OK)
        transformer_backward_both(p->workspace, t->c->engine, p->model, p->grad,
            t->rows.target + token0, &g, (float)t->task->rl->temperature, t->log_prob);
    return rc;
}

static int rl_loss(
    struct trainer *t, const struct batch *b, size_t token0, size_t sequence0, struct err *e)
{
    const struct engine *en = t->c->engine;
    const int32_t *target = t->rows.target + token0;
    float temperature = (float)t->task->rl->temperature;
    struct network *p = &t->policy;

    (void)sequence0;
    transformer_forward(p->workspace, en, p->model, b);
    transformer_log_probs(p->workspace, en, p->model, target, temperature, t->log_prob, t->entropy);
    int rc = policy_gradient(t, b, token0, e);
    if (rc == OK && t->objective->has_value && !t->apart)
        return shared_loss(t, b, token0, e);
    if (rc != OK)
        return rc;
    transformer_backward_log_probs(
        p->workspace, en, p->model, p->grad, target, t->g, temperature, t->log_prob);
    return t->apart ? critic_loss(t, b, token0, e) : OK;
}

/* ---- the end of an iteration ---- */

/* Names as people know them from TRL. */
static int report_metrics(const struct trainer *t, struct answer *out, struct err *e)
{
    const struct tally *y = &t->tally;
    double n = y->episodes, tokens = y->predicted > 0 ? y->predicted : 1;
    double actions = y->actions > 0 ? y->actions : 1;
    bool critic = t->objective->has_value;
    const struct {
        const char *name;
        double value;
        bool told;
    } metrics[] = {
        { "objective/kl", y->kl / n, true },
        { "objective/scores", y->score / n, true },
        { "objective/gold", y->golds > 0 ? y->gold / y->golds : 0, y->golds > 0 },
        { "objective/rlhf_reward", y->reward / n, true },
        { "objective/entropy", y->entropy / tokens, true },
        { "objective/kl_coef", t->counters.kl_coef, true },
        { "policy/clipfrac_avg", y->clipped / actions, true },
        { "policy/approxkl_avg", y->approx_kl / tokens, true },
        { "loss/value_avg", y->value_loss / tokens, critic },
        { "val/clipfrac_avg", y->value_clipped / tokens, critic },
        { "end_rate", y->ended / n, true },
        { "repetition_rate", y->repetition / n, true },
        { "length", y->length / n, true },
    };
    int rc = OK;

    for (size_t i = 0; i < sizeof metrics / sizeof *metrics && rc == OK; i++)
        if (metrics[i].told)
            rc = answer_metric(out, metrics[i].name, metrics[i].value, e);
    return rc;
}

static int draw_point(struct trainer *t, struct err *e)
{
    const struct tally *y = &t->tally;
    CurvePoint p = CURVE_POINT__INIT;

    p.has_iteration = p.has_kl = p.has_score = p.has_length = true;
    p.has_end_rate = p.has_repetition = true;
    p.iteration = (uint32_t)t->counters.iteration;
    p.kl = y->kl / y->episodes;
    p.score = y->score / y->episodes;
    p.has_gold = y->golds > 0;
    p.gold = p.has_gold ? y->gold / y->golds : 0;
    p.length = y->length / y->episodes;
    p.end_rate = y->ended / y->episodes;
    p.repetition = y->repetition / y->episodes;
    return trainer_draw(t, &p, e);
}

static int rl_finish(struct trainer *t, struct answer *out, struct err *e)
{
    const RlConfig *rl = t->task->rl;
    const struct tally *y = &t->tally;
    int rc = report_metrics(t, out, e);

    if (rc == OK)
        rc = draw_point(t, e);
    if (rl->adaptive_kl)
        t->counters.kl_coef = adaptive_kl(
            t->counters.kl_coef, y->kl / y->episodes, rl->kl_target, y->episodes, rl->kl_horizon);
    t->counters.iteration++;
    t->counters.episodes += t->source->x.n;
    return rc;
}

static double rate_by_iteration(const struct trainer *t, double peak)
{
    const RlConfig *rl = t->task->rl;

    return learning_rate_at(rl->schedule, peak, rl->warmup_start, 0, t->counters.iteration,
        rl->warmup_iterations, rl->iterations);
}

#define PRACTICE(row, critic)                                                                   \
    {                                                                                           \
        .name = #row, .open = rl_open, .batch = rl_batch, .loss = rl_loss, .finish = rl_finish, \
        .rate = rate_by_iteration, .eps_outside = true, .averaged = true, .has_value = critic,  \
        .estimator = &estimator_##row                                                           \
    }
const struct objective objective_ppo = PRACTICE(ppo, true);
const struct objective objective_rloo = PRACTICE(rloo, false);
const struct objective objective_grpo = PRACTICE(grpo, false);
#undef PRACTICE
