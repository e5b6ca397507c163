#include "tests/unit/workers/people.h"

/* ---- demonstrations ---- */

static void demonstrations_come_in_many_shapes(void **state)
{
    (void)state;
    expect(DEMONSTRATIONS, "a.json",
        "[{\"instruction\": \"q\", \"input\": \"\", \"output\": \"a\", \"history\": []},\n"
        " {\"instruction\": \"add\", \"input\": \"1 2\", \"output\": \"3\"},\n"
        " {\"instruction\": \"q3\", \"output\": \"a3\", \"system\": \"S\","
        "  \"history\": [[\"q1\", \"a1\"], [\"q2\", \"a2\"]]}]",
        "u:q a:a|u:add\n1 2 a:3|s:S u:q1 a:a1 u:q2 a:a2 u:q3 a:a3");
    expect(DEMONSTRATIONS, "a.jsonl",
        "{\"prompt\": \"q\", \"completion\": \"a\"}\n{\"question\": \"q\", \"answer\": \"a\"}\n"
        "{\"prompt\": \"q\", \"response\": \"a\", \"id\": 7}\n",
        "u:q a:a|u:q a:a|u:q a:a");
    expect(DEMONSTRATIONS, "a.json",
        "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"},\n"
        "{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"a\"}]}",
        "s:S u:q a:a");
}

static void the_shape_of_the_file_does_not_depend_on_its_name(void **state)
{
    (void)state;
    expect(DEMONSTRATIONS, "a.json",
        "\n{\"prompt\": \"p\", \"output\": \"a\"}\n\n \n{\"prompt\": \"q\", \"output\": \"b\"}",
        "u:p a:a|u:q a:b");
    expect(DEMONSTRATIONS, "a.jsonl",
        "\xef\xbb\xbf[\r\n{\"prompt\": \"p, ]\\\"\", \"output\": \"a\"}\r\n]\r\n", "u:p, ]\" a:a");
    expect(DEMONSTRATIONS, "a.json", "[]", "");
}

static void mistakes_in_demonstrations_are_told_with_their_place(void **state)
{
    (void)state;
    expect_error(DEMONSTRATIONS, "o.json",
        "[\n{\"prompt\": \"p\", \"output\": \"a\"},\n{\"prompt\": \"q\"}]",
        "o.json:3: record 2: a question, but no answer that is known as one: the fields are"
        " 'prompt'");
    expect_error(DEMONSTRATIONS, "o.jsonl", "\n{\"prompt\": \"p\", \"output\": \" \"}",
        "o.jsonl:2: 'output' is empty");
    expect_error(DEMONSTRATIONS, "o.jsonl", "{\"output\": \"a\"}",
        "o.jsonl:1: no known shape has the fields 'output'");
    expect_error(DEMONSTRATIONS, "o.jsonl", "{\"prompt\": \"\", \"output\": \"a\"}",
        "o.jsonl:1: 'prompt' is empty");
    expect_error(DEMONSTRATIONS, "o.jsonl", "{\"prompt\": \"p\", \"output\": [\"a\"]}",
        "o.jsonl:1: this is 'answers, best first', which gives rankings and not demonstrations");
    expect_error(DEMONSTRATIONS, "o.jsonl",
        "{\"prompt\": \"p\", \"output\": \"a\", \"history\": [[1]]}",
        "o.jsonl:1: 'history' 1 is no [question, answer]");
    expect_error(DEMONSTRATIONS, "o.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}]}",
        "o.jsonl:1: the last turn is not the assistant's");
    expect_error(DEMONSTRATIONS, "o.jsonl",
        "{\"messages\": [{\"role\": \"assistant\", \"content\": \"q\"}]}",
        "o.jsonl:1: the first turn is not the user's");
    expect_error(DEMONSTRATIONS, "o.jsonl",
        "{\"messages\": [{\"role\": \"narrator\", \"content\": \"q\"}]}",
        "o.jsonl:1: message 1: unknown role 'narrator'");
    expect_error(
        DEMONSTRATIONS, "o.jsonl", "{\"messages\": [7]}", "o.jsonl:1: message 1: no field 'role'");
}

static void broken_json_is_told_with_line_and_column(void **state)
{
    (void)state;
    expect_error(
        DEMONSTRATIONS, "o.json", "[\n  {\"prompt\": \"p\",\n   \"output\" \"a\"}]", "o.json:3:");
    expect_error(DEMONSTRATIONS, "o.json", "[{\"prompt\": \"p\", \"output\": \"a\"},\n", "o.json:");
    expect_error(
        DEMONSTRATIONS, "o.json", "[{\"prompt\": \"p\", \"output\": \"a\"}] x", "o.json:1:");
    expect_error(DEMONSTRATIONS, "o.json", "[{\"prompt\": \"p\", \"output\": \"a\"}", "o.json:1:");
    expect_error(DEMONSTRATIONS, "o.json", "[,]", "o.json:1:");
    expect_error(DEMONSTRATIONS, "o.json", "[7]", "o.json:1: record 1: a record must be an object");
    expect_error(DEMONSTRATIONS, "o.jsonl",
        "{\"prompt\": \"p\", \"output\": \"a\"}\n{\"prompt\": \"q\", \"output\"}\n", "o.jsonl:2:");
    expect_error(DEMONSTRATIONS, "o.json", "{\n\"prompt\": \"p\",\n\"output\"}\n", "o.json:3:");
    expect_error(DEMONSTRATIONS, "o.json", "prompt,output\np,a\n",
        "o.json:1: neither a JSON array nor JSON Lines");
    expect_error(DEMONSTRATIONS, "o.json", " \n", "o.json:1: the file is empty");
}

/* ---- prompts ---- */

static void prompts_have_ids_languages_and_accepted_answers(void **state)
{
    (void)state;
    expect(PROMPTS, "p.jsonl",
        "{\"id_\": 5, \"prompt\": \"世界上最高的山?\"}\n"
        "{\"id\": \"x\", \"question\": \"why\", \"answer\": [\"a\", \"b\"], \"lang\": \"de\"}\n"
        "{\"instruction\": \"say\", \"input\": \"hi\", \"answers\": \"c\"}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}]}\n",
        "5(zh) u:世界上最高的山?|x(de) u:why =a =b|3(en) u:say\nhi =c|4(en) u:q");
    expect(PROMPTS, "p.txt", "你好\r\n\r\nhello\r\n", "1(zh) u:你好|2(en) u:hello");
    expect_error(PROMPTS, "p.jsonl", "{\"prompt\": \"q\", \"answers\": [7]}",
        "p.jsonl:1: 'answers' must be");
    expect_error(
        PROMPTS, "p.jsonl", "{\"prompt\": \"q\", \"id\": [7]}", "p.jsonl:1: 'id' is neither");
    expect_error(PROMPTS, "p.jsonl",
        "{\"messages\": [{\"role\": \"assistant\", \"content\": \"q\"}]}",
        "p.jsonl:1: the last turn is not the user's");
}

/* ---- rankings ---- */

static void rankings_come_in_three_shapes(void **state)
{
    (void)state;
    expect(RANKINGS, "r.jsonl",
        "{\"instruction\": \"q\", \"output\": [\"a\", \"b\", \"\"]}\n"
        "{\"prompt\": \"q\", \"chosen\": \"good\", \"rejected\": \"bad\", \"id\": 9}\n"
        "{\"prompt\": \"q\", \"answers\": [\"x\", \"y\", \"z\", \"w\"], \"tiers\": [[2], [0, "
        "1]]}\n",
        "1(en) u:q a>b>|9(en) u:q good>bad|3(en) u:q z>x=y");
}

static void mistakes_in_rankings_are_told(void **state)
{
    static const struct {
        const char *fields, *why;
    } rows[] = {
        { "\"output\": [\"a\"]", "a ranking needs at least two answers, in a list" },
        { "\"output\": \"a\"",
            "this is 'question and answer', which gives demonstrations and not rankings" },
        { "\"output\": [\"a\", 7]", "answer 2 is no string" },
        { "\"chosen\": \"a\"", "a question, but no answer that is known as one: the fields are" },
        { "\"chosen\": \"a\", \"rejected\": \"b\", \"score_chosen\": 1, \"score_rejected\": 2",
            "what is rejected has the higher score" },
        { "\"answers\": [\"a\", \"b\"], \"scores\": [1]",
            "there is not one of 'scores' for each answer" },
        { "\"answers\": [\"a\", \"b\"], \"scores\": [1, \"x\"]", "'scores' 2 is no number" },
        { "\"output_1\": \"a\", \"output_2\": \"b\", \"preference\": 3",
            "the preference names neither answer, nor a tie" },
        { "\"answers\": [\"a\", \"b\"]", "a question, but no answer that is known as one" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], [2]]",
            "tier 2: there are answers 0 to 1" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], [0.5]]", "tier 2: there are answers" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], [-1]]", "tier 2: there are answers" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], [1e99]]", "tier 2: there are answers" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], [0]]", "answer 0 is ranked twice" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], []]", "tier 2 is no list of answers" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], {\"x\": 1}]", "tier 2 is no list" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0]]", "fewer than two answers are ranked" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf line = { 0 }, want = { 0 };
        buf_printf(&line, "{\"prompt\": \"q\", %s}\n", rows[i].fields);
        buf_printf(&want, "r.jsonl:1: %s", rows[i].why);
        expect_error(RANKINGS, "r.jsonl", line.p, want.p);
        buf_free(&line);
        buf_free(&want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demonstrations_come_in_many_shapes),
        cmocka_unit_test(the_shape_of_the_file_does_not_depend_on_its_name),
        cmocka_unit_test(mistakes_in_demonstrations_are_told_with_their_place),
        cmocka_unit_test(broken_json_is_told_with_line_and_column),
        cmocka_unit_test(prompts_have_ids_languages_and_accepted_answers),
        cmocka_unit_test(rankings_come_in_three_shapes),
        cmocka_unit_test(mistakes_in_rankings_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
