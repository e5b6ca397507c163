#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/math/rng.h"
#include "workers/tasks/losses.h"
#include "workers/tasks/train.h"

/* PPO against the reward model (Ouyang et al. 2022, eq. 2; Schulman et al. 2017). One segment is
 * one iteration: the batch that the rollout tasks made, in minibatches, `epochs` times over.
 *
 * INVARIANTS, checked while it runs
 * (1) In iteration 0 the policy is the reference: every log-probability equals the reference's.
 * (2) In the first minibatch of each batch the policy is the one that sampled: every
 *     log-probability equals the recorded one bit for bit, so ratio = 1 and approximate KL = 0.
 * (3) Every answer has one log-probability, reference and value for each of its tokens.
 * (4) No score, loss or gradient norm is NaN or infinite. */

struct source {
    size_t n;
    Episode **episodes;
    size_t *first; /* of each episode's answer in the arrays below; n + 1 */
    float *advantage, *returns;
    uint32_t *order;
    uint64_t base, per_epoch; /* first step of this iteration; minibatches in an epoch */
    size_t max_tokens;        /* of one episode */
    bool ordered;
    uint64_t epoch;
};

static void source_free(struct source *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        message_free(s->episodes[i]);
    free(s->episodes);
    free(s->first);
    free(s->advantage);
    free(s->returns);
    free(s->order);
    free(s);
}

static int episode_check(const Episode *x, size_t context, struct err *e)
{
    size_t n = x->n_answer;

    if (n == 0 || x->n_prompt == 0 || x->n_prompt + n > context + 1)
        return err_set(e, E_CORRUPT, "an episode of %zu + %zu tokens", x->n_prompt, n);
    if (x->n_log_probs != n || x->n_ref_log_probs != n || x->n_values != n)
        return err_set(e, E_INVARIANT,
            "an episode of %zu tokens has %zu log-probabilities, "
            "%zu of the reference and %zu values",
            n, x->n_log_probs, x->n_ref_log_probs, x->n_values);
    if (!isfinite(x->score))
        return err_set(e, E_INVARIANT, "the score of prompt '%s' is not finite", x->prompt_id);
    return OK;
}

static int source_add(struct source *s, Episode *x, size_t context, struct err *e)
{
    size_t tokens = x->n_prompt + x->n_answer;
    Episode **more = realloc(s->episodes, (s->n + 1) * sizeof *more);

    if (!more) {
        message_free(x);
        return err_set(e, E_NOMEM, "no memory for episodes");
    }
    s->episodes = more;
    s->episodes[s->n++] = x;
    s->max_tokens = tokens > s->max_tokens ? tokens : s->max_tokens;
    return episode_check(x, context, e);
}

static int experience_read(
    struct source *s, struct store *store, const struct id *id, size_t context, struct err *e)
{
    struct records_reader *r = NULL;
    int rc = records_open(&r, store, id, ARTIFACT_KIND__EXPERIENCE, &episode__descriptor, e);

    while (rc == OK) {
        ProtobufCMessage *m = NULL;
        rc = records_next(r, &m, e);
        if (rc != OK || !m)
            break;
        rc = source_add(s, (Episode *)m, context, e);
    }
    records_close(r);
    return rc;
}

static int experience_open(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    struct source *s = t->source;
    size_t shards = task_inputs(spec, "experience", NULL, 0);
    struct id *ids = calloc(shards + 1, sizeof *ids);
    int rc = ids ? OK : err_set(e, E_NOMEM, "no memory for inputs");

    if (rc == OK)
        task_inputs(spec, "experience", ids, shards);
    for (size_t i = 0; i < shards && rc == OK; i++)
        rc = experience_read(s, t->c->store, &ids[i], t->policy.model->config.context, e);
    if (rc == OK && s->n == 0)
        rc = err_set(e, E_INPUT, "there are no episodes to learn from");
    free(ids);
    return rc;
}

/* Invariant (1). */
static int reference_check(const struct source *s, struct err *e)
{
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->episodes[i]->n_answer; k++)
            if (s->episodes[i]->log_probs[k] != s->episodes[i]->ref_log_probs[k])
                return err_set(e, E_INVARIANT,
                    "iteration 0: the policy differs from the reference "
                    "(prompt '%s', token %zu: %.9g, %.9g): KL must be exactly 0",
                    s->episodes[i]->prompt_id, k, (double)s->episodes[i]->log_probs[k],
                    (double)s->episodes[i]->ref_log_probs[k]);
    return OK;
}

static void tally_episode(struct trainer *t, const Episode *x, double score)
{
    double kl = 0;

    for (size_t k = 0; k < x->n_answer; k++)
        kl += (double)x->log_probs[k] - x->ref_log_probs[k];
    t->tally.episodes += 1;
    t->tally.kl += kl;
    t->tally.score += x->score;
    t->tally.reward += score - t->counters.kl_coef * kl;
    t->tally.ended += x->ended;
    t->tally.length += (double)x->n_answer;
}

static int advantages(struct trainer *t, struct err *e)
{
    const PpoStage *p = t->task->ppo;
    struct source *s = t->source;
    size_t total = 0;

    s->first = calloc(s->n + 1, sizeof *s->first);
    s->order = calloc(s->n, sizeof *s->order);
    for (size_t i = 0; s->first && i < s->n; i++)
        s->first[i + 1] = total += s->episodes[i]->n_answer;
    s->advantage = calloc(total, sizeof *s->advantage);
    s->returns = calloc(total, sizeof *s->returns);
    float *reward = calloc(total, sizeof *reward);
    if (!s->first || !s->order || !s->advantage || !s->returns || !reward) {
        free(reward);
        return err_set(e, E_NOMEM, "no memory for %zu advantages", total);
    }
    for (size_t i = 0; i < s->n; i++) {
        const Episode *x = s->episodes[i];
        double score = x->ended ? x->score : p->missing_end_score;
        kl_rewards(reward + s->first[i], x->log_probs, x->ref_log_probs, x->n_answer,
            t->counters.kl_coef, score);
        tally_episode(t, x, score);
    }
    if (p->whiten_rewards)
        whiten(reward, total, true);
    for (size_t i = 0; i < s->n; i++)
        gae(s->advantage + s->first[i], s->returns + s->first[i], reward + s->first[i],
            s->episodes[i]->values, s->episodes[i]->n_answer, p->discount, p->gae_lambda);
    whiten(s->advantage, total, false);
    free(reward);
    return OK;
}

static int ppo_room(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    const PpoStage *p = t->task->ppo;
    size_t context = t->policy.model->config.context, minibatch = t->task->batch_size;
    int rc = OK;

    if (p->ptx_coef > 0)
        rc = trainer_open_text(t, spec, e);
    if (rc == OK && t->text) {
        double windows = p->ptx_examples * (double)minibatch;
        t->mix_windows = windows < 1 ? 1 : (size_t)(windows + .5);
        t->mix_weight = (float)p->ptx_coef;
        rc = rows_init(
            &t->mix, t->mix_windows, t->mix_windows * context, t->mix_windows * context, e);
    }
    if (rc == OK)
        rc = rows_init(&t->rows, minibatch, minibatch, minibatch * t->source->max_tokens, e);
    return rc;
}

static int ppo_open(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    const TrainTask *k = t->task;
    struct source *s = calloc(1, sizeof *s);
    int rc = s ? OK : err_set(e, E_NOMEM, "no memory for episodes");

    t->source = s;
    t->source_free = source_free;
    if (rc == OK)
        rc = experience_open(t, spec, e);
    if (rc == OK && t->counters.iteration == 0)
        rc = reference_check(s, e);
    if (rc == OK)
        rc = advantages(t, e);
    if (rc == OK)
        rc = ppo_room(t, spec, e);
    if (rc != OK)
        return err_wrap(e, "iteration %llu", (unsigned long long)t->counters.iteration);
    s->base = t->counters.step;
    s->per_epoch = (s->n + k->batch_size - 1) / k->batch_size;
    t->stop = s->base + s->per_epoch * k->ppo->epochs;
    t->counters.total = k->ppo->iterations * s->per_epoch * k->ppo->epochs;
    return OK;
}

static void episode_rows(struct trainer *t, size_t i)
{
    struct source *s = t->source;
    struct rows *r = &t->rows;
    const Episode *x = s->episodes[i];

    rows_unit(r);
    size_t at = rows_sequence(r);
    for (size_t k = 0; k < x->n_prompt; k++)
        rows_token(r, (int32_t)x->prompt[k], -1, 0);
    for (size_t k = 0; k + 1 < x->n_answer; k++)
        rows_token(r, (int32_t)x->answer[k], -1, 0);
    at += x->n_prompt - 1; /* the position that predicts the answer's first token */
    for (size_t k = 0; k < x->n_answer; k++) {
        r->target[at + k] = (int32_t)x->answer[k];
        r->column[ROW_OLD_LOG_PROB][at + k] = x->log_probs[k];
        r->column[ROW_OLD_VALUE][at + k] = x->values[k];
        r->column[ROW_ADVANTAGE][at + k] = s->advantage[s->first[i] + k];
        r->column[ROW_RETURN][at + k] = s->returns[s->first[i] + k];
    }
}

static int ppo_batch(struct trainer *t, struct err *e)
{
    struct source *s = t->source;
    uint64_t local = t->counters.step - s->base, epoch = local / s->per_epoch;
    size_t from = (size_t)(local % s->per_epoch) * t->task->batch_size, predicted = 0;

    if (!s->ordered || s->epoch != epoch) {
        uint64_t shuffle = t->counters.iteration * t->task->ppo->epochs + epoch;
        rng_permutation(s->order, (uint32_t)s->n, t->seed, RNG_SHUFFLE, (uint32_t)shuffle);
        s->ordered = true;
        s->epoch = epoch;
    }
    for (size_t i = from; i < from + t->task->batch_size && i < s->n; i++) {
        episode_rows(t, s->order[i]);
        predicted += s->episodes[s->order[i]]->n_answer;
    }
    size_t counted = 0;
    for (size_t i = 0; i < t->rows.n_tokens; i++) {
        t->rows.weight[i] = t->rows.target[i] < 0 ? 0 : 1 / (float)predicted;
        counted += t->rows.target[i] >= 0;
    }
    if (counted != predicted)
        return err_set(e, E_INVARIANT, "step %llu: the mask covers %zu tokens of %zu",
            (unsigned long long)t->counters.step, counted, predicted);
    return trainer_mix(t, e);
}

/* Gradient of the clipped objective at each target, into t->g. */
static int policy_gradient(struct trainer *t, const struct batch *b, size_t token0, struct err *e)
{
    const struct rows *r = &t->rows;
    bool first = t->counters.step == t->source->base;

    for (size_t i = 0; i < b->n_tokens; i++) {
        size_t k = token0 + i;
        double grad;
        bool clipped;
        t->g[i] = 0;
        if (r->target[k] < 0)
            continue;
        float old = r->column[ROW_OLD_LOG_PROB][k];
        if (first && t->log_prob[i] != old)
            return err_set(e, E_INVARIANT,
                "iteration %llu: the first minibatch's ratio is not 1 "
                "(token %zu: log-probability %.9g, was %.9g when sampled)",
                (unsigned long long)t->counters.iteration, k, (double)t->log_prob[i], (double)old);
        double loss = ppo_policy_loss(&grad, t->log_prob[i], old, r->column[ROW_ADVANTAGE][k],
            t->task->ppo->clip_ratio, &clipped);
        if (!isfinite(loss) || !isfinite(grad))
            return err_set(e, E_INVARIANT, "iteration %llu: the policy loss is not finite",
                (unsigned long long)t->counters.iteration);
        t->g[i] = (float)(grad * r->weight[k]);
        double d = (double)old - t->log_prob[i];
        t->tally.loss += loss;
        t->tally.weight += 1;
        t->tally.clipped += clipped;
        t->tally.approx_kl += .5 * d * d;
        t->tally.entropy += t->entropy[i];
    }
    return OK;
}

static int value_gradient(struct trainer *t, const struct batch *b, size_t token0, struct err *e)
{
    const struct rows *r = &t->rows;

    for (size_t i = 0; i < b->n_tokens; i++) {
        size_t k = token0 + i;
        double grad;
        bool clipped;
        float value = t->log_prob[i];
        t->g[i] = 0;
        if (r->target[k] < 0)
            continue;
        double loss = ppo_value_loss(&grad, value, r->column[ROW_OLD_VALUE][k],
            r->column[ROW_RETURN][k], t->task->ppo->value_clip, &clipped);
        if (!isfinite(loss))
            return err_set(e, E_INVARIANT, "iteration %llu: the value loss is not finite",
                (unsigned long long)t->counters.iteration);
        t->g[i] = (float)(grad * r->weight[k]);
        t->tally.value_loss += loss;
        t->tally.value_clipped += clipped;
    }
    return OK;
}

static int ppo_loss(
    struct trainer *t, const struct batch *b, size_t token0, size_t sequence0, struct err *e)
{
    const struct engine *en = t->c->engine;
    const int32_t *target = t->rows.target + token0;
    float temperature = (float)t->task->ppo->temperature;
    struct network *p = &t->policy, *v = &t->value;

    (void)sequence0;
    transformer_forward(p->workspace, en, p->model, b);
    transformer_log_probs(p->workspace, en, p->model, target, temperature, t->log_prob, t->entropy);
    int rc = policy_gradient(t, b, token0, e);
    if (rc != OK)
        return rc;
    transformer_backward_log_probs(
        p->workspace, en, p->model, p->grad, target, t->g, temperature, t->log_prob);
    transformer_forward(v->workspace, en, v->model, b);
    transformer_values(v->workspace, en, v->model, t->log_prob);
    rc = value_gradient(t, b, token0, e);
    if (rc == OK)
        transformer_backward_values(v->workspace, en, v->model, v->grad, t->g);
    return rc;
}

/* Names as people know them from TRL. */
static int ppo_finish(struct trainer *t, struct answer *out, struct err *e)
{
    const PpoStage *p = t->task->ppo;
    const struct tally *y = &t->tally;
    double n = y->episodes, tokens = y->weight > 0 ? y->weight : 1;
    const struct {
        const char *name;
        double value;
    } metrics[] = {
        { "objective/kl", y->kl / n },
        { "objective/scores", y->score / n },
        { "objective/rlhf_reward", y->reward / n },
        { "objective/entropy", y->entropy / tokens },
        { "objective/kl_coef", t->counters.kl_coef },
        { "policy/clipfrac_avg", y->clipped / tokens },
        { "policy/approxkl_avg", y->approx_kl / tokens },
        { "loss/value_avg", y->value_loss / tokens },
        { "val/clipfrac_avg", y->value_clipped / tokens },
        { "end_rate", y->ended / n },
        { "length", y->length / n },
    };
    int rc = OK;

    for (size_t i = 0; i < sizeof metrics / sizeof *metrics && rc == OK; i++)
        rc = answer_metric(out, metrics[i].name, metrics[i].value, e);
    if (p->adaptive_kl)
        t->counters.kl_coef =
            adaptive_kl(t->counters.kl_coef, y->kl / n, p->kl_target, n, p->kl_horizon);
    t->counters.iteration++;
    t->counters.episodes += t->source->n;
    return rc;
}

static double rate_by_iteration(const struct trainer *t, double peak)
{
    const PpoStage *p = t->task->ppo;

    return learning_rate_at(p->schedule, peak, p->warmup_start, 0, t->counters.iteration,
        p->warmup_iterations, p->iterations);
}

const struct objective objective_ppo = {
    .name = "ppo",
    .open = ppo_open,
    .batch = ppo_batch,
    .loss = ppo_loss,
    .finish = ppo_finish,
    .rate = rate_by_iteration,
    .eps_outside = true,
    .averaged = true,
    .has_value = true,
};
