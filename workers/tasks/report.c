#include "workers/tasks/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "store/records.h"
#include "workers/tasks/losses.h"
#include "workers/tasks/run.h"

/* Scores → report.json and report.md. Sums run in the order of models, shards and records. */

struct stage_sum {
    double n, right, answers, reward, kl, length, ended, repetition, nats, bytes;
    double gold_n, reward_n, kl_n;
    double *gold; /* per prompt: sum, then mean */
    double *count;
    size_t prompts; /* room */
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

static int sum_prompt(struct stage_sum *s, size_t prompt, double gold, struct err *e)
{
    if (prompt >= s->prompts) {
        size_t n = prompt + 64;
        double *a = realloc(s->gold, n * sizeof *a),
               *b = a ? realloc(s->count, n * sizeof *b) : NULL;
        if (a)
            s->gold = a;
        if (!b)
            return err_set(e, E_NOMEM, "no memory for a report");
        s->count = b;
        for (size_t i = s->prompts; i < n; i++)
            s->gold[i] = s->count[i] = 0;
        s->prompts = n;
    }
    s->gold[prompt] += gold;
    s->count[prompt] += 1;
    return OK;
}

static int sum_answer(struct stage_sum *s, const Scored *x, struct err *e)
{
    s->n += 1;
    s->length += x->length;
    s->ended += x->answer->ended;
    s->repetition += x->repetition;
    if (x->has_reward) {
        s->reward += x->reward;
        s->reward_n += 1;
    }
    if (x->has_kl) {
        s->kl += x->kl;
        s->kl_n += 1;
    }
    if (x->has_gold) {
        s->right += x->right;
        s->answers += x->answers;
        s->gold_n += 1;
    }
    return sum_prompt(s, x->prompt_index, x->gold, e);
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
    return rc == OK ? sum_answer(&y->sums[y->model], x, e) : rc;
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

static int add_scored(struct reporting *y, Scored *x, struct err *e)
{
    struct stage_sum *s = &y->sums[y->model];

    if (strcmp(x->part, "text") == 0) {
        s->nats += x->nats;
        s->bytes += (double)x->bytes;
        return OK;
    }
    if (!x->prompt || (!x->answer && !x->n_next))
        return err_set(e, E_CORRUPT, "a score without prompt or answer");
    if (strcmp(x->part, "heldout") == 0)
        return add_held_out(y, x, e);
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

static void set_share(protobuf_c_boolean *has, double *out, double sum, double n)
{
    *has = n > 0;
    *out = n > 0 ? sum / n : 0;
}

static int add_stage(struct reporting *y, size_t model, struct err *e)
{
    struct stage_sum *s = &y->sums[model];
    ReportStage **more = grow(y->r->stages, y->r->n_stages, sizeof *more);
    ReportStage *t = more ? malloc(sizeof *t) : NULL;

    if (more)
        y->r->stages = more;
    if (!t)
        return err_set(e, E_NOMEM, "no memory for a report");
    report_stage__init(t);
    more[y->r->n_stages++] = t;
    t->name = strdup(y->k->models[model]);
    t->has_answers = t->has_prompts = true;
    t->answers = (uint32_t)s->n;
    set_share(&t->has_right_answers, &t->right_answers, s->right, s->gold_n);
    set_share(&t->has_answers_at_all, &t->answers_at_all, s->answers, s->gold_n);
    set_share(&t->has_reward, &t->reward, s->reward, s->reward_n);
    set_share(&t->has_kl, &t->kl, s->kl, s->kl_n);
    set_share(&t->has_length, &t->length, s->length, s->n);
    set_share(&t->has_end_rate, &t->end_rate, s->ended, s->n);
    set_share(&t->has_repetition_rate, &t->repetition_rate, s->repetition, s->n);
    set_share(&t->has_bits_per_byte, &t->bits_per_byte, s->nats / M_LN2, s->bytes);
    size_t n = 0;
    for (size_t i = 0; i < s->prompts; i++)
        if (s->count[i] > 0)
            s->gold[n++] = s->gold[i] / s->count[i];
    t->prompts = (uint32_t)n;
    if (s->gold_n == 0)
        return OK;
    if (!(t->gold = malloc(sizeof *t->gold)))
        return err_set(e, E_NOMEM, "no memory for a report");
    interval__init(t->gold);
    t->gold->has_mean = t->gold->has_ci95 = true;
    mean_ci95(&t->gold->mean, &t->gold->ci95, s->gold, n);
    return OK;
}

static int write_report(struct answer *out, struct reporting *y, struct err *e)
{
    struct records_writer *w = NULL;
    struct buf json = { 0 }, markdown = { 0 };
    Output *o = NULL;
    int rc = json_message(&json, &y->r->base, true);

    if (rc == OK)
        rc = report_markdown(&markdown, y->r);
    if (rc != OK)
        err_set(e, rc, "writing the report");
    if (rc == OK)
        rc = records_create(&w, y->c->store, ARTIFACT_KIND__REPORT, e);
    if (rc == OK)
        rc = files_add(w, "report.json", json.p, json.n, e);
    if (rc == OK)
        rc = files_add(w, "report.md", markdown.p, markdown.n, e);
    if (rc == OK) {
        rc = records_commit(w, "report", &o, e);
        w = NULL;
    }
    records_abort(w);
    buf_free(&json);
    buf_free(&markdown);
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
        y.r->has_schema = true;
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
    for (size_t i = 0; i < models && rc == OK; i++)
        rc = add_stage(&y, i, e);
    if (rc == OK)
        rc = write_report(out, &y, e);
    if (rc == OK)
        rc = last_metrics(out, y.r, e);
    for (size_t i = 0; y.sums && i < models; i++) {
        free(y.sums[i].gold);
        free(y.sums[i].count);
    }
    free(y.sums);
    free(ids);
    message_free(y.r);
    return rc;
}
