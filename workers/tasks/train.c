#include "workers/tasks/train.h"

#include <math.h>
#include <stdlib.h>

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
    [TRAIN_TASK__OBJECTIVE__DPO] = &objective_dpo,
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

int trainer_check_mask(
    const struct trainer *t, const struct rows *r, size_t predicted, double sum, struct err *e)
{
    size_t counted = 0;
    double weight = 0;

    for (size_t i = 0; i < r->n_tokens; i++) {
        counted += r->target[i] >= 0;
        weight += r->target[i] >= 0 ? r->weight[i] : 0;
    }
    if (counted == predicted && fabs(weight - sum) <= 1e-4 * sum)
        return OK;
    return err_set(e, E_INVARIANT,
        "step %llu: invariant 'mask weights sum to the token count': "
        "%zu targets of %zu, weights of %g for %g",
        (unsigned long long)t->counters.step, counted, predicted, weight, sum);
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
    return rc == OK ? trainer_check_mask(t, &t->mix,
                          t->mix_windows * token_stream_window_tokens(t->text), t->mix_weight, e)
                    : rc;
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
            return err_set(e, E_INVARIANT,
                "step %llu: invariant 'finite loss': %g at token %zu of a micro-batch of %zu",
                (unsigned long long)t->counters.step, (double)t->log_prob[i], i, b->n_tokens);
    return OK;
}

/* Tokens of the largest micro-batch: what MICRO_TOKENS allows, but at least one unit. */
static size_t micro_room(const struct rows *r)
{
    size_t unit = r->max_units ? r->max_tokens / r->max_units : 0;
    size_t room = unit > MICRO_TOKENS ? unit : MICRO_TOKENS;

    return r->max_tokens < room ? r->max_tokens : room;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int scratch_init(struct trainer *t, struct err *e)
{
    size_t n = t->micro_tokens, s = larger(t->rows.max_sequences, t->mix.max_sequences);

    t->starts = calloc(s + 1, sizeof *t->starts);
    t->target = calloc(n, sizeof *t->target);
    t->log_prob = calloc(n, sizeof *t->log_prob);
    t->entropy = calloc(n, sizeof *t->entropy);
    t->g = calloc(n, sizeof *t->g);
    t->value_out = calloc(n, sizeof *t->value_out);
    t->value_g = calloc(n, sizeof *t->value_g);
    if (!t->starts || !t->target || !t->log_prob || !t->entropy || !t->g || !t->value_out ||
        !t->value_g)
        return err_set(e, E_NOMEM, "no memory for a step of %zu tokens", n);
    return OK;
}

static unsigned workspace_mode(const TrainTask *k)
{
    return WORKSPACE_TRAINING | workspace_precision(k->precision) |
           (k->activation_checkpointing ? WORKSPACE_CHECKPOINTING : 0);
}

/* The policy's serves the value network too, where that has the same body: they take turns. */
static int workspaces_init(struct trainer *t, struct err *e)
{
    struct network *p = &t->policy, *v = &t->value;
    int rc = workspace_new(&p->workspace, &p->model->config, t->micro_tokens, t->mode, e);

    if (rc != OK || !t->apart)
        return rc;
    if (workspace_serves(&p->model->config, &v->model->config)) {
        v->workspace = p->workspace;
        return OK;
    }
    return workspace_new(&v->workspace, &v->model->config, t->micro_tokens, t->mode, e);
}

void trainer_make_room(struct trainer *t)
{
    struct memory_need *n = &t->need;

    n->kept = warm_models_bytes(t->c->warm);
    if (t->task->rl && (t->c->memory == 0 || memory_total(n) <= t->c->memory))
        return;
    warm_drop_models(t->c->warm);
    n->kept = 0;
}

static int memory_need_check(struct trainer *t, struct err *e)
{
    const ModelConfig *p = &t->policy.model->config;
    size_t sequences = larger(t->rows.max_sequences, t->mix.max_sequences);
    struct memory_need *n = &t->need;

    n->activations = workspace_bytes(p, t->micro_tokens, t->mode);
    if (t->apart && !workspace_serves(p, &t->value.model->config))
        n->activations += workspace_bytes(&t->value.model->config, t->micro_tokens, t->mode);
    n->batch = rows_bytes(&t->rows) + rows_bytes(&t->mix) + sequences * sizeof *t->starts +
               t->micro_tokens * (sizeof *t->target + 5 * sizeof *t->g);
    n->other = artifact_writer_bytes(trainer_state_bytes(t));
    n->other += t->choice ? choice_bytes(t->choice) : 0;
    n->process = t->c->resident;
    trainer_make_room(t);
    return memory_check(n, t->c->memory, e);
}

/* All memory that the segment's steps take. What a warm trainer has from the segment before is
 * used again if it fits. */
static int room_init(struct trainer *t, struct err *e)
{
    size_t want = larger(micro_room(&t->rows), micro_room(&t->mix));
    unsigned mode = workspace_mode(t->task);
    int rc;

    if (t->policy.workspace && (t->micro_tokens < want || t->mode != mode))
        trainer_drop_workspaces(t);
    if (!t->policy.workspace) {
        t->micro_tokens = want;
        t->mode = mode;
    }
    rc = memory_need_check(t, e);
    if (rc == OK && !t->policy.workspace)
        rc = workspaces_init(t, e);
    return rc == OK ? scratch_init(t, e) : rc;
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

/* Gradient of the whole step, added to zero micro-batch by micro-batch; the losses are weighted by
 * the step's token counts, so how it is cut does not matter beyond rounding. */
static int step_gradient(struct trainer *t, struct err *e)
{
    uint32_t parts = t->task->gradient_accumulation ? t->task->gradient_accumulation : 1;
    size_t budget = parts > 1 ? (t->rows.n_tokens + parts - 1) / parts : MICRO_TOKENS;
    struct batch b;
    size_t token0;
    int rc = OK;

    budget = budget < MICRO_TOKENS ? budget : MICRO_TOKENS;
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

static int network_update(
    struct trainer *t, struct network *n, float *average, double peak, struct err *e)
{
    const struct average a = { average, t->task->rl ? t->task->rl->ema_decay : 0 };
    const TrainTask *k = t->task;
    struct optimizer o = { k->beta1, k->beta2, k->eps, k->weight_decay, k->grad_clip,
        t->objective->eps_outside };
    double norm;
    int rc = network_grad_norm(&norm, t->c->engine, n, e);

    if (rc != OK && k->rl)
        return err_wrap(e, "iteration %llu, step %llu", (unsigned long long)t->counters.iteration,
            (unsigned long long)t->counters.step);
    if (rc != OK)
        return err_wrap(e, "step %llu", (unsigned long long)t->counters.step);
    network_step(t->c->engine, n, &o, &a, t->objective->rate(t, peak), t->counters.step + 1, norm);
    return OK;
}

/* Of a forward and a backward pass: 6 for each parameter and token, 4 where it is frozen, and
 * attention's (Kaplan et al. 2020, table 1; Chowdhery et al. 2022, appendix B). */
static double network_flops(const struct model *m)
{
    const ModelConfig *c = &m->config;

    return 6.0 * (double)m->n_params - 2.0 * (double)m->frozen +
           12.0 * c->layers * c->width * c->context;
}

/* The executor knows the seconds that rates are by. */
static int report(struct trainer *t)
{
    Progress p = PROGRESS__INIT;
    double flops = network_flops(t->policy.model);
    const struct tally *y = &t->tally;

    if (t->value.model)
        flops += network_flops(t->value.model);
    const struct {
        const char *name;
        double value;
    } values[] = {
        { "loss", y->weight > 0 ? y->loss / y->weight : 0 },
        { "gflops", flops * y->tokens / 1e9 },
        { "mfu", flops * y->tokens / 1e9 },
        { "memory_mib", (double)memory_total(&t->need) / (1 << 20) },
    };
    enum { N = sizeof values / sizeof *values };
    Metric metrics[N], *pointers[N];

    for (size_t i = 0; i < N; i++) {
        metric__init(&metrics[i]);
        metrics[i].name = (char *)(uintptr_t)values[i].name;
        metrics[i].has_value = true;
        metrics[i].value = values[i].value;
        pointers[i] = &metrics[i];
    }
    p.has_done = p.has_total = p.has_rate = true;
    p.done = t->counters.step;
    p.total = t->counters.total;
    p.rate = y->tokens;
    p.rate_unit = "tok/s";
    p.metrics = pointers;
    p.n_metrics = N;
    return t->c->progress ? t->c->progress(t->c->ctx, &p) : 0;
}

static int check_loss(const struct trainer *t, struct err *e)
{
    if (isfinite(t->tally.loss))
        return OK;
    return err_set(e, E_INVARIANT, "step %llu: invariant 'finite loss': it is %g",
        (unsigned long long)t->counters.step, t->tally.loss);
}

static int train_loop(struct trainer *t, struct err *e)
{
    int rc = OK;

    while (rc == OK && t->counters.step < t->stop) {
        rows_clear(&t->rows);
        rows_clear(&t->mix);
        rc = t->objective->batch(t, e);
        if (rc == OK)
            rc = step_gradient(t, e);
        if (rc == OK)
            rc = check_loss(t, e);
        if (rc == OK)
            rc = network_update(t, &t->policy, t->average, t->task->learning_rate, e);
        if (rc == OK && t->apart)
            rc = network_update(t, &t->value, NULL, t->task->rl->value_learning_rate, e);
        if (rc != OK)
            break;
        t->counters.step++;
        t->counters.tokens += t->rows.n_tokens + t->mix.n_tokens;
        t->tally.tokens += (double)(t->rows.n_tokens + t->mix.n_tokens);
        t->tally.steps++;
        if (t->objective->stepped)
            rc = t->objective->stepped(t, e);
        if (rc == OK && report(t))
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

    if (!t && !(t = calloc(1, sizeof *t)))
        return err_set(e, E_NOMEM, "no memory for a trainer");
    t->c = c;
    t->task = spec->train;
    t->seed = spec->seed;
    t->objective = objectives[spec->train->objective];
    t->averages = t->objective->averaged && t->task->rl->ema_decay > 0;
    t->apart = t->objective->has_value && !t->task->rl->value_shared;
    t->tally = (struct tally){ 0 };
    if (!warm)
        rc = goes_on ? trainer_load(t, spec, &state, e) : trainer_init(t, spec, e);
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
    choice_close(t->choice);
    t->choice = NULL;
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
    free(t->value_out);
    free(t->value_g);
    t->starts = NULL;
    t->target = NULL;
    t->log_prob = t->entropy = t->g = t->value_out = t->value_g = NULL;
}

static int segment_metrics(struct trainer *t, struct answer *out, struct err *e)
{
    int rc = answer_metric(out, "memory_mib", (double)memory_total(&t->need) / (1 << 20), e);

    if (rc == OK && t->tally.weight > 0) {
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
        rc = room_init(t, e);
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
