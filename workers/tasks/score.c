#include "workers/tasks/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/tasks/forward.h"
#include "workers/tasks/prompt_set.h"
#include "workers/tasks/rubric.h"
#include "workers/tasks/sampled.h"
#include "workers/tasks/scorer.h"
#include "workers/tasks/sequences.h"
#include "workers/tasks/warm.h"
#include "workers/text/documents.h"

/* One shard of one model's part of an evaluation: sample, judge, measure. What is about no prompt
 * of the set (what it says to given prompts, next tokens, the reward model's examples) is done by
 * shard 0. */

struct scoring {
    const struct task_context *c;
    const TaskSpec *spec;
    const ScoreTask *k;
    struct id model;
    const struct model *m, *reference, *reward; /* the last two may be NULL */
    const struct tokenizer *t;
    struct records_writer *w;
    struct forward forward;
};

/* Counts the models before the first is loaded, and the passes that text takes. */
static int admit_models(struct scoring *x, struct err *e)
{
    struct forward *f = &x->forward;
    struct id id;
    int rc = forward_model(f, &x->model, "", e);

    if (rc == OK && task_inputs(x->spec, "reference", &id, 1) == 1)
        rc = forward_model(f, &id, "", e);
    if (rc == OK && task_inputs(x->spec, "reward_model", &id, 1) == 1)
        rc = forward_model(f, &id, "", e);
    if (rc != OK)
        return rc;
    f->scores = f->n > 1;
    forward_packs(f, x->k->evaluate->precision);
    rc = forward_admit(f, e);
    if (rc == OK && task_inputs(x->spec, "text", NULL, 0) > 0) {
        size_t context = f->models[0].config.context;
        rc = forward_scoring(f, 1, context, context, e);
    }
    return rc;
}

static int open_models(struct scoring *x, struct err *e)
{
    struct id id;
    int rc = task_input(&x->model, x->spec, "model", e);

    if (rc == OK)
        rc = admit_models(x, e);
    if (rc == OK)
        rc = warm_model(&x->m, x->c, &x->model, "", e);
    if (rc == OK && task_inputs(x->spec, "reference", &id, 1) == 1)
        rc = warm_model(&x->reference, x->c, &id, "", e);
    if (rc == OK && task_inputs(x->spec, "reward_model", &id, 1) == 1)
        rc = warm_model(&x->reward, x->c, &id, "", e);
    if (rc == OK)
        rc = warm_tokenizer(&x->t, x->c, &x->m->tokenizer, e);
    if (rc == OK && ((x->reference && !id_equal(&x->reference->tokenizer, &x->m->tokenizer)) ||
                        (x->reward && !id_equal(&x->reward->tokenizer, &x->m->tokenizer))))
        rc = err_set(
            e, E_INPUT, "the model, its reference and the reward model must share a tokenizer");
    return rc;
}

struct measures {
    struct scored_sequence *s;
    float *reward, *all, **own, **ref;
    double *kl;
};

static void measures_free(struct measures *m)
{
    free(m->s);
    free(m->reward);
    free(m->all);
    free(m->own);
    free(m->ref);
    free(m->kl);
}

/* KL to the reference and the reward model's score of every answer. */
static int measure(struct measures *y, struct scoring *x, const struct sampled *a, struct err *e)
{
    size_t n = a->n * a->each, room = x->k->evaluate->max_new_tokens;
    double temperature = x->k->evaluate->temperature;
    const struct scorer_options how = { sampler_is_greedy(temperature) ? 1 : temperature,
        PRECISION__FP32 };
    int rc = OK;

    y->s = calloc(n + 1, sizeof *y->s);
    y->reward = calloc(n + 1, sizeof *y->reward);
    y->all = calloc(2 * n + 1, room * sizeof *y->all);
    y->own = calloc(n + 1, sizeof *y->own);
    y->ref = calloc(n + 1, sizeof *y->ref);
    y->kl = calloc(n + 1, sizeof *y->kl);
    if (!y->s || !y->reward || !y->all || !y->own || !y->ref || !y->kl)
        return err_set(e, E_NOMEM, "no memory to measure %zu answers", n);
    for (size_t i = 0; i < n; i++) {
        const struct generation *g = &a->g[i];
        y->s[i] = (struct scored_sequence){ g->prompt, g->tokens, g->n_prompt, g->n_tokens };
        y->own[i] = y->all + i * room;
        y->ref[i] = y->all + (n + i) * room;
    }
    if (x->reference)
        rc = score_log_probs(y->own, x->c, x->m, y->s, n, &how, e);
    if (x->reference && rc == OK)
        rc = score_log_probs(y->ref, x->c, x->reference, y->s, n, &how, e);
    if (x->reward && rc == OK)
        rc = score_rewards(y->reward, x->c, x->reward, y->s, n, e);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < y->s[i].n_answer; k++)
            y->kl[i] += (double)y->own[i][k] - y->ref[i][k];
    return rc;
}

static int write_scored(struct scoring *x, const struct prompt_set *set, const struct sampled *a,
    const struct measures *y, const char *part, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < a->n * a->each && rc == OK; i++) {
        Scored s = SCORED__INIT;
        s.has_prompt_index = s.has_length = s.has_repetition = true;
        s.prompt_index = (uint32_t)a->prompt[i / a->each];
        s.prompt = set->prompts[s.prompt_index];
        s.answer = a->answers[i];
        s.length = (uint32_t)a->g[i].n_tokens;
        s.repetition = repetition(s.answer->text);
        if (x->k->rubric && rubric_applies(x->k->rubric, s.prompt)) {
            struct judgement j =
                rubric_judge(x->k->rubric, s.prompt, s.answer->text, s.answer->ended);
            s.has_gold = true;
            s.has_right = s.prompt->n_accepted > 0; /* rules know no right and wrong */
            s.has_answers = x->k->rubric->n_asking_back > 0;
            s.gold = j.gold;
            s.right = j.right;
            s.answers = j.answers;
        }
        s.has_reward = x->reward != NULL;
        s.reward = y->reward[i];
        s.has_kl = x->reference != NULL;
        s.kl = y->kl[i];
        s.part = (char *)part;
        rc = records_add(x->w, &s.base, e);
    }
    return rc;
}

/* What the prompts of a set are answered for: shard, shard + shards, …, `each` times. Draws of
 * another stream are other ones. */
struct purpose {
    const char *part;
    size_t shard, shards, each;
    uint32_t stream;
};

static int answer_prompts(
    struct scoring *x, const struct prompt_set *set, struct purpose why, struct err *e)
{
    const EvaluateStage *v = x->k->evaluate;
    struct generator_options o =
        generator_options_for(x->t, x->spec->seed, why.stream, v->max_new_tokens);
    struct sampled a = { 0 };
    struct measures y = { 0 };
    int rc;

    o.sampler.temperature = v->temperature;
    generator_ban_specials(&o, x->t);
    rc = warm_panels(&o, x->c, x->m, &x->model, "", v->precision, e);
    if (rc == OK)
        rc = sampled_make(&a, &x->forward, x->m, x->t, set, why.shard, why.shards, why.each, &o, e);
    if (rc == OK)
        rc = measure(&y, x, &a, e);
    if (rc == OK)
        rc = write_scored(x, set, &a, &y, why.part, e);
    measures_free(&y);
    sampled_free(&a);
    return rc;
}

static int answer_held_out(struct answer *out, struct scoring *x, struct err *e)
{
    const EvaluateStage *v = x->k->evaluate;
    struct prompt_set set = { 0 };
    struct id files;
    int rc = task_input(&files, x->spec, "prompts", e);

    if (rc == OK)
        rc = prompt_set_load(&set, x->c, &files, x->m, v->max_new_tokens, v->limit, e);
    struct purpose plain = { "heldout", x->k->shard, x->k->shards, v->answers_per_prompt, 0 };
    struct purpose picked = { "best_of", x->k->shard, x->k->shards, v->best_of, 1 };
    if (rc == OK)
        rc = answer_prompts(x, &set, plain, e);
    if (rc == OK && x->reward && v->best_of > 1)
        rc = answer_prompts(x, &set, picked, e);
    if (rc == OK)
        rc = answer_intake(out, set.intake, e);
    prompt_set_free(&set);
    return rc;
}

static int answer_said(struct scoring *x, struct err *e)
{
    const EvaluateStage *v = x->k->evaluate;
    struct prompt_set set = { 0 };
    int rc = OK;

    for (size_t i = 0; i < v->n_say && rc == OK; i++)
        rc = prompt_set_add_text(&set, x->t, "say", v->say[i], e);
    if (rc == OK && set.n > 0)
        rc = answer_prompts(x, &set, (struct purpose){ "say", 0, 1, 1, 0 }, e);
    prompt_set_free(&set);
    return rc;
}

static int answer_outside(struct scoring *x, struct err *e)
{
    struct prompt_set set = { 0 };
    struct id files;

    if (task_inputs(x->spec, "outside", &files, 1) != 1)
        return OK;
    int rc = prompt_set_load(&set, x->c, &files, x->m, x->k->evaluate->max_new_tokens, 0, e);
    if (rc == OK)
        rc = answer_prompts(x, &set, (struct purpose){ "outside", 0, 1, 1, 0 }, e);
    prompt_set_free(&set);
    return rc;
}

/* The distribution of the token after a text, the likeliest ten. */
static int next_tokens(struct scoring *x, const char *text, struct err *e)
{
    enum { SHOWN = 10 };
    size_t vocab = tokenizer_size(x->t);
    struct ids ids = { 0 };
    struct workspace *w = NULL;
    TokenProbability items[SHOWN], *pointers[SHOWN];
    Scored s = SCORED__INIT;
    Prompt p = PROMPT__INIT;
    Turn turn = TURN__INIT, *turns[] = { &turn };
    float *logits = calloc(2 * vocab, sizeof *logits);
    int32_t *scratch = calloc(vocab, sizeof *scratch);
    struct sampler plain = { .temperature = 1, .top_p = 1 };
    int rc = logits && scratch ? prompt_tokens(&ids, x->t, NULL, 0, e)
                               : err_set(e, E_NOMEM, "no memory");

    if (rc == OK) /* the bare text: no template */
        rc = tokenizer_encode(x->t, &ids, text, strlen(text), e);
    if (rc == OK)
        rc = forward_scoring(&x->forward, 1, ids.n, ids.n, e);
    if (rc == OK)
        rc = workspace_new(&w, &x->m->config, ids.n, false, e);
    if (rc == OK) {
        uint32_t start[] = { 0, (uint32_t)ids.n };
        struct batch b = { 1, ids.n, start, ids.p, NULL, NULL };
        transformer_forward(w, x->c->engine, x->m, &b);
        transformer_logits(w, x->c->engine, x->m, ids.n - 1, logits);
        sampler_probabilities(logits + vocab, logits, vocab, &plain, scratch);
        for (int i = 0; i < SHOWN; i++) {
            size_t best = 0;
            for (size_t k = 1; k < vocab; k++)
                if (logits[vocab + k] > logits[vocab + best])
                    best = k;
            struct span bytes = tokenizer_bytes(x->t, (int32_t)best);
            token_probability__init(&items[i]);
            items[i].has_id = items[i].has_token = items[i].has_probability = true;
            items[i].id = (uint32_t)best;
            items[i].token = (ProtobufCBinaryData){ bytes.n, (uint8_t *)(uintptr_t)bytes.p };
            items[i].probability = logits[vocab + best];
            pointers[i] = &items[i];
            logits[vocab + best] = -1;
        }
        turn.text = (char *)text;
        p.turns = turns;
        p.n_turns = 1;
        s.prompt = &p;
        s.part = "next_token";
        s.next = pointers;
        s.n_next = SHOWN;
        rc = records_add(x->w, &s.base, e);
    }
    workspace_free(w);
    ids_free(&ids);
    free(logits);
    free(scratch);
    return rc;
}

static int reward_example(struct scoring *x, const RewardExample *v, struct err *e)
{
    Turn turn = TURN__INIT, *turns[] = { &turn };
    Prompt p = PROMPT__INIT;
    int rc = OK;

    turn.has_role = true;
    turn.role = ROLE__USER;
    turn.text = v->prompt;
    p.turns = turns;
    p.n_turns = 1;
    for (size_t i = 0; i < v->n_answers && rc == OK; i++) {
        struct ids ids = { 0 };
        Answer a = ANSWER__INIT;
        Scored s = SCORED__INIT;
        float score = 0;
        a.text = v->answers[i];
        rc = prompt_tokens(&ids, x->t, turns, 1, e);
        if (rc == OK)
            rc = answer_tokens(&ids, x->t, &a, e);
        struct scored_sequence q = { ids.p, NULL, ids.n, 0 };
        if (rc == OK)
            rc = forward_scoring(&x->forward, 1, ids.n, ids.n, e);
        if (rc == OK)
            rc = score_rewards(&score, x->c, x->reward, &q, 1, e);
        s.prompt = &p;
        s.answer = &a;
        s.part = "reward_example";
        s.has_reward = true;
        s.reward = score;
        if (rc == OK)
            rc = records_add(x->w, &s.base, e);
        ids_free(&ids);
    }
    return rc;
}

/* ---- bits per byte of held-out text ---- */

struct text_scoring {
    struct scoring *x;
    uint64_t document;
    double nats;
    uint64_t bytes;
};

/* A document's windows of `context` predictions, the first begun by end-of-text. */
static int score_document(void *ctx, const char *text, size_t n, struct err *e)
{
    struct text_scoring *y = ctx;
    struct scoring *x = y->x;
    size_t context = x->m->config.context;
    struct ids ids = { 0 };

    if (!held_out(text, n, x->k->evaluate->held_out) || y->document++ % x->k->shards != x->k->shard)
        return OK;
    int rc = prompt_tokens(&ids, x->t, NULL, 0, e);
    if (rc == OK)
        rc = tokenizer_encode(x->t, &ids, text, n, e);
    for (size_t at = 0; at + 1 < ids.n && rc == OK; at += context - 1) {
        size_t size = ids.n - at < context ? ids.n - at : context;
        float *row = calloc(size, sizeof *row);
        struct scored_sequence s = { ids.p + at, ids.p + at + 1, 1, size - 1 };
        rc = row ? score_log_probs(
                       &row, x->c, x->m, &s, 1, &(struct scorer_options){ 1, PRECISION__FP32 }, e)
                 : err_set(e, E_NOMEM, "no memory");
        for (size_t i = 0; i + 1 < size && rc == OK; i++)
            y->nats -= row[i];
        free(row);
    }
    y->bytes += n;
    ids_free(&ids);
    return rc;
}

static int score_text(struct scoring *x, struct err *e)
{
    size_t n = task_inputs(x->spec, "text", NULL, 0);
    struct id *ids = calloc(n + 1, sizeof *ids);
    struct text_scoring y = { .x = x };
    struct intake *im = NULL;
    Scored s = SCORED__INIT;
    int rc = ids ? intake_new(&im, e) : err_set(e, E_NOMEM, "no memory");

    if (rc == OK)
        task_inputs(x->spec, "text", ids, n);
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = documents_each(im, x->c->store, &ids[i], score_document, &y, e);
    intake_free(im);
    free(ids);
    if (rc != OK || y.bytes == 0)
        return rc;
    s.part = "text";
    s.has_nats = s.has_bytes = true;
    s.nats = y.nats;
    s.bytes = y.bytes;
    return records_add(x->w, &s.base, e);
}

/* ---- what the checkpoints say of themselves ---- */

/* The model's practice, iteration by iteration. */
static int copy_curve(struct scoring *x, const CheckpointHeader *h, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < h->n_curve && rc == OK; i++) {
        Scored s = SCORED__INIT;
        s.part = "curve";
        s.curve = h->curve[i];
        rc = records_add(x->w, &s.base, e);
    }
    return rc;
}

static int copy_reward_report(struct scoring *x, const CheckpointHeader *h, struct err *e)
{
    Scored s = SCORED__INIT;

    if (!h->reward_report)
        return OK;
    s.part = "reward_model";
    s.reward_model = h->reward_report;
    return records_add(x->w, &s.base, e);
}

static int copy_header(struct scoring *x, const char *input,
    int (*copy)(struct scoring *x, const CheckpointHeader *h, struct err *e), struct err *e)
{
    struct checkpoint_reader *r = NULL;
    struct id id;

    if (task_inputs(x->spec, input, &id, 1) != 1)
        return OK;
    int rc = checkpoint_open(&r, x->c->store, &id, e);
    if (rc == OK)
        rc = copy(x, checkpoint_header(r), e);
    checkpoint_close(r);
    return rc;
}

int score_run(struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct scoring x = { .c = c, .spec = spec, .k = spec->score };
    const EvaluateStage *v = spec->score->evaluate;
    Output *o = NULL;
    int rc;

    forward_start(&x.forward, c, "evaluation");
    rc = open_models(&x, e);
    if (rc == OK)
        rc = records_create(&x.w, c->store, ARTIFACT_KIND__SCORES, e);
    if (rc == OK)
        rc = answer_held_out(out, &x, e);
    if (rc == OK)
        rc = score_text(&x, e);
    if (x.k->shard == 0) {
        if (rc == OK)
            rc = copy_header(&x, "model", copy_curve, e);
        if (rc == OK)
            rc = copy_header(&x, "reward_model", copy_reward_report, e);
        if (rc == OK)
            rc = answer_said(&x, e);
        if (rc == OK)
            rc = answer_outside(&x, e);
        for (size_t i = 0; i < v->n_next_token_of && rc == OK; i++)
            rc = next_tokens(&x, v->next_token_of[i], e);
        for (size_t i = 0; x.reward && i < v->n_reward_examples && rc == OK; i++)
            rc = reward_example(&x, v->reward_examples[i], e);
    }
    if (rc == OK) {
        rc = records_commit(x.w, "scores", &o, e);
        x.w = NULL;
    }
    records_abort(x.w);
    if (rc == OK)
        rc = answer_output(out, o, e);
    return rc == OK ? forward_metric(&x.forward, out, e) : rc;
}
