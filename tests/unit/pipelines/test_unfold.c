#include "rounds.h"

static const struct {
    const char *yaml, *job;
    uint32_t segments;
    const char *rounds;
} expected[] = {
    { REPORT, "vocabulary", 0,
        "0\ntokenizer(text:corpus)\n"
        "tokenizer = tokenizer@0\n" },
    { REPORT, "base", 3,
        "0\n"
        "tokens.0=encode(tokenizer:vocabulary.tokenizer text:corpus)\n"
        "tokens.1=encode(tokenizer:vocabulary.tokenizer text:corpus)\n"
        "1\ntrain(tokenizer:vocabulary.tokenizer tokens:tokens.0.tokens@0"
        " tokens:tokens.1.tokens@0)\n"
        "2\ntrain(state:state@1 tokens:tokens.0.tokens@0 tokens:tokens.1.tokens@0)\n"
        "3\ntrain(state:state@2 tokens:tokens.0.tokens@0 tokens:tokens.1.tokens@0)\n"
        "checkpoint = checkpoint@3\n"
        "tokenizer = vocabulary.tokenizer\n" },
    { REPORT, "sft", 2,
        "0\n"
        "encode(model:base.checkpoint demonstrations:demonstrations)\n"
        "tokens.0=encode(tokenizer:base.tokenizer text:corpus)\n"
        "tokens.1=encode(tokenizer:base.tokenizer text:corpus)\n"
        "1\ntrain(init:base.checkpoint examples:examples@0 tokens:tokens.0.tokens@0"
        " tokens:tokens.1.tokens@0)\n"
        "2\ntrain(state:state@1 examples:examples@0 tokens:tokens.0.tokens@0"
        " tokens:tokens.1.tokens@0)\n"
        "checkpoint = checkpoint@2\n"
        "tokenizer = base.tokenizer\n" },
    { BASE "  sft: {kind: sft, init_from: base, demonstrations: demonstrations, pretrain_mix: 0}\n",
        "sft", 1,
        "0\nencode(model:base.checkpoint demonstrations:demonstrations)\n"
        "1\ntrain(init:base.checkpoint examples:examples@0)\n"
        "checkpoint = checkpoint@1\n"
        "tokenizer = base.tokenizer\n" },
    { SFT "  answers: {kind: sample, model: sft, prompts: prompts, shards: 2}\n", "answers", 0,
        "0\n"
        "part.0=generate(model:sft.checkpoint prompts:prompts)\n"
        "part.1=generate(model:sft.checkpoint prompts:prompts)\n"
        "1\njoin(part:part.0.answers@0 part:part.1.answers@0)\n"
        "answers = answers@1\n" },
    { REPORT, "ranking", 0,
        "0\nrank(answers:answers.answers)\n"
        "rankings = rankings@0\n" },
    { BASE "  ranking: {kind: rank, by: {file: prompts}}\n", "ranking", 0,
        "0\nrank(rankings:prompts)\n"
        "rankings = rankings@0\n" },
    { ANSWERS "  ranking: {kind: rank, answers: answers, by: {people: {target: 12}}}\n", "ranking",
        0, "people 12\n" },
    { REPORT, "teacher", 2,
        "0\nencode(model:sft.checkpoint rankings:ranking.rankings)\n"
        "1\ntrain(init:sft.checkpoint examples:examples@0)\n"
        "2\ntrain(state:state@1 examples:examples@0)\n"
        "3\ncalibrated=calibrate(model:checkpoint@2 demonstrations:demonstrations"
        " examples:examples@0)\n"
        "checkpoint = calibrated.checkpoint@3\n"
        "tokenizer = sft.tokenizer\n" },
    { RANKING "  teacher: {kind: reward_model, init_from: base, rankings: ranking}\n", "teacher", 1,
        "0\nencode(model:base.checkpoint rankings:ranking.rankings)\n"
        "1\ntrain(init:base.checkpoint examples:examples@0)\n"
        "2\ncalibrated=calibrate(model:checkpoint@1 rankings:ranking.rankings"
        " examples:examples@0)\n"
        "checkpoint = calibrated.checkpoint@2\n"
        "tokenizer = base.tokenizer\n" },
    { TEACHER "  tuned: {kind: sft, init_from: base, demonstrations: demonstrations,"
              " chosen_by: teacher, chosen_on: prompts, pretrain_mix: 0}\n",
        "tuned", 2,
        "0\nencode(model:base.checkpoint demonstrations:demonstrations)\n"
        "1\ntrain(init:base.checkpoint examples:examples@0 reward_model:teacher.checkpoint"
        " prompts:prompts)\n"
        "2\ntrain(state:state@1 examples:examples@0 reward_model:teacher.checkpoint"
        " prompts:prompts)\n"
        "checkpoint = checkpoint@2\n"
        "tokenizer = base.tokenizer\n" },
    { CHAT, "chat", 2,
        "0\n"
        "tokens.0=encode(tokenizer:sft.tokenizer text:corpus)\n"
        "tokens.1=encode(tokenizer:sft.tokenizer text:corpus)\n"
        "1\n"
        "experience.0=rollout(init:sft.checkpoint reference:sft.checkpoint"
        " reward_model:teacher.checkpoint prompts:prompts)\n"
        "experience.1=rollout(init:sft.checkpoint reference:sft.checkpoint"
        " reward_model:teacher.checkpoint prompts:prompts)\n"
        "2\ntrain(init:sft.checkpoint reward_model:teacher.checkpoint"
        " experience:experience.0.experience@1 experience:experience.1.experience@1"
        " tokens:tokens.0.tokens@0 tokens:tokens.1.tokens@0)\n"
        "3\n"
        "experience.0=rollout(state:state@2 reference:sft.checkpoint"
        " reward_model:teacher.checkpoint prompts:prompts)\n"
        "experience.1=rollout(state:state@2 reference:sft.checkpoint"
        " reward_model:teacher.checkpoint prompts:prompts)\n"
        "4\ntrain(state:state@2"
        " experience:experience.0.experience@3 experience:experience.1.experience@3"
        " tokens:tokens.0.tokens@0 tokens:tokens.1.tokens@0)\n"
        "checkpoint = checkpoint@4\n"
        "tokenizer = sft.tokenizer\n" },
    { TEACHER "  chat: {kind: ppo, init_from: sft, reward_model: teacher, prompts: prompts,"
              " ptx_coef: 0, rollout_shards: 1, iterations: 1}\n",
        "chat", 1,
        "0\nexperience.0=rollout(init:sft.checkpoint reference:sft.checkpoint"
        " reward_model:teacher.checkpoint prompts:prompts)\n"
        "1\ntrain(init:sft.checkpoint reward_model:teacher.checkpoint"
        " experience:experience.0.experience@0)\n"
        "checkpoint = checkpoint@1\n"
        "tokenizer = sft.tokenizer\n" },
    /* a critic on the policy's body is not made of the teacher */
    { TEACHER "  chat: {kind: ppo, init_from: sft, reward_model: teacher, prompts: prompts,"
              " value_shared: true, ptx_coef: 0, rollout_shards: 1, iterations: 1}\n",
        "chat", 1,
        "0\nexperience.0=rollout(init:sft.checkpoint reference:sft.checkpoint"
        " reward_model:teacher.checkpoint prompts:prompts)\n"
        "1\ntrain(init:sft.checkpoint experience:experience.0.experience@0)\n"
        "checkpoint = checkpoint@1\n"
        "tokenizer = sft.tokenizer\n" },
    { SFT "  chat: {kind: ppo, init_from: sft, reference: base, rubric: data/rubric.yaml,"
          " prompts: prompts, ptx_coef: 0, rollout_shards: 1, iterations: 1}\n",
        "chat", 1,
        "0\nexperience.0=rollout(init:sft.checkpoint reference:base.checkpoint prompts:prompts)\n"
        "1\ntrain(init:sft.checkpoint experience:experience.0.experience@0)\n"
        "checkpoint = checkpoint@1\n"
        "tokenizer = sft.tokenizer\n" },
    { TEACHER "  chat: {kind: rloo, init_from: sft, reward_model: teacher, prompts: prompts,"
              " rollout_shards: 1, iterations: 2}\n",
        "chat", 2,
        "0\nexperience.0=rollout(init:sft.checkpoint reference:sft.checkpoint"
        " reward_model:teacher.checkpoint prompts:prompts)\n"
        "1\ntrain(init:sft.checkpoint experience:experience.0.experience@0)\n"
        "2\nexperience.0=rollout(state:state@1 reference:sft.checkpoint"
        " reward_model:teacher.checkpoint prompts:prompts)\n"
        "3\ntrain(state:state@1 experience:experience.0.experience@2)\n"
        "checkpoint = checkpoint@3\n"
        "tokenizer = sft.tokenizer\n" },
    { SFT "  chat: {kind: grpo, init_from: sft, rubric: data/rubric.yaml, prompts: prompts,"
          " ptx_coef: 1, rollout_shards: 1, iterations: 1}\n",
        "chat", 1,
        "0\n"
        "tokens.0=encode(tokenizer:sft.tokenizer text:corpus)\n"
        "tokens.1=encode(tokenizer:sft.tokenizer text:corpus)\n"
        "1\nexperience.0=rollout(init:sft.checkpoint reference:sft.checkpoint prompts:prompts)\n"
        "2\ntrain(init:sft.checkpoint experience:experience.0.experience@1"
        " tokens:tokens.0.tokens@0 tokens:tokens.1.tokens@0)\n"
        "checkpoint = checkpoint@2\n"
        "tokenizer = sft.tokenizer\n" },
    { RANKING "  chat: {kind: dpo, init_from: sft, rankings: ranking}\n", "chat", 2,
        "0\nencode(model:sft.checkpoint rankings:ranking.rankings)\n"
        "1\ncompared=reference(model:sft.checkpoint examples:examples@0)\n"
        "2\ntrain(init:sft.checkpoint examples:compared.examples@1)\n"
        "3\ntrain(state:state@2 examples:compared.examples@1)\n"
        "checkpoint = checkpoint@3\n"
        "tokenizer = sft.tokenizer\n" },
    { TEACHER "  report: {kind: evaluate, models: [base, sft], prompts: prompts, outside: prompts,"
              " reference: sft, reward_model: teacher, text: [corpus, prompts], shards: 1}\n",
        "report", 0,
        "0\n"
        "score.0.0=score(model:base.checkpoint reference:sft.checkpoint"
        " reward_model:teacher.checkpoint prompts:prompts text:corpus text:prompts"
        " outside:prompts)\n"
        "score.1.0=score(model:sft.checkpoint reference:sft.checkpoint"
        " reward_model:teacher.checkpoint prompts:prompts text:corpus text:prompts"
        " outside:prompts)\n"
        "1\nreport(scores:score.0.0.scores@0 scores:score.1.0.scores@0)\n"
        "report = report@1\n" },
    { BASE "  report: {kind: evaluate, models: base, prompts: prompts}\n", "report", 0,
        "0\n"
        "score.0.0=score(model:base.checkpoint prompts:prompts)\n"
        "score.0.1=score(model:base.checkpoint prompts:prompts)\n"
        "1\nreport(scores:score.0.0.scores@0 scores:score.0.1.scores@0)\n"
        "report = report@1\n" },
};

static void every_kind_unfolds_to_its_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        Submit *s = given(expected[i].yaml);
        struct plan *p = planned(s);
        char *got = unfolded(job_called(p, expected[i].job), expected[i].segments);
        if (strcmp(got, expected[i].rounds) != 0)
            fail_msg("%s: expected\n%s\ngot\n%s", expected[i].job, expected[i].rounds, got);
        free(got);
        plan_free(p);
        message_free(s);
    }
}

static void people_are_asked_for_one_ranking_of_each_prompt_until_all_are_there(void **state)
{
    Submit *s = given(ANSWERS "  ranking: {kind: rank, answers: answers, by: people}\n");
    struct plan *p = planned(s);
    struct world w = { .job = job_called(p, "ranking") };
    Fact records = FACT__INIT, *facts[] = { &records };
    struct unfolding u;
    struct err e = ERR_INIT;

    (void)state;
    records.name = "records";
    records.value = 37;
    put_inputs(&w, w.job);
    w.items[0]->facts = facts;
    w.items[0]->n_facts = 1;
    for (uint32_t round = 0; round < 2; round++) { /* some have answered, not all */
        assert_int_equal(unfold(&u, w.job, &w.slots, round, "", &e), OK);
        assert_int_equal(u.what, UNFOLD_PEOPLE);
        assert_int_equal(u.wanted, 37);
        unfolding_free(&u);
    }
    put(&w, "rankings", "by people", ARTIFACT_KIND__RANKINGS);
    assert_int_equal(unfold(&u, w.job, &w.slots, 1, "", &e), OK);
    assert_int_equal(u.what, UNFOLD_DONE);
    assert_string_equal(u.outputs[0]->name, "rankings");
    unfolding_free(&u);
    w.items[0]->facts = NULL;
    w.items[0]->n_facts = 0;
    world_end(&w);
    plan_free(p);
    message_free(s);
}

static void assert_unfold_fails(
    const char *job, uint32_t round, const char *without, int code, const char *why)
{
    Submit *s = given(REPORT);
    struct plan *p = planned(s);
    struct world w = { .job = job_called(p, job) };
    struct unfolding u = { 0 };
    struct err e = ERR_INIT;

    put_inputs(&w, w.job);
    for (size_t i = 0; i < w.slots.n; i++)
        if (strcmp(w.items[i]->name, without) == 0)
            w.items[i]->name[0] = '-';
    assert_int_equal(unfold(&u, w.job, &w.slots, round, "", &e), code);
    if (!strstr(e.msg, why))
        fail_msg("expected '%s', got '%s'", why, e.msg);
    assert_null(u.tasks);
    world_end(&w);
    plan_free(p);
    message_free(s);
}

static void what_is_missing_is_an_error_not_a_wait(void **state)
{
    (void)state;
    assert_unfold_fails(
        "base", 0, "in.text", E_MISSING, "job 'base': there is nothing for its input 'text'");
    assert_unfold_fails("base", 1, "", E_MISSING, "job 'base': there is no 'tokens.0.tokens'");
    assert_unfold_fails("base", 2, "", E_INVARIANT, "neither a state nor a checkpoint");
    assert_unfold_fails("answers", 1, "", E_MISSING, "there is no 'part.0.answers'");
    assert_unfold_fails("answers", 2, "", E_MISSING, "there is no 'answers'");
    assert_unfold_fails("vocabulary", 1, "", E_MISSING, "there is no 'tokenizer'");
    assert_unfold_fails("chat", 3, "", E_MISSING, "there is no 'state'");
    assert_unfold_fails("chat", 7, "", E_INVARIANT, "no checkpoint after 3 iterations");
    assert_unfold_fails("report", 0, "in.model.2", E_MISSING, "nothing for its input 'model'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_unfolds_to_its_end),
        cmocka_unit_test(people_are_asked_for_one_ranking_of_each_prompt_until_all_are_there),
        cmocka_unit_test(what_is_missing_is_an_error_not_a_wait),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
