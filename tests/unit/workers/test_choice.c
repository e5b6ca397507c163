#include "tests/unit/workers/world.h"

/* Fine-tuning on demonstrations while a reward model looks on. */

enum { EPOCHS = 5, EXAMPLES = 4, BATCH = 2, PER_EPOCH = EXAMPLES / BATCH };

struct tuning {
    uint32_t epochs, segment;
    const struct id *teacher; /* NULL: none chooses */
    int threads;              /* of a cold start for each segment; 0: warm */
    double score[EPOCHS], best;
    size_t scores;
    uint64_t best_step;
};

static void read_metrics(struct tuning *x, const TaskAnswer *a)
{
    for (size_t i = 0; i < a->n_metrics; i++)
        if (strcmp(a->metrics[i]->name, "chosen/score") == 0)
            x->score[x->scores++] = a->metrics[i]->value;
    x->best = answer_metric_of(a, "chosen/best_score");
    x->best_step = (uint64_t)answer_metric_of(a, "chosen/best_step");
}

static struct id tuned(struct world *w, struct tuning *x)
{
    struct id files = chain_file(&w->c, "demos.jsonl", demonstrations, SPLIT__FILE), state;
    struct id examples = run_encode(
        &w->c, ENCODE_AS__AS_DEMONSTRATIONS, "demonstrations", files, "model", w->base, "examples");
    struct id prompts = chain_file(&w->c, "prompts.txt", "the cat 1\nthe cat 2\n", SPLIT__FILE);
    TrainTask k;

    train_task(&k, TRAIN_TASK__OBJECTIVE__ANSWERS, x->segment);
    k.has_epochs = k.has_chosen_limit = k.has_chosen_max_new_tokens = 1;
    k.epochs = x->epochs;
    k.batch_size = BATCH;
    k.schedule = SCHEDULE__CONSTANT; /* so that shorter trainings are beginnings of longer ones */
    k.chosen_limit = 0;
    k.chosen_max_new_tokens = 6;
    for (bool first = true;; first = false) {
        struct spec s;
        spec_start(&s, TASK_SPEC__KIND_TRAIN);
        s.m.train = &k;
        spec_input(&s, first ? "init" : "state", first ? w->base : state);
        spec_input(&s, "examples", examples);
        if (x->teacher) {
            spec_input(&s, "reward_model", *x->teacher);
            spec_input(&s, "prompts", prompts);
        }
        if (x->threads)
            chain_cold(&w->c, x->threads);
        TaskAnswer *a = spec_run(&w->c, &s);
        if (x->teacher && answer_has(a, "state") + answer_has(a, "checkpoint") > 0 &&
            x->segment >= PER_EPOCH)
            read_metrics(x, a);
        bool done = answer_has(a, "checkpoint");
        state = answer_id(a, done ? "checkpoint" : "state");
        message_free(a);
        if (done)
            return state;
    }
}

/* One who likes what the other does not. */
static struct id opposite(struct world *w, struct id teacher)
{
    struct model *m;
    Output *o = NULL;
    struct id id;

    chain_check(&w->c, model_load(&m, w->c.store, &teacher, "", &w->c.e));
    const struct tensor *t = model_tensor(m, "score.weight");
    for (size_t i = 0; i < t->cols; i++)
        m->params[t->offset + i] = -m->params[t->offset + i];
    chain_check(&w->c, model_save(&o, m, w->c.store, "checkpoint", &w->c.e));
    id_from_span(&id, o->id.data, o->id.len);
    message_free(o);
    model_free(m);
    return id;
}

static void check_choice(struct world *w, struct id teacher, size_t *chosen)
{
    struct tuning x = { .epochs = EPOCHS, .segment = PER_EPOCH, .teacher = &teacher };
    struct id result = tuned(w, &x);
    size_t best = 0;

    assert_int_equal(x.scores, EPOCHS);
    for (size_t i = 1; i < EPOCHS; i++)
        best = x.score[i] > x.score[best] ? i : best;
    assert_true(x.best == x.score[best]);
    assert_int_equal(x.best_step, (best + 1) * PER_EPOCH);
    struct tuning plain = { .epochs = (uint32_t)best + 1, .segment = 100 };
    same_id(tuned(w, &plain), result);
    *chosen = best;
}

/* Two teachers of opposite taste cannot both choose the same epoch, unless all scored alike. */
static void the_result_is_the_epoch_that_the_teacher_scores_highest(void **state)
{
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL);
    size_t one, other;

    check_choice(w, teacher, &one);
    check_choice(w, opposite(w, teacher), &other);
    assert_int_not_equal(one, other);
}

static void the_choice_is_the_same_whatever_the_segments_warm_or_cold(void **state)
{
    struct world *w = *state;
    struct id teacher = opposite(w, reward_model(w, w->base, NULL));
    struct tuning whole = { .epochs = EPOCHS, .segment = 100, .teacher = &teacher };
    struct id one = tuned(w, &whole);

    for (int threads = 1; threads <= 3; threads++) {
        struct tuning x = { .epochs = EPOCHS, .segment = 1, .teacher = &teacher };
        x.threads = threads;
        same_id(tuned(w, &x), one);
    }
    chain_cold(&w->c, 2);
}

static void a_teacher_with_another_tokenizer_is_refused(void **state)
{
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL), examples, prompts;
    struct model *m;
    Output *o = NULL;
    struct spec s;
    TrainTask k;

    chain_check(&w->c, model_load(&m, w->c.store, &teacher, "", &w->c.e));
    m->tokenizer.b[0] ^= 1;
    chain_check(&w->c, model_save(&o, m, w->c.store, "checkpoint", &w->c.e));
    id_from_span(&teacher, o->id.data, o->id.len);
    message_free(o);
    model_free(m);
    examples = run_encode(&w->c, ENCODE_AS__AS_DEMONSTRATIONS, "demonstrations",
        chain_file(&w->c, "demos.jsonl", demonstrations, SPLIT__FILE), "model", w->base,
        "examples");
    prompts = chain_file(&w->c, "prompts.txt", "the cat\n", SPLIT__FILE);
    train_task(&k, TRAIN_TASK__OBJECTIVE__ANSWERS, 10);
    k.has_epochs = k.has_chosen_max_new_tokens = 1;
    k.epochs = 1;
    k.chosen_max_new_tokens = 4;
    spec_start(&s, TASK_SPEC__KIND_TRAIN);
    s.m.train = &k;
    spec_input(&s, "init", w->base);
    spec_input(&s, "examples", examples);
    spec_input(&s, "reward_model", teacher);
    spec_input(&s, "prompts", prompts);
    spec_fails(&w->c, &s, E_INPUT, "different tokenizers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_result_is_the_epoch_that_the_teacher_scores_highest),
        cmocka_unit_test(the_choice_is_the_same_whatever_the_segments_warm_or_cold),
        cmocka_unit_test(a_teacher_with_another_tokenizer_is_refused),
    };
    return cmocka_run_group_tests(tests, start, end);
}
