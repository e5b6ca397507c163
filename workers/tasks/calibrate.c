#include "workers/tasks/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/tasks/calibration.h"
#include "workers/tasks/forward.h"
#include "workers/tasks/scorer.h"
#include "workers/tasks/sequences.h"
#include "workers/tasks/warm.h"

/* After a reward model is trained: its bias is set so that the demonstrations (or, without them,
 * each prompt's best answers) have mean score 0 (Ouyang et al. 2022, C.2), optionally its head is
 * scaled to unit variance on them (Ziegler et al. 2019). Then it is measured on the held-out
 * rankings. */

static int set_head(struct model *m, double mean, double scale, struct err *e)
{
    const struct tensor *w = model_tensor(m, "score.weight");
    const struct tensor *b = model_tensor(m, "score.bias");

    if (!w || !b)
        return err_set(e, E_INPUT, "not a reward model: it has no scalar head");
    for (size_t i = 0; i < w->rows * w->cols; i++)
        m->params[w->offset + i] = (float)(m->params[w->offset + i] * scale);
    m->params[b->offset] = (float)((m->params[b->offset] - mean) * scale);
    return OK;
}

static void moments(double *mean, double *deviation, const float *x, size_t n)
{
    double sum = 0, square = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - *mean) * (x[i] - *mean);
    *deviation = sqrt(square / (double)n);
}

static int centre(struct model *m, struct forward *f, const struct sequences *s, bool unit_variance,
    struct err *e)
{
    float *score = calloc(s->n + 1, sizeof *score);
    size_t tokens = 0, longest = 0;
    double mean, deviation;
    int rc = score ? OK : err_set(e, E_NOMEM, "no memory to calibrate");

    for (size_t i = 0; i < s->n; i++) {
        tokens += s->items[i].n_prompt;
        longest = s->items[i].n_prompt > longest ? s->items[i].n_prompt : longest;
    }
    if (rc == OK)
        rc = forward_scoring(f, s->n, tokens, longest, e);
    if (rc == OK)
        rc = score_rewards(score, f->c, m, s->items, s->n, e);

    if (rc == OK) {
        moments(&mean, &deviation, score, s->n);
        rc = set_head(m, mean, unit_variance && deviation > 0 ? 1 / deviation : 1, e);
    }
    if (rc == OK)
        rc = score_rewards(score, f->c, m, s->items, s->n, e);
    if (rc == OK) {
        moments(&mean, &deviation, score, s->n);
        if (!(fabs(mean) < 1e-3 * (1 + deviation)))
            rc = err_set(e, E_INVARIANT, "after calibration the mean score is %g, not 0", mean);
    }
    free(score);
    return rc;
}

static int measure_one(struct calibration *a, struct forward *f, const struct model *m,
    const RankingExample *x, struct err *e)
{
    struct scored_sequence s[RANKING_MAX];
    float score[RANKING_MAX];
    uint32_t tier[RANKING_MAX] = { 0 }, length[RANKING_MAX];
    struct ranked r = { score, tier, length, x->n_gold == x->n_rows ? x->gold : NULL, x->n_rows };

    if (x->n_rows > RANKING_MAX)
        return err_set(e, E_CORRUPT, "a prompt with %zu answers", x->n_rows);
    for (size_t i = 0; i < x->n_rows; i++) {
        s[i] = (struct scored_sequence){ (const int32_t *)x->rows[i]->tokens, NULL,
            x->rows[i]->n_tokens, 0 };
        length[i] = (uint32_t)x->rows[i]->n_tokens;
    }
    for (size_t k = 0; k < x->n_tiers; k++)
        for (size_t j = 0; j < x->tiers[k]->n_answers; j++)
            if (x->tiers[k]->answers[j] < x->n_rows)
                tier[x->tiers[k]->answers[j]] = (uint32_t)k;
    int rc = forward_ranked(f, x, e);
    if (rc == OK)
        rc = score_rewards(score, f->c, m, s, x->n_rows, e);
    if (rc == OK)
        calibration_add(a, &r);
    return rc;
}

static int tell(struct answer *out, const RewardReport *r, struct err *e)
{
    const struct {
        const char *name;
        double value;
        bool known;
    } metrics[] = {
        { "accuracy", r->accuracy ? r->accuracy->mean : 0, r->accuracy },
        { "accuracy_ci95", r->accuracy ? r->accuracy->ci95 : 0, r->accuracy },
        { "accuracy_ceiling", r->ceiling ? r->ceiling->mean : 0, r->ceiling },
        { "pairs", r->pairs, r->accuracy },
        { "calibration_error", r->calibration_error, r->has_calibration_error },
        { "length_bias", r->length_bias, r->has_length_bias },
    };
    int rc = OK;

    for (size_t i = 0; i < sizeof metrics / sizeof *metrics && rc == OK; i++)
        if (metrics[i].known)
            rc = answer_metric(out, metrics[i].name, metrics[i].value, e);
    return rc;
}

static int measure(RewardReport **out, struct forward *f, const struct model *m,
    const struct id *examples, struct err *e)
{
    struct calibration a = { 0 };
    struct records_reader *r = NULL;
    int rc = records_open(&r, f->c->store, examples, ARTIFACT_KIND__RANKING_EXAMPLES,
        &ranking_example__descriptor, e);

    while (rc == OK) {
        ProtobufCMessage *x = NULL;
        rc = records_next(r, &x, e);
        if (rc != OK || !x)
            break;
        if (((RankingExample *)x)->held_out)
            rc = measure_one(&a, f, m, (RankingExample *)x, e);
        message_free(x);
    }
    records_close(r);
    return rc == OK ? calibration_report(out, &a, e) : rc;
}

/* The model is changed: it is the task's own. */
static int admit(struct forward *f, const struct id *model, struct err *e)
{
    ModelConfig c;
    int rc = model_describe(&c, NULL, f->c->store, model, "", e);

    if (rc != OK)
        return rc;
    forward_made(f, &c);
    memory_add_loading(&f->need, artifact_writer_bytes(f->need.weights));
    return forward_admit(f, e);
}

int calibrate_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct sequences s = { 0 };
    struct forward f;
    struct model *m = NULL;
    RewardReport *report = NULL;
    struct id model, examples;
    Output *o = NULL;
    int rc = task_input(&model, spec, "model", e);

    if (rc == OK)
        rc = task_input(&examples, spec, "examples", e);
    forward_start(&f, c, "calibration");
    if (rc == OK)
        rc = admit(&f, &model, e);
    if (rc == OK)
        rc = model_load(&m, c->store, &model, "", e);
    if (rc == OK)
        rc = sequences_good_answers(&s, c, spec, m, e);
    if (rc == OK)
        rc = centre(m, &f, &s, spec->calibrate->unit_variance, e);
    if (rc == OK)
        rc = measure(&report, &f, m, &examples, e);
    if (rc == OK)
        rc = tell(out, report, e);
    if (rc == OK) {
        m->reward_report = report;
        rc = model_save(&o, m, c->store, "checkpoint", e);
    }
    if (rc == OK)
        rc = answer_output(out, o, e);
    if (rc == OK)
        rc = forward_metric(&f, out, e);
    sequences_free(&s);
    model_free(m);
    message_free(report);
    return rc;
}
