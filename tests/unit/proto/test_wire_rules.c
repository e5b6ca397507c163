#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/wire_int.h"

static const struct rule *find_rule(const ProtobufCMessageDescriptor *type, const char *field)
{
    for (size_t i = 0; i < wire_n_rules; i++)
        if (wire_rules[i].type == type && strcmp(wire_rules[i].field, field) == 0)
            return &wire_rules[i];
    return NULL;
}

static void every_rule_is_about_a_field_that_exists(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_n_rules; i++)
        if (!protobuf_c_message_descriptor_get_field_by_name(
                wire_rules[i].type, wire_rules[i].field))
            fail_msg("%s has no %s", wire_rules[i].type->name, wire_rules[i].field);
}

static void no_field_has_two_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_n_rules; i++)
        if (find_rule(wire_rules[i].type, wire_rules[i].field) != &wire_rules[i])
            fail_msg("%s.%s", wire_rules[i].type->name, wire_rules[i].field);
}

static void ranges_are_not_upside_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_n_rules; i++)
        assert_true(wire_rules[i].min <= wire_rules[i].max);
}

static void every_task_kind_says_what_it_must(void **state)
{
    GenerateTask t = GENERATE_TASK__INIT;
    struct err e = ERR_INIT;

    (void)state;
    t.has_shards = t.has_shard = 1;
    t.shards = 4;
    t.shard = 3;
    assert_int_equal(wire_check(&t.base, &e), OK);
    t.shard = 4;
    assert_int_equal(wire_check(&t.base, &e), E_PROTOCOL);
    assert_string_equal(e.msg, "shard 4 of 4");
}

static void a_ranking_puts_each_answer_in_one_tier(void **state)
{
    Answer answer = ANSWER__INIT, *answers[] = { &answer, &answer, &answer };
    uint32_t best[] = { 2 }, rest[] = { 0, 1 };
    Tier first = TIER__INIT, second = TIER__INIT, *tiers[] = { &first, &second };
    Ranking r = RANKING__INIT;
    struct err e = ERR_INIT;

    (void)state;
    r.n_answers = 3;
    r.answers = answers;
    r.n_tiers = 2;
    r.tiers = tiers;
    first.n_answers = 1;
    first.answers = best;
    second.n_answers = 2;
    second.answers = rest;
    assert_int_equal(wire_check(&r.base, &e), OK);
    rest[1] = 2;
    assert_int_equal(wire_check(&r.base, &e), E_PROTOCOL);
    rest[1] = 3;
    assert_int_equal(wire_check(&r.base, &e), E_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_is_about_a_field_that_exists),
        cmocka_unit_test(no_field_has_two_rules),
        cmocka_unit_test(ranges_are_not_upside_down),
        cmocka_unit_test(every_task_kind_says_what_it_must),
        cmocka_unit_test(a_ranking_puts_each_answer_in_one_tier),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
