#include "tests/unit/workers/practice.h"

static const TrainTask__Objective practices[] = { TRAIN_TASK__OBJECTIVE__PPO,
    TRAIN_TASK__OBJECTIVE__RLOO, TRAIN_TASK__OBJECTIVE__GRPO };

/* The task itself stops with E_INVARIANT when the first ratio is not 1 or KL is not 0. */
static void practice_starts_at_kl_zero_and_ratio_one_bit_for_bit(void **state)
{
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL);

    for (size_t i = 0; i < 3; i++) {
        struct practice p = practice(w, practices[i]);
        p.teacher = &teacher;
        p.rl.iterations = 1;
        practise(&p);
        assert_true(p.kl0 == 0);
    }
}

static void practice_in_bf16_starts_there_too_and_gives_the_same_bytes(void **state)
{
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL);
    struct practice p = practice(w, TRAIN_TASK__OBJECTIVE__PPO);

    p.teacher = &teacher;
    p.rl.iterations = 2;
    struct id fp32 = practise(&p);
    p.precision = PRECISION__BF16;
    struct id two = practise(&p);
    assert_true(p.kl0 == 0);
    assert_memory_not_equal(two.b, fp32.b, sizeof two.b);
    p.threads = 3;
    p.cold = true;
    same_id(practise(&p), two);
}

static void practice_gives_the_same_bytes_warm_or_cold_with_any_threads(void **state)
{
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL);

    for (size_t i = 0; i < 3; i++) {
        struct practice p = practice(w, practices[i]);
        p.teacher = &teacher;
        p.threads = 1;
        p.cold = true;
        struct id one = practise(&p);
        p.threads = 2;
        p.cold = false;
        same_id(practise(&p), one);
        p.threads = 3;
        p.cold = true;
        same_id(practise(&p), one);
    }
}

/* One body for both losses: invariants hold, bytes are the same warm or cold, and what comes of it
 * is a language model like any other. */
static void a_critic_can_be_a_head_of_the_policy(void **state)
{
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL);
    struct practice p = practice(w, TRAIN_TASK__OBJECTIVE__PPO);
    struct checkpoint_reader *r, *init;

    p.teacher = &teacher;
    struct id apart = practise(&p);
    p.rl.value_shared = true;
    p.rl.value_coef = .1;
    p.threads = 1;
    p.cold = true;
    struct id one = practise(&p);
    assert_true(p.kl0 == 0);
    assert_memory_not_equal(one.b, apart.b, sizeof one.b);
    p.threads = 3;
    p.cold = false;
    same_id(practise(&p), one);
    p.shards = 3;
    same_id(practise(&p), one);
    p.rl.value_coef = .2; /* the body learns to foretell, too */
    struct id other = practise(&p);
    assert_memory_not_equal(other.b, one.b, sizeof one.b);
    chain_check(&w->c, checkpoint_open(&r, w->c.store, &one, &w->c.e));
    chain_check(&w->c, checkpoint_open(&init, w->c.store, &p.init, &w->c.e));
    const CheckpointHeader *h = checkpoint_header(r), *g = checkpoint_header(init);
    assert_int_equal(h->n_tensors, g->n_tensors);
    assert_int_equal(h->model.len, g->model.len);
    assert_memory_equal(h->model.data, g->model.data, g->model.len);
    checkpoint_close(r);
    checkpoint_close(init);
}

/* Advantages are of the whole batch: how it was cut does not matter. */
static void practice_gives_the_same_bytes_however_the_batch_was_cut(void **state)
{
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL);

    for (size_t i = 0; i < 3; i++) {
        struct practice p = practice(w, practices[i]);
        p.teacher = &teacher;
        struct id two = practise(&p);
        p.shards = 3;
        same_id(practise(&p), two);
    }
}

/* A reward that can be checked: answers with "s" in them. */
static void a_rubric_alone_is_a_reward_and_is_learnt(void **state)
{
    struct world *w = *state;
    Rubric rubric = RUBRIC__INIT;
    Rule rule = RULE__INIT, *rules[] = { &rule };

    rubric.right = rubric.answers = rubric.language = rubric.ends = rubric.short_ = 0;
    rubric.has_right = rubric.has_answers = rubric.has_language = rubric.has_ends = true;
    rubric.has_short_ = true;
    rubric.rules = rules;
    rubric.n_rules = 1;
    rule.contains = "s";
    rule.has_each = rule.each = true;
    for (size_t i = 0; i < 3; i++) {
        struct practice p = practice(w, practices[i]);
        p.init = w->base;
        p.rubric = &rubric;
        p.rl.iterations = 1;
        p.rl.score_unended = true;
        practise(&p);
        double before = p.score;
        p.rl.iterations = 16;
        p.rl.warmup_iterations = 0;
        practise(&p);
        if (p.score < before + .5)
            fail_msg("practice %zu: %.3f, then %.3f", i, before, p.score);
    }
}

/* What the curve of a checkpoint says is what each iteration's metrics said. */
static void a_checkpoint_tells_the_curve_of_its_practice(void **state)
{
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL), model;
    struct practice p = practice(w, TRAIN_TASK__OBJECTIVE__PPO);
    Rubric rubric = RUBRIC__INIT;
    Rule rule = RULE__INIT, *rules[] = { &rule };
    struct checkpoint_reader *r;

    p.teacher = &teacher;
    rule.contains = "s";
    rubric.rules = rules;
    rubric.n_rules = 1;
    p.rubric = &rubric;
    p.cold = true;
    model = practise(&p);
    chain_check(&w->c, checkpoint_open(&r, w->c.store, &model, &w->c.e));
    const CheckpointHeader *h = checkpoint_header(r);
    assert_int_equal(h->n_curve, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(h->curve[i]->iteration, i);
    assert_true(h->curve[0]->kl == 0);
    assert_true(h->curve[2]->kl == p.kl);
    assert_true(h->curve[2]->score == p.score);
    assert_true(h->curve[2]->has_gold && h->curve[2]->gold == p.gold);
    assert_true(h->curve[2]->length > 0);
    checkpoint_close(r);
}

/* ---- what stops a practice ---- */

static void log_prob_moved(Episode *x)
{
    x->log_probs[0] -= 1e-6F;
}

static void values_one_place_late(Episode *x)
{
    for (size_t i = x->n_values; i-- > 1;)
        x->values[i] = x->values[i - 1];
}

static void score_lost(Episode *x)
{
    x->score = x->item == 3 ? NAN : x->score;
}

static void value_lost(Episode *x)
{
    x->n_values--;
}

static void reference_lost(Episode *x)
{
    x->n_ref_log_probs--;
}

static void place_beyond(Episode *x)
{
    x->item += 32;
}

/* Neighbouring groups change half of their answers. */
static void groups_mixed(Episode *x)
{
    x->item = x->item % 8 == 1 ? x->item + 4 : x->item % 8 == 5 ? x->item - 4 : x->item;
}

static void nothing(Episode *x)
{
    (void)x;
}

static void a_broken_invariant_stops_the_update_and_names_it_and_the_batch(void **state)
{
    static const struct {
        TrainTask__Objective objective;
        void (*with)(Episode *x);
        const char *words;
    } cases[] = {
        { TRAIN_TASK__OBJECTIVE__PPO, log_prob_moved,
            "iteration 0, minibatch 0: the first ratio is not 1" },
        { TRAIN_TASK__OBJECTIVE__RLOO, log_prob_moved,
            "iteration 0, minibatch 0: the first ratio is not 1" },
        { TRAIN_TASK__OBJECTIVE__PPO, values_one_place_late,
            "iteration 0, minibatch 0: the first value is" },
        { TRAIN_TASK__OBJECTIVE__GRPO, score_lost, "iteration 0: the score of prompt" },
        { TRAIN_TASK__OBJECTIVE__PPO, value_lost, "iteration 0: an episode of" },
        { TRAIN_TASK__OBJECTIVE__GRPO, reference_lost, "iteration 0: an episode of" },
        { TRAIN_TASK__OBJECTIVE__PPO, place_beyond, "iteration 0: an episode is of place" },
        { TRAIN_TASK__OBJECTIVE__RLOO, groups_mixed, "iteration 0: group 0 is incomplete" },
    };
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct practice p = practice(w, cases[i].objective);
        struct spec s;
        TrainTask k;
        p.teacher = &teacher;
        p.shards = 1;
        update_start(&s, &k, &p, 0, NULL);
        spec_input(&s, "experience", tampered(&w->c, rollout(&p, 0, 0, NULL), cases[i].with));
        spec_fails(&w->c, &s, E_INVARIANT, cases[i].words);
    }
}

static void an_episode_that_is_missing_or_there_twice_stops_the_update(void **state)
{
    struct world *w = *state;
    struct practice p = practice(w, TRAIN_TASK__OBJECTIVE__RLOO);
    Rubric rubric = RUBRIC__INIT;
    struct spec s;
    TrainTask k;

    p.rubric = &rubric;
    struct id half = tampered(&w->c, rollout(&p, 0, 0, NULL), nothing);
    update_start(&s, &k, &p, 0, NULL);
    spec_input(&s, "experience", half);
    spec_fails(&w->c, &s, E_INVARIANT, "episode 4 of 32 is missing");
    spec_input(&s, "experience", half);
    spec_fails(&w->c, &s, E_INVARIANT, "beyond the batch or there twice");
}

/* Practice may begin elsewhere than at its reference: KL is then not 0, and no invariant is broken.
 */
static void a_policy_can_be_held_to_another_reference(void **state)
{
    struct world *w = *state;
    struct practice p = practice(w, TRAIN_TASK__OBJECTIVE__GRPO);
    Rubric rubric = RUBRIC__INIT;

    p.rubric = &rubric;
    p.reference = &w->base;
    p.rl.iterations = 1;
    practise(&p);
    assert_true(p.kl0 > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(practice_starts_at_kl_zero_and_ratio_one_bit_for_bit),
        cmocka_unit_test(practice_in_bf16_starts_there_too_and_gives_the_same_bytes),
        cmocka_unit_test(practice_gives_the_same_bytes_warm_or_cold_with_any_threads),
        cmocka_unit_test(a_critic_can_be_a_head_of_the_policy),
        cmocka_unit_test(practice_gives_the_same_bytes_however_the_batch_was_cut),
        cmocka_unit_test(a_rubric_alone_is_a_reward_and_is_learnt),
        cmocka_unit_test(a_checkpoint_tells_the_curve_of_its_practice),
        cmocka_unit_test(a_broken_invariant_stops_the_update_and_names_it_and_the_batch),
        cmocka_unit_test(an_episode_that_is_missing_or_there_twice_stops_the_update),
        cmocka_unit_test(a_policy_can_be_held_to_another_reference),
    };
    return cmocka_run_group_tests(tests, start, end);
}
