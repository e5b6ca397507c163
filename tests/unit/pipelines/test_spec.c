#include "rounds.h"

/* The tasks of one round of a job. */
struct round_of {
    Submit *s;
    struct plan *p;
    struct world w;
    struct unfolding u;
};

static void begin(struct round_of *r, const char *yaml, const char *job)
{
    *r = (struct round_of){ .s = given(yaml) };
    r->p = planned(r->s);
    r->w.job = job_called(r->p, job);
    put_inputs(&r->w, r->w.job);
}

static void at_round(struct round_of *r, uint32_t round)
{
    struct err e = ERR_INIT;

    unfolding_free(&r->u);
    if (unfold(&r->u, r->w.job, &r->w.slots, round, "openblas-1/Core/set", &e) != OK)
        fail_msg("%s", e.msg);
}

static void end(struct round_of *r)
{
    unfolding_free(&r->u);
    world_end(&r->w);
    plan_free(r->p);
    message_free(r->s);
}

static struct id id_of(TaskSpec *t)
{
    struct err e = ERR_INIT;
    struct id id;

    assert_int_equal(task_id(&id, t, &e), OK);
    return id;
}

static void sft_encodes_text_by_the_very_tasks_of_pretrain(void **state)
{
    struct round_of base, sft, chat;

    (void)state;
    begin(&base, CHAT, "base");
    begin(&sft, CHAT, "sft");
    begin(&chat, CHAT, "chat");
    /* Whoever hands on the tokenizer: it is one artifact. */
    put(&sft.w, "in.tokenizer", "vocabulary.tokenizer", ARTIFACT_KIND__TOKENIZER);
    put(&chat.w, "in.tokenizer", "vocabulary.tokenizer", ARTIFACT_KIND__TOKENIZER);
    at_round(&base, 0);
    at_round(&sft, 0);
    at_round(&chat, 0);
    assert_int_equal(base.u.n_tasks, 2);
    assert_int_equal(sft.u.n_tasks, 3);
    for (size_t k = 0; k < 2; k++) {
        struct id a = id_of(base.u.tasks[k]), b = id_of(sft.u.tasks[k + 1]);
        struct id c = id_of(chat.u.tasks[k]);
        assert_true(id_equal(&a, &b));
        assert_true(id_equal(&a, &c));
    }
    end(&base);
    end(&sft);
    end(&chat);
}

static void another_seed_encodes_nothing_anew(void **state)
{
    struct round_of a, b;
    struct id x, y;

    (void)state;
    begin(&a, BASE, "base");
    begin(&b, BASE "    seed: 8\n", "base");
    at_round(&a, 0);
    at_round(&b, 0);
    x = id_of(a.u.tasks[0]);
    y = id_of(b.u.tasks[0]);
    assert_true(id_equal(&x, &y));
    put(&a.w, "tokens.0.tokens", "t", ARTIFACT_KIND__TOKENS);
    put(&a.w, "tokens.1.tokens", "t", ARTIFACT_KIND__TOKENS);
    put(&b.w, "tokens.0.tokens", "t", ARTIFACT_KIND__TOKENS);
    put(&b.w, "tokens.1.tokens", "t", ARTIFACT_KIND__TOKENS);
    at_round(&a, 1);
    at_round(&b, 1);
    assert_int_equal(a.u.tasks[0]->seed, 7);
    assert_int_equal(b.u.tasks[0]->seed, 8);
    x = id_of(a.u.tasks[0]);
    y = id_of(b.u.tasks[0]);
    assert_false(id_equal(&x, &y));
    end(&a);
    end(&b);
}

static void only_numeric_tasks_name_a_class(void **state)
{
    struct round_of r;

    (void)state;
    begin(&r, REPORT, "sft");
    at_round(&r, 0);
    assert_string_equal(r.u.tasks[0]->numeric_class, "");
    assert_int_equal(r.u.tasks[0]->engine, ENGINE_VERSION);
    end(&r);
    begin(&r, REPORT, "answers");
    at_round(&r, 0);
    assert_string_equal(r.u.tasks[0]->numeric_class, "openblas-1/Core/set");
    end(&r);
}

static void pretraining_is_configured_by_its_stage(void **state)
{
    struct round_of r;
    const TrainTask *k;

    (void)state;
    begin(&r, BASE, "base");
    at_round(&r, 0);
    assert_int_equal(r.u.tasks[1]->encode->shard, 1);
    assert_int_equal(r.u.tasks[1]->encode->shards, 2);
    assert_true(r.u.tasks[1]->encode->held_out == 0.02);
    put(&r.w, "tokens.0.tokens", "t", ARTIFACT_KIND__TOKENS);
    put(&r.w, "tokens.1.tokens", "t", ARTIFACT_KIND__TOKENS);
    at_round(&r, 1);
    k = r.u.tasks[0]->train;
    assert_int_equal(k->objective, TRAIN_TASK__OBJECTIVE__LM);
    assert_int_equal(k->model->width, 64);
    assert_int_equal(k->steps, 500);
    assert_int_equal(k->segment, 200);
    assert_int_equal(k->batch_size, 16);
    assert_true(k->beta2 == 0.95);
    assert_true(k->has_schedule && k->schedule == SCHEDULE__COSINE);
    assert_false(k->has_epochs);
    put(&r.w, "state", "s", ARTIFACT_KIND__TRAINING_STATE);
    at_round(&r, 2);
    assert_null(r.u.tasks[0]->train->model);
    assert_int_equal(r.u.tasks[0]->train->steps, 500);
    end(&r);
}

static void sft_and_the_reward_model_count_epochs(void **state)
{
    struct round_of r;

    (void)state;
    begin(&r, REPORT, "sft");
    put(&r.w, "examples", "x", ARTIFACT_KIND__EXAMPLES);
    put(&r.w, "tokens.0.tokens", "t", ARTIFACT_KIND__TOKENS);
    put(&r.w, "tokens.1.tokens", "t", ARTIFACT_KIND__TOKENS);
    at_round(&r, 1);
    assert_int_equal(r.u.tasks[0]->train->objective, TRAIN_TASK__OBJECTIVE__ANSWERS);
    assert_int_equal(r.u.tasks[0]->train->epochs, 2);
    assert_int_equal(r.u.tasks[0]->train->steps, 0);
    assert_true(r.u.tasks[0]->train->pretrain_mix == 0.1);
    end(&r);
    begin(&r, REPORT, "teacher");
    at_round(&r, 0);
    assert_int_equal(r.u.tasks[0]->encode->as, ENCODE_AS__AS_RANKINGS);
    assert_true(r.u.tasks[0]->encode->held_out == 0.1);
    assert_false(r.u.tasks[0]->encode->has_shards);
    put(&r.w, "examples", "x", ARTIFACT_KIND__EXAMPLES);
    at_round(&r, 1);
    assert_int_equal(r.u.tasks[0]->train->objective, TRAIN_TASK__OBJECTIVE__RANKING);
    assert_int_equal(r.u.tasks[0]->train->epochs, 1);
    end(&r);
}

static void ppo_counts_iterations_and_keeps_its_own_fields(void **state)
{
    struct round_of r;
    const TrainTask *k;

    (void)state;
    begin(&r, CHAT, "chat");
    at_round(&r, 1);
    assert_int_equal(r.u.n_tasks, 2);
    assert_int_equal(r.u.tasks[1]->rollout->shard, 1);
    assert_int_equal(r.u.tasks[1]->rollout->iteration, 0);
    assert_true(r.u.tasks[1]->rollout->rl->kl_coef == 0.02);
    put(&r.w, "experience.0.experience", "x", ARTIFACT_KIND__EXPERIENCE);
    put(&r.w, "experience.1.experience", "x", ARTIFACT_KIND__EXPERIENCE);
    put(&r.w, "tokens.0.tokens", "t", ARTIFACT_KIND__TOKENS);
    put(&r.w, "tokens.1.tokens", "t", ARTIFACT_KIND__TOKENS);
    at_round(&r, 2);
    k = r.u.tasks[0]->train;
    assert_int_equal(k->objective, TRAIN_TASK__OBJECTIVE__PPO);
    assert_int_equal(k->steps, 3);
    assert_int_equal(k->segment, 1);
    assert_int_equal(k->batch_size, 64);
    assert_false(k->has_epochs);
    assert_true(k->eps == 1e-5);
    assert_int_equal(k->schedule, SCHEDULE__CONSTANT);
    assert_int_equal(k->rl->epochs, 1);
    assert_int_equal(k->rl->batch_size, 512);
    put(&r.w, "state", "s", ARTIFACT_KIND__TRAINING_STATE);
    at_round(&r, 5);
    assert_int_equal(r.u.tasks[0]->rollout->iteration, 2);
    end(&r);
}

static void every_kind_of_practice_is_one_configuration_with_its_own_defaults(void **state)
{
    static const struct {
        const char *kind;
        TrainTask__Objective objective;
        uint32_t group;
        double kl_coef, ema_decay;
        bool critic;
    } kinds[] = {
        { "ppo", TRAIN_TASK__OBJECTIVE__PPO, 1, .02, .992, true },
        { "rloo", TRAIN_TASK__OBJECTIVE__RLOO, 4, .03, 0, false },
        { "grpo", TRAIN_TASK__OBJECTIVE__GRPO, 8, .04, 0, false },
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct round_of r;
        char yaml[8192];
        snprintf(yaml, sizeof yaml,
            SFT "  chat: {kind: %s, init_from: sft, rubric: data/rubric.yaml, prompts: prompts,"
                " ptx_coef: 0, score_unended: true, rollout_shards: 1}\n",
            kinds[i].kind);
        begin(&r, yaml, "chat");
        at_round(&r, 0);
        const RolloutTask *k = r.u.tasks[0]->rollout;
        assert_true(k->rubric->noise == 0.05);
        assert_int_equal(k->critic, kinds[i].critic);
        assert_int_equal(k->rl->group_size, kinds[i].group);
        assert_true(k->rl->kl_coef == kinds[i].kl_coef);
        assert_true(k->rl->score_unended);
        assert_int_equal(k->rl->kl_in_reward, RL_CONFIG__KL_IN_REWARD__K1);
        put(&r.w, "experience.0.experience", "x", ARTIFACT_KIND__EXPERIENCE);
        at_round(&r, 1);
        assert_int_equal(r.u.tasks[0]->train->objective, kinds[i].objective);
        assert_true(r.u.tasks[0]->train->rl->ema_decay == kinds[i].ema_decay);
        assert_true(r.u.tasks[0]->train->eps == 1e-5);
        end(&r);
    }
}

static void an_evaluation_takes_its_rubric_along_and_names_models_in_the_report_only(void **state)
{
    struct round_of r;
    const ReportTask *k;

    (void)state;
    begin(&r, REPORT, "report");
    at_round(&r, 0);
    assert_int_equal(r.u.n_tasks, 6);
    assert_true(r.u.tasks[5]->score->rubric->noise == 0.05);
    assert_int_equal(r.u.tasks[5]->score->shard, 1);
    assert_int_equal(r.u.tasks[5]->score->shards, 2);
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < 2; i++) {
            char slot[64];
            snprintf(slot, sizeof slot, "score.%d.%d.scores", m, i);
            put(&r.w, slot, slot, ARTIFACT_KIND__SCORES);
        }
    at_round(&r, 1);
    k = r.u.tasks[0]->report;
    assert_int_equal(k->n_models, 3);
    assert_string_equal(k->models[0], "base");
    assert_string_equal(k->models[2], "chat");
    assert_string_equal(k->reference, "sft");
    assert_int_equal(k->shards, 2);
    end(&r);
}

static bool holds(const struct buf *b, const char *text)
{
    for (size_t i = 0; i + strlen(text) <= b->n; i++)
        if (memcmp(b->p + i, text, strlen(text)) == 0)
            return true;
    return false;
}

static void no_task_knows_a_name_or_a_path(void **state)
{
    static const char *const jobs[] = { "vocabulary", "base", "sft", "answers", "ranking",
        "teacher", "report" };
    static const char *const names[] = { "data/", "quickstart", "vocabulary", "corpus", "sft",
        "teacher" };

    (void)state;
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        struct round_of r;
        struct buf b = { 0 };
        begin(&r, REPORT, jobs[i]);
        for (size_t k = 0; k < r.w.slots.n; k++)
            memset(r.w.items[k]->id.data, 0xff, 32);
        at_round(&r, 0);
        for (size_t k = 0; k < r.u.n_tasks; k++)
            assert_int_equal(message_pack(&b, &r.u.tasks[k]->base), OK);
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            assert_false(holds(&b, names[k]));
        buf_free(&b);
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sft_encodes_text_by_the_very_tasks_of_pretrain),
        cmocka_unit_test(another_seed_encodes_nothing_anew),
        cmocka_unit_test(only_numeric_tasks_name_a_class),
        cmocka_unit_test(pretraining_is_configured_by_its_stage),
        cmocka_unit_test(sft_and_the_reward_model_count_epochs),
        cmocka_unit_test(ppo_counts_iterations_and_keeps_its_own_fields),
        cmocka_unit_test(every_kind_of_practice_is_one_configuration_with_its_own_defaults),
        cmocka_unit_test(an_evaluation_takes_its_rubric_along_and_names_models_in_the_report_only),
        cmocka_unit_test(no_task_knows_a_name_or_a_path),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
