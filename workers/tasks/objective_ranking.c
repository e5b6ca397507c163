#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/math/rng.h"
#include "workers/tasks/losses.h"
#include "workers/tasks/train.h"

/* The reward model: a score at the last real token of each answer, the K-wise loss over the
 * answers to one prompt, all pairs of a prompt in one batch element (Ouyang et al. 2022, 3.5). */

struct source {
    size_t n;
    RankingExample **examples; /* those that are not held out and hold at least one pair */
    uint32_t *order;
    uint64_t epoch;
    bool ordered;
    size_t max_rows, max_tokens; /* of one prompt */
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

static int source_add(struct source *s, RankingExample *x, size_t context, struct err *e)
{
    size_t tokens = 0;

    if (x->n_rows > RANKING_MAX)
        return err_set(e, E_CORRUPT, "a prompt with %zu answers", x->n_rows);
    for (size_t i = 0; i < x->n_rows; i++) {
        if (x->rows[i]->n_tokens < 2 || x->rows[i]->n_tokens > context)
            return err_set(e, E_CORRUPT, "an answer of %zu tokens", x->rows[i]->n_tokens);
        tokens += x->rows[i]->n_tokens;
    }
    RankingExample **more = realloc(s->examples, (s->n + 1) * sizeof *more);
    if (!more)
        return err_set(e, E_NOMEM, "no memory for rankings");
    s->examples = more;
    s->examples[s->n++] = x;
    s->max_rows = x->n_rows > s->max_rows ? x->n_rows : s->max_rows;
    s->max_tokens = tokens > s->max_tokens ? tokens : s->max_tokens;
    return OK;
}

static int source_read(struct source *s, struct records_reader *r, size_t context, struct err *e)
{
    int rc = OK;

    for (;;) {
        ProtobufCMessage *m = NULL;
        rc = records_next(r, &m, e);
        if (rc != OK || !m)
            break;
        RankingExample *x = (RankingExample *)m;
        if (x->held_out || x->n_tiers < 2) {
            message_free(m);
            continue;
        }
        rc = source_add(s, x, context, e);
        if (rc != OK) {
            message_free(m);
            break;
        }
    }
    if (rc == OK && s->n == 0)
        rc = err_set(e, E_INPUT, "there are no rankings to learn from (all tied, or none)");
    return rc;
}

static int ranking_open(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    const TrainTask *k = t->task;
    struct records_reader *r = NULL;
    struct source *s = calloc(1, sizeof *s);
    struct id id;
    int rc = s ? OK : err_set(e, E_NOMEM, "no memory for rankings");

    t->source = s;
    t->source_free = source_free;
    if (rc == OK && task_inputs(spec, "examples", &id, 1) != 1)
        rc = err_set(e, E_PROTOCOL, "a reward model needs the input 'examples'");
    if (rc == OK)
        rc = records_open(
            &r, t->c->store, &id, ARTIFACT_KIND__RANKING_EXAMPLES, &ranking_example__descriptor, e);
    if (rc == OK)
        rc = source_read(s, r, t->policy.model->config.context, e);
    records_close(r);
    if (rc == OK && !(s->order = calloc(s->n, sizeof *s->order)))
        rc = err_set(e, E_NOMEM, "no memory for rankings");
    if (rc != OK)
        return rc;
    t->counters.total = (s->n + k->batch_size - 1) / k->batch_size * k->epochs;
    t->stop = t->counters.step + k->segment;
    t->stop = t->stop < t->counters.total ? t->stop : t->counters.total;
    return rows_init(
        &t->rows, k->batch_size, k->batch_size * s->max_rows, k->batch_size * s->max_tokens, e);
}

static void rank_rows(struct rows *rows, const RankingExample *x)
{
    rows_unit(rows);
    for (size_t i = 0; i < x->n_rows; i++) {
        uint32_t tier = 0; /* the encoder leaves no answer out of the tiers */
        rows_sequence(rows);
        for (size_t k = 0; k < x->rows[i]->n_tokens; k++)
            rows_token(rows, (int32_t)x->rows[i]->tokens[k], -1, 0);
        for (size_t k = 0; k < x->n_tiers; k++)
            for (size_t j = 0; j < x->tiers[k]->n_answers; j++)
                if (x->tiers[k]->answers[j] == i)
                    tier = (uint32_t)k;
        rows->tier[rows->n_sequences - 1] = tier;
    }
}

static int ranking_batch(struct trainer *t, struct err *e)
{
    struct source *s = t->source;
    size_t size = t->task->batch_size, per_epoch = (s->n + size - 1) / size;
    uint64_t epoch = t->counters.step / per_epoch;
    size_t from = (size_t)(t->counters.step % per_epoch) * size;

    (void)e;
    if (!s->ordered || s->epoch != epoch) {
        rng_permutation(s->order, (uint32_t)s->n, t->seed, RNG_SHUFFLE, (uint32_t)epoch);
        s->ordered = true;
        s->epoch = epoch;
    }
    for (size_t i = from; i < from + size && i < s->n; i++)
        rank_rows(&t->rows, s->examples[s->order[i]]);
    return OK;
}

/* Scores of a prompt's answers, its loss, and the gradient at their last tokens. */
static int prompt_loss(struct trainer *t, const struct batch *b, size_t first, size_t n,
    size_t sequence0, struct err *e)
{
    float score[RANKING_MAX], grad[RANKING_MAX];
    size_t pairs, right;

    for (size_t i = 0; i < n; i++) {
        score[i] = t->log_prob[b->start[first + i + 1] - 1];
        if (!isfinite(score[i]))
            return err_set(e, E_INVARIANT, "step %llu: a score is not finite",
                (unsigned long long)t->counters.step);
    }
    t->tally.loss += ranking_loss(grad, score, t->rows.tier + sequence0 + first, n, &pairs, &right);
    t->tally.weight += 1;
    t->tally.pairs += (double)pairs;
    t->tally.right += (double)right;
    for (size_t i = 0; i < n; i++)
        t->g[b->start[first + i + 1] - 1] = grad[i] / (float)t->rows.n_units;
    return OK;
}

static int ranking_backward(
    struct trainer *t, const struct batch *b, size_t token0, size_t sequence0, struct err *e)
{
    struct network *n = &t->policy;
    int rc = OK;

    (void)token0;
    transformer_forward(n->workspace, t->c->engine, n->model, b);
    transformer_values(n->workspace, t->c->engine, n->model, t->log_prob);
    memset(t->g, 0, b->n_tokens * sizeof *t->g);
    for (size_t u = 0; u < t->rows.n_units && rc == OK; u++) {
        size_t first = t->rows.unit[u], last = t->rows.unit[u + 1];
        if (first >= sequence0 && last <= sequence0 + b->n_sequences)
            rc = prompt_loss(t, b, first - sequence0, last - first, sequence0, e);
    }
    if (rc == OK)
        transformer_backward_values(n->workspace, t->c->engine, n->model, n->grad, t->g);
    return rc;
}

static int ranking_finish(struct trainer *t, struct answer *out, struct err *e)
{
    return t->tally.pairs > 0
               ? answer_metric(out, "train_accuracy", t->tally.right / t->tally.pairs, e)
               : OK;
}

const struct objective objective_ranking = {
    .name = "ranking",
    .open = ranking_open,
    .batch = ranking_batch,
    .loss = ranking_backward,
    .finish = ranking_finish,
    .rate = rate_by_step,
};
