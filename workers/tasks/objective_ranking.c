#include <math.h>
#include <string.h>

#include "workers/tasks/losses.h"
#include "workers/tasks/ranked.h"

/* The reward model: a score at the last real token of each answer, the K-wise loss over the
 * answers to one prompt (Ouyang et al. 2022, 3.5). */

static int ranking_open(struct trainer *t, const TaskSpec *spec, struct err *e)
{
    return ranked_open(t, spec, false, e);
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
    .batch = ranked_batch,
    .loss = ranking_backward,
    .finish = ranking_finish,
    .rate = rate_by_step,
};
