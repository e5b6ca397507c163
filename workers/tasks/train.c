#include "workers/tasks/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workers/math/rng.h"
#include "workers/tasks/warm.h"

/* A micro-batch holds at most so many tokens: bounds the activations, whatever the batch. */
#define MICRO_TOKENS 4096

static const struct objective *const objectives[] = {
    [TRAIN_TASK__OBJECTIVE__LM] = &objective_lm,
    [TRAIN_TASK__OBJECTIVE__ANSWERS] = &objective_answers,
    [TRAIN_TASK__OBJECTIVE__RANKING] = &objective_ranking,
    [TRAIN_TASK__OBJECTIVE__PPO] = &objective_ppo,
    [TRAIN_TASK__OBJECTIVE__RLOO] = &objective_rloo,
    [TRAIN_TASK__OBJECTIVE__GRPO] = &objective_grpo,
};

double rate_by_step(const struct trainer *t, double peak)
{
    return learning_rate_at(t->task->schedule, peak, 0, t->task->min_lr_ratio, t->counters.step,
        t->task->warmup_steps, t->counters.total);
}

int trainer_open_text(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    size_t n = task_inputs(spec, "tokens", NULL, 0);
    struct id *ids = n ? calloc(n, sizeof *ids) : NULL;
    int rc = OK;

    if (n && !ids)
        return err_set(e, E_NOMEM, "no memory for %zu inputs", n);
    if (n) {
        task_inputs(spec, "tokens", ids, n);
        rc = token_stream_open(
            &t->text, t->c->store, ids, n, t->end_of_text, t->policy.model->config.context, e);
    }
    free(ids);
    return rc;
}

int trainer_mix(struct trainer *t, struct err *e)
{
    int rc = OK;

    if (t->mix_windows == 0)
        return OK;
    float weight = t->mix_weight / (float)(t->mix_windows * token_stream_window_tokens(t->text));
    for (size_t i = 0; i < t->mix_windows && rc == OK; i++)
        rc = token_stream_add(t->text, &t->mix, t->counters.step * t->mix_windows + i, t->seed,
            RNG_PTX, t->task->cross_documents, weight, e);
    return rc;
}

int trainer_lm_loss(struct trainer *t, const struct batch *b, const int32_t *target,
    const float *weight, struct err *e)
{
    struct network *n = &t->policy;

    for (size_t i = 0; i < b->n_tokens; i++)
        t->g[i] = target[i] < 0 ? 0 : -weight[i];
    transformer_forward(n->workspace, t->c->engine, n->model, b);
    transformer_backward_log_probs(
        n->workspace, t->c->engine, n->model, n->grad, target, t->g, 1, t->log_prob);
    for (size_t i = 0; i < b->n_tokens; i++)
        if (!isfinite(t->log_prob[i]))
            return err_set(e, E_INVARIANT, "step %llu: the loss is not finite at token %zu",
                (unsigned long long)t->counters.step, i);
    return OK;
}

/* Tokens of the largest unit, and of the largest micro-batch that `budget` allows. */
static size_t micro_room(const struct rows *r, size_t budget)
{
    return r->max_tokens < budget ? r->max_tokens : budget;
}

static int scratch_init(struct trainer *t, struct err *e)
{
    size_t n = t->rows.max_tokens > t->mix.max_tokens ? t->rows.max_tokens : t->mix.max_tokens;
    size_t s =
        t->rows.max_sequences > t->mix.max_sequences ? t->rows.max_sequences : t->mix.max_sequences;

    t->starts = calloc(s + 1, sizeof *t->starts);
    t->target = calloc(n, sizeof *t->target);
    t->log_prob = calloc(n, sizeof *t->log_prob);
    t->entropy = calloc(n, sizeof *t->entropy);
    t->g = calloc(n, sizeof *t->g);
    if (!t->starts || !t->target || !t->log_prob || !t->entropy || !t->g)
        return err_set(e, E_NOMEM, "no memory for a step of %zu tokens", n);
    return OK;
}

static unsigned workspace_mode(const TrainTask *k)
{
    return WORKSPACE_TRAINING | (k->activation_checkpointing ? WORKSPACE_CHECKPOINTING : 0);
}

static int workspaces_init(struct trainer *t, size_t largest_unit, struct err *e)
{
    size_t want = micro_room(&t->rows, MICRO_TOKENS), mix = micro_room(&t->mix, MICRO_TOKENS);
    unsigned mode = workspace_mode(t->task);
    int rc = OK;

    want = want > mix ? want : mix;
    want = want > largest_unit ? want : largest_unit;
    if (t->policy.workspace && t->micro_tokens >= want && t->mode == mode)
        return OK;
    workspace_free(t->policy.workspace);
    workspace_free(t->value.workspace);
    t->policy.workspace = t->value.workspace = NULL;
    t->micro_tokens = want;
    t->mode = mode;
    rc = workspace_new(&t->policy.workspace, &t->policy.model->config, want, mode, e);
    if (rc == OK && t->objective->has_value)
        rc = workspace_new(&t->value.workspace, &t->value.model->config, want, mode, e);
    return rc;
}

static size_t largest_unit(const struct rows *r)
{
    size_t most = 0;

    for (size_t u = 0; u < r->n_units; u++) {
        size_t n = r->start[r->unit[u + 1]] - r->start[r->unit[u]];
        most = n > most ? n : most;
    }
    return most;
}

/* Tokens of a step are numbered: those of rows from 0, those of mix from here. */
#define MIX_FIRST ((uint64_t)1 << 40)

static void micro_dropout(struct trainer *t, struct batch *b, uint64_t first)
{
    if (!(t->task->dropout > 0))
        return;
    t->dropout = (struct dropout){ .rate = t->task->dropout,
        .seed = t->seed,
        .step = (uint32_t)t->counters.step,
        .first = first };
    b->dropout = &t->dropout;
}

/* Gradient of the whole step, micro-batch by micro-batch; the losses are weighted by the step's
 * token counts, so how it is cut does not matter beyond rounding. */
static int step_gradient(struct trainer *t, struct err *e)
{
    uint32_t parts = t->task->gradient_accumulation ? t->task->gradient_accumulation : 1;
    size_t budget = parts > 1 ? (t->rows.n_tokens + parts - 1) / parts : MICRO_TOKENS;
    struct batch b;
    size_t token0;
    int rc = OK;

    budget = budget < MICRO_TOKENS ? budget : MICRO_TOKENS;
    memset(t->policy.grad, 0, t->policy.model->n_params * sizeof(float));
    if (t->objective->has_value)
        memset(t->value.grad, 0, t->value.model->n_params * sizeof(float));
    for (size_t u = 0; u < t->rows.n_units && rc == OK;) {
        size_t sequence0 = t->rows.unit[u];
        u = rows_micro(&t->rows, u, budget, t->starts, &b, &token0);
        micro_dropout(t, &b, token0);
        rc = t->objective->loss(t, &b, token0, sequence0, e);
    }
    for (size_t u = 0; u < t->mix.n_units && rc == OK;) {
        u = rows_micro(&t->mix, u, MICRO_TOKENS, t->starts, &b, &token0);
        micro_dropout(t, &b, MIX_FIRST + token0);
        rc = trainer_lm_loss(t, &b, t->mix.target + token0, t->mix.weight + token0, e);
    }
    return rc;
}

static int network_update(struct trainer *t, struct network *n, double peak, struct err *e)
{
    const TrainTask *k = t->task;
    struct optimizer o = { k->beta1, k->beta2, k->eps, k->weight_decay, k->grad_clip,
        t->objective->eps_outside };
    double norm;
    int rc = network_grad_norm(&norm, t->c->engine, n, e);

    if (rc != OK)
        return err_wrap(e, "step %llu", (unsigned long long)t->counters.step);
    network_step(t->c->engine, n, &o, t->objective->rate(t, peak), t->counters.step + 1, norm);
    return OK;
}

static int report(struct trainer *t)
{
    Progress p = PROGRESS__INIT;
    Metric loss = METRIC__INIT, *metrics[] = { &loss };

    loss.name = "loss";
    loss.has_value = true;
    loss.value = t->tally.weight > 0 ? t->tally.loss / t->tally.weight : 0;
    p.has_done = p.has_total = p.has_rate = true;
    p.done = t->counters.step;
    p.total = t->counters.total;
    p.rate = (double)t->tally.tokens;
    p.rate_unit = "tok/s";
    p.metrics = metrics;
    p.n_metrics = 1;
    return t->c->progress ? t->c->progress(t->c->ctx, &p) : 0;
}

static int train_loop(struct trainer *t, struct err *e)
{
    int rc = OK;

    while (rc == OK && t->counters.step < t->stop) {
        rows_clear(&t->rows);
        rows_clear(&t->mix);
        rc = t->objective->batch(t, e);
        if (rc == OK)
            rc = workspaces_init(t, largest_unit(&t->rows), e);
        if (rc == OK)
            rc = step_gradient(t, e);
        if (rc == OK)
            rc = network_update(t, &t->policy, t->task->learning_rate, e);
        if (rc == OK && t->objective->has_value)
            rc = network_update(t, &t->value, t->task->rl->value_learning_rate, e);
        if (rc != OK)
            break;
        if (t->averages)
            t->c->engine->k->lerp(t->average, t->policy.model->params,
                (float)t->task->rl->ema_decay, t->policy.model->n_params);
        t->counters.step++;
        t->counters.tokens += t->rows.n_tokens + t->mix.n_tokens;
        t->tally.tokens += (double)(t->rows.n_tokens + t->mix.n_tokens);
        t->tally.steps++;
        if (report(t))
            rc = err_set(
                e, E_CANCELLED, "stopped at step %llu", (unsigned long long)t->counters.step);
    }
    return rc;
}

/* The trainer of this segment: kept warm, read from its state, or new. */
static int trainer_begin(
    struct trainer **out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct id state;
    bool goes_on = task_inputs(spec, "state", &state, 1) == 1;
    struct trainer *t = goes_on ? warm_take_trainer(c->warm, &state) : NULL;
    bool warm = t != NULL;
    int rc = OK;

    if (spec->train->precision != PRECISION__FP32)
        rc = err_set(e, E_INPUT, "this build trains in fp32 only");
    if (rc == OK && !t && !(t = calloc(1, sizeof *t)))
        rc = err_set(e, E_NOMEM, "no memory for a trainer");
    if (rc != OK) {
        trainer_free(t);
        return rc;
    }
    t->c = c;
    t->task = spec->train;
    t->seed = spec->seed;
    t->objective = objectives[spec->train->objective];
    t->averages = t->objective->averaged && t->task->rl->ema_decay > 0;
    t->tally = (struct tally){ 0 };
    if (!warm)
        rc = goes_on ? trainer_load(t, &state, e) : trainer_init(t, spec, e);
    if (rc != OK) {
        trainer_free(t);
        return rc;
    }
    *out = t;
    return OK;
}

/* Drops what belongs to this segment alone. */
static void segment_close(struct trainer *t)
{
    if (t->source_free)
        t->source_free(t->source);
    t->source = NULL;
    t->source_free = NULL;
    token_stream_close(t->text);
    t->text = NULL;
    t->mix_windows = 0;
    rows_free(&t->rows);
    rows_free(&t->mix);
    free(t->starts);
    free(t->target);
    free(t->log_prob);
    free(t->entropy);
    free(t->g);
    t->starts = NULL;
    t->target = NULL;
    t->log_prob = t->entropy = t->g = NULL;
}

static int segment_metrics(struct trainer *t, struct answer *out, struct err *e)
{
    int rc = OK;

    if (t->tally.weight > 0) {
        double loss = t->tally.loss / t->tally.weight;
        rc = answer_metric(out, "loss", loss, e);
        if (rc == OK && t->bytes_per_token > 0)
            rc = answer_metric(out, "bits_per_byte", loss / M_LN2 / t->bytes_per_token, e);
    }
    return rc;
}

int train_run(struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct trainer *t = NULL;
    struct id state = { 0 };
    int rc = trainer_begin(&t, c, spec, e);

    if (rc != OK)
        return rc;
    rc = t->objective->open(t, spec, e);
    if (rc == OK)
        rc = scratch_init(t, e);
    if (rc == OK)
        rc = train_loop(t, e);
    if (rc == OK)
        rc = segment_metrics(t, out, e);
    if (rc == OK && t->objective->finish)
        rc = t->objective->finish(t, out, e);
    bool finished = t->counters.step >= t->counters.total;
    if (rc == OK)
        rc = finished ? trainer_save_checkpoint(t, out, e) : trainer_save_state(t, out, e);
    if (rc == OK)
        id_from_span(&state, out->m->outputs[0]->id.data, out->m->outputs[0]->id.len);
    segment_close(t);
    if (rc == OK && !finished)
        warm_keep_trainer(c->warm, &state, t);
    else
        trainer_free(t);
    return rc;
}
