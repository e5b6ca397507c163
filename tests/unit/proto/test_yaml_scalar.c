#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "proto/message.h"
#include "proto/yaml_int.h"

static const ProtobufCFieldDescriptor *field(
    const ProtobufCMessageDescriptor *type, const char *name)
{
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(type, name);

    assert_non_null(f);
    return f;
}

static void expect_refused(
    const ProtobufCFieldDescriptor *f, const char *text, const char *what, const char *help)
{
    unsigned char value[32];
    struct refusal why;

    assert_int_equal(scalar_parse(value, f, text, strlen(text), &why), E_INPUT);
    assert_string_equal(why.what, what);
    assert_string_equal(why.help, help);
}

static void whole_numbers_are_read_strictly(void **state)
{
    const ProtobufCFieldDescriptor *steps = field(&pretrain_stage__descriptor, "steps");
    struct refusal why;
    uint32_t value;

    (void)state;
    assert_int_equal(scalar_parse(&value, steps, "600", 3, &why), OK);
    assert_int_equal(value, 600);
    assert_int_equal(scalar_parse(&value, steps, "012", 3, &why), OK);
    assert_int_equal(value, 12); /* never octal */
    assert_int_equal(scalar_parse(&value, steps, "4294967295", 10, &why), OK);
    assert_int_equal(value, UINT32_MAX);
    expect_refused(steps, "600.5", "'steps' must be a whole number, not '600.5'", "");
    expect_refused(steps, "1_000", "'steps' must be a whole number, not '1_000'", "");
    expect_refused(steps, "1e3", "'steps' must be a whole number, not '1e3'", "");
    expect_refused(steps, "0x10", "'steps' must be a whole number, not '0x10'", "");
    expect_refused(steps, " 5", "'steps' must be a whole number, not ' 5'", "");
    expect_refused(steps, "", "'steps' has no value", "");
    expect_refused(steps, "-", "'steps' must be a whole number, not '-'", "");
    expect_refused(steps, "-5", "'steps' must not be negative", "");
    expect_refused(steps, "4294967296", "'steps' must be at most 4294967295", "");
    expect_refused(steps, "99999999999999999999999", "'steps' must be at most 4294967295", "");
}

static void bytes_may_have_a_unit(void **state)
{
    const ProtobufCFieldDescriptor *memory = field(&resources__descriptor, "memory");
    const ProtobufCFieldDescriptor *threads = field(&resources__descriptor, "threads");
    struct refusal why;
    uint64_t value;

    (void)state;
    assert_int_equal(scalar_parse(&value, memory, "8G", 2, &why), OK);
    assert_int_equal(value, 8589934592);
    assert_int_equal(scalar_parse(&value, memory, "1500K", 5, &why), OK);
    assert_int_equal(value, 1536000);
    assert_int_equal(scalar_parse(&value, memory, "7", 1, &why), OK);
    assert_int_equal(value, 7);
    expect_refused(memory, "8GB", "'memory' must be a whole number, not '8GB'", "");
    expect_refused(memory, "G", "'memory' must be a whole number, not 'G'", "");
    expect_refused(memory, "16777216T", "'memory' must be at most 18446744073709551615", "");
    expect_refused(threads, "2K", "'threads' must be a whole number, not '2K'", "");
}

static void a_word_may_have_hyphens(void **state)
{
    const ProtobufCFieldDescriptor *targets = field(&lora_config__descriptor, "targets");
    const char *const same[] = { "all_linear", "all-linear" };
    struct refusal why;
    int32_t value;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(scalar_parse(&value, targets, same[i], strlen(same[i]), &why), OK);
        assert_int_equal(value, LORA_CONFIG__TARGET__ALL_LINEAR);
    }
    expect_refused(
        targets, "all linear", "'targets' cannot be 'all linear'", "did you mean 'all_linear'?");
}

static void each_width_and_sign_has_its_range(void **state)
{
    const ProtobufCFieldDescriptor *priority = field(&stage__descriptor, "priority");
    const ProtobufCFieldDescriptor *seed = field(&pipeline__descriptor, "seed");
    const ProtobufCFieldDescriptor *fact = field(&fact__descriptor, "value");
    struct refusal why;
    uint64_t u = 0;
    int64_t wide = 0;
    int32_t i = 0;

    (void)state;
    assert_int_equal(scalar_parse(&i, priority, "-2147483648", 11, &why), OK);
    assert_int_equal(i, INT32_MIN);
    expect_refused(priority, "-2147483649", "'priority' must be at least -2147483648", "");
    expect_refused(priority, "2147483648", "'priority' must be at most 2147483647", "");
    assert_int_equal(scalar_parse(&u, seed, "18446744073709551615", 20, &why), OK);
    assert_true(u == UINT64_MAX);
    expect_refused(seed, "18446744073709551616", "'seed' must be at most 18446744073709551615", "");
    assert_int_equal(scalar_parse(&wide, fact, "-9223372036854775808", 20, &why), OK);
    assert_true(wide == INT64_MIN);
}

static void numbers_may_have_a_point_and_an_exponent(void **state)
{
    static const struct {
        const char *text;
        double value;
    } known[] = { { "1e-3", 1e-3 }, { "0.02", 0.02 }, { "-1", -1 }, { ".5", 0.5 }, { "2.", 2 },
        { "+3E2", 300 } };
    static const char *const bad[] = { "nan", "inf", "1e", "e5", ".", "0x1p3", "1.2.3", "1,5",
        "x" };
    const ProtobufCFieldDescriptor *kl = field(&ppo_stage__descriptor, "kl_coef");
    struct refusal why;
    double value;

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(scalar_parse(&value, kl, known[i].text, strlen(known[i].text), &why), OK);
        assert_true(value == known[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(scalar_parse(&value, kl, bad[i], strlen(bad[i]), &why), E_INPUT);
    expect_refused(kl, "1e999", "'kl_coef' is too large a number", "");
}

static void words_are_what_the_field_says(void **state)
{
    const ProtobufCFieldDescriptor *tied = field(&model_config__descriptor, "tied_output");
    const ProtobufCFieldDescriptor *schedule = field(&pretrain_stage__descriptor, "schedule");
    const ProtobufCFieldDescriptor *name = field(&pipeline__descriptor, "name");
    struct refusal why;
    protobuf_c_boolean yes;
    int32_t value;
    char *text;

    (void)state;
    assert_int_equal(scalar_parse(&yes, tied, "no", 2, &why), OK);
    assert_false(yes);
    assert_int_equal(scalar_parse(&yes, tied, "true", 4, &why), OK);
    assert_true(yes);
    expect_refused(tied, "1", "'tied_output' must be true or false, not '1'", "");
    assert_int_equal(scalar_parse(&value, schedule, "linear", 6, &why), OK);
    assert_int_equal(value, SCHEDULE__LINEAR);
    expect_refused(schedule, "cosin", "'schedule' cannot be 'cosin'", "did you mean 'cosine'?");
    expect_refused(schedule, "exponential", "'schedule' cannot be 'exponential'",
        "one of: cosine, constant, linear");
    assert_int_equal(scalar_parse(&text, name, "no", 2, &why), OK);
    assert_string_equal(text, "no");
    free(text);
    assert_int_equal(scalar_parse(&text, name, "a\0b", 3, &why), E_INPUT);
}

static void ids_cannot_be_given_in_a_file(void **state)
{
    (void)state;
    expect_refused(
        field(&output__descriptor, "id"), "00", "'id' must be left out of files, not '00'", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_read_strictly),
        cmocka_unit_test(bytes_may_have_a_unit),
        cmocka_unit_test(a_word_may_have_hyphens),
        cmocka_unit_test(each_width_and_sign_has_its_range),
        cmocka_unit_test(numbers_may_have_a_point_and_an_exponent),
        cmocka_unit_test(words_are_what_the_field_says),
        cmocka_unit_test(ids_cannot_be_given_in_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
