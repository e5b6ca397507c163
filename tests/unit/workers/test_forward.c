#include "tests/unit/workers/allocations.h"
#include "tests/unit/workers/world.h"

/* The account of memory of the tasks that train nothing. */

struct forwarding {
    struct world w;
    struct id model, teacher, prompts, ranked, examples;
};

static struct id save_model(struct chain *c, struct model *m)
{
    Output *o = NULL;
    struct id id;

    chain_check(c, model_save(&o, m, c->store, "checkpoint", &c->e));
    id_from_span(&id, o->id.data, o->id.len);
    message_free(o);
    return id;
}

/* A model that is large beside everything else, and a reward model of it. */
static void make_models(struct forwarding *x)
{
    struct chain *c = &x->w.c;
    struct model *m, *teacher;
    ModelConfig config = small_model();

    config.width = 512;
    config.heads = 8;
    config.layers = 4;
    config.context = 128;
    config.has_vocab_size = true;
    config.vocab_size = 320;
    chain_check(c, model_new(&m, &config, &c->e));
    model_init(m, 7);
    m->tokenizer = x->w.tokenizer;
    chain_check(c, model_with_scalar_head(&teacher, m, 8, &c->e));
    teacher->tokenizer = x->w.tokenizer;
    x->model = save_model(c, m);
    x->teacher = save_model(c, teacher);
    model_free(m);
    model_free(teacher);
}

static int begin(void **state)
{
    struct forwarding *x = calloc(1, sizeof *x);
    struct chain *c = &x->w.c;

    chain_start(c, 2);
    x->w.text = chain_file(c, "text.txt", small_text(), SPLIT__PARAGRAPH);
    x->w.tokenizer = run_tokenizer(c, x->w.text);
    x->w.tokens =
        run_encode(c, ENCODE_AS__AS_TEXT, "text", x->w.text, "tokenizer", x->w.tokenizer, "tokens");
    make_models(x);
    x->prompts = chain_file(c, "prompts.txt", "the cat\nthe dog\na bird\n", SPLIT__FILE);
    x->ranked = rankings(&x->w);
    x->examples =
        run_encode(c, ENCODE_AS__AS_RANKINGS, "rankings", x->ranked, "model", x->model, "examples");
    *state = x;
    return 0;
}

static int finish(void **state)
{
    struct forwarding *x = *state;

    chain_end(&x->w.c);
    free(x);
    return 0;
}

/* ---- the tasks ---- */

union parts {
    struct {
        RolloutTask k;
        RlConfig rl;
    } rollout;
    GenerateTask generate;
    struct {
        ScoreTask k;
        EvaluateStage v;
        char *say[1];
    } score;
    ReferenceTask reference;
    CalibrateTask calibrate;
};

static void rollout_spec(struct spec *s, union parts *p, const struct forwarding *x)
{
    RolloutTask *k = &p->rollout.k;
    RlConfig *rl = &p->rollout.rl;

    spec_start(s, TASK_SPEC__KIND_ROLLOUT);
    rollout_task__init(k);
    rl_config__init(rl);
    rl->has_batch_size = rl->has_group_size = rl->has_max_new_tokens = rl->has_temperature = 1;
    rl->batch_size = 12;
    rl->group_size = 1;
    rl->max_new_tokens = 24;
    rl->temperature = 1;
    k->rl = rl;
    k->has_shard = k->has_shards = k->has_critic = k->critic = true;
    k->shards = 1;
    s->m.rollout = k;
    spec_input(s, "init", x->model);
    spec_input(s, "reference", x->model);
    spec_input(s, "reward_model", x->teacher);
    spec_input(s, "prompts", x->prompts);
}

static void packed_rollout_spec(struct spec *s, union parts *p, const struct forwarding *x)
{
    rollout_spec(s, p, x);
    p->rollout.rl.has_rollout_precision = true;
    p->rollout.rl.rollout_precision = PRECISION__BF16;
}

/* A critic beside the rubric's judgement: one more model, made of the policy. */
static void critic_spec(struct spec *s, union parts *p, const struct forwarding *x)
{
    static Rubric rubric = RUBRIC__INIT;

    rollout_spec(s, p, x);
    spec_start(s, TASK_SPEC__KIND_ROLLOUT);
    s->m.rollout = &p->rollout.k;
    p->rollout.k.rubric = &rubric;
    spec_input(s, "init", x->model);
    spec_input(s, "reference", x->model);
    spec_input(s, "prompts", x->prompts);
}

static void generate_spec(struct spec *s, union parts *p, const struct forwarding *x)
{
    GenerateTask *k = &p->generate;

    spec_start(s, TASK_SPEC__KIND_GENERATE);
    generate_task__init(k);
    k->has_answers_per_prompt = k->has_max_new_tokens = k->has_temperature = k->has_top_p = true;
    k->has_shards = true;
    k->answers_per_prompt = 4;
    k->max_new_tokens = 24;
    k->temperature = k->top_p = 1;
    k->shards = 1;
    s->m.generate = k;
    spec_input(s, "model", x->model);
    spec_input(s, "prompts", x->prompts);
}

static void score_spec(struct spec *s, union parts *p, const struct forwarding *x)
{
    EvaluateStage *v = &p->score.v;

    spec_start(s, TASK_SPEC__KIND_SCORE);
    score_task__init(&p->score.k);
    evaluate_stage__init(v);
    p->score.k.evaluate = v;
    p->score.k.has_shards = true;
    p->score.k.shards = 1;
    v->has_answers_per_prompt = v->has_max_new_tokens = true;
    v->answers_per_prompt = 4;
    v->max_new_tokens = 24;
    v->prompts = "";
    p->score.say[0] = "the cat";
    v->say = p->score.say;
    v->n_say = 1;
    s->m.score = &p->score.k;
    spec_input(s, "model", x->model);
    spec_input(s, "reward_model", x->teacher);
    spec_input(s, "prompts", x->prompts);
    spec_input(s, "text", x->w.text);
}

static void reference_spec(struct spec *s, union parts *p, const struct forwarding *x)
{
    spec_start(s, TASK_SPEC__KIND_REFERENCE);
    reference_task__init(&p->reference);
    s->m.reference = &p->reference;
    spec_input(s, "model", x->model);
    spec_input(s, "examples", x->examples);
}

static void calibrate_spec(struct spec *s, union parts *p, const struct forwarding *x)
{
    spec_start(s, TASK_SPEC__KIND_CALIBRATE);
    calibrate_task__init(&p->calibrate);
    s->m.calibrate = &p->calibrate;
    spec_input(s, "model", x->teacher);
    spec_input(s, "rankings", x->ranked);
    spec_input(s, "examples", x->examples);
}

/* MiB of a store's writer that is open meanwhile, which fills little of them. */
#define WRITER 4

static const struct {
    const char *name, *says;
    void (*make)(struct spec *s, union parts *p, const struct forwarding *x);
    double reserved;
} tasks[] = {
    { "rollout", "a rollout needs ", rollout_spec, 0 },
    { "packed rollout", "a rollout needs ", packed_rollout_spec, 0 },
    { "rollout with a fresh critic", "a rollout needs ", critic_spec, 0 },
    { "generate", "sampling answers needs ", generate_spec, 0 },
    { "score", "evaluation needs ", score_spec, WRITER },
    { "reference", "scoring rankings needs ", reference_spec, WRITER },
    { "calibrate", "calibration needs ", calibrate_spec, 0 },
};
#define TASKS (sizeof tasks / sizeof *tasks)

static double account_of(struct forwarding *x, size_t i)
{
    union parts p;
    struct spec s;

    chain_cold(&x->w.c, 2);
    tasks[i].make(&s, &p, x);
    most_allocated = allocated;
    TaskAnswer *a = spec_run(&x->w.c, &s);
    double account = answer_metric_of(a, "memory_mib");
    message_free(a);
    return account;
}

/* ---- */

static void a_task_takes_what_was_computed(void **state)
{
    if (!COUNTED)
        skip();
    for (size_t i = 0; i < TASKS; i++) {
        chain_cold(&((struct forwarding *)*state)->w.c, 2);
        size_t before = allocated;
        double account = account_of(*state, i);
        double taken = (double)(most_allocated - before) / (1 << 20) - tasks[i].reserved;
        print_message(
            "%s: %.2f MiB are taken, %.2f were computed\n", tasks[i].name, taken, account);
        if (fabs(taken - account) > .05 * account)
            fail_msg("%s: %.2f MiB are taken, %.2f were computed", tasks[i].name, taken, account);
    }
}

static void a_task_that_does_not_fit_fails_at_once_with_the_numbers(void **state)
{
    struct forwarding *x = *state;
    struct chain *c = &x->w.c;
    union parts p;
    struct spec s;

    for (size_t i = 0; i < TASKS; i++) {
        double account = account_of(x, i);
        for (int most = 0; most < 2; most++) { /* not even the weights; all but a little */
            chain_cold(c, 2);
            c->memory = most ? (uint64_t)((account - .1) * (1 << 20)) : 1 << 20;
            tasks[i].make(&s, &p, x);
            spec_fails(c, &s, E_TOO_LARGE, tasks[i].says);
            assert_non_null(strstr(c->e.msg, "weights "));
            c->e = (struct err)ERR_INIT;
        }
        c->memory = (uint64_t)((account + .1) * (1 << 20));
        tasks[i].make(&s, &p, x);
        message_free(spec_run(c, &s));
        c->memory = 0;
    }
}

/* ---- what is asked outside a job ---- */

static int hear_memory(void *ctx, const Progress *p)
{
    assert_int_equal(p->n_metrics, 1);
    assert_string_equal(p->metrics[0]->name, "memory_mib");
    *(double *)ctx = p->metrics[0]->value;
    return 0;
}

/* told: MiB; 0: it was refused before. */
static int ask(struct forwarding *x, uint64_t memory, int rows, double *told)
{
    struct chain *c = &x->w.c;
    const struct generate_request r = { .prompt = "the cat",
        .checkpoint = x->model,
        .max_new_tokens = 100000, /* the context has no room for so many */
        .temperature = 1,
        .top_p = 1,
        .count = 3,
        .show_probabilities = rows };
    const struct task_context t = { .store = c->store,
        .engine = &c->engine,
        .warm = c->warm,
        .progress = hear_memory,
        .ctx = told,
        .memory = memory };
    struct buf out = { 0 };
    int rc;

    *told = 0;
    most_allocated = allocated;
    rc = generate_print(&out, &t, &r, &c->e);
    buf_free(&out);
    return rc;
}

static void an_answer_outside_a_job_says_what_it_needs_and_is_refused_where_that_is_not(
    void **state)
{
    struct forwarding *x = *state;
    struct chain *c = &x->w.c;
    double told, none;

    for (int rows = 0; rows < 2; rows++) {
        chain_cold(c, 2);
        size_t before = allocated;
        chain_check(c, ask(x, 0, rows, &told));
        double taken = (double)(most_allocated - before) / (1 << 20);
        print_message("answering: %.2f MiB are taken, %.2f were computed\n", taken, told);
        if (COUNTED)
            assert_true(fabs(taken - told) < .05 * told);
        chain_cold(c, 2);
        assert_int_equal(ask(x, (uint64_t)((told - .1) * (1 << 20)), rows, &none), E_TOO_LARGE);
        assert_true(none == 0);
        assert_non_null(strstr(c->e.msg, "answering needs "));
        assert_non_null(strstr(c->e.msg, "weights "));
        c->e = (struct err)ERR_INIT;
        chain_check(c, ask(x, (uint64_t)((told + .1) * (1 << 20)), rows, &none));
        assert_true(none == told);
    }
}

/* The trainer of a segment before, and a model that is not needed now. */
static void keep_a_trainer(struct forwarding *x)
{
    union parts p;
    struct spec s;
    TrainTask k;
    ModelConfig m = small_model();

    m.width = 256;
    m.heads = 4;
    train_task(&k, TRAIN_TASK__OBJECTIVE__LM, 1);
    k.has_steps = 1;
    k.steps = 2;
    k.model = &m;
    spec_start(&s, TASK_SPEC__KIND_TRAIN);
    s.m.train = &k;
    spec_input(&s, "tokenizer", x->w.tokenizer);
    spec_input(&s, "tokens", x->w.tokens);
    message_free(spec_run(&x->w.c, &s));
    reference_spec(&s, &p, x);
    message_free(spec_run(&x->w.c, &s));
}

static struct id answers_of(struct forwarding *x, double *account)
{
    union parts p;
    struct spec s;

    generate_spec(&s, &p, x);
    TaskAnswer *a = spec_run(&x->w.c, &s);
    struct id id = answer_id(a, "answers");
    *account = answer_metric_of(a, "memory_mib");
    message_free(a);
    return id;
}

static void what_is_kept_counts_and_goes_where_there_is_no_room_for_it(void **state)
{
    struct forwarding *x = *state;
    struct chain *c = &x->w.c;
    double cold, beside, tight;

    chain_cold(c, 2);
    struct id want = answers_of(x, &cold);
    chain_cold(c, 2);
    keep_a_trainer(x);
    same_id(answers_of(x, &beside), want);
    assert_true(beside > cold + 20); /* weights, gradients, moments of 1.7 million */
    chain_cold(c, 2);
    keep_a_trainer(x);
    c->memory = (uint64_t)((cold + .1) * (1 << 20));
    same_id(answers_of(x, &tight), want);
    assert_true(tight == cold);
    c->memory = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_takes_what_was_computed),
        cmocka_unit_test(a_task_that_does_not_fit_fails_at_once_with_the_numbers),
        cmocka_unit_test(
            an_answer_outside_a_job_says_what_it_needs_and_is_refused_where_that_is_not),
        cmocka_unit_test(what_is_kept_counts_and_goes_where_there_is_no_room_for_it),
    };

    return cmocka_run_group_tests(tests, begin, finish);
}
