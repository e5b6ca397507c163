#include "given.h"

#include "pipelines/fields.h"
#include "pipelines/kinds.h"

static bool is_member(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

static void every_kind_of_the_messages_has_a_row_under_its_name(void **state)
{
    const ProtobufCMessageDescriptor *type = &stage__descriptor;

    (void)state;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const struct kind *k = kind_numbered((Stage__KindCase)type->fields[i].id);
        if (!is_member(&type->fields[i])) {
            assert_null(k);
            continue;
        }
        assert_non_null(k);
        assert_string_equal(k->name, type->fields[i].name);
        assert_non_null(k->unfold);
        assert_non_null(k->outputs[0].name);
    }
}

static const ProtobufCMessageDescriptor *config_type(const struct kind *k)
{
    return protobuf_c_message_descriptor_get_field_by_name(&stage__descriptor, k->name)->descriptor;
}

/* A required field has a port that is not optional, and every port a field of names. */
static void ports_stand_for_fields_that_name_things(void **state)
{
    (void)state;
    for (unsigned i = 0; i < stage__descriptor.n_fields; i++) {
        const struct kind *k = kind_numbered((Stage__KindCase)stage__descriptor.fields[i].id);
        for (size_t n = 0; k && n < PORTS_MAX && k->ports[n].name; n++) {
            const struct port *p = &k->ports[n];
            const ProtobufCFieldDescriptor *f;
            if (!p->field) {
                assert_string_equal(p->name, "tokenizer");
                continue;
            }
            f = protobuf_c_message_descriptor_get_field_by_name(config_type(k), p->field);
            assert_non_null(f);
            if (p->inner)
                f = protobuf_c_message_descriptor_get_field_by_name(f->descriptor, p->inner);
            assert_non_null(f);
            assert_int_equal(f->type, PROTOBUF_C_TYPE_STRING);
            if (f->label == PROTOBUF_C_LABEL_REQUIRED)
                assert_false(p->optional);
        }
    }
}

static void outputs_are_found_by_name_and_by_content(void **state)
{
    const struct kind *k = kind_numbered(STAGE__KIND_REWARD_MODEL);

    (void)state;
    assert_string_equal(output_giving(k, CONTENT_REWARD_MODEL)->name, "checkpoint");
    assert_null(output_giving(k, CONTENT_MODEL));
    assert_int_equal(output_named(k, "tokenizer")->gives, CONTENT_TOKENIZER);
    assert_null(output_named(k, "report"));
}

static void a_stages_rubric_is_its_path(void **state)
{
    Submit *s = given(REPORT);

    (void)state;
    assert_string_equal(stage_rubric(s->pipeline->stages[4]), "data/rubric.yaml");
    assert_string_equal(stage_rubric(s->pipeline->stages[7]), "data/rubric.yaml");
    assert_null(stage_rubric(s->pipeline->stages[6]));
    message_free(s);
}

static void without_names_only_what_decides_results_is_left(void **state)
{
    Submit *s = given(REPORT);
    EvaluateStage *v = s->pipeline->stages[7]->evaluate;
    RankStage *r = s->pipeline->stages[4]->rank;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(config_clear_names(&v->base, kind_of(s->pipeline->stages[7]), &e), OK);
    assert_int_equal(v->n_models, 0);
    assert_string_equal(v->prompts, "");
    assert_null(v->rubric);
    assert_null(v->reference);
    assert_int_equal(v->side_by_side, 10);
    assert_int_equal(config_clear_names(&r->base, kind_of(s->pipeline->stages[4]), &e), OK);
    assert_int_equal(r->by->kind_case, RANK_BY__KIND_RUBRIC);
    assert_string_equal(r->by->rubric, "");
    assert_null(r->answers);
    message_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_the_messages_has_a_row_under_its_name),
        cmocka_unit_test(ports_stand_for_fields_that_name_things),
        cmocka_unit_test(outputs_are_found_by_name_and_by_content),
        cmocka_unit_test(a_stages_rubric_is_its_path),
        cmocka_unit_test(without_names_only_what_decides_results_is_left),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
