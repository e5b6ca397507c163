#include "workers/tasks/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "store/records.h"
#include "workers/tasks/judgements.h"
#include "workers/tasks/losses.h"
#include "workers/tasks/run.h"

/* Scores → report.json, report.md and report.html. Sums run in the order of models, shards and
 * records. */

struct stage_sum {
    struct judgements answers, best_of;
    double nats, bytes; /* of held-out text */
};

struct reporting {
    const struct task_context *c;
    const ReportTask *k;
    struct stage_sum *sums; /* of each model */
    Report *r;
    size_t model;    /* that is being read */
    size_t place[3]; /* next sample of the parts below, within this model */
};

static void *grow(void *p, size_t n, size_t size)
{
    return realloc(p, (n + 1) * size);
}

static ReportAnswer *answer_new(const char *stage, const Scored *x)
{
    ReportAnswer *a = malloc(sizeof *a);

    if (!a)
        return NULL;
    report_answer__init(a);
    a->stage = stage ? strdup(stage) : NULL;
    a->text = strdup(x->answer->text ? x->answer->text : "");
    a->has_ended = x->answer->has_ended;
    a->ended = x->answer->ended;
    a->has_gold = x->has_gold;
    a->gold = x->gold;
    a->has_reward = x->has_reward;
    a->reward = x->reward;
    return a;
}

static ReportSample *sample_new(const Prompt *p)
{
    ReportSample *s = malloc(sizeof *s);

    if (!s)
        return NULL;
    report_sample__init(s);
    s->prompt = strdup(p->n_turns ? p->turns[p->n_turns - 1]->text : "");
    s->lang = p->lang ? strdup(p->lang) : NULL;
    s->accepted = calloc(p->n_accepted + 1, sizeof *s->accepted);
    for (size_t i = 0; s->accepted && i < p->n_accepted; i++)
        s->accepted[s->n_accepted++] = strdup(p->accepted[i]);
    return s;
}

/* Puts x's answer into samples[at], which the first model makes. */
static int add_sample(struct reporting *y, ReportSample ***samples, size_t *n, size_t at,
    const Scored *x, struct err *e)
{
    if (at == *n) {
        ReportSample **more = grow(*samples, *n, sizeof *more);
        if (more)
            *samples = more;
        if (!more || !(more[*n] = sample_new(x->prompt)))
            return err_set(e, E_NOMEM, "no memory for a report");
        ++*n;
    }
    if (at >= *n)
        return OK;
    ReportSample *s = (*samples)[at];
    ReportAnswer **more = grow(s->answers, s->n_answers, sizeof *more);
    if (more)
        s->answers = more;
    if (!more || !(more[s->n_answers] = answer_new(y->k->models[y->model], x)))
        return err_set(e, E_NOMEM, "no memory for a report");
    s->n_answers++;
    return OK;
}

/* The first answer to each of the first prompts is shown side by side. Shards come one after the
 * other, so prompts do not come in order: places are made first. */
static int show_held_out(struct reporting *y, const Scored *x, struct err *e)
{
    Report *r = y->r;

    while (r->n_samples <= x->prompt_index) {
        ReportSample **more = grow(r->samples, r->n_samples, sizeof *more);
        if (more)
            r->samples = more;
        if (!more || !(more[r->n_samples] = sample_new(x->prompt)))
            return err_set(e, E_NOMEM, "no memory for a report");
        r->n_samples++;
    }
    if (r->samples[x->prompt_index]->n_answers == 0) {
        ReportSample *fresh = sample_new(x->prompt);
        if (!fresh)
            return err_set(e, E_NOMEM, "no memory for a report");
        message_free(r->samples[x->prompt_index]);
        r->samples[x->prompt_index] = fresh;
    }
    return add_sample(y, &r->samples, &r->n_samples, x->prompt_index, x, e);
}

static int add_held_out(struct reporting *y, const Scored *x, struct err *e)
{
    int rc = OK;

    if (x->prompt_index < y->k->evaluate->side_by_side) {
        const ReportSample *s =
            x->prompt_index < y->r->n_samples ? y->r->samples[x->prompt_index] : NULL;
        if (!s || s->n_answers <= y->model)
            rc = show_held_out(y, x, e);
    }
    return rc == OK ? judgements_add(&y->sums[y->model].answers, x, e) : rc;
}

static int add_next(struct reporting *y, Scored *x, struct err *e)
{
    ReportNextToken **more = grow(y->r->next_tokens, y->r->n_next_tokens, sizeof *more);
    ReportNextToken *t = more ? malloc(sizeof *t) : NULL;

    if (more)
        y->r->next_tokens = more;
    if (!t)
        return err_set(e, E_NOMEM, "no memory for a report");
    report_next_token__init(t);
    t->text = strdup(x->prompt->turns[0]->text);
    t->stage = strdup(y->k->models[y->model]);
    t->next = x->next; /* moved */
    t->n_next = x->n_next;
    x->next = NULL;
    x->n_next = 0;
    more[y->r->n_next_tokens++] = t;
    return OK;
}

/* The reward model is the same for every model: the first one's examples are shown. */
static int add_reward_example(struct reporting *y, const Scored *x, struct err *e)
{
    Report *r = y->r;
    const char *prompt = x->prompt->turns[0]->text;
    ReportScores *s = r->n_reward_examples ? r->reward_examples[r->n_reward_examples - 1] : NULL;

    if (y->model > 0)
        return OK;
    if (!s || strcmp(s->prompt, prompt) != 0) {
        ReportScores **more = grow(r->reward_examples, r->n_reward_examples, sizeof *more);
        if (more)
            r->reward_examples = more;
        if (!more || !(s = malloc(sizeof *s)))
            return err_set(e, E_NOMEM, "no memory for a report");
        report_scores__init(s);
        s->prompt = strdup(prompt);
        more[r->n_reward_examples++] = s;
    }
    ReportAnswer **answers = grow(s->answers, s->n_answers, sizeof *answers);
    if (answers)
        s->answers = answers;
    if (!answers || !(answers[s->n_answers] = answer_new(NULL, x)))
        return err_set(e, E_NOMEM, "no memory for a report");
    s->n_answers++;
    return OK;
}

/* A point of the model's practice; the first one begins its curve. */
static int add_point(struct reporting *y, Scored *x, struct err *e)
{
    Report *r = y->r;
    const char *stage = y->k->models[y->model];
    ReportCurve *c = r->n_curves ? r->curves[r->n_curves - 1] : NULL;

    if (!x->curve)
        return err_set(e, E_CORRUPT, "a point of a curve that is not there");
    if (!c || strcmp(c->stage, stage) != 0) {
        ReportCurve **more = grow(r->curves, r->n_curves, sizeof *more);
        if (more)
            r->curves = more;
        if (!more || !(c = malloc(sizeof *c)))
            return err_set(e, E_NOMEM, "no memory for a report");
        report_curve__init(c);
        c->stage = strdup(stage);
        more[r->n_curves++] = c;
    }
    CurvePoint **more = grow(c->points, c->n_points, sizeof *more);
    if (!more)
        return err_set(e, E_NOMEM, "no memory for a report");
    c->points = more;
    more[c->n_points++] = x->curve; /* moved */
    x->curve = NULL;
    return OK;
}

/* The same for every model: the first one's is kept. */
static int add_reward_model(struct reporting *y, Scored *x)
{
    if (!y->r->reward_model) {
        y->r->reward_model = x->reward_model; /* moved */
        x->reward_model = NULL;
    }
    return OK;
}

static int add_scored(struct reporting *y, Scored *x, struct err *e)
{
    struct stage_sum *s = &y->sums[y->model];

    if (strcmp(x->part, "text") == 0) {
        s->nats += x->nats;
        s->bytes += (double)x->bytes;
        return OK;
    }
    if (strcmp(x->part, "curve") == 0)
        return add_point(y, x, e);
    if (strcmp(x->part, "reward_model") == 0)
        return add_reward_model(y, x);
    if (!x->prompt || (!x->answer && !x->n_next))
        return err_set(e, E_CORRUPT, "a score without prompt or answer");
    if (strcmp(x->part, "heldout") == 0)
        return add_held_out(y, x, e);
    if (strcmp(x->part, "best_of") == 0)
        return judgements_add(&s->best_of, x, e);
    if (strcmp(x->part, "say") == 0)
        return add_sample(y, &y->r->say, &y->r->n_say, y->place[0]++, x, e);
    if (strcmp(x->part, "outside") == 0)
        return add_sample(y, &y->r->outside, &y->r->n_outside, y->place[1]++, x, e);
    if (strcmp(x->part, "next_token") == 0)
        return add_next(y, x, e);
    return add_reward_example(y, x, e);
}

static int read_scores(struct reporting *y, const struct id *id, struct err *e)
{
    struct records_reader *r = NULL;
    int rc = records_open(&r, y->c->store, id, ARTIFACT_KIND__SCORES, &scored__descriptor, e);

    while (rc == OK) {
        ProtobufCMessage *m = NULL;
        rc = records_next(r, &m, e);
        if (rc != OK || !m)
            break;
        rc = add_scored(y, (Scored *)m, e);
        message_free(m);
    }
    records_close(r);
    return rc;
}

/* Sets a mean and its interval where the stage has them. */
static void set_mean(protobuf_c_boolean *has, double *mean, protobuf_c_boolean *has_ci95,
    double *ci95, const struct judgements *j, enum measure m)
{
    *has = *has_ci95 = judgements_mean(mean, ci95, j, m);
}

static void set_means(ReportStage *t, const struct judgements *j)
{
    set_mean(&t->has_right_answers, &t->right_answers, &t->has_right_answers_ci95,
        &t->right_answers_ci95, j, MEASURE_RIGHT);
    set_mean(&t->has_answers_at_all, &t->answers_at_all, &t->has_answers_at_all_ci95,
        &t->answers_at_all_ci95, j, MEASURE_ANSWERS);
    set_mean(&t->has_reward, &t->reward, &t->has_reward_ci95, &t->reward_ci95, j, MEASURE_REWARD);
    set_mean(&t->has_kl, &t->kl, &t->has_kl_ci95, &t->kl_ci95, j, MEASURE_KL);
    set_mean(&t->has_length, &t->length, &t->has_length_ci95, &t->length_ci95, j, MEASURE_LENGTH);
    set_mean(
        &t->has_end_rate, &t->end_rate, &t->has_end_rate_ci95, &t->end_rate_ci95, j, MEASURE_ENDED);
    set_mean(&t->has_repetition_rate, &t->repetition_rate, &t->has_repetition_rate_ci95,
        &t->repetition_rate_ci95, j, MEASURE_REPETITION);
}

/* *out stays NULL where there is nothing to say. */
static int set_interval(Interval **out, bool known, double mean, double ci95, struct err *e)
{
    if (!known)
        return OK;
    if (!(*out = malloc(sizeof **out)))
        return err_set(e, E_NOMEM, "no memory for a report");
    interval__init(*out);
    (*out)->has_mean = (*out)->has_ci95 = true;
    (*out)->mean = mean;
    (*out)->ci95 = ci95;
    return OK;
}

/* The model that KL is measured to, when it is among those evaluated and another one. */
static const struct judgements *compared_with(const struct reporting *y, size_t model)
{
    const char *name = y->k->reference;

    for (size_t i = 0; name && i < y->k->n_models; i++)
        if (strcmp(y->k->models[i], name) == 0)
            return i != model ? &y->sums[i].answers : NULL;
    return NULL;
}

static int set_preferences(
    ReportStage *t, const struct judgements *j, const struct judgements *other, struct err *e)
{
    double mean = 0, ci95 = 0;
    bool known = other && judgements_win(&mean, &ci95, j, other, MEASURE_GOLD);
    int rc = set_interval(&t->preferred_by_gold, known, mean, ci95, e);

    known = other && judgements_win(&mean, &ci95, j, other, MEASURE_REWARD);
    return rc == OK ? set_interval(&t->preferred_by_reward, known, mean, ci95, e) : rc;
}

/* 1, 2, 4 … and n itself. */
static int add_best_of(ReportStage *t, const struct judgements *j, uint32_t n, struct err *e)
{
    ReportBestOf **more = grow(t->best_of, t->n_best_of, sizeof *more);
    ReportBestOf *b = more ? malloc(sizeof *b) : NULL;
    double mean, ci95;

    if (more)
        t->best_of = more;
    if (!b)
        return err_set(e, E_NOMEM, "no memory for a report");
    report_best_of__init(b);
    more[t->n_best_of++] = b;
    b->has_n = b->has_kl = true;
    b->n = n;
    b->kl = best_of_n_kl(n);
    bool known = judgements_best(&mean, &ci95, j, MEASURE_REWARD, n);
    int rc = set_interval(&b->reward, known, mean, ci95, e);
    known = judgements_best(&mean, &ci95, j, MEASURE_GOLD, n);
    return rc == OK ? set_interval(&b->gold, known, mean, ci95, e) : rc;
}

static int set_best_of(ReportStage *t, const struct judgements *j, uint32_t n, struct err *e)
{
    int rc = OK;

    for (uint32_t k = 1; k < n && rc == OK; k *= 2)
        rc = add_best_of(t, j, k, e);
    return rc == OK && n > 1 ? add_best_of(t, j, n, e) : rc;
}

static int add_stage(struct reporting *y, size_t model, struct err *e)
{
    struct stage_sum *s = &y->sums[model];
    ReportStage **more = grow(y->r->stages, y->r->n_stages, sizeof *more);
    ReportStage *t = more ? malloc(sizeof *t) : NULL;
    double mean, ci95;

    if (more)
        y->r->stages = more;
    if (!t)
        return err_set(e, E_NOMEM, "no memory for a report");
    report_stage__init(t);
    more[y->r->n_stages++] = t;
    t->name = strdup(y->k->models[model]);
    t->has_answers = t->has_prompts = true;
    t->answers = (uint32_t)s->answers.n;
    t->prompts = (uint32_t)judgements_prompts(&s->answers);
    set_means(t, &s->answers);
    if ((t->has_bits_per_byte = s->bytes > 0))
        t->bits_per_byte = s->nats / M_LN2 / s->bytes;
    bool known = judgements_mean(&mean, &ci95, &s->answers, MEASURE_GOLD);
    int rc = set_interval(&t->gold, known, mean, ci95, e);
    if (rc == OK)
        rc = set_preferences(t, &s->answers, compared_with(y, model), e);
    return rc == OK ? set_best_of(t, &s->best_of, y->k->evaluate->best_of, e) : rc;
}

/* All stages: the last one's answers are sorted before the first is compared with them. */
static int add_stages(struct reporting *y, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < y->k->n_models && rc == OK; i++) {
        rc = judgements_sort(&y->sums[i].answers, e);
        if (rc == OK)
            rc = judgements_sort(&y->sums[i].best_of, e);
    }
    for (size_t i = 0; i < y->k->n_models && rc == OK; i++)
        rc = add_stage(y, i, e);
    for (size_t i = 0; i < y->r->n_curves && rc == OK; i++)
        rc = report_curve_peak(y->r->curves[i], e);
    return rc;
}

static int write_report(struct answer *out, struct reporting *y, struct err *e)
{
    struct records_writer *w = NULL;
    struct buf json = { 0 }, markdown = { 0 }, html = { 0 };
    Output *o = NULL;
    int rc = json_message(&json, &y->r->base, true);

    if (rc == OK)
        rc = report_markdown(&markdown, y->r);
    if (rc == OK)
        rc = report_html(&html, y->r);
    if (rc != OK)
        err_set(e, rc, "writing the report");
    if (rc == OK)
        rc = records_create(&w, y->c->store, ARTIFACT_KIND__REPORT, e);
    if (rc == OK)
        rc = files_add(w, "report.json", json.p, json.n, e);
    if (rc == OK)
        rc = files_add(w, "report.md", markdown.p, markdown.n, e);
    if (rc == OK)
        rc = files_add(w, "report.html", html.p, html.n, e);
    if (rc == OK) {
        rc = records_commit(w, "report", &o, e);
        w = NULL;
    }
    records_abort(w);
    buf_free(&json);
    buf_free(&markdown);
    buf_free(&html);
    return rc == OK ? answer_output(out, o, e) : rc;
}

static int last_metrics(struct answer *out, const Report *r, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < r->n_stages && rc == OK; i++) {
        char name[96];
        snprintf(name, sizeof name, "gold/%s", r->stages[i]->name);
        if (r->stages[i]->gold)
            rc = answer_metric(out, name, r->stages[i]->gold->mean, e);
    }
    return rc;
}

int report_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct reporting y = { .c = c, .k = spec->report };
    size_t n = task_inputs(spec, "scores", NULL, 0), models = spec->report->n_models;
    struct id *ids = calloc(n + 1, sizeof *ids);
    int rc = OK;

    y.sums = calloc(models + 1, sizeof *y.sums);
    y.r = malloc(sizeof *y.r);
    if (!ids || !y.sums || !y.r)
        rc = err_set(e, E_NOMEM, "no memory for a report");
    if (rc == OK) {
        report__init(y.r);
        y.r->has_schema = y.r->has_temperature = true;
        y.r->temperature = spec->report->evaluate->temperature;
        if (spec->report->reference)
            y.r->kl_reference = strdup(spec->report->reference);
        task_inputs(spec, "scores", ids, n);
        if (n != models * spec->report->shards)
            rc = err_set(e, E_PROTOCOL, "%zu scores for %zu models in %u shards", n, models,
                spec->report->shards);
    }
    for (size_t i = 0; i < n && rc == OK; i++) {
        y.model = i / spec->report->shards;
        if (i % spec->report->shards == 0)
            memset(y.place, 0, sizeof y.place);
        rc = read_scores(&y, &ids[i], e);
    }
    if (rc == OK)
        rc = add_stages(&y, e);
    if (rc == OK)
        rc = write_report(out, &y, e);
    if (rc == OK)
        rc = last_metrics(out, y.r, e);
    for (size_t i = 0; y.sums && i < models; i++) {
        judgements_free(&y.sums[i].answers);
        judgements_free(&y.sums[i].best_of);
    }
    free(y.sums);
    free(ids);
    message_free(y.r);
    return rc;
}
