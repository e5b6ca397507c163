#include "tests/unit/workers/allocations.h"
#include "tests/unit/workers/world.h"
#include "workers/tasks/answer.h"
#include "workers/tasks/train.h"

/* What a step of training takes, and what stops it. */

/* ---- memory ---- */

/* The most that was allocated from the end of one step of a task to the end of the next. */
struct steps {
    uint64_t done;
    size_t before, most, counted;
};

static int count_step(void *ctx, const Progress *p)
{
    struct steps *s = ctx;

    if (!p->rate_unit) /* a rollout's */
        return 0;
    if (p->done == s->done + 1 && s->before > 0) {
        size_t n = allocations - s->before;
        s->most = n > s->most ? n : s->most;
        s->counted++;
    }
    s->done = p->done;
    s->before = allocations;
    return 0;
}

static void a_step_allocates_nothing(void **state)
{
    struct world *w = *state;
    struct steps s = { 0 };

    if (!COUNTED)
        skip();
    w->c.progress = count_step;
    w->c.ctx = &s;
    pretrain(w, 20, 20, false, NULL);
    s = (struct steps){ .most = s.most, .counted = s.counted };
    sft(w, 5, NULL);
    assert_int_equal(s.most, 0);
    assert_int_equal(s.counted, 19 + 4);
    w->c.progress = NULL;
}

static void a_training_that_does_not_fit_fails_at_once_with_the_numbers(void **state)
{
    struct world *w = *state;
    struct spec s;
    TrainTask k;
    ModelConfig m = small_model();
    TaskAnswer *a = NULL;

    train_task(&k, TRAIN_TASK__OBJECTIVE__LM, 10);
    k.has_steps = 1;
    k.steps = 10;
    k.model = &m;
    spec_start(&s, TASK_SPEC__KIND_TRAIN);
    s.m.train = &k;
    spec_input(&s, "tokenizer", w->tokenizer);
    spec_input(&s, "tokens", w->tokens);
    const char *const says[2] = { "activations 0.0", "activations" };
    for (int i = 0; i < 2; i++) { /* not even the weights; the weights, but no more */
        w->c.memory = i == 0 ? 100000 : 1000000;
        assert_int_equal(spec_try(&a, &w->c, &s), E_TOO_LARGE);
        assert_non_null(strstr(w->c.e.msg, "training needs "));
        assert_non_null(strstr(w->c.e.msg, says[i]));
        assert_true(i == 0 || !strstr(w->c.e.msg, says[0]));
        w->c.e = (struct err)ERR_INIT;
    }
    w->c.memory = 0;
}

/* ---- invariants ---- */

static void a_loss_that_is_not_finite_stops_the_job(void **state)
{
    struct world *w = *state;
    struct id kept = w->base;
    struct model *m;
    Output *o = NULL;
    struct spec s;
    TrainTask k;
    TaskAnswer *a = NULL;

    chain_check(&w->c, model_load(&m, w->c.store, &kept, "", &w->c.e));
    m->params[m->tensors[2].offset] = NAN;
    chain_check(&w->c, model_save(&o, m, w->c.store, "broken", &w->c.e));
    struct id broken, files = chain_file(&w->c, "demos.jsonl", demonstrations, SPLIT__FILE);
    id_from_span(&broken, o->id.data, o->id.len);
    struct id examples = run_encode(
        &w->c, ENCODE_AS__AS_DEMONSTRATIONS, "demonstrations", files, "model", kept, "examples");
    train_task(&k, TRAIN_TASK__OBJECTIVE__ANSWERS, 10);
    k.has_epochs = 1;
    k.epochs = 1;
    spec_start(&s, TASK_SPEC__KIND_TRAIN);
    s.m.train = &k;
    spec_input(&s, "init", broken);
    spec_input(&s, "examples", examples);
    assert_int_equal(spec_try(&a, &w->c, &s), E_INVARIANT);
    assert_non_null(strstr(w->c.e.msg, "step 0: invariant 'finite loss'"));
    w->c.e = (struct err)ERR_INIT;
    message_free(o);
    model_free(m);
}

static void a_metric_that_is_not_finite_is_refused(void **state)
{
    struct answer a;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(answer_init(&a, &e), OK);
    assert_int_equal(answer_metric(&a, "sampling/kl", 1, &e), OK);
    assert_int_equal(answer_metric(&a, "sampling/kl", INFINITY, &e), E_INVARIANT);
    assert_string_equal(e.msg, "invariant 'finite metric': sampling/kl is inf");
    assert_int_equal(answer_metric(&a, "sampling/kl", NAN, &e), E_INVARIANT);
    assert_int_equal(a.m->n_metrics, 1);
    answer_free(&a);
}

static void a_mask_that_does_not_sum_to_the_token_count_is_found(void **state)
{
    struct trainer t = { .counters.step = 12 };
    struct rows r;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(rows_init(&r, 1, 1, 4, &e), OK);
    rows_unit(&r);
    rows_sequence(&r);
    for (int i = 0; i < 4; i++)
        rows_token(&r, i, i == 0 ? -1 : i, i == 0 ? 0 : 1.F / 3);
    assert_int_equal(trainer_check_mask(&t, &r, 3, 1, &e), OK);
    assert_int_equal(trainer_check_mask(&t, &r, 4, 1, &e), E_INVARIANT);
    assert_non_null(strstr(e.msg, "step 12: invariant 'mask weights sum to the token count'"));
    r.weight[2] = .5F;
    assert_int_equal(trainer_check_mask(&t, &r, 3, 1, &e), E_INVARIANT);
    rows_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(a_training_that_does_not_fit_fails_at_once_with_the_numbers),
        cmocka_unit_test(a_loss_that_is_not_finite_stops_the_job),
        cmocka_unit_test(a_metric_that_is_not_finite_is_refused),
        cmocka_unit_test(a_mask_that_does_not_sum_to_the_token_count_is_found),
    };
    return cmocka_run_group_tests(tests, start, end);
}
