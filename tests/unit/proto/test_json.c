#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "proto/json.h"
#include "proto/message.h"

static char text_w1[] = "w1", text_done[] = "done", text_run[] = "q-1", text_sft[] = "sft";
static char text_name[] = "policy/kl", text_other[] = "checkpoint";
static uint8_t id_bytes[32] = { 0xab, 0x01 };

static void expect_json(const ProtobufCMessage *m, const char *expected)
{
    struct buf b = { 0 };

    assert_int_equal(json_message(&b, m, false), OK);
    assert_string_equal(b.p, expected);
    buf_free(&b);
}

static void a_status_is_written_field_by_field(void **state)
{
    RunStatus run = RUN_STATUS__INIT;
    JobStatus job = JOB_STATUS__INIT, *jobs[] = { &job };
    ProgressStatus progress = PROGRESS_STATUS__INIT;
    Metric metric = METRIC__INIT, *metrics[] = { &metric };
    OutputStatus output = OUTPUT_STATUS__INIT, *outputs[] = { &output };

    (void)state;
    run.has_schema = 1;
    run.run = text_run;
    run.n_jobs = 1;
    run.jobs = jobs;
    job.name = text_sft;
    job.state = text_done;
    job.worker = text_w1;
    job.has_cached = 1;
    job.progress = &progress;
    progress.has_done = progress.has_total = 1;
    progress.done = 5;
    progress.total = UINT64_MAX;
    job.n_metrics = 1;
    job.metrics = metrics;
    metric.name = text_name;
    metric.has_value = 1;
    metric.value = 0.1;
    job.n_outputs = 1;
    job.outputs = outputs;
    output.name = text_other;
    output.has_id = 1;
    output.id = (ProtobufCBinaryData){ 32, id_bytes };
    expect_json(&run.base,
        "{\"schema\":1,\"run\":\"q-1\",\"jobs\":[{\"name\":\"sft\",\"state\":\"done\","
        "\"progress\":{\"done\":5,\"total\":18446744073709551615},"
        "\"metrics\":{\"policy/kl\":0.1},"
        "\"outputs\":{\"checkpoint\":"
        "\"ab01000000000000000000000000000000000000000000000000000000000000\"},"
        "\"cached\":false,\"worker\":\"w1\",\"blocked_by\":[]}],\"workers\":[]}");
}

static void a_kind_stands_beside_its_fields(void **state)
{
    Stage stage = STAGE__INIT;
    RankStage rank = RANK_STAGE__INIT;
    RankBy by = RANK_BY__INIT;

    (void)state;
    stage.name = text_sft;
    stage.kind_case = STAGE__KIND_RANK;
    stage.rank = &rank;
    rank.by = &by;
    by.kind_case = RANK_BY__KIND_RUBRIC;
    by.rubric = text_other;
    expect_json(&stage.base, "{\"name\":\"sft\",\"needs\":[],\"matrix\":{},\"kind\":\"rank\","
                             "\"by\":{\"kind\":\"rubric\",\"rubric\":\"checkpoint\"}}");
}

static void a_kind_within_a_kind_keeps_its_braces(void **state)
{
    Envelope envelope = ENVELOPE__INIT;
    Result result = RESULT__INIT;
    Failure failure = FAILURE__INIT;

    (void)state;
    envelope.kind_case = ENVELOPE__KIND_RESULT;
    envelope.result = &result;
    result.kind_case = RESULT__KIND_FAILURE;
    result.failure = &failure;
    failure.has_cause = 1;
    failure.cause = CAUSE__OUT_OF_MEMORY;
    expect_json(&envelope.base,
        "{\"kind\":\"result\",\"result\":{\"kind\":\"failure\",\"cause\":\"out_of_memory\","
        "\"log\":[]}}");
}

static void names_that_repeat_stay_a_list(void **state)
{
    TaskSpec spec = TASK_SPEC__INIT;
    TaskInput a = TASK_INPUT__INIT, b = TASK_INPUT__INIT, *inputs[] = { &a, &b };

    (void)state;
    a.name = b.name = text_w1;
    spec.n_inputs = 2;
    spec.inputs = inputs;
    expect_json(&spec.base, "{\"inputs\":[{\"name\":\"w1\"},{\"name\":\"w1\"}]}");
    b.name = text_sft;
    expect_json(&spec.base, "{\"inputs\":{\"w1\":null,\"sft\":null}}");
}

static void numbers_are_the_shortest_that_read_back_equal(void **state)
{
    static const struct {
        double value;
        const char *text;
    } known[] = {
        { 0.1, "0.1" },
        { 1.0 / 3, "0.3333333333333333" },
        { 600, "600" },
        { -0.0, "-0" },
        { 1e-5, "1e-05" },
        { 1e300, "1e+300" },
        { 5e-324, "4.94065645841247e-324" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { NAN, "null" },
        { -INFINITY, "null" },
    };
    Episode episode = EPISODE__INIT;
    struct buf b = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char expected[64] = "{\"name\":\"w1\",\"value\":";
        Metric m = METRIC__INIT;
        m.name = text_w1;
        m.has_value = 1;
        m.value = known[i].value;
        strcat(strcat(expected, known[i].text), "}");
        expect_json(&m.base, expected);
    }
    episode.has_score = 1;
    episode.score = 0.1f;
    assert_int_equal(json_message(&b, &episode.base, false), OK);
    assert_non_null(strstr(b.p, "\"score\":0.1}"));
    buf_free(&b);
}

static void pretty_is_the_same_with_lines(void **state)
{
    Tier tier = TIER__INIT, *tiers[] = { &tier };
    RankingExample example = RANKING_EXAMPLE__INIT;
    uint32_t answers[] = { 2, 0 };
    struct buf b = { 0 };

    (void)state;
    tier.n_answers = 2;
    tier.answers = answers;
    example.n_tiers = 1;
    example.tiers = tiers;
    assert_int_equal(json_message(&b, &example.base, true), OK);
    assert_string_equal(b.p, "{\n"
                             "  \"rows\": [],\n"
                             "  \"tiers\": [\n"
                             "    {\n"
                             "      \"answers\": [\n"
                             "        2,\n"
                             "        0\n"
                             "      ]\n"
                             "    }\n"
                             "  ],\n"
                             "  \"gold\": []\n"
                             "}");
    buf_free(&b);
}

static void strings_are_escaped_and_repaired(void **state)
{
    static const char text[] = "a\"\\\n\t\x01\x7f山\xff\xe5\xb1\xe2\x80\xa8\0z";
    struct buf b = { 0 };

    (void)state;
    assert_int_equal(json_string(&b, text, sizeof text - 1), OK);
    assert_string_equal(b.p,
        "\"a\\\"\\\\\\n\\t\\u0001\\u007f山\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\u2028\\u0000z\"");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_is_written_field_by_field),
        cmocka_unit_test(a_kind_stands_beside_its_fields),
        cmocka_unit_test(a_kind_within_a_kind_keeps_its_braces),
        cmocka_unit_test(names_that_repeat_stay_a_list),
        cmocka_unit_test(numbers_are_the_shortest_that_read_back_equal),
        cmocka_unit_test(pretty_is_the_same_with_lines),
        cmocka_unit_test(strings_are_escaped_and_repaired),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
