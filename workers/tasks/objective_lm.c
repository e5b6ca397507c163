#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/math/rng.h"
#include "workers/tasks/train.h"

/* Next-token prediction: on windows of text (LM), or on the answers of demonstrations (ANSWERS).
 * One loss, two sources. Averages are over the step's predicted tokens. */

static int lm_open(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    size_t context = t->policy.model->config.context;
    int rc = trainer_open_text(t, spec, e);

    if (rc == OK && !t->text)
        rc = err_set(e, E_PROTOCOL, "pretraining needs the input 'tokens'");
    if (rc != OK)
        return rc;
    t->counters.total = t->task->steps;
    t->stop = t->counters.step + t->task->segment;
    t->stop = t->stop < t->counters.total ? t->stop : t->counters.total;
    t->bytes_per_token = token_stream_bytes_per_token(t->text);
    size_t tokens = t->task->batch_size * context;
    return rows_init(&t->rows, t->task->batch_size, tokens, tokens, e);
}

static int lm_batch(struct trainer *t, struct err *e)
{
    uint32_t n = t->task->batch_size;
    float weight = 1 / (float)(n * token_stream_window_tokens(t->text));
    int rc = OK;

    for (uint32_t i = 0; i < n && rc == OK; i++)
        rc = token_stream_add(t->text, &t->rows, t->counters.step * n + i, t->seed, RNG_SHUFFLE,
            t->task->cross_documents, weight, e);
    return rc == OK ? trainer_check_mask(t, &t->rows, n * token_stream_window_tokens(t->text), 1, e)
                    : rc;
}

static int lm_loss(
    struct trainer *t, const struct batch *b, size_t token0, size_t sequence0, struct err *e)
{
    const int32_t *target = t->rows.target + token0;
    const float *weight = t->rows.weight + token0;
    int rc = trainer_lm_loss(t, b, target, weight, e);

    (void)sequence0;
    for (size_t i = 0; i < b->n_tokens && rc == OK; i++) {
        if (target[i] < 0)
            continue;
        t->tally.loss -= t->log_prob[i];
        t->tally.weight += 1;
    }
    return rc;
}

/* ---- demonstrations ---- */

struct source {
    size_t n; /* examples */
    Example **examples;
    uint32_t *order;
    uint64_t epoch;
    bool ordered;
};

static void source_free(struct source *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        message_free(s->examples[i]);
    free(s->examples);
    free(s->order);
    free(s);
}

static int source_read(struct source *s, struct records_reader *r, size_t context, struct err *e)
{
    uint64_t n = records_count(r);
    int rc = OK;

    s->examples = calloc(n + 1, sizeof *s->examples);
    s->order = calloc(n + 1, sizeof *s->order);
    if (!s->examples || !s->order)
        return err_set(e, E_NOMEM, "no memory for %llu examples", (unsigned long long)n);
    while (rc == OK && s->n < n) {
        ProtobufCMessage *m = NULL;
        rc = records_next(r, &m, e);
        if (rc != OK || !m)
            break;
        Example *x = s->examples[s->n++] = (Example *)m;
        if (x->n_tokens != x->loss.len || x->n_tokens < 2 || x->n_tokens > context + 1)
            rc = err_set(e, E_CORRUPT, "example %zu has %zu tokens and a mask of %zu", s->n,
                x->n_tokens, x->loss.len);
    }
    if (rc == OK && s->n == 0)
        rc = err_set(e, E_INPUT, "there are no examples to train on");
    return rc;
}

static int answers_read(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    struct records_reader *r = NULL;
    struct id id;
    struct source *s = calloc(1, sizeof *s);

    if (!s)
        return err_set(e, E_NOMEM, "no memory for examples");
    t->source = s;
    t->source_free = source_free;
    if (task_inputs(spec, "examples", &id, 1) != 1)
        return err_set(e, E_PROTOCOL, "fine-tuning needs the input 'examples'");
    int rc = records_open(&r, t->c->store, &id, ARTIFACT_KIND__EXAMPLES, &example__descriptor, e);
    if (rc == OK)
        rc = source_read(s, r, t->policy.model->config.context, e);
    records_close(r);
    return rc;
}

static uint64_t steps_per_epoch(const struct trainer *t)
{
    return (t->source->n + t->task->batch_size - 1) / t->task->batch_size;
}

static int answers_open(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    const TrainTask *k = t->task;
    size_t context = t->policy.model->config.context;
    int rc = answers_read(t, spec, e);

    if (rc == OK)
        rc = trainer_open_text(t, spec, e);
    if (rc != OK)
        return rc;
    t->counters.total = k->steps ? k->steps : steps_per_epoch(t) * k->epochs;
    t->stop = t->counters.step + k->segment;
    t->stop = t->stop < t->counters.total ? t->stop : t->counters.total;
    if (t->text && k->pretrain_mix > 0) {
        double windows = k->pretrain_mix * k->batch_size;
        t->mix_windows = windows < 1 ? 1 : (size_t)(windows + .5);
        t->mix_weight = (float)k->pretrain_mix;
        rc = rows_init(
            &t->mix, t->mix_windows, t->mix_windows * context, t->mix_windows * context, e);
    }
    if (rc == OK)
        rc = rows_init(&t->rows, k->batch_size, k->batch_size, k->batch_size * context, e);
    if (rc == OK && t->best)
        rc = choice_open(&t->choice, t->c, spec, t->policy.model, e);
    return rc;
}

/* An example's place in an endless shuffle: each epoch is a permutation of its own, and its last
 * batch may be short. */
static const Example *example_at(struct trainer *t, uint64_t epoch, size_t i)
{
    struct source *s = t->source;

    if (!s->ordered || s->epoch != epoch) {
        rng_permutation(s->order, (uint32_t)s->n, t->seed, RNG_SHUFFLE, (uint32_t)epoch);
        s->ordered = true;
        s->epoch = epoch;
    }
    return s->examples[s->order[i]];
}

static int answers_batch(struct trainer *t, struct err *e)
{
    size_t n = t->source->n, size = t->task->batch_size;
    uint64_t per_epoch = steps_per_epoch(t);
    uint64_t epoch = t->counters.step / per_epoch;
    size_t from = (size_t)(t->counters.step % per_epoch) * size;
    size_t to = from + size < n ? from + size : n, predicted = 0;

    for (size_t i = from; i < to; i++) {
        const Example *x = example_at(t, epoch, i);
        rows_unit(&t->rows);
        rows_sequence(&t->rows);
        for (size_t k = 0; k + 1 < x->n_tokens; k++) {
            bool counts = x->loss.data[k + 1] != 0;
            predicted += counts;
            rows_token(&t->rows, (int32_t)x->tokens[k], counts ? (int32_t)x->tokens[k + 1] : -1, 1);
        }
    }
    if (predicted == 0)
        return err_set(e, E_INVARIANT,
            "step %llu: invariant 'a batch has something to learn': no token counts in the loss",
            (unsigned long long)t->counters.step);
    float weight = (1 - t->mix_weight) / (float)predicted;
    for (size_t i = 0; i < t->rows.n_tokens; i++)
        t->rows.weight[i] = weight;
    int rc = trainer_check_mask(t, &t->rows, predicted, 1 - (double)t->mix_weight, e);
    return rc == OK ? trainer_mix(t, e) : rc;
}

/* Where a reward model chooses: after each epoch, and at the end. */
static int answers_stepped(struct trainer *t, struct err *e)
{
    TrainingCounters *k = &t->counters;
    double score;

    if (!t->choice || (k->step % steps_per_epoch(t) != 0 && k->step < k->total))
        return OK;
    int rc = choice_score(&score, t->choice, t->c, t->policy.model, e);
    if (rc != OK)
        return err_wrap(e, "step %llu", (unsigned long long)k->step);
    t->tally.score = score;
    t->tally.episodes += 1;
    if (k->best_step > 0 && score <= k->best_score)
        return OK;
    k->has_best_score = k->has_best_step = true;
    k->best_score = score;
    k->best_step = k->step;
    memcpy(t->best, t->policy.model->params + t->policy.model->frozen,
        network_floats(t->policy.model) * sizeof *t->best);
    return OK;
}

static int answers_finish(struct trainer *t, struct answer *out, struct err *e)
{
    if (!t->choice || t->counters.best_step == 0)
        return OK;
    int rc = OK;
    if (t->tally.episodes > 0) /* an epoch ended in this segment */
        rc = answer_metric(out, "chosen/score", t->tally.score, e);
    if (rc == OK)
        rc = answer_metric(out, "chosen/best_score", t->counters.best_score, e);
    return rc == OK ? answer_metric(out, "chosen/best_step", (double)t->counters.best_step, e) : rc;
}

const struct objective objective_lm = {
    .name = "lm",
    .open = lm_open,
    .batch = lm_batch,
    .loss = lm_loss,
    .rate = rate_by_step,
};

const struct objective objective_answers = {
    .name = "answers",
    .open = answers_open,
    .batch = answers_batch,
    .loss = lm_loss,
    .stepped = answers_stepped,
    .finish = answers_finish,
    .rate = rate_by_step,
};
