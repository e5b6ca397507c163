#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/task.h"

static void a_task_is_named_by_all_that_its_result_depends_on(void **state)
{
    TaskSpec spec = TASK_SPEC__INIT;
    TokenizerTask task = TOKENIZER_TASK__INIT;
    struct err e = ERR_INIT;
    struct id first, same, other;

    (void)state;
    spec.has_engine = spec.has_seed = 1;
    spec.engine = ENGINE_VERSION;
    spec.seed = 7;
    spec.kind_case = TASK_SPEC__KIND_TOKENIZER;
    spec.tokenizer = &task;
    assert_int_equal(task_id(&first, &spec, &e), OK);
    assert_int_equal(task_id(&same, &spec, &e), OK);
    assert_true(id_equal(&first, &same));
    spec.seed = 8;
    assert_int_equal(task_id(&other, &spec, &e), OK);
    assert_false(id_equal(&first, &other));
}

static void defaults_that_are_written_out_do_not_change_the_id(void **state)
{
    TaskSpec spec = TASK_SPEC__INIT;
    RankTask task = RANK_TASK__INIT;
    Rubric left = RUBRIC__INIT, given = RUBRIC__INIT;
    struct err e = ERR_INIT;
    struct id a, b;

    (void)state;
    spec.kind_case = TASK_SPEC__KIND_RANK;
    spec.rank = &task;
    task.rubric = &left;
    given.has_noise = given.has_right = 1;
    assert_int_equal(task_id(&a, &spec, &e), OK);
    task.rubric = &given;
    assert_int_equal(task_id(&b, &spec, &e), OK);
    assert_true(id_equal(&a, &b));
}

static void inputs_are_found_by_name_in_their_order(void **state)
{
    TaskSpec spec = TASK_SPEC__INIT;
    TaskInput inputs[4], *pointers[4];
    static char names[4][8] = { "part", "model", "part", "part" };
    uint8_t bytes[4][32];
    struct id ids[2];

    (void)state;
    for (int i = 0; i < 4; i++) {
        memset(bytes[i], i, 32);
        task_input__init(&inputs[i]);
        inputs[i].name = names[i];
        inputs[i].has_id = 1;
        inputs[i].id = (ProtobufCBinaryData){ 32, bytes[i] };
        pointers[i] = &inputs[i];
    }
    spec.n_inputs = 4;
    spec.inputs = pointers;
    assert_int_equal(task_inputs(&spec, "part", ids, 2), 3);
    assert_int_equal(ids[0].b[0], 0);
    assert_int_equal(ids[1].b[31], 2);
    assert_int_equal(task_inputs(&spec, "model", ids, 2), 1);
    assert_int_equal(ids[0].b[5], 1);
    assert_int_equal(task_inputs(&spec, "state", ids, 2), 0);
}

static void a_fact_has_its_value_or_the_other(void **state)
{
    static char name[] = "records";
    Fact fact = FACT__INIT, *facts[] = { &fact };

    (void)state;
    fact.name = name;
    fact.has_value = 1;
    fact.value = -42;
    assert_int_equal(fact_value(facts, 1, "records", 5), -42);
    assert_int_equal(fact_value(facts, 1, "tokens", 5), 5);
    assert_int_equal(fact_value(NULL, 0, "tokens", 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_is_named_by_all_that_its_result_depends_on),
        cmocka_unit_test(defaults_that_are_written_out_do_not_change_the_id),
        cmocka_unit_test(inputs_are_found_by_name_in_their_order),
        cmocka_unit_test(a_fact_has_its_value_or_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
