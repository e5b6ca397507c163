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

/* What would be learnt in silence, or left out: it is told. */
static void what_is_not_read_is_told(void **state)
{
    (void)state;
    expect(DEMONSTRATIONS, "o.jsonl",
        "{\"messages\": [{\"role\": \"developer\", \"content\": \"S\"},"
        "{\"role\": \"user\", \"content\": \"q\"},"
        "{\"role\": \"assistant\", \"content\": \"a\", \"tool_calls\": [], \"weight\": 1}]}",
        "s:S u:q a:a");
    expect_error(DEMONSTRATIONS, "o.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"},"
        "{\"role\": \"assistant\", \"content\": \"a\", \"tool_calls\": [{\"id\": \"1\"}]}]}",
        "o.jsonl:1: message 2: 'tool_calls' is not read");
    expect_error(DEMONSTRATIONS, "o.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"},"
        "{\"role\": \"assistant\", \"content\": \"a\", \"weight\": 0}]}",
        "o.jsonl:1: message 2: 'weight' 0: every answer of the assistant is learnt here");
    expect_error(DEMONSTRATIONS, "o.jsonl", "{\"question\": 7, \"answer\": \"a\"}",
        "o.jsonl:1: 'question' must be a text");
    expect_error(DEMONSTRATIONS, "o.jsonl", "{\"question\": \"q\", \"answer\": 4}",
        "o.jsonl:1: 'answer' must be a text");
    expect_error(RANKINGS, "o.jsonl", "{\"chosen\": \"a\", \"rejected\": [], \"prompt\": \"q\"}",
        "o.jsonl:1: 'rejected' must be a text");
    expect_error(DEMONSTRATIONS, "o.json",
        "{\"version\": 1, \"data\": [{\"question\": \"q\", \"answer\": \"a\"}]}",
        "o.json:1: no known shape has the fields 'version', 'data': if the records are those in "
        "'data', give that list as a file");
    expect_error(DEMONSTRATIONS, "o.jsonl", "{\"question\": \"a\\u0000\", \"answer\": \"a\"}",
        "o.jsonl:1:22: a string holds a NUL character, \\u0000");
    expect_error(DEMONSTRATIONS, "o.jsonl", "{\"question\": \"q\", \"answer\": \"a\"} {}",
        "o.jsonl:1:34: something stands behind the value");
}

static void deleted_messages_of_a_tree_are_left_out(void **state)
{
    (void)state;
    expect(RANKINGS, "t.jsonl",
        "{\"message_tree_id\": \"t\", \"prompt\": {\"text\": \"q\", \"role\": \"prompter\", "
        "\"replies\": [{\"text\": \"a\", \"role\": \"assistant\", \"rank\": 1}, "
        "{\"text\": \"gone\", \"role\": \"assistant\", \"rank\": 0, \"deleted\": true}, "
        "{\"text\": \"b\", \"role\": \"assistant\", \"rank\": 2, \"deleted\": false, \"replies\": ["
        "{\"text\": \"gone\", \"role\": \"prompter\", \"deleted\": true, \"replies\": ["
        "{\"text\": \"x\", \"role\": \"assistant\", \"rank\": 0},"
        "{\"text\": \"y\", \"role\": \"assistant\", \"rank\": 1}]}]}]}}",
        "1(en) u:q a>b");
}

static void what_stands_beside_a_question_is_part_of_it(void **state)
{
    (void)state;
    expect(DEMONSTRATIONS, "o.jsonl",
        "{\"instruction\": \"q\", \"context\": \"c\", \"response\": \"a\", \"category\": \"qa\"}\n"
        "{\"system_prompt\": \"S\", \"question\": \"q\", \"response\": \"a\"}\n"
        "{\"system_prompt\": \"S\", \"conversations\": [{\"from\": \"human\", \"value\": \"q\"}, "
        "{\"from\": \"gpt\", \"value\": \"a\"}]}",
        "u:q\nc a:a|s:S u:q a:a|s:S u:q a:a");
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

static void comparisons_come_in_many_shapes(void **state)
{
    (void)state;
    expect(RANKINGS, "r.jsonl",
        /* turns: with the question, behind it as a list, behind it as a text, behind turns */
        "{\"prompt\": \"q\", \"chosen\": [{\"role\": \"user\", \"content\": \"q\"}, "
        "{\"role\": \"assistant\", \"content\": \"a\"}], \"rejected\": [{\"role\": \"user\", "
        "\"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"b\"}], "
        "\"score_chosen\": 2, \"score_rejected\": 2}\n"
        "{\"prompt\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", "
        "\"content\": \"q\"}], \"chosen\": [{\"role\": \"assistant\", \"content\": \"a\"}], "
        "\"rejected\": [{\"role\": \"assistant\", \"content\": \"b\"}]}\n"
        "{\"prompt\": \"q\", \"chosen\": [{\"role\": \"assistant\", \"content\": \"a\"}], "
        "\"rejected\": [{\"role\": \"assistant\", \"content\": \"b\"}]}\n"
        "{\"conversations\": [{\"from\": \"human\", \"value\": \"q\"}], \"chosen\": {\"from\": "
        "\"gpt\", \"value\": \"a\"}, \"rejected\": {\"from\": \"gpt\", \"value\": \"b\"}}\n",
        "1(en) u:q a=b|2(en) s:S u:q a>b|3(en) u:q a>b|4(en) u:q a>b");
    expect(RANKINGS, "r.jsonl",
        "{\"chosen\": \"\\n\\nHuman: q\\n\\nAssistant: a\\n\\nHuman: r\\n\\nAssistant: b \", "
        "\"rejected\": \"\\n\\nHuman: q\\n\\nAssistant: a\\n\\nHuman: r\\n\\nAssistant:\"}\n"
        "{\"conversation_a\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", "
        "\"content\": \"a\"}], \"conversation_b\": [{\"role\": \"user\", \"content\": \"q\"}, "
        "{\"role\": \"assistant\", \"content\": \"b\"}], \"winner\": \"model_b\"}\n",
        "1(en) u:q a:a u:r b>|2(en) u:q b>a");
    expect(RANKINGS, "r.jsonl",
        "{\"instruction\": \"q\", \"output_1\": \"a\", \"output_2\": \"b\", \"preference\": 2}\n"
        "{\"question\": \"q\", \"response_0\": \"a\", \"response_1\": \"b\", "
        "\"better_response_id\": 1}\n"
        "{\"question\": \"q\", \"response_a\": \"a\", \"response_b\": \"b\", \"winner\": \"tie\"}\n"
        "{\"question\": \"q\", \"response_j\": \"a\", \"response_k\": \"b\"}\n"
        "{\"prompt\": \"q\", \"responses\": [\"a\", \"b\", \"c\"], \"scores\": [1, 3, 3]}\n",
        "1(en) u:q b>a|2(en) u:q b>a|3(en) u:q a=b|4(en) u:q a>b|5(en) u:q b=c>a");
}

static void answers_may_say_themselves_how_good_they_are(void **state)
{
    (void)state;
    expect(RANKINGS, "r.jsonl",
        "{\"instruction\": \"q\", \"completions\": [{\"response\": \"a\", \"overall_score\": 3}, "
        "{\"response\": \"b\", \"overall_score\": 8.5}]}\n"
        "{\"prompt\": \"q\", \"answers\": [{\"answer\": \"a\", \"rank\": 1.0}, "
        "{\"answer\": \"b\", \"rank\": 2}, {\"answer\": \"c\", \"rank\": 2}]}\n"
        "{\"history\": \"q\", \"human_ref_A\": \"a\", \"human_ref_B\": \"b\", \"labels\": 1}\n"
        "{\"history\": \"q\", \"human_ref_A\": \"a\", \"human_ref_B\": \"b\", \"labels\": 0}\n",
        "1(en) u:q b>a|2(en) u:q a>b=c|3(en) u:q a>b|4(en) u:q b>a");
    expect_error(RANKINGS, "r.jsonl",
        "{\"prompt\": \"q\", \"answers\": [{\"answer\": \"a\", \"rank\": 1}, {\"answer\": \"b\"}]}",
        "r.jsonl:1: answer 2: no number says how good it is");
    expect_error(RANKINGS, "r.jsonl",
        "{\"history\": \"q\", \"human_ref_A\": \"a\", \"human_ref_B\": \"b\", \"labels\": 2}",
        "r.jsonl:1: 'labels' is neither 0 nor 1");
}

static void a_question_may_be_a_dialogue(void **state)
{
    (void)state;
    expect(RANKINGS, "r.jsonl",
        "{\"prompt\": \"\\n\\nHuman: p\\n\\nAssistant: r\\n\\nHuman: q\\n\\nAssistant:\", "
        "\"chosen\": \"a\", \"rejected\": \"b\"}\n",
        "1(en) u:p a:r u:q a>b");
    expect(DEMONSTRATIONS, "r.jsonl",
        "{\"instruction\": \"Human:p\\nAssistant:r\\nHuman:q\\nAssistant:\", \"input\": \"\", "
        "\"output\": \"a\"}\n"
        "{\"instruction\": \"Human: or machine?\", \"output\": \"a\"}",
        "u:p a:r u:q a:a|u:Human: or machine? a:a");
    expect_error(DEMONSTRATIONS, "r.jsonl",
        "{\"prompt\": \"\\n\\nHuman: p\\n\\nAssistant: r\", \"completion\": \"a\"}",
        "r.jsonl:1: the dialogue does not end with what is to be answered");
}

static void what_would_be_lost_of_a_message_is_told(void **state)
{
    (void)state;
    expect_error(DEMONSTRATIONS, "r.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, "
        "{\"role\": \"assistant\", \"reasoning_content\": \"so\", \"content\": \"a\"}]}",
        "r.jsonl:1: message 2: 'reasoning_content' is not read");
    expect(DEMONSTRATIONS, "r.jsonl",
        "{\"conversations\": [{\"from\": \"human\", \"value\": \"q\"}, "
        "{\"from\": \"chatgpt\", \"value\": \"a\", \"reasoning_content\": null}]}",
        "u:q a:a");
}

static void a_single_message_of_a_tree_is_no_text(void **state)
{
    static const char one[] =
        "{\"message_id\": \"1\", \"parent_id\": null, \"role\": \"prompter\", "
        "\"text\": \"q\"}";

    (void)state;
    expect_error(RANKINGS, "r.jsonl", one, "r.jsonl:1: it is a single message of a tree");
    expect_error(DEMONSTRATIONS, "r.jsonl", one, "r.jsonl:1: it is a single message of a tree");
}

static void grades_matrices_and_trees_become_tiers(void **state)
{
    (void)state;
    expect(RANKINGS, "r.jsonl",
        "{\"question\": \"q\", \"ground_truth\": \"g\", \"m\": {\"is_correct\": false, "
        "\"solution\": \"a\"}, \"n\": {\"is_correct\": true, \"solution\": \"b\"}, "
        "\"o\": {\"is_correct\": false, \"solution\": \"c\"}}\n",
        "1(en) u:q b>a=c");
    /* 1 over 2, 3 over 1, 3 over 2; then a circle, of which nothing is made */
    expect(RANKINGS, "r.jsonl",
        "{\"question\": \"q\", \"prediction 1\": \"a\", \"prediction 2\": \"b\", "
        "\"prediction 3\": \"c\", \"preference\": [1, 2, 2]}\n"
        "{\"question\": \"q\", \"prediction 1\": \"a\", \"prediction 2\": \"b\", "
        "\"prediction 3\": \"c\", \"preference\": [1, 2, 1]}\n",
        "1(en) u:q c>a>b");
    expect(RANKINGS, "r.jsonl",
        "{\"message_tree_id\": \"t\", \"prompt\": {\"text\": \"q\", \"role\": \"prompter\", "
        "\"replies\": [{\"text\": \"a\", \"role\": \"assistant\", \"rank\": 1, \"replies\": "
        "[{\"text\": \"r\", \"role\": \"prompter\", \"replies\": [{\"text\": \"d\", \"role\": "
        "\"assistant\", \"rank\": 0}, {\"text\": \"e\", \"role\": \"assistant\", \"rank\": 1}]}]}, "
        "{\"text\": \"b\", \"role\": \"assistant\", \"rank\": 0}, {\"text\": \"c\", \"role\": "
        "\"assistant\", \"rank\": null}]}}\n",
        "1(en) u:q b>a|2(en) u:q a:a u:r d>e");
}

static void more_demonstrations(void **state)
{
    (void)state;
    expect(DEMONSTRATIONS, "a.jsonl",
        "{\"conversations\": [{\"from\": \"human\", \"value\": \"q\"}, {\"from\": "
        "\"function_call\", \"value\": \"f()\"}, {\"from\": \"observation\", \"value\": \"7\"}, "
        "{\"from\": \"gpt\", \"value\": \"a\"}, {\"from\": \"human\", \"value\": \"bye\"}], "
        "\"tools\": \"[f]\", \"system\": \"S\"}\n",
        "s:S\n[f] u:q a:f() t:7 a:a");
    expect(DEMONSTRATIONS, "a.jsonl",
        "{\"messages\": [{\"message\": \"q\"}, {\"message\": \"a\"}, {\"message\": \"q2\"}]}\n"
        "{\"instruction\": \"i\", \"instances\": [{\"input\": \"x\", \"output\": \"y\"}, "
        "{\"input\": \"\", \"output\": \"z\"}]}\n"
        "{\"prompt\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": "
        "\"q\"}]}], "
        "\"completion\": [{\"role\": \"assistant\", \"content\": \"a\"}]}\n"
        "{\"prompt\": \"q\", \"completion\": \"bad\", \"label\": false}\n"
        "{\"prompt\": \"q\", \"completion\": \"good\", \"label\": true}\n",
        "u:q a:a|u:i\nx a:y|u:i a:z|u:q a:a|u:q a:good");
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
        cmocka_unit_test(what_is_not_read_is_told),
        cmocka_unit_test(deleted_messages_of_a_tree_are_left_out),
        cmocka_unit_test(what_stands_beside_a_question_is_part_of_it),
        cmocka_unit_test(broken_json_is_told_with_line_and_column),
        cmocka_unit_test(prompts_have_ids_languages_and_accepted_answers),
        cmocka_unit_test(rankings_come_in_three_shapes),
        cmocka_unit_test(comparisons_come_in_many_shapes),
        cmocka_unit_test(answers_may_say_themselves_how_good_they_are),
        cmocka_unit_test(a_question_may_be_a_dialogue),
        cmocka_unit_test(what_would_be_lost_of_a_message_is_told),
        cmocka_unit_test(a_single_message_of_a_tree_is_no_text),
        cmocka_unit_test(grades_matrices_and_trees_become_tiers),
        cmocka_unit_test(more_demonstrations),
        cmocka_unit_test(mistakes_in_rankings_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
