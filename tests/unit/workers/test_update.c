#include "tests/unit/workers/learner.h"
#include "workers/tasks/scorer.h"

/* Training of every other kind against what it is by its definition, computed another way; and what
 * calibration makes of a reward model. */

enum { MOST = 64 };

/* A large eps: where a gradient is near 0, AdamW else magnifies how it was rounded. */
static TrainTask training(TrainTask__Objective objective)
{
    TrainTask k;

    train_task(&k, objective, 1000);
    k.schedule = SCHEDULE__LINEAR;
    k.warmup_steps = 2;
    k.eps = 1e-3;
    k.learning_rate = 1e-2;
    k.grad_clip = .3;
    return k;
}

/* Of `total` steps, two of them warm-up, then linear to 0. */
static double rate_at(const TrainTask *k, uint64_t step, uint64_t total)
{
    double done = ((double)step - 2) / ((double)total - 2);

    return k->learning_rate * (step < 2 ? ((double)step + 1) / 2 : 1 - done);
}

/* told: what it says of itself; freed by message_free. */
static struct id trained_and_told(TaskAnswer **told, struct chain *c, TrainTask *k,
    const char *first, struct id first_id, struct id examples, const struct id *tokens)
{
    struct spec s;

    spec_start(&s, TASK_SPEC__KIND_TRAIN);
    s.m.train = k;
    spec_input(&s, first, first_id);
    if (k->objective != TRAIN_TASK__OBJECTIVE__LM)
        spec_input(&s, "examples", examples);
    if (tokens)
        spec_input(&s, "tokens", *tokens);
    *told = spec_run(c, &s);
    return answer_id(*told, "checkpoint");
}

static struct id trained(struct chain *c, TrainTask *k, const char *first, struct id first_id,
    struct id examples, const struct id *tokens)
{
    TaskAnswer *a;
    struct id id = trained_and_told(&a, c, k, first, first_id, examples, tokens);

    message_free(a);
    return id;
}

static void told_is(const TaskAnswer *a, const char *name, double want)
{
    double got = answer_metric_of(a, name);

    if (!(fabs(got - want) <= 1e-3 * fabs(want)))
        fail_msg("%s is %.9g, not %.9g", name, got, want);
}

/* ---- text ---- */

static void pretraining_is_the_mean_over_the_windows_of_each_pass(void **state)
{
    struct world *w = *state;
    ModelConfig m = small_model();
    TrainTask k = training(TRAIN_TASK__OBJECTIVE__LM);
    struct text_tokens text;
    struct learner l;
    struct model *fresh;
    TaskAnswer *a;

    text_read(&text, &w->c, w->tokens, m.context);
    size_t windows = (text.n - 1) / text.window, total = 5;
    k.batch_size = (uint32_t)windows / 2 + 1; /* the third batch begins another pass */
    k.has_steps = true;
    k.steps = (uint32_t)total;
    k.model = &m;
    struct id id =
        trained_and_told(&a, &w->c, &k, "tokenizer", w->tokenizer, w->tokenizer, &w->tokens);
    struct model *shape = loaded(&w->c, w->base);
    chain_check(&w->c, model_new(&fresh, &shape->config, &w->c.e));
    model_free(shape);
    model_init(fresh, 7);
    learner_start(&l, &w->c, fresh);
    for (size_t step = 0; step < total; step++) {
        for (size_t i = 0; i < k.batch_size; i++)
            text_gradient(&l, &text, step * k.batch_size + i, RNG_SHUFFLE,
                1 / (double)(k.batch_size * text.window));
        learner_step(&l, &k, rate_at(&k, step, total), false, 0);
    }
    learner_check(&l, id, "", "the model");
    told_is(a, "loss", l.loss / l.predicted);
    told_is(a, "bits_per_byte", l.loss / l.predicted / log(2) / text.bytes);
    message_free(a);
    learner_end(&l);
    free(text.p);
}

/* ---- demonstrations ---- */

static const char unequal[] =
    "{\"instruction\": \"the cat\", \"output\": \"a\"}\n"
    "{\"instruction\": \"the dog\", \"output\": \"barks at the bird and follows it\"}\n"
    "{\"instruction\": \"a bird\", \"output\": \"sings\"}\n"
    "{\"instruction\": \"我们\", \"output\": \"看见他们\"}\n";

/* -log p of the tokens that count, each by 1 / all of the batch's. */
static void demonstrations_gradient(
    struct learner *l, ProtobufCMessage *const *batch, size_t n, double share)
{
    size_t counted = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ((Example *)batch[i])->n_tokens; k++)
            counted += ((Example *)batch[i])->loss.data[k];
    for (size_t i = 0; i < n; i++) {
        const Example *x = (Example *)batch[i];
        int32_t target[LEARNER_TOKENS];
        for (size_t k = 0; k + 1 < x->n_tokens; k++)
            target[k] = x->loss.data[k + 1] ? (int32_t)x->tokens[k + 1] : -1;
        learner_read(l, (int32_t *)x->tokens, x->n_tokens - 1, target, 1);
        for (size_t k = 0; k + 1 < x->n_tokens; k++)
            l->g[k] = target[k] < 0 ? 0 : (float)(-share / (double)counted);
        learner_back(l, (int32_t *)x->tokens, x->n_tokens - 1, target, 1);
    }
}

/* With half of the loss, and as many windows as half a batch has examples, of text. */
static void check_fine_tuning(struct world *w, double mix)
{
    struct id examples = run_encode(&w->c, ENCODE_AS__AS_DEMONSTRATIONS, "demonstrations",
        chain_file(&w->c, "unequal.jsonl", unequal, SPLIT__FILE), "model", w->base, "examples");
    TrainTask k = training(TRAIN_TASK__OBJECTIVE__ANSWERS);
    ProtobufCMessage *all[MOST], *batch[4];
    struct text_tokens text;
    struct learner l;
    size_t n =
        records_all(&w->c, examples, ARTIFACT_KIND__EXAMPLES, &example__descriptor, all, MOST);

    k.has_epochs = k.has_pretrain_mix = true;
    k.epochs = 3;
    k.batch_size = 3; /* and the last batch of an epoch has one */
    k.pretrain_mix = mix;
    struct id id = trained(&w->c, &k, "init", w->base, examples, mix > 0 ? &w->tokens : NULL);
    text_read(&text, &w->c, w->tokens, small_model().context);
    learner_start(&l, &w->c, loaded(&w->c, w->base));
    assert_int_equal(n, 4);
    for (uint32_t step = 0, windows = (uint32_t)(mix * 3 + .5); step < 6; step++) {
        uint32_t order[4], from = step % 2 * 3, size = step % 2 ? 1 : 3;
        rng_permutation(order, 4, 7, RNG_SHUFFLE, step / 2);
        for (uint32_t i = 0; i < size; i++)
            batch[i] = all[order[from + i]];
        demonstrations_gradient(&l, batch, size, 1 - mix);
        for (uint32_t i = 0; i < windows; i++)
            text_gradient(
                &l, &text, step * windows + i, RNG_PTX, mix / (double)(windows * text.window));
        learner_step(&l, &k, rate_at(&k, step, 6), false, 0);
    }
    learner_check(&l, id, "", "the model");
    learner_end(&l);
    records_free_all(all, n);
    free(text.p);
}

static void fine_tuning_is_the_mean_over_the_tokens_of_answers(void **state)
{
    check_fine_tuning(*state, 0);
}

static void pretraining_text_has_its_share_of_the_loss(void **state)
{
    check_fine_tuning(*state, .5);
}

/* ---- rankings ---- */

struct preferences {
    struct id ranked, examples;
    ProtobufCMessage *all[MOST];
    const RankingExample *trained[MOST];
    size_t n, n_trained;
};

static void preferences_read(struct preferences *p, struct world *w)
{
    p->ranked = rankings(w);
    p->examples = run_encode(
        &w->c, ENCODE_AS__AS_RANKINGS, "rankings", p->ranked, "model", w->base, "examples");
    p->n = records_all(&w->c, p->examples, ARTIFACT_KIND__RANKING_EXAMPLES,
        &ranking_example__descriptor, p->all, MOST);
    p->n_trained = 0;
    for (size_t i = 0; i < p->n; i++)
        if (!((RankingExample *)p->all[i])->held_out)
            p->trained[p->n_trained++] = (RankingExample *)p->all[i];
    assert_true(p->n_trained > 0 && p->n_trained < p->n);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* The three answers stand best first. Slope of the mean of -log sigmoid(beta (x_i - x_j)). */
static void slopes(double slope[3], const double x[3], double beta)
{
    slope[0] = slope[1] = slope[2] = 0;
    for (int i = 0; i < 3; i++)
        for (int j = i + 1; j < 3; j++) {
            double s = -beta * sigmoid(-beta * (x[i] - x[j])) / 3;
            slope[i] += s;
            slope[j] -= s;
        }
}

/* What one pass over a prompt's answers gives, and with slopes their gradient. ref: NULL for a
 * scalar head, else the reference whose log-probability is taken off. */
static void answers(struct learner *l, struct learner *ref, const RankingExample *x, double out[3],
    const double *slope)
{
    for (size_t i = 0; i < 3; i++) {
        const Example *row = x->rows[i];
        const int32_t *tokens = (int32_t *)row->tokens;
        int32_t target[LEARNER_TOKENS];
        size_t n = row->n_tokens;
        for (size_t k = 0; k < n; k++)
            target[k] = k + 1 < row->prompt || k + 1 == n ? -1 : tokens[k + 1];
        learner_read(l, tokens, n, target, 1);
        if (ref)
            learner_read(ref, tokens, n, target, 1);
        out[i] = ref ? 0 : l->value[n - 1];
        for (size_t k = 0; ref && k < n; k++)
            out[i] += target[k] < 0 ? 0 : (double)l->log_prob[k] - ref->log_prob[k];
        for (size_t k = 0; slope && k < n; k++)
            l->g[k] = (float)((ref ? target[k] >= 0 : k + 1 == n) ? slope[i] : 0);
        if (slope)
            learner_back(l, tokens, n, target, 1);
    }
}

/* Returns the share of pairs that were in order when they were trained on. */
static double rank_steps(
    struct learner *l, struct learner *ref, const struct preferences *p, const TrainTask *k)
{
    double right = 0;
    uint32_t order[MOST], n = (uint32_t)p->n_trained, size = k->batch_size;
    uint32_t each = (n + size - 1) / size, total = each * k->epochs;

    for (uint32_t step = 0; step < total; step++) {
        uint32_t from = step % each * size, to = from + size < n ? from + size : n;
        rng_permutation(order, n, 7, RNG_SHUFFLE, step / each);
        for (uint32_t i = from; i < to; i++) {
            double x[3], slope[3];
            answers(l, ref, p->trained[order[i]], x, NULL);
            slopes(slope, x, ref ? k->beta : 1);
            right += (x[0] > x[1]) + (x[0] > x[2]) + (x[1] > x[2]);
            for (int j = 0; j < 3; j++)
                slope[j] /= to - from;
            answers(l, ref, p->trained[order[i]], x, slope);
        }
        learner_step(l, k, rate_at(k, step, total), false, 0);
    }
    return right / (3 * n * k->epochs);
}

static TrainTask ranking(TrainTask__Objective objective)
{
    TrainTask k = training(objective);

    k.has_epochs = true;
    k.epochs = 2;
    k.batch_size = 12;
    k.grad_clip = 0; /* it would hide how large a gradient is, and so would a small eps */
    k.eps = .1;
    k.learning_rate = .1;
    return k;
}

static void a_reward_model_is_the_mean_over_prompts_that_are_not_held_out(void **state)
{
    struct world *w = *state;
    TrainTask k = ranking(TRAIN_TASK__OBJECTIVE__RANKING);
    struct preferences p;
    struct learner l;
    struct model *body = loaded(&w->c, w->base), *with_head;

    preferences_read(&p, w);
    TaskAnswer *a;
    struct id id = trained_and_told(&a, &w->c, &k, "init", w->base, p.examples, NULL);
    chain_check(&w->c, model_with_scalar_head(&with_head, body, 7, &w->c.e));
    model_free(body);
    learner_start(&l, &w->c, with_head);
    told_is(a, "train_accuracy", rank_steps(&l, NULL, &p, &k));
    learner_check(&l, id, "", "the reward model");
    message_free(a);
    learner_end(&l);
    records_free_all(p.all, p.n);
}

static void dpo_is_the_mean_over_prompts_of_log_ratios_of_whole_answers(void **state)
{
    struct world *w = *state;
    TrainTask k = ranking(TRAIN_TASK__OBJECTIVE__DPO);
    ReferenceTask of = REFERENCE_TASK__INIT;
    struct preferences p;
    struct learner l, ref;
    struct spec s;

    preferences_read(&p, w);
    spec_start(&s, TASK_SPEC__KIND_REFERENCE);
    s.m.reference = &of;
    spec_input(&s, "model", w->base);
    spec_input(&s, "examples", p.examples);
    TaskAnswer *a = spec_run(&w->c, &s);
    k.has_loss = k.has_beta = k.has_from_reference = k.from_reference = true;
    k.loss = DPO_STAGE__LOSS__SIGMOID;
    k.beta = .3;
    struct id id = trained(&w->c, &k, "init", w->base, answer_id(a, "examples"), NULL);
    message_free(a);
    learner_start(&l, &w->c, loaded(&w->c, w->base));
    learner_start(&ref, &w->c, loaded(&w->c, w->base));
    rank_steps(&l, &ref, &p, &k);
    learner_check(&l, id, "", "the policy");
    learner_end(&l);
    learner_end(&ref);
    records_free_all(p.all, p.n);
}

/* ---- calibration ---- */

/* A reward model whose bias is far from 0, or whose weights are no numbers. */
static struct id raw_teacher(struct world *w, const struct preferences *p, float bias)
{
    TrainTask k = ranking(TRAIN_TASK__OBJECTIVE__RANKING);
    struct model *m = loaded(&w->c, trained(&w->c, &k, "init", w->base, p->examples, NULL));
    Output *o = NULL;
    struct id id;

    m->params[model_tensor(m, "score.bias")->offset] = bias;
    chain_check(&w->c, model_save(&o, m, w->c.store, "checkpoint", &w->c.e));
    id_from_span(&id, o->id.data, o->id.len);
    message_free(o);
    model_free(m);
    return id;
}

static void calibrate_spec(struct spec *s, CalibrateTask *k, struct id model,
    const struct preferences *p, bool unit_variance)
{
    calibrate_task__init(k);
    k->has_unit_variance = true;
    k->unit_variance = unit_variance;
    spec_start(s, TASK_SPEC__KIND_CALIBRATE);
    s->m.calibrate = k;
    spec_input(s, "model", model);
    spec_input(s, "rankings", p->ranked);
    spec_input(s, "examples", p->examples);
}

/* Scores of every prompt's best answer. */
static size_t best_scores(
    float *score, struct world *w, struct id teacher, const struct preferences *p)
{
    struct task_context c = { .store = w->c.store, .engine = &w->c.engine, .warm = w->c.warm };
    struct scored_sequence s[MOST];
    struct model *m = loaded(&w->c, teacher);

    for (size_t i = 0; i < p->n; i++) {
        const Example *row = ((RankingExample *)p->all[i])->rows[0];
        s[i] = (struct scored_sequence){ (int32_t *)row->tokens, NULL, row->n_tokens, 0 };
    }
    chain_check(&w->c, score_rewards(score, &c, m, s, p->n, &w->c.e));
    model_free(m);
    return p->n;
}

/* Without demonstrations the best answers have mean 0: all scores are shifted, and with unit
 * variance scaled as well. Accuracy is told of the held-out prompts' three pairs alone.
 */
static void calibration_shifts_and_scales_the_scores(void **state)
{
    struct world *w = *state;
    struct preferences p;
    float raw[MOST], got[MOST];

    preferences_read(&p, w);
    struct id teacher = raw_teacher(w, &p, 5);
    size_t n = best_scores(raw, w, teacher, &p);
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++)
        mean += raw[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (raw[i] - mean) * (raw[i] - mean) / (double)n;
    for (int unit = 0; unit < 2; unit++) {
        struct spec s;
        CalibrateTask k;
        calibrate_spec(&s, &k, teacher, &p, unit);
        TaskAnswer *a = spec_run(&w->c, &s);
        assert_true(answer_metric_of(a, "pairs") == 3 * (double)(p.n - p.n_trained));
        best_scores(got, w, answer_id(a, "checkpoint"), &p);
        for (size_t i = 0; i < n; i++)
            assert_float_equal(got[i], (raw[i] - mean) / (unit ? sqrt(square) : 1), 1e-4);
        message_free(a);
    }
    records_free_all(p.all, p.n);
}

static void scores_that_cannot_be_centred_stop_the_calibration(void **state)
{
    struct world *w = *state;
    struct preferences p;
    struct spec s;
    CalibrateTask k;

    preferences_read(&p, w);
    calibrate_spec(&s, &k, raw_teacher(w, &p, INFINITY), &p, false);
    spec_fails(&w->c, &s, E_INVARIANT, "after calibration the mean score is");
    records_free_all(p.all, p.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pretraining_is_the_mean_over_the_windows_of_each_pass),
        cmocka_unit_test(fine_tuning_is_the_mean_over_the_tokens_of_answers),
        cmocka_unit_test(pretraining_text_has_its_share_of_the_loss),
        cmocka_unit_test(a_reward_model_is_the_mean_over_prompts_that_are_not_held_out),
        cmocka_unit_test(dpo_is_the_mean_over_prompts_of_log_ratios_of_whole_answers),
        cmocka_unit_test(calibration_shifts_and_scales_the_scores),
        cmocka_unit_test(scores_that_cannot_be_centred_stop_the_calibration),
    };
    return cmocka_run_group_tests(tests, start, end);
}
