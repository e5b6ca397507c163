#include "given.h"

#include "pipelines/fields.h"

static void numbers_of_every_width_are_read(void **state)
{
    Stage s = STAGE__INIT;
    double value;

    (void)state;
    s.priority = -5;
    s.seed = 1ull << 40;
    assert_true(field_number(&value, &s.base, field_named(&s.base, "priority")));
    assert_true(value == -5);
    assert_true(field_number(&value, &s.base, field_named(&s.base, "seed")));
    assert_true(value == 1099511627776.0);
    assert_true(field_number(&value, &s.base, field_named(&s.base, "retries")));
    assert_true(value == 2); /* its default */
    assert_false(field_number(&value, &s.base, field_named(&s.base, "name")));
    assert_false(field_number(&value, &s.base, field_named(&s.base, "needs")));
    assert_null(field_named(&s.base, "nowhere"));
}

static void what_is_written_is_given_even_at_its_default(void **state)
{
    TokenizerStage t = TOKENIZER_STAGE__INIT;
    char text[] = "gpt-2";

    (void)state;
    assert_false(field_given(&t.base, "vocab_size"));
    assert_false(field_given(&t.base, "split"));
    assert_false(field_given(&t.base, "files")); /* it has no default */
    t.has_vocab_size = 1;
    t.split = t.files = text;
    assert_true(field_given(&t.base, "vocab_size"));
    assert_true(field_given(&t.base, "split"));
    assert_true(field_given(&t.base, "files"));
}

static void of_a_oneof_only_the_member_that_it_holds_is_there(void **state)
{
    RankBy by = RANK_BY__INIT;
    People people = PEOPLE__INIT;
    size_t n;

    (void)state;
    by.kind_case = RANK_BY__KIND_PEOPLE;
    by.people = &people;
    assert_ptr_equal(field_message(&by.base, field_named(&by.base, "people")), &people);
    assert_null(field_strings(&n, &by.base, field_named(&by.base, "rubric")));
    assert_int_equal(n, 0);
    by.kind_case = RANK_BY__KIND_RUBRIC;
    by.rubric = "rubric.yaml";
    assert_null(field_message(&by.base, field_named(&by.base, "people")));
    assert_string_equal(
        *field_strings(&n, &by.base, field_named(&by.base, "rubric")), "rubric.yaml");
    assert_int_equal(n, 1);
}

static void texts_are_single_or_many(void **state)
{
    char *models[] = { "base", "sft" };
    EvaluateStage v = EVALUATE_STAGE__INIT;
    size_t n;

    (void)state;
    v.models = models;
    v.n_models = 2;
    v.prompts = "prompts";
    assert_string_equal(field_strings(&n, &v.base, field_named(&v.base, "models"))[1], "sft");
    assert_int_equal(n, 2);
    assert_string_equal(field_strings(&n, &v.base, field_named(&v.base, "prompts"))[0], "prompts");
    assert_int_equal(n, 1);
    field_strings(&n, &v.base, field_named(&v.base, "reference"));
    assert_int_equal(n, 0);
}

static void what_two_messages_share_is_copied(void **state)
{
    ModelConfig model = MODEL_CONFIG__INIT;
    PretrainStage from = PRETRAIN_STAGE__INIT;
    TrainTask to = TRAIN_TASK__INIT;
    struct err e = ERR_INIT;

    (void)state;
    model.has_width = 1;
    model.width = 96;
    from.model = &model;
    from.steps = 77;
    from.has_beta1 = 1;
    from.beta1 = 0.8;
    from.has_cross_documents = 1;
    from.cross_documents = 1;
    from.has_schedule = 1;
    from.schedule = SCHEDULE__LINEAR;
    assert_int_equal(fields_copy(&to.base, &from.base, &e), OK);
    assert_int_equal(to.steps, 77);
    assert_true(to.has_steps && to.has_beta1 && to.beta1 == 0.8);
    assert_true(to.has_cross_documents && to.cross_documents);
    assert_int_equal(to.schedule, SCHEDULE__LINEAR);
    assert_false(to.has_beta2); /* absent there */
    assert_int_equal(to.model->width, 96);
    assert_ptr_not_equal(to.model, &model);
    message_free(to.model);
}

static void cleared_texts_are_empty_or_absent(void **state)
{
    EvaluateStage *v = (EvaluateStage *)message_new_of(&evaluate_stage__descriptor);
    struct err e = ERR_INIT;

    (void)state;
    v->prompts = strdup("prompts");
    v->reference = strdup("sft");
    v->models = calloc(1, sizeof(*v->models));
    v->models[0] = strdup("base");
    v->n_models = 1;
    assert_int_equal(field_clear_strings(&v->base, field_named(&v->base, "prompts"), &e), OK);
    assert_int_equal(field_clear_strings(&v->base, field_named(&v->base, "reference"), &e), OK);
    assert_int_equal(field_clear_strings(&v->base, field_named(&v->base, "models"), &e), OK);
    assert_string_equal(v->prompts, "");
    assert_null(v->reference);
    assert_int_equal(v->n_models, 0);
    message_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_width_are_read),
        cmocka_unit_test(what_is_written_is_given_even_at_its_default),
        cmocka_unit_test(of_a_oneof_only_the_member_that_it_holds_is_there),
        cmocka_unit_test(texts_are_single_or_many),
        cmocka_unit_test(what_two_messages_share_is_copied),
        cmocka_unit_test(cleared_texts_are_empty_or_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
