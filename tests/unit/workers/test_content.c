#include "tests/unit/workers/people.h"

/* ---- raw text ---- */

static void text_is_cut_by_file_line_or_paragraph(void **state)
{
    (void)state;
    expect(FILE_TEXT, "a.txt", "one\n\ntwo\n", "one\n\ntwo\n");
    expect(FILE_TEXT, "a.txt", " \n\n", "");
    expect(LINES, "a.txt", "one\n\n two \nthree", "one| two |three");
    expect(PARAGRAPHS, "a.txt", "\n\none\ntwo\n \n\nthree\n", "one\ntwo|three");
    expect(PARAGRAPHS, "a.txt", "one", "one");
    expect(PARAGRAPHS, "a.txt", "", "");
}

/* 20 MiB of lines in one file: a document ends at a line's end, and no line is lost. */
static void a_long_document_is_cut_into_several(void **state)
{
    struct buf b = { 0 };
    struct seen s = { 0 };
    struct err e = ERR_INIT;
    size_t line = 0, n = 0;

    (void)state;
    while (b.n < (size_t)20 << 20)
        buf_printf(&b, "line %zu of a long book, and what stands in it\n", n++);
    assert_int_equal(read_bytes(FILE_TEXT, "a.txt", (struct span){ b.p, b.n }, &s, &e), OK);
    assert_int_equal(s.n, 3);
    for (const char *p = s.text.p; p; p = strchr(p + 1, '\n'), line++)
        if (p[0] == '\n' && p[1] != '\0' && p[1] != '|')
            assert_memory_equal(p + 1, "line ", 5);
    assert_int_equal(line, n + 1);
    buf_free(&s.text);
    buf_free(&b);
}

static void byte_order_mark_and_carriage_returns_are_dropped(void **state)
{
    (void)state;
    expect(FILE_TEXT, "a.txt",
        "\xef\xbb\xbf"
        "a\r\nb\rc\r\n",
        "a\nb\rc\n");
    expect(LINES, "a.txt",
        "\xef\xbb\xbf"
        "世\r\n\r\n界",
        "世|界");
}

static void json_lines_give_the_field_text(void **state)
{
    (void)state;
    expect(FILE_TEXT, "a.jsonl", "{\"text\": \"a\\nb\"}\n\n{\"text\": \" \"}\n{\"text\":\"c\"}\n",
        "a\nb|c");
    expect_error(FILE_TEXT, "a.jsonl", "{\"text\": \"a\"}\n{\"texts\": \"b\"}\n",
        "a.jsonl:2: no known shape has the fields 'texts': name them, e.g. `format: {");
    expect_error(
        FILE_TEXT, "a.json", "[{\"text\": 7}]", "a.json:1: record 1: 'text' must be a text");
}

static void what_is_not_utf8_is_named(void **state)
{
    char utf16[] = "a\0b\0c\0\n";
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    expect_error(FILE_TEXT, "a.txt", "ab\ncaf\xe9 cr\xe8me",
        "a.txt:1: not UTF-8 at byte 6 (0xe9, line 2), and its encoding cannot be told safely: "
        "declare it");
    expect_error(FILE_TEXT, "a.zip", "PK\x03\x04 \xff", "a.zip:1: it is a zip archive: unpack it");
    expect_error(FILE_TEXT, "a.bin", "\x01\x02\xff\xfe\xff\xff", "a.bin:1: not UTF-8 at byte 2");
    expect_error(FILE_TEXT, "a.txt", "a\n\xe4\xb8\x96\xe7\x95\x8c\xe7\x95",
        "a.txt:2: it holds bytes that are no UTF-8");
    assert_int_equal(read_bytes(FILE_TEXT, "a.txt", (struct span){ utf16, 8 }, &s, &e), OK);
    assert_string_equal(s.text.p, "abc\n");
    buf_free(&s.text);
    assert_int_equal(
        read_bytes(FILE_TEXT, "a.txt", (struct span){ "ab\nc\0d", 6 }, &s, &e), E_INPUT);
    assert_string_equal(e.msg, "a.txt:2: it holds a NUL byte: is it text?");
}

/* ---- real files ---- */
/* What each file of ../shared/data gives, by its README: records, and what they come to. */
static const struct shared_file {
    const char *name;
    enum what what;
    uint64_t read, items;
    uint64_t dropped; /* for any reason */
} shared_files[] = {
    { "raw/tinyshakespeare.txt", FILE_TEXT, 1, 1, 0 },
    { "raw/botchan_bom_crlf.txt", FILE_TEXT, 1, 1, 0 },
    { "raw/wiki_en_longlines.txt", LINES, 30, 30, 0 },
    { "raw/clue_zh_lines.txt", LINES, 1700, 1700, 0 },
    { "raw/c4_demo.jsonl", FILE_TEXT, 210, 210, 0 },
    { "raw/inaugural/2005-Bush.txt", FILE_TEXT, 1, 1, 0 },
    { "raw/poetry_zh/poet.tang.0.json", FILE_TEXT, 1000, 1000, 0 },
    { "raw/poetry_zh/poet.tang.1000.json", FILE_TEXT, 1000, 1000, 0 },
    { "raw/poetry_zh/poet.tang.2000.json", FILE_TEXT, 1002, 1002, 0 },
    { "raw/poetry_zh/poet.tang.3000.json", FILE_TEXT, 1001, 1001, 0 },
    { "raw/poetry_zh/poet.tang.4000.json", FILE_TEXT, 1000, 1000, 0 },
    { "raw/poetry_zh/poet.tang.5000.json", FILE_TEXT, 1000, 1000, 0 },
    { "raw/poetry_zh/poet.tang.6000.json", FILE_TEXT, 1001, 1001, 0 },
    { "raw/poetry_zh/ci.song.0.json", FILE_TEXT, 1000, 1000, 0 },
    { "raw/poetry_zh/ci.song.1000.json", FILE_TEXT, 1000, 1000, 0 },
    { "raw/poetry_zh/ci.song.2000.json", FILE_TEXT, 1000, 1000, 0 },
    { "raw/poetry_zh/ci.song.10000.json", FILE_TEXT, 1000, 997, 3 }, /* the same poem twice */
    { "raw/poetry_zh/lunyu_crlf.json", FILE_TEXT, 20, 20, 0 },
    { "raw/poetry_zh/chuci_crlf.json", FILE_TEXT, 65, 65, 0 },
    { "raw/poetry_zh/guwenguanzhi.json", FILE_TEXT, 223, 223, 0 }, /* chapters, and the abstract */
    { "demos/gsm8k_train.jsonl", DEMONSTRATIONS, 3000, 3000, 0 },
    { "demos/oasst_sft_zh.json", DEMONSTRATIONS, 483, 483, 0 },
    { "demos/alpaca_zh_demo.json", DEMONSTRATIONS, 700, 700, 0 },
    { "demos/identity.json", DEMONSTRATIONS, 91, 91, 0 },
    { "demos/glaive_toolcall_en.json", DEMONSTRATIONS, 80, 80, 0 },
    { "demos/sharegpt_dummy_conversation.json", DEMONSTRATIONS, 500, 500, 0 },
    { "demos/self_instruct_seed_tasks.jsonl", DEMONSTRATIONS, 175, 175, 0 },
    { "demos/kdconv_film.json", DEMONSTRATIONS, 60, 60, 0 },
    { "demos/kdconv_travel.json", DEMONSTRATIONS, 60, 60, 0 },
    { "demos/medical_qa_zh_gbk.csv", DEMONSTRATIONS, 700, 700, 0 },
    { "comparisons/kto_en_demo.json", DEMONSTRATIONS, 200, 98, 102 }, /* labelled false */
    { "comparisons/gsm8k_model_solutions.jsonl", RANKINGS, 450, 450, 0 },
    { "comparisons/oasst_rank_zh.json", RANKINGS, 543, 543, 0 },
    { "comparisons/hh_harmless.jsonl.gz", RANKINGS, 1200, 1197, 3 }, /* two prompts */
    { "comparisons/oasst_en_trees.jsonl", RANKINGS, 60, 131, 0 },
    { "comparisons/dpo_en_demo.json", RANKINGS, 200, 200, 0 },
    { "comparisons/dpo_zh_demo.json", RANKINGS, 200, 200, 0 },
    { "comparisons/stack_exchange_paired.json", RANKINGS, 25, 25, 0 },
    { "comparisons/ultrafeedback_binarized.jsonl", RANKINGS, 10, 10, 0 },
    { "comparisons/qa_feedback_matrix.json", RANKINGS, 61, 60,
        1 }, /* a tie that does not carry over */
    { "prompts/cvalues_zh.jsonl", PROMPTS, 450, 450, 0 },
    { "prompts/nq_open_en.jsonl", PROMPTS, 300, 300, 0 },
    { "variants/alpaca_zh_bom.json", DEMONSTRATIONS, 60, 60, 0 },
    { "variants/alpaca_zh_crlf.jsonl", DEMONSTRATIONS, 60, 60, 0 },
    { "variants/alpaca_zh_jsonl_in.json", DEMONSTRATIONS, 60, 60, 0 },
    { "variants/alpaca_zh_escaped.json", DEMONSTRATIONS, 60, 60, 0 },
    { "variants/alpaca_zh_blank_lines.jsonl", DEMONSTRATIONS, 60, 60, 0 },
    { "variants/alpaca_zh_utf16le.json", DEMONSTRATIONS, 60, 60, 0 },
    { "variants/alpaca_zh_truncated.json", DEMONSTRATIONS, 40, 39, 1 },
};

static void check_file(const struct shared_file *f, struct span bytes)
{
    const struct intake_counts *n;
    Reading how = READING__INIT;
    struct intake *im = NULL;
    struct seen s = { 0 };
    struct err e = ERR_INIT;
    uint64_t dropped = 0;

    how.on_bad_record = READING__ON_BAD_RECORD__SKIP;
    assert_int_equal(intake_new(&im, &e), OK);
    if (read_as(f->what, f->name, bytes, &how, 1 << 18, im, &s, &e) != OK)
        fail_msg("%s", e.msg);
    n = intake_counts(im);
    for (int fate = FATE_USED + 1; fate < FATES; fate++)
        dropped += n->fates[fate];
    if (n->read != f->read || n->items != f->items || dropped != f->dropped || n->refused > 1 ||
        n->read != n->fates[FATE_USED] + dropped || s.n != n->items)
        fail_msg("%s: %zu read, %zu dropped, %zu items\n%s", f->name, (size_t)n->read,
            (size_t)dropped, (size_t)n->items, intake_complaints(im));
    intake_free(im);
    buf_free(&s.text);
}

static void real_files_give_all_their_records(void **state)
{
    struct span bytes;

    (void)state;
    for (size_t i = 0; i < sizeof shared_files / sizeof *shared_files; i++) {
        if (!read_shared(&bytes, shared_files[i].name))
            skip();
        check_file(&shared_files[i], bytes);
        free((void *)bytes.p);
    }
}

static void variants_of_a_file_give_the_same_records(void **state)
{
    static const char *const names[] = { "bom.json", "crlf.jsonl", "jsonl_in.json", "escaped.json",
        "blank_lines.jsonl" };
    struct seen first = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct seen s = { 0 };
        struct err e = ERR_INIT;
        struct span bytes;
        char name[64];
        snprintf(name, sizeof name, "variants/alpaca_zh_%s", names[i]);
        if (!read_shared(&bytes, name))
            skip();
        assert_int_equal(read_bytes(DEMONSTRATIONS, name, bytes, &s, &e), OK);
        free((void *)bytes.p);
        if (i == 0) {
            first = s;
            continue;
        }
        assert_string_equal(s.text.p, first.text.p);
        buf_free(&s.text);
    }
    buf_free(&first.text);
}

static void broken_real_files_are_refused(void **state)
{
    static const struct {
        const char *name, *why;
        enum what what;
    } rows[] = {
        { "variants/alpaca_zh_truncated.json",
            ":197: record 40: the file ends inside a record: was it cut off?", DEMONSTRATIONS },
        { "demos/medical_qa_zh_gbk.csv",
            "this is 'question and answer', which gives demonstrations and not raw text",
            FILE_TEXT },
        { "comparisons/hh_harmless.jsonl.gz",
            "3 records are broken (`on_bad_record: skip` leaves such out):", RANKINGS },
        { "comparisons/kto_en_demo.json",
            ": record 1: this is 'answers with a label (KTO)', which gives demonstrations and not"
            " rankings",
            RANKINGS },
        { "demos/kdconv_film.json", "which gives demonstrations and not rankings", RANKINGS },
    };
    struct span bytes;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seen s = { 0 };
        struct err e = ERR_INIT;
        if (!read_shared(&bytes, rows[i].name))
            skip();
        assert_int_equal(read_bytes(rows[i].what, rows[i].name, bytes, &s, &e), E_INPUT);
        if (!strstr(e.msg, rows[i].why))
            fail_msg("'%s' does not say '%s'", e.msg, rows[i].why);
        buf_free(&s.text);
        free((void *)bytes.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_by_file_line_or_paragraph),
        cmocka_unit_test(a_long_document_is_cut_into_several),
        cmocka_unit_test(byte_order_mark_and_carriage_returns_are_dropped),
        cmocka_unit_test(json_lines_give_the_field_text),
        cmocka_unit_test(what_is_not_utf8_is_named),
        cmocka_unit_test(real_files_give_all_their_records),
        cmocka_unit_test(variants_of_a_file_give_the_same_records),
        cmocka_unit_test(broken_real_files_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
