#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/message.h"
#include "proto/yaml.h"

static Pipeline *pipeline;

static int read_pipeline(void **state)
{
    static const char text[] =
        "name: q\n"
        "inputs: {corpus: corpus.txt}\n"
        "stages:\n"
        "  base: {kind: pretrain, tokenizer: v, text: corpus, model: {layers: 2}, steps: 10}\n"
        "  rank: {kind: rank, answers: a, by: {rubric: r.yaml}}\n"
        "  chat: {kind: ppo, init_from: base, reward_model: t, prompts: p, matrix: {kl_coef: 1}}\n";
    struct diags *d = diags_new();
    ProtobufCMessage *m = NULL;
    struct yaml *y = NULL;
    int ok;

    (void)state;
    ok = yaml_parse(&y, text, strlen(text), d) == OK &&
         yaml_message(&m, &pipeline__descriptor, yaml_root(y), d) == OK && diags_count(d) == 0;
    pipeline = (Pipeline *)m;
    yaml_free(y);
    diags_free(d);
    return ok ? 0 : -1;
}

static int free_pipeline(void **state)
{
    (void)state;
    message_free(pipeline);
    return 0;
}

static void set(const char *path, const char *value)
{
    struct err e = ERR_INIT;

    if (yaml_override(&pipeline->base, path, value, &e) != OK)
        fail_msg("%s", e.msg);
}

static void expect_refused(const char *path, const char *value, const char *message)
{
    struct err e = ERR_INIT;

    assert_int_equal(yaml_override(&pipeline->base, path, value, &e), E_INPUT);
    assert_string_equal(e.msg, message);
}

static void fields_are_set_by_their_path(void **state)
{
    const Stage *base = pipeline->stages[0];

    (void)state;
    set("seed", "9");
    assert_true(pipeline->has_seed && pipeline->seed == 9);
    set("base.steps", "20");
    assert_int_equal(base->pretrain->steps, 20);
    set("base.retries", "0");
    assert_true(base->has_retries && base->retries == 0);
    set("stages.base.model.width", "64");
    assert_int_equal(base->pretrain->model->width, 64);
    assert_int_equal(base->pretrain->model->layers, 2);
    set("base.model", "{layers: 3}");
    assert_int_equal(base->pretrain->model->layers, 3);
    assert_false(base->pretrain->model->has_width);
    set("base.text", "[corpus, more]");
    assert_int_equal(base->pretrain->n_text, 2);
    set("base.text", "corpus");
    assert_int_equal(base->pretrain->n_text, 1);
    set("base.resources.memory", "5");
    assert_int_equal(base->resources->memory, 5);
    set("base.resources.threads", "2");
    assert_int_equal(base->resources->memory, 5);
    assert_int_equal(base->resources->threads, 2);
}

static void named_elements_are_entered_by_name(void **state)
{
    (void)state;
    set("corpus", "other.txt");
    assert_string_equal(pipeline->inputs[0]->path, "other.txt");
    set("inputs.corpus.split", "line");
    assert_int_equal(pipeline->inputs[0]->split, SPLIT__LINE);
    set("chat.matrix.kl_coef", "[0.1, 0.2]");
    assert_int_equal(pipeline->stages[2]->matrix[0]->n_values, 2);
}

static void what_a_oneof_holds_is_exchanged(void **state)
{
    RankBy *by;

    (void)state;
    set("rank.by.rubric", "s.yaml");
    assert_string_equal(pipeline->stages[1]->rank->by->rubric, "s.yaml");
    set("rank.by", "people");
    set("rank.by.target", "3");
    assert_int_equal(pipeline->stages[1]->rank->by->people->target, 3);
    set("rank.by.file", "f");
    by = pipeline->stages[1]->rank->by;
    assert_int_equal(by->kind_case, RANK_BY__KIND_FILE);
    assert_string_equal(by->file, "f");
}

static void a_stage_alone_is_a_message_too(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(yaml_override(&pipeline->stages[2]->base, "kl_coef", "0.05", &e), OK);
    assert_true(pipeline->stages[2]->ppo->kl_coef == 0.05);
}

static void refusals_say_why_and_change_nothing(void **state)
{
    (void)state;
    expect_refused(
        "base.stepps", "5", "base.stepps=5: unknown key 'stepps'; did you mean 'steps'?");
    expect_refused("bse.steps", "5", "bse.steps=5: unknown key 'bse'; did you mean 'base'?");
    expect_refused("zzzzzzzz", "5", "zzzzzzzz=5: unknown key 'zzzzzzzz'");
    expect_refused("base.steps", "x", "base.steps=x: 'steps' must be a whole number, not 'x'");
    expect_refused("base.schedule", "cosin",
        "base.schedule=cosin: 'schedule' cannot be 'cosin'; did you mean 'cosine'?");
    expect_refused("base.steps.more", "5", "base.steps.more=5: 'steps' has no keys");
    expect_refused("base", "5", "base=5: name a key of 'base'");
    expect_refused("base.", "5", "base.=5: expected a key after the last '.'");
    expect_refused("", "5", "=5: expected KEY.KEY=VALUE");
    expect_refused("base.steps", "", "base.steps=: a value is missing");
    expect_refused("base.text", "[a", "base.text=[a: a ',' or ']' is missing");
    expect_refused(
        "stages.nobody.steps", "5", "stages.nobody.steps=5: there is no 'nobody' in 'stages'");
    expect_refused("base.kind", "sft", "base.kind=sft: unknown key 'kind'");
    assert_int_equal(pipeline->stages[0]->pretrain->steps, 10);
    assert_string_equal(pipeline->stages[0]->pretrain->text[0], "corpus");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fields_are_set_by_their_path, read_pipeline, free_pipeline),
        cmocka_unit_test_setup_teardown(
            named_elements_are_entered_by_name, read_pipeline, free_pipeline),
        cmocka_unit_test_setup_teardown(
            what_a_oneof_holds_is_exchanged, read_pipeline, free_pipeline),
        cmocka_unit_test_setup_teardown(
            a_stage_alone_is_a_message_too, read_pipeline, free_pipeline),
        cmocka_unit_test_setup_teardown(
            refusals_say_why_and_change_nothing, read_pipeline, free_pipeline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
