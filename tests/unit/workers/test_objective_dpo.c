#include "tests/unit/workers/world.h"

/* DPO through the real tasks. */

static struct id compared(struct world *w, struct id init)
{
    struct id examples = run_encode(
        &w->c, ENCODE_AS__AS_RANKINGS, "rankings", rankings(w), "model", init, "examples");
    ReferenceTask k = REFERENCE_TASK__INIT;
    struct spec s;

    spec_start(&s, TASK_SPEC__KIND_REFERENCE);
    s.m.reference = &k;
    spec_input(&s, "model", init);
    spec_input(&s, "examples", examples);
    TaskAnswer *a = spec_run(&w->c, &s);
    struct id id = answer_id(a, "examples");
    message_free(a);
    return id;
}

static void dpo_task(TrainTask *k, DpoStage__Loss loss, uint32_t segment)
{
    train_task(k, TRAIN_TASK__OBJECTIVE__DPO, segment);
    k->has_epochs = k->has_loss = k->has_beta = k->has_label_smoothing = true;
    k->has_from_reference = k->from_reference = true;
    k->epochs = 3;
    k->loss = loss;
    k->beta = .1;
    k->label_smoothing = .1;
    k->weight_decay = 0;
    k->warmup_steps = 0;
}

struct outcome {
    struct id model;
    double first_loss, accuracy, margin, held_out;
};

static struct outcome dpo(struct world *w, TrainTask *k, struct id examples)
{
    struct outcome o = { .first_loss = -1 };
    struct id state;

    for (bool goes_on = false;; goes_on = true) {
        struct spec s;
        spec_start(&s, TASK_SPEC__KIND_TRAIN);
        s.m.train = k;
        spec_input(&s, goes_on ? "state" : "init", goes_on ? state : w->base);
        spec_input(&s, "examples", examples);
        TaskAnswer *a = spec_run(&w->c, &s);
        o.first_loss = goes_on ? o.first_loss : answer_metric_of(a, "loss");
        o.accuracy = answer_metric_of(a, "rewards/accuracies");
        o.margin = answer_metric_of(a, "rewards/margins");
        bool done = answer_has(a, "checkpoint");
        if (done)
            o.held_out = answer_metric_of(a, "eval_rewards/accuracies");
        state = answer_id(a, done ? "checkpoint" : "state");
        message_free(a);
        if (done) {
            o.model = state;
            return o;
        }
    }
}

/* The task stops with E_INVARIANT when a first log-ratio is not exactly 0. */
static void the_first_loss_is_that_of_no_preference(void **state)
{
    static const double of[] = { [DPO_STAGE__LOSS__SIGMOID] = M_LN2,
        [DPO_STAGE__LOSS__IPO] = 25, /* (1 / (2 beta))^2 */
        [DPO_STAGE__LOSS__CONSERVATIVE] = M_LN2 };
    struct world *w = *state;
    struct id examples = compared(w, w->base);

    for (int loss = DPO_STAGE__LOSS__SIGMOID; loss <= DPO_STAGE__LOSS__CONSERVATIVE; loss++) {
        TrainTask k;
        dpo_task(&k, (DpoStage__Loss)loss, 1); /* a segment of one step */
        k.epochs = 1;
        assert_true(fabs(dpo(w, &k, examples).first_loss - of[loss]) < 1e-6);
    }
}

static void a_clear_preference_is_learnt_by_every_loss(void **state)
{
    struct world *w = *state;
    struct id examples = compared(w, w->base);

    for (int loss = DPO_STAGE__LOSS__SIGMOID; loss <= DPO_STAGE__LOSS__CONSERVATIVE; loss++) {
        TrainTask k;
        dpo_task(&k, (DpoStage__Loss)loss, 8);
        struct outcome o = dpo(w, &k, examples);
        if (o.accuracy < .95 || o.held_out < .95 || !(o.margin > 0))
            fail_msg("loss %d: %.3f, held out %.3f, margin %.3f", loss, o.accuracy, o.held_out,
                o.margin);
    }
}

static void dpo_gives_the_same_bytes_with_any_segments_and_threads(void **state)
{
    struct world *w = *state;
    struct id examples = compared(w, w->base);
    TrainTask k;

    dpo_task(&k, DPO_STAGE__LOSS__SIGMOID, 100);
    chain_cold(&w->c, 1);
    struct id one = dpo(w, &k, examples).model;
    chain_cold(&w->c, 3);
    k.segment = 5;
    same_id(dpo(w, &k, examples).model, one);
    same_id(compared(w, w->base), examples);
}

static void another_models_reference_stops_the_training(void **state)
{
    struct world *w = *state;
    struct id examples = compared(w, sft(w, 5, NULL));
    struct spec s;
    TrainTask k;

    dpo_task(&k, DPO_STAGE__LOSS__SIGMOID, 1);
    spec_start(&s, TASK_SPEC__KIND_TRAIN);
    s.m.train = &k;
    spec_input(&s, "init", w->base);
    spec_input(&s, "examples", examples);
    spec_fails(&w->c, &s, E_INVARIANT, "it must be exactly 0");
}

/* A loss of its own may be infinite where every number that went into it is not. */
static void an_infinite_loss_stops_the_training(void **state)
{
    struct world *w = *state;
    struct id examples = compared(w, w->base);
    struct spec s;
    TrainTask k;

    dpo_task(&k, DPO_STAGE__LOSS__IPO, 1);
    k.beta = 1e-300; /* (1 / (2 beta))^2 */
    spec_start(&s, TASK_SPEC__KIND_TRAIN);
    s.m.train = &k;
    spec_input(&s, "init", w->base);
    spec_input(&s, "examples", examples);
    spec_fails(&w->c, &s, E_INVARIANT, "step 0: invariant 'finite loss': it is inf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_loss_is_that_of_no_preference),
        cmocka_unit_test(a_clear_preference_is_learnt_by_every_loss),
        cmocka_unit_test(another_models_reference_stops_the_training),
        cmocka_unit_test(an_infinite_loss_stops_the_training),
        cmocka_unit_test(dpo_gives_the_same_bytes_with_any_segments_and_threads),
    };
    return cmocka_run_group_tests(tests, start, end);
}
