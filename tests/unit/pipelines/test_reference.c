#include "given.h"

#define CHATS                                                                              \
    TEACHER "  chat: {kind: ppo, init_from: sft, reward_model: teacher, prompts: prompts," \
            " matrix: {kl_coef: [0.01, 0.05]}}\n"

static char *models_of(const struct plan *p, const char *job)
{
    const struct plan_job *j = job_called(p, job);
    struct buf b = { 0 };

    for (size_t i = 0; i < j->n_bindings; i++)
        if (strcmp(j->bindings[i].port, "model") == 0)
            buf_printf(&b, "%s.%s\n", j->bindings[i].name, j->bindings[i].output);
    return b.p;
}

static void assert_models(const char *yaml, const char *job, const char *expected)
{
    Submit *s = given(yaml);
    struct plan *p = planned(s);
    char *got = models_of(p, job);

    assert_string_equal(got, expected);
    free(got);
    plan_free(p);
    message_free(s);
}

static void a_list_takes_all_jobs_of_a_matrix(void **state)
{
    (void)state;
    assert_models(CHATS "  report: {kind: evaluate, models: [sft, chat], prompts: prompts}\n",
        "report", "sft.checkpoint\nchat[kl_coef=0.01].checkpoint\nchat[kl_coef=0.05].checkpoint\n");
}

static void one_job_of_a_matrix_is_named_with_its_values(void **state)
{
    (void)state;
    assert_models(CHATS "  more: {kind: sample, model: 'chat[kl_coef=0.05]', prompts: prompts}\n",
        "more", "chat[kl_coef=0.05].checkpoint\n");
    assert_models(CHATS
        "  more: {kind: sample, model: 'chat[kl_coef=0.05].checkpoint', prompts: prompts}\n",
        "more", "chat[kl_coef=0.05].checkpoint\n");
}

static void needs_takes_all_jobs_of_a_matrix(void **state)
{
    Submit *s = given(CHATS "  more: {kind: tokenizer, text: corpus, needs: chat}\n");
    struct plan *p = planned(s);

    (void)state;
    assert_int_equal(job_called(p, "more")->n_after, 2);
    plan_free(p);
    message_free(s);
}

static void a_stage_is_its_first_output_of_what_is_wanted(void **state)
{
    Submit *s = given(BASE "  other: {kind: pretrain, tokenizer: base, text: corpus, model: {},"
                           " steps: 5}\n");
    struct plan *p = planned(s);

    (void)state;
    assert_string_equal(job_called(p, "other")->bindings[0].output, "tokenizer");
    assert_string_equal(job_called(p, "other")->bindings[0].name, "base");
    plan_free(p);
    message_free(s);
}

static void names_without_end_are_refused_quickly(void **state)
{
    struct buf b = { 0 };
    char *wrong;

    (void)state;
    assert_int_equal(buf_printf(&b, BASE "  report:\n    kind: evaluate\n    prompts: prompts\n"
                                         "    models: ["),
        OK);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf_printf(&b, "%sbase", i ? "," : ""), OK);
    assert_int_equal(buf_printf(&b, "]\n"), OK);
    wrong = load_text(NULL, b.p, NULL, 0);
    assert_non_null(strstr(wrong, "more than 4096 names"));
    free(wrong);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_takes_all_jobs_of_a_matrix),
        cmocka_unit_test(one_job_of_a_matrix_is_named_with_its_values),
        cmocka_unit_test(needs_takes_all_jobs_of_a_matrix),
        cmocka_unit_test(a_stage_is_its_first_output_of_what_is_wanted),
        cmocka_unit_test(names_without_end_are_refused_quickly),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
