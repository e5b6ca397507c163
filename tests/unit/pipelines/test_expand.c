#include "given.h"

#include <math.h>

/* A job in one line: name after(…) port=source[.output] … */
static char *written(const struct plan *p)
{
    struct buf b = { 0 };

    for (size_t i = 0; i < p->n_jobs; i++) {
        const struct plan_job *job = &p->jobs[i];
        buf_printf(&b, "%s:", job->name);
        for (size_t k = 0; k < job->n_after; k++)
            buf_printf(&b, " after %s", p->jobs[job->after[k]].name);
        for (size_t k = 0; k < job->n_bindings; k++) {
            const struct binding *one = &job->bindings[k];
            const char *source = one->output ? p->jobs[one->source].name
                                             : p->submit->pipeline->inputs[one->source]->name;
            assert_string_equal(one->name, source);
            buf_printf(&b, " %s=%s%s%s", one->port, source, one->output ? "." : "",
                one->output ? one->output : "");
        }
        buf_printf(&b, "\n");
    }
    return b.p;
}

static void assert_plan(const char *yaml, const char *expected)
{
    Submit *s = given(yaml);
    struct plan *p = planned(s);
    char *got = written(p);

    assert_string_equal(got, expected);
    free(got);
    plan_free(p);
    message_free(s);
}

static void the_whole_recipe_is_bound_stage_to_stage(void **state)
{
    (void)state;
    assert_plan(REPORT,
        "vocabulary: text=corpus\n"
        "base: after vocabulary tokenizer=vocabulary.tokenizer text=corpus\n"
        "sft: after base init=base.checkpoint tokenizer=base.tokenizer"
        " demonstrations=demonstrations text=corpus\n"
        "answers: after sft model=sft.checkpoint prompts=prompts\n"
        "ranking: after answers answers=answers.answers\n"
        "teacher: after sft after ranking init=sft.checkpoint tokenizer=sft.tokenizer"
        " rankings=ranking.rankings demonstrations=demonstrations\n"
        "chat: after sft after teacher init=sft.checkpoint tokenizer=sft.tokenizer"
        " reward_model=teacher.checkpoint prompts=prompts text=corpus\n"
        "report: after base after sft after teacher after chat model=base.checkpoint"
        " model=sft.checkpoint model=chat.checkpoint reference=sft.checkpoint"
        " reward_model=teacher.checkpoint prompts=prompts\n");
}

static void jobs_stand_in_topological_order_ties_as_in_the_file(void **state)
{
    (void)state;
    assert_plan("name: order\n" INPUTS "stages:\n"
                "  last: {kind: tokenizer, text: corpus, needs: [first, second]}\n"
                "  second: {kind: tokenizer, text: corpus}\n"
                "  first: {kind: tokenizer, text: corpus, needs: second}\n"
                "  free: {kind: tokenizer, text: [prompts, corpus]}\n",
        "second: text=corpus\n"
        "first: after second text=corpus\n"
        "last: after second after first text=corpus\n"
        "free: text=prompts text=corpus\n");
}

static void text_comes_from_the_nearest_stage_that_names_some(void **state)
{
    (void)state;
    assert_plan(BASE
        "  one: {kind: sft, init_from: base, demonstrations: demonstrations,"
        " pretrain_text: prompts}\n"
        "  two: {kind: sft, init_from: one, demonstrations: demonstrations}\n"
        "  three: {kind: sft, init_from: one, demonstrations: demonstrations, pretrain_mix: 0}\n",
        "vocabulary: text=corpus\n"
        "base: after vocabulary tokenizer=vocabulary.tokenizer text=corpus\n"
        "one: after base init=base.checkpoint tokenizer=base.tokenizer"
        " demonstrations=demonstrations text=prompts\n"
        "two: after one init=one.checkpoint tokenizer=one.tokenizer"
        " demonstrations=demonstrations text=prompts\n"
        "three: after one init=one.checkpoint tokenizer=one.tokenizer"
        " demonstrations=demonstrations\n");
}

static void what_is_not_used_is_not_waited_for(void **state)
{
    (void)state;
    assert_plan(ANSWERS "  ranking: {kind: rank, answers: answers, by: {file: prompts}}\n"
                        "  teacher: {kind: reward_model, init_from: base, rankings: ranking}\n"
                        "  chat: {kind: ppo, init_from: base, reward_model: teacher,"
                        " prompts: prompts, pretrain_text: corpus, ptx_coef: 0}\n",
        "vocabulary: text=corpus\n"
        "base: after vocabulary tokenizer=vocabulary.tokenizer text=corpus\n"
        "sft: after base init=base.checkpoint tokenizer=base.tokenizer"
        " demonstrations=demonstrations text=corpus\n"
        "answers: after sft model=sft.checkpoint prompts=prompts\n"
        "ranking: rankings=prompts\n"
        "teacher: after base after ranking init=base.checkpoint tokenizer=base.tokenizer"
        " rankings=ranking.rankings\n"
        "chat: after base after teacher init=base.checkpoint tokenizer=base.tokenizer"
        " reward_model=teacher.checkpoint prompts=prompts\n");
}

static void text_is_encoded_as_the_pretrain_stage_does_it(void **state)
{
    Submit *s = given("name: text\n" INPUTS "stages:\n"
                      "  vocabulary: {kind: tokenizer, text: corpus}\n"
                      "  base: {kind: pretrain, tokenizer: vocabulary, text: corpus, model: {},"
                      " steps: 5, encode_shards: 3, held_out: 0.25}\n"
                      "  sft: {kind: sft, init_from: base, demonstrations: demonstrations}\n");
    struct plan *p = planned(s);

    (void)state;
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(p->jobs[i].text_shards, 3);
        assert_true(p->jobs[i].text_held_out == 0.25);
    }
    assert_int_equal(p->jobs[0].text_shards, 0);
    plan_free(p);
    message_free(s);
}

static void a_seed_is_the_stages_or_the_pipelines(void **state)
{
    Submit *s = given(SFT "    \n");
    struct plan *p = planned(s);

    (void)state;
    assert_int_equal(job_called(p, "sft")->seed, 7);
    plan_free(p);
    s->pipeline->stages[2]->has_seed = 1;
    s->pipeline->stages[2]->seed = 11;
    p = planned(s);
    assert_int_equal(job_called(p, "sft")->seed, 11);
    assert_int_equal(job_called(p, "base")->seed, 7);
    plan_free(p);
    message_free(s);
}

static void rubrics_and_kinds_are_known(void **state)
{
    Submit *s = given(REPORT);
    struct plan *p = planned(s);

    (void)state;
    assert_ptr_equal(job_called(p, "ranking")->rubric, s->rubrics[0]->rubric);
    assert_ptr_equal(job_called(p, "report")->rubric, s->rubrics[0]->rubric);
    assert_null(job_called(p, "chat")->rubric);
    assert_string_equal(job_called(p, "teacher")->kind, "reward_model");
    assert_true(job_called(p, "chat")->numeric);
    assert_false(job_called(p, "ranking")->numeric);
    assert_false(job_called(p, "vocabulary")->numeric);
    plan_free(p);
    message_free(s);
}

/* ---- what a stranger may send ---- */

static void assert_refused(const Submit *s, const char *why)
{
    struct err e = ERR_INIT;
    struct plan *p = NULL;

    assert_int_equal(plan_make(&p, s, &e), E_INPUT);
    assert_null(p);
    if (!strstr(e.msg, why))
        fail_msg("expected '%s', got '%s'", why, e.msg);
}

static void replace(char **text, const char *with)
{
    free(*text);
    *text = strdup(with);
}

static void a_message_without_defaults_gives_the_same_plan(void **state)
{
    Submit *s = given(CHAT);
    struct plan *p;

    (void)state;
    s->pipeline->stages[6]->ppo->has_kl_coef = 0;
    s->pipeline->stages[6]->ppo->kl_coef = 0.02;
    p = planned(s);
    assert_true(job_called(p, "chat")->stage->ppo->has_kl_coef);
    plan_free(p);
    message_free(s);
}

static void a_strangers_mistakes_are_told_by_name(void **state)
{
    Submit *s = given(REPORT);
    Submit nothing = SUBMIT__INIT;
    PpoStage *ppo = s->pipeline->stages[6]->ppo;

    (void)state;
    assert_refused(&nothing, "there is no pipeline");
    ppo->clip_ratio = NAN;
    assert_refused(s, "stage 'chat': 'clip_ratio' must be a number");
    ppo->clip_ratio = 1;
    assert_refused(s, "stage 'chat': 'clip_ratio' must be less than 1, not 1");
    ppo->clip_ratio = 0.2;
    replace(&ppo->init_from, "chat");
    assert_refused(s, "stage 'chat': 'chat' cannot wait for itself");
    replace(&ppo->init_from, "");
    assert_refused(s, "stage 'chat': 'init_from' is empty");
    replace(&ppo->init_from, "sft");
    replace(&s->rubrics[0]->path, "other.yaml");
    assert_refused(s, "stage 'ranking': there is no rubric 'data/rubric.yaml'");
    replace(&s->rubrics[0]->path, "data/rubric.yaml");
    s->rubrics[0]->rubric->noise = 2;
    assert_refused(s, "rubric 'data/rubric.yaml': 'noise' must be at most 1, not 2");
    message_free(s);
}

static void inputs_that_were_taken_in_are_all_there_and_files(void **state)
{
    Submit *s = given(BASE);
    uint8_t id[32] = { 0 };
    Output artifacts[3];
    TakenInput taken[3], *pointers[3] = { &taken[0], &taken[1], &taken[2] };
    struct plan *p;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        output__init(&artifacts[i]);
        taken_input__init(&taken[i]);
        artifacts[i].id = (ProtobufCBinaryData){ sizeof id, id };
        artifacts[i].kind = ARTIFACT_KIND__FILES;
        taken[i].name = s->pipeline->inputs[2 - i]->name; /* any order */
        taken[i].artifact = &artifacts[i];
    }
    s->inputs = pointers;
    s->n_inputs = 3;
    p = planned(s);
    plan_free(p);
    artifacts[0].kind = ARTIFACT_KIND__CHECKPOINT;
    assert_refused(s, "input 'prompts': it was not taken in as files");
    artifacts[0].id.len = 5;
    assert_refused(s, "input 'prompts': it was not taken in");
    s->n_inputs = 2;
    assert_refused(s, "input 'corpus': it was not taken in");
    s->inputs = NULL;
    s->n_inputs = 0;
    message_free(s);
}

static void counts_are_bounded(void **state)
{
    Submit *s = given(BASE);
    size_t n = 5000;
    Stage **many = calloc(n, sizeof(*many)), **own = s->pipeline->stages;

    (void)state;
    assert_non_null(many);
    for (size_t i = 0; i < n; i++)
        many[i] = own[0];
    s->pipeline->stages = many;
    s->pipeline->n_stages = n;
    assert_refused(s, "more than 400 stages or inputs");
    s->pipeline->stages = own;
    s->pipeline->n_stages = 2;
    free(many);
    message_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_recipe_is_bound_stage_to_stage),
        cmocka_unit_test(jobs_stand_in_topological_order_ties_as_in_the_file),
        cmocka_unit_test(text_comes_from_the_nearest_stage_that_names_some),
        cmocka_unit_test(what_is_not_used_is_not_waited_for),
        cmocka_unit_test(text_is_encoded_as_the_pretrain_stage_does_it),
        cmocka_unit_test(a_seed_is_the_stages_or_the_pipelines),
        cmocka_unit_test(rubrics_and_kinds_are_known),
        cmocka_unit_test(a_message_without_defaults_gives_the_same_plan),
        cmocka_unit_test(a_strangers_mistakes_are_told_by_name),
        cmocka_unit_test(inputs_that_were_taken_in_are_all_there_and_files),
        cmocka_unit_test(counts_are_bounded),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
