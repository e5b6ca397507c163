#include "given.h"

#include "pipelines/draft.h"

/* ---- matrices ---- */

#define MATRIX(axes)                                                                       \
    TEACHER "  chat: {kind: ppo, init_from: sft, reward_model: teacher, prompts: prompts," \
            " matrix: {" axes "}}\n"

static char *names(const struct plan *p, const char *prefix)
{
    struct buf b = { 0 };

    for (size_t i = 0; i < p->n_jobs; i++)
        if (strncmp(p->jobs[i].name, prefix, strlen(prefix)) == 0)
            buf_printf(&b, "%s\n", p->jobs[i].name);
    return b.p;
}

static void there_is_one_job_for_each_combination_the_last_axis_fastest(void **state)
{
    Submit *s = given(MATRIX("kl_coef: [0.01, 0.05], clip_ratio: [0.1, 0.2]"));
    struct plan *p = planned(s);
    char *got = names(p, "chat");

    (void)state;
    assert_string_equal(got, "chat[kl_coef=0.01,clip_ratio=0.1]\n"
                             "chat[kl_coef=0.01,clip_ratio=0.2]\n"
                             "chat[kl_coef=0.05,clip_ratio=0.1]\n"
                             "chat[kl_coef=0.05,clip_ratio=0.2]\n");
    assert_true(job_called(p, "chat[kl_coef=0.05,clip_ratio=0.1]")->stage->ppo->kl_coef == 0.05);
    assert_true(job_called(p, "chat[kl_coef=0.05,clip_ratio=0.1]")->stage->ppo->clip_ratio == 0.1);
    assert_true(job_called(p, "chat[kl_coef=0.01,clip_ratio=0.2]")->stage->ppo->gae_lambda == 0.95);
    free(got);
    plan_free(p);
    message_free(s);
}

static void an_axis_may_be_the_seed_a_word_or_a_key_further_down(void **state)
{
    Submit *s = given("name: axes\n" INPUTS "stages:\n"
                      "  vocabulary: {kind: tokenizer, text: corpus}\n"
                      "  base:\n"
                      "    kind: pretrain\n"
                      "    tokenizer: vocabulary\n"
                      "    text: corpus\n"
                      "    model: {layers: 1}\n"
                      "    steps: 5\n"
                      "    matrix: {seed: [1, 2], schedule: [linear], model.width: [32, 64]}\n");
    struct plan *p = planned(s);
    const struct plan_job *job = job_called(p, "base[seed=2,schedule=linear,model.width=64]");

    (void)state;
    assert_int_equal(p->n_jobs, 5);
    assert_int_equal(job->seed, 2);
    assert_int_equal(job->stage->pretrain->model->width, 64);
    assert_int_equal(job->stage->pretrain->schedule, SCHEDULE__LINEAR);
    plan_free(p);
    message_free(s);
}

static void an_axis_may_be_what_a_stage_learns_from(void **state)
{
    Submit *s = given(BASE "  sft: {kind: sft, init_from: base, demonstrations: demonstrations,"
                           " matrix: {demonstrations: [demonstrations, prompts]}}\n");
    struct plan *p = planned(s);

    (void)state;
    assert_string_equal(job_called(p, "sft[demonstrations=prompts]")->bindings[2].name, "prompts");
    plan_free(p);
    message_free(s);
}

/* ---- the site of a key ---- */

static void a_key_that_the_matrix_sets_stands_there(void **state)
{
    char *values[] = { "0.01", "-1" };
    MatrixAxis axis = MATRIX_AXIS__INIT, *axes[] = { &axis };
    Stage stage = STAGE__INIT;
    uint32_t choice[] = { 1 };
    struct draft one = {
        .stage = 3, .origin = &stage, .choice = choice, .kind = kind_numbered(STAGE__KIND_PPO)
    };
    struct site at;

    (void)state;
    axis.name = "kl_coef";
    axis.values = values;
    axis.n_values = 2;
    stage.matrix = axes;
    stage.n_matrix = 1;
    at = draft_site(&one, site_key(site_of(SITE_STAGE, 3, "ppo"), "kl_coef"));
    assert_string_equal(at.keys[0], "matrix");
    assert_string_equal(at.keys[1], "kl_coef");
    assert_int_equal(at.item, 1);
    at = draft_site(&one, site_key(site_of(SITE_STAGE, 3, "ppo"), "epochs"));
    assert_string_equal(at.keys[0], "epochs");
    assert_null(at.keys[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_one_job_for_each_combination_the_last_axis_fastest),
        cmocka_unit_test(an_axis_may_be_the_seed_a_word_or_a_key_further_down),
        cmocka_unit_test(an_axis_may_be_what_a_stage_learns_from),
        cmocka_unit_test(a_key_that_the_matrix_sets_stands_there),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
