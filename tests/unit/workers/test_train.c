#include "tests/unit/workers/world.h"

static void the_model_is_the_same_whatever_the_segments(void **state)
{
    struct world *w = *state;

    same_id(pretrain(w, 60, 60, false, NULL), w->base);
    same_id(pretrain(w, 60, 7, false, NULL), w->base);
    same_id(pretrain(w, 60, 25, false, NULL), w->base);
}

static void the_model_is_the_same_warm_or_cold(void **state)
{
    struct world *w = *state;

    same_id(pretrain(w, 60, 11, true, NULL), w->base);
    chain_cold(&w->c, 2);
}

static void the_model_is_the_same_with_one_two_and_three_threads(void **state)
{
    struct world *w = *state;

    for (int threads = 1; threads <= 3; threads++) {
        chain_cold(&w->c, threads);
        same_id(pretrain(w, 60, 60, false, NULL), w->base);
    }
    chain_cold(&w->c, 2);
}

/* A short training; callers set what they ask about. */
static TrainTask short_training(void)
{
    TrainTask k;

    train_task(&k, TRAIN_TASK__OBJECTIVE__LM, 12);
    k.has_steps = k.has_dropout = k.has_activation_checkpointing = k.has_precision = 1;
    k.steps = 12;
    return k;
}

static struct id pretrain_as(struct world *w, TrainTask k)
{
    ModelConfig m = small_model();

    k.model = &m;
    return train_to_end(&w->c, &k, "tokenizer", w->tokenizer, "tokens", w->tokens, false, NULL);
}

static void activation_checkpointing_changes_no_bit(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 4; i++) {
        TrainTask k = short_training();
        k.dropout = i & 1 ? .2 : 0;
        k.precision = i & 2 ? PRECISION__BF16 : PRECISION__FP32;
        struct id plain = pretrain_as(w, k);
        k.activation_checkpointing = 1;
        k.segment = 5;
        same_id(pretrain_as(w, k), plain);
    }
}

static void same_with_any_threads_and_segments(struct world *w, TrainTask k)
{
    struct id one = pretrain_as(w, k), plain = pretrain_as(w, short_training());

    assert_memory_not_equal(one.b, plain.b, sizeof one.b);
    for (int threads = 1; threads <= 3; threads++) {
        chain_cold(&w->c, threads);
        k.segment = (uint32_t)threads + 4;
        same_id(pretrain_as(w, k), one);
    }
    chain_cold(&w->c, 2);
}

static void dropout_is_the_same_with_any_threads_and_segments(void **state)
{
    TrainTask k = short_training();

    k.dropout = .2;
    same_with_any_threads_and_segments(*state, k);
}

static void bf16_is_the_same_with_any_threads_and_segments(void **state)
{
    TrainTask k = short_training();

    k.precision = PRECISION__BF16;
    same_with_any_threads_and_segments(*state, k);
}

static double distance(struct world *w, struct id one, struct id other)
{
    struct model *a, *b;
    double worst = 0;

    chain_check(&w->c, model_load(&a, w->c.store, &one, "", &w->c.e));
    chain_check(&w->c, model_load(&b, w->c.store, &other, "", &w->c.e));
    for (size_t i = 0; i < a->n_params; i++)
        worst = fmax(worst, fabs((double)a->params[i] - b->params[i]));
    model_free(a);
    model_free(b);
    return worst;
}

static void training_lowers_the_loss_but_not_below_what_the_text_allows(void **state)
{
    struct world *w = *state;
    double loss;

    pretrain(w, 300, 300, false, NULL);
    pretrain(w, 300, 50, false, &loss);
    /* a sentence: three choices of five, and where it ends is certain: 3 ln 5 nats for about
     * 9 tokens; and a window begins in the middle of a sentence now and then */
    assert_true(loss < 1.2);
    assert_true(loss > 3 * log(5) / 14);
}

static void a_deterministic_answer_is_learnt_to_the_end(void **state)
{
    struct world *w = *state;
    struct id model = sft(w, 150, NULL);
    struct generate_request r = {
        .prompt = "the dog", .checkpoint = model, .max_new_tokens = 20, .top_p = 1, .count = 1
    };
    struct task_context t = { .store = w->c.store, .engine = &w->c.engine, .warm = w->c.warm };
    struct buf out = { 0 };

    chain_check(&w->c, generate_print(&out, &t, &r, &w->c.e));
    assert_string_equal(out.p, "barks\n"); /* a "…" would say that it did not end */
    buf_free(&out);
}

static void a_reward_model_learns_a_clear_preference(void **state)
{
    struct world *w = *state;
    double accuracy = 0;

    reward_model(w, w->base, &accuracy);
    assert_true(accuracy > .95);
}

/* Adam's first steps magnify the sign of tiny gradients: hence the bounds. */
static void gradient_accumulation_changes_the_model_by_rounding_only(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 2; i++) {
        TrainTask k = short_training();
        k.dropout = i == 0 ? 0 : .2; /* the same numbers are dropped */
        struct id whole = pretrain_as(w, k);
        k.gradient_accumulation = 4;
        assert_true(distance(w, whole, pretrain_as(w, k)) < 2e-3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_is_the_same_whatever_the_segments),
        cmocka_unit_test(the_model_is_the_same_warm_or_cold),
        cmocka_unit_test(the_model_is_the_same_with_one_two_and_three_threads),
        cmocka_unit_test(activation_checkpointing_changes_no_bit),
        cmocka_unit_test(dropout_is_the_same_with_any_threads_and_segments),
        cmocka_unit_test(bf16_is_the_same_with_any_threads_and_segments),
        cmocka_unit_test(training_lowers_the_loss_but_not_below_what_the_text_allows),
        cmocka_unit_test(a_deterministic_answer_is_learnt_to_the_end),
        cmocka_unit_test(a_reward_model_learns_a_clear_preference),
        cmocka_unit_test(gradient_accumulation_changes_the_model_by_rounding_only),
    };
    return cmocka_run_group_tests(tests, start, end);
}
