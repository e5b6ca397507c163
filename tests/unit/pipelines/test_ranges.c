#include "given.h"

#include <math.h>

#include "pipelines/fields.h"
#include "pipelines/ranges.h"

/* Any value makes sense in these. */
static bool is_free(const char *field)
{
    static const char *const all[] = { "seed", "priority", "memory" };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i], field) == 0)
            return true;
    return false;
}

static void check_type(const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *m = message_new_of(type);

    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        const struct range *r = range_of(type, f->name);
        double value;
        if (f->type == PROTOBUF_C_TYPE_MESSAGE)
            check_type(f->descriptor);
        if (!field_number(&value, m, f) || is_free(f->name))
            continue;
        if (!r)
            fail_msg("%s.%s has no range", type->name, f->name);
        if (f->label == PROTOBUF_C_LABEL_OPTIONAL && !range_holds(r, value))
            fail_msg("%s.%s: its default is out of range", type->name, f->name);
    }
    free(m);
}

static void every_number_has_a_range_that_holds_its_default(void **state)
{
    (void)state;
    check_type(&pipeline__descriptor);
    check_type(&rubric__descriptor);
}

static void ends_are_in_the_range_unless_they_are_open(void **state)
{
    const struct range *clip = range_of(&ppo_stage__descriptor, "clip_ratio");
    const struct range *top_p = range_of(&sample_stage__descriptor, "top_p");

    (void)state;
    assert_false(range_holds(clip, 0));
    assert_true(range_holds(clip, 0.2));
    assert_false(range_holds(clip, 1));
    assert_false(range_holds(top_p, 0));
    assert_true(range_holds(top_p, 1));
    assert_false(range_holds(top_p, NAN));
    assert_false(range_holds(top_p, INFINITY));
}

/* Training computes in float: what it cannot tell from the end of a range is out of it. */
static void what_float_takes_for_the_end_is_out_of_range(void **state)
{
    static const struct {
        const char *field;
        double in, out;
    } cases[] = {
        { "eps", 1e-16, 1e-46 },
        { "beta1", .9999, .99999999 },
        { "beta2", .999999, .99999999 },
        { "ema_decay", .999999, .99999999 },
        { "temperature", .01, 1e-30 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct range *r = range_of(&ppo_stage__descriptor, cases[i].field);
        assert_true(range_holds(r, cases[i].in));
        assert_false(range_holds(r, cases[i].out));
    }
    assert_false(range_holds(range_of(&model_config__descriptor, "norm_eps"), 1e-46));
}

static void a_row_for_one_message_comes_before_that_for_all(void **state)
{
    (void)state;
    assert_true(range_holds(range_of(&sample_stage__descriptor, "temperature"), 0));
    assert_false(range_holds(range_of(&ppo_stage__descriptor, "temperature"), 0));
    assert_null(range_of(&stage__descriptor, "seed"));
}

static void messages_are_checked_to_their_depth(void **state)
{
    ModelConfig model = MODEL_CONFIG__INIT;
    PretrainStage stage = PRETRAIN_STAGE__INIT;
    struct mistakes m = { 0 };

    (void)state;
    stage.model = &model;
    model.layers = 0;
    stage.steps = 10;
    stage.grad_clip = NAN;
    ranges_check(&m, site_of(SITE_STAGE, 4, NULL), &stage.base);
    assert_int_equal(m.n, 2);
    assert_string_equal(m.items[0].what, "'layers' must be at least 1, not 0");
    assert_string_equal(m.items[0].at.keys[0], "model");
    assert_string_equal(m.items[0].at.keys[1], "layers");
    assert_string_equal(m.items[1].what, "'grad_clip' must be a number");
    mistakes_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_has_a_range_that_holds_its_default),
        cmocka_unit_test(ends_are_in_the_range_unless_they_are_open),
        cmocka_unit_test(what_float_takes_for_the_end_is_out_of_range),
        cmocka_unit_test(a_row_for_one_message_comes_before_that_for_all),
        cmocka_unit_test(messages_are_checked_to_their_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
