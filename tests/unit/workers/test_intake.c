#include "tests/unit/workers/people.h"

/* 30 records, of which every second is broken in its own way. */
static struct buf half_broken(void)
{
    struct buf b = { 0 };

    for (int i = 0; i < 30; i++)
        buf_printf(&b,
            i % 2 ? "{\"prompt\": \"q%d\"}\n" : "{\"prompt\": \"q%d\", \"answer\": \"a\"}\n", i);
    return b;
}

static void read_with(const struct buf *bytes, const Reading *how, enum what what, const char *name,
    struct intake **im, struct seen *s, int want, struct err *e)
{
    assert_int_equal(intake_new(im, e), OK);
    assert_int_equal(
        read_as(what, name, (struct span){ bytes->p, bytes->n }, how, 64, *im, s, e), want);
}

static void the_first_ten_broken_records_stop_it(void **state)
{
    struct buf b = half_broken();
    Reading how = READING__INIT;
    struct intake *im = NULL;
    struct seen s = { 0 };
    struct err e = ERR_INIT;
    size_t lines = 0;

    (void)state;
    read_with(&b, &how, DEMONSTRATIONS, "a.jsonl", &im, &s, E_INPUT, &e);
    assert_string_equal(s.text.p, "u:q0 a:a"); /* nothing behind the first that was broken */
    assert_memory_equal(e.msg, "the first 10 records are broken", 31);
    for (const char *p = e.msg; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 10);
    assert_non_null(strstr(e.msg, "\na.jsonl:20: a question, but no answer"));
    intake_free(im);
    buf_free(&s.text);
    buf_free(&b);
}

static void skipped_records_are_counted_and_the_first_ten_told(void **state)
{
    struct buf b = half_broken();
    Reading how = READING__INIT;
    struct intake *im = NULL;
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    how.on_bad_record = READING__ON_BAD_RECORD__SKIP;
    read_with(&b, &how, DEMONSTRATIONS, "a.jsonl", &im, &s, OK, &e);
    assert_int_equal(s.n, 15);
    assert_int_equal(intake_counts(im)->read, 30);
    assert_int_equal(intake_counts(im)->fates[FATE_USED], 15);
    assert_int_equal(intake_counts(im)->fates[FATE_BROKEN], 15);
    assert_non_null(strstr(intake_complaints(im), "a.jsonl:20: "));
    assert_null(strstr(intake_complaints(im), "a.jsonl:22: "));
    intake_free(im);
    buf_free(&s.text);
    buf_free(&b);
}

static void documents_that_were_there_before_are_left_out(void **state)
{
    struct buf b = { 0 };
    Reading how = READING__INIT;
    struct intake *im = NULL;
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    for (int i = 0; i < 20000; i++)
        buf_printf(&b, "%d\n", i % 9000);
    read_with(&b, &how, LINES, "a.txt", &im, &s, OK, &e);
    assert_int_equal(s.n, 9000);
    assert_int_equal(intake_counts(im)->read, 20000);
    assert_int_equal(intake_counts(im)->fates[FATE_DUPLICATE], 11000);
    /* also in another file of the same intake */
    assert_int_equal(
        read_as(LINES, "b.txt", (struct span){ "7\nx\n", 4 }, &how, 64, im, &s, &e), OK);
    assert_int_equal(intake_counts(im)->fates[FATE_DUPLICATE], 11001);
    assert_int_equal(s.n, 9001);
    intake_free(im);
    s.n = s.text.n = 0;
    how.keep_duplicates = true;
    read_with(&b, &how, LINES, "a.txt", &im, &s, OK, &e);
    assert_int_equal(s.n, 20000);
    intake_free(im);
    buf_free(&s.text);
    buf_free(&b);
}

static void a_format_names_the_fields_and_hides_the_others(void **state)
{
    static const char bytes[] = "{\"frage\": \"q\", \"wer\": {\"antwort\": [\"x\", \"a\"]}, "
                                "\"prompt\": \"p\", \"output\": \"o\"}\n";
    Reading how = READING__INIT;
    Format format = FORMAT__INIT;
    struct buf b = { 0 };
    struct intake *im = NULL;
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(buf_add(&b, bytes, sizeof bytes - 1), OK);
    format.prompt = (char *)"frage";
    format.answer = (char *)"wer.antwort.1";
    how.format = &format;
    read_with(&b, &how, DEMONSTRATIONS, "a.jsonl", &im, &s, OK, &e);
    assert_string_equal(s.text.p, "u:q a:a");
    intake_free(im);
    s.n = s.text.n = 0;
    format.answer = NULL;
    format.answers = (char *)"wer.antwort";
    read_with(&b, &how, RANKINGS, "a.jsonl", &im, &s, OK, &e);
    assert_string_equal(s.text.p, "1(en) u:q x>a");
    intake_free(im);
    buf_free(&s.text);
    buf_free(&b);
}

static void a_file_that_cannot_be_read_is_told_and_the_next_is_read(void **state)
{
    Reading how = READING__INIT;
    struct intake *im = NULL;
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    how.on_bad_record = READING__ON_BAD_RECORD__SKIP;
    assert_int_equal(intake_new(&im, &e), OK);
    assert_int_equal(read_as(FILE_TEXT, "a.gz", (struct span){ "\x1f\x8b\x08 damaged", 11 }, &how,
                         64, im, &s, &e),
        OK);
    assert_int_equal(
        read_as(FILE_TEXT, "b.txt", (struct span){ "text\n", 5 }, &how, 64, im, &s, &e), OK);
    assert_int_equal(intake_counts(im)->refused, 1);
    assert_memory_equal(intake_complaints(im), "a.gz:1: gzip: ", 14);
    assert_string_equal(s.text.p, "text\n");
    intake_free(im);
    buf_free(&s.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_ten_broken_records_stop_it),
        cmocka_unit_test(skipped_records_are_counted_and_the_first_ten_told),
        cmocka_unit_test(documents_that_were_there_before_are_left_out),
        cmocka_unit_test(a_format_names_the_fields_and_hides_the_others),
        cmocka_unit_test(a_file_that_cannot_be_read_is_told_and_the_next_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
