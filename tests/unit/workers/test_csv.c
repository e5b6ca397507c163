#include "tests/unit/workers/people.h"

static void a_row_is_a_record_under_its_header(void **state)
{
    (void)state;
    expect(DEMONSTRATIONS, "a.csv", "ask,title,answer\r\nq,t,a\r\n\r\nq2,,\"a, \"\"2\"\"\"\r\n",
        "u:q a:a|u:q2 a:a, \"2\"");
    expect(DEMONSTRATIONS, "a.tsv", "answer\task\na\tq, with a comma", "u:q, with a comma a:a");
    expect(DEMONSTRATIONS, "a.csv", "prompt;output\nq, 1;a", "u:q, 1 a:a");
    expect(FILE_TEXT, "a.csv", ",text\n0,one\n1,two\n", "one|two");
}

static void a_cell_in_quotes_may_hold_lines(void **state)
{
    (void)state;
    expect(DEMONSTRATIONS, "a.csv", "\xef\xbb\xbfprompt,output\n\"first\n\nsecond\",\"a\n\"\nq,b\n",
        "u:first\n\nsecond a:a\n|u:q a:b");
    expect(RANKINGS, "a.csv", "prompt,chosen,rejected\nq,good,bad\n", "1(en) u:q good>bad");
    expect(RANKINGS, "a.csv", "question,answer_a,answer_b,winner\nq,x,y,b\nq,x,y,tie\n",
        "1(en) u:q y>x|2(en) u:q x=y");
}

static void a_quote_within_a_cell_is_a_character(void **state)
{
    (void)state;
    expect(DEMONSTRATIONS, "a.tsv", "prompt\toutput\nsay \"hi\"\tand 5\" bye\nq\ta\n",
        "u:say \"hi\" a:and 5\" bye|u:q a:a");
    expect(DEMONSTRATIONS, "a.csv", "prompt,output\n\"q \"\"1\"\"\n2\",5\" wide\nq,\"\"\"\"\n",
        "u:q \"1\"\n2 a:5\" wide|u:q a:\"");
}

static void mistakes_in_rows_are_told_with_their_line(void **state)
{
    (void)state;
    expect_error(DEMONSTRATIONS, "a.csv", "prompt,output\nq,a\nq,a,b\n",
        "a.csv:3: 3 cells, and the header has 2");
    expect_error(DEMONSTRATIONS, "a.csv", "prompt,output\n\"q\n\",a\n\"q,a\n\n",
        "a.csv:4: a cell in quotes does not end");
    expect_error(DEMONSTRATIONS, "a.csv", "prompt,output\n\"q\"x,a\n",
        "a.csv:2: something stands behind a cell in quotes");
    expect_error(DEMONSTRATIONS, "a.csv", "prompt,output,output\nq,a,b\n",
        "a.csv:1: the header names 'output' twice");
    expect_error(DEMONSTRATIONS, "a.csv", "prompt,output\nq,\n", "a.csv:2: 'output' is empty");
    expect_error(DEMONSTRATIONS, "a.csv", "frage,antwort\nq,a\n",
        "a.csv:2: no known shape has the fields 'frage', 'antwort': name them");
    expect_error(DEMONSTRATIONS, "a.csv", "prompt,output\rq,a\rp,b\r",
        "a.csv:1: its lines end with CR alone: save it with LF or CR LF");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_a_record_under_its_header),
        cmocka_unit_test(a_cell_in_quotes_may_hold_lines),
        cmocka_unit_test(a_quote_within_a_cell_is_a_character),
        cmocka_unit_test(mistakes_in_rows_are_told_with_their_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
