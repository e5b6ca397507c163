#include <iconv.h>

#include "tests/unit/workers/people.h"

/* A text in another encoding; freed by the caller. */
static struct buf in(const char *encoding, const char *text)
{
    struct buf out = { 0 };
    char bytes[4096], *from = (char *)(uintptr_t)text, *to = bytes;
    size_t left = strlen(text), room = sizeof bytes;
    iconv_t convert = iconv_open(encoding, "UTF-8");

    assert_true(convert != (iconv_t)-1);
    assert_int_equal(iconv(convert, &from, &left, &to, &room), 0);
    iconv_close(convert);
    assert_int_equal(buf_add(&out, bytes, (size_t)(to - bytes)), OK);
    return out;
}

static const struct sample {
    const char *iconv;
    Reading__Encoding encoding;
    const char *text;
} samples[] = {
    { "GBK", READING__ENCODING__GBK,
        "高血压患者可以无偿献血，因为无偿献血后对血压的影响很小，平时应经常口服降压药。\n" },
    { "GB18030", READING__ENCODING__GBK,
        "这是一个很长的句子，我们想看看它能不能被认出来：“可以的”，他说。\n" },
    { "BIG5", READING__ENCODING__BIG5,
        "這是一個很長的句子，我們想看看它能不能被認出來：「可以的」，他說。\n" },
    { "CP932", READING__ENCODING__SHIFT_JIS,
        "これは日本語の文章です。正しく読めるかどうかを調べています。カタカナもあります。\n" },
    { "CP1252", READING__ENCODING__WINDOWS1252,
        "Le café est très bon — déjà prêt à être servi à la française, “père Noël”.\n" },
    { "UTF-16LE", READING__ENCODING__UTF16LE, "plain words, some of them 中文\n" },
    { "UTF-16BE", READING__ENCODING__UTF16BE, "plain words, some of them 中文\n" },
    { "UTF-16LE", READING__ENCODING__UTF16LE,
        "春天来了，万物复苏，小鸟在树上唱歌。\n我们走出家门，到公园里散步。\n" },
    { "UTF-16BE", READING__ENCODING__UTF16BE,
        "這是一個很長的句子，我們想看看它能不能被認出來，一個字母都沒有。\n" },
    { "UTF-16BE", READING__ENCODING__UTF16BE, "これは日本語の文章です。正しく読めるかどうか。\n" },
    { "UTF-8", READING__ENCODING__UTF8, "这是一个很长的句子 mit Umlauten äöü\n" },
};

static void an_encoding_is_told_by_what_people_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct buf bytes = in(samples[i].iconv, samples[i].text);
        Reading__Encoding found = READING__ENCODING__DETECT;
        struct err e = ERR_INIT;
        if (encoding_detect(&found, (struct span){ bytes.p, bytes.n }, &e) != OK)
            fail_msg("%s: %s", samples[i].iconv, e.msg);
        if (found != samples[i].encoding)
            fail_msg("%s: taken for %s", samples[i].iconv, encoding_name(found));
        buf_free(&bytes);
    }
}

static void text_comes_out_as_it_was_whatever_its_encoding(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct buf bytes = in(samples[i].iconv, samples[i].text);
        struct seen s = { 0 };
        struct err e = ERR_INIT;
        assert_int_equal(
            read_bytes(FILE_TEXT, "a.txt", (struct span){ bytes.p, bytes.n }, &s, &e), OK);
        assert_string_equal(s.text.p, samples[i].text);
        buf_free(&s.text);
        buf_free(&bytes);
    }
}

/* Languages whose letters lie where others have theirs: nothing is guessed. */
static void what_is_not_safe_to_tell_is_refused(void **state)
{
    static const struct sample unsure[] = {
        { "CP1251", READING__ENCODING__DETECT, "Все счастливые семьи похожи друг на друга.\n" },
        { "KOI8-R", READING__ENCODING__DETECT, "Все счастливые семьи похожи друг на друга.\n" },
        { "EUC-KR", READING__ENCODING__DETECT, "모든 인간은 태어날 때부터 자유로우며 존엄하다.\n" },
        { "EUC-JP", READING__ENCODING__DETECT, "すべての人間は、生まれながらにして自由である。\n" },
        { "ISO-8859-2", READING__ENCODING__DETECT, "Příliš žluťoučký kůň úpěl ďábelské ódy.\n" },
        { "ISO-8859-7", READING__ENCODING__DETECT, "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι.\n" },
        { "CP1252", READING__ENCODING__DETECT, "caf\u00e9\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof unsure / sizeof *unsure; i++) {
        struct buf bytes = in(unsure[i].iconv, unsure[i].text);
        Reading__Encoding found = READING__ENCODING__DETECT;
        struct err e = ERR_INIT;
        if (encoding_detect(&found, (struct span){ bytes.p, bytes.n }, &e) != E_INPUT)
            fail_msg("%s: taken for %s", unsure[i].iconv, encoding_name(found));
        assert_non_null(strstr(e.msg, "declare it"));
        buf_free(&bytes);
    }
}

static void what_is_no_text_is_refused(void **state)
{
    static const struct {
        struct span bytes;
        const char *told;
    } refused[] = {
        { { "\xff\xfe\0\0a\0\0\0", 8 }, "it is UTF-32: convert it to UTF-8" },
        { { "\0\0\xfe\xff\0\0\0a", 8 }, "it is UTF-32: convert it to UTF-8" },
        { { "\x7f"
            "ELF\0\0\x01\xff\xfe\xff\xf0\x9f",
              12 },
            "it is a binary file: give a text file" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        Reading__Encoding found = READING__ENCODING__DETECT;
        struct err e = ERR_INIT;
        size_t mark;
        assert_int_equal(encoding_of_mark(refused[i].bytes, &mark), READING__ENCODING__DETECT);
        assert_int_equal(mark, 0);
        assert_int_equal(encoding_detect(&found, refused[i].bytes, &e), E_INPUT);
        assert_memory_equal(e.msg, refused[i].told, strlen(refused[i].told));
    }
}

static void a_declared_encoding_is_obeyed(void **state)
{
    static const struct sample declared[] = {
        { "EUC-KR", READING__ENCODING__EUC_KR, "모든 인간은 태어날 때부터 자유롭다.\n" },
        { "EUC-JP", READING__ENCODING__EUC_JP, "すべての人間は自由である。\n" },
        { "ISO-8859-1", READING__ENCODING__LATIN1, "caf\u00e9\n" },
        { "GB18030", READING__ENCODING__GB18030, "€ 𠀀 中\n" },
        { "UTF-16LE", READING__ENCODING__UTF16LE, "中文，没有一个字母\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof declared / sizeof *declared; i++) {
        struct buf bytes = in(declared[i].iconv, declared[i].text);
        Reading how = READING__INIT;
        struct intake *im = NULL;
        struct seen s = { 0 };
        struct err e = ERR_INIT;
        how.encoding = declared[i].encoding;
        assert_int_equal(intake_new(&im, &e), OK);
        assert_int_equal(
            read_as(FILE_TEXT, "a.txt", (struct span){ bytes.p, bytes.n }, &how, 3, im, &s, &e),
            OK);
        assert_string_equal(s.text.p, declared[i].text);
        assert_string_equal(intake_notes(im), "");
        intake_free(im);
        buf_free(&s.text);
        buf_free(&bytes);
    }
}

/* A document of several lines says in which of them. */
static void a_byte_that_does_not_decode_is_told_with_its_line(void **state)
{
    static const char bytes[] = "世界 one\ntwo \xe4\xb8 世\n世 three\n";
    Reading how = READING__INIT;
    struct intake *im = NULL;
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    how.encoding = READING__ENCODING__UTF8;
    assert_int_equal(intake_new(&im, &e), OK);
    assert_int_equal(
        read_as(FILE_TEXT, "a.txt", (struct span){ bytes, sizeof bytes - 1 }, &how, 3, im, &s, &e),
        E_INPUT);
    assert_string_equal(e.msg, "a.txt:2: it holds bytes that are no UTF-8");
    intake_free(im);
    buf_free(&s.text);
}

static void lines_that_do_not_decode_are_counted_and_not_given(void **state)
{
    static const char bytes[] = "世界 one\ntwo \xe4\xb8 世\n世 three\n\xff\xfe\n";
    Reading how = READING__INIT;
    struct intake *im = NULL;
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    how.encoding = READING__ENCODING__UTF8;
    how.on_bad_record = READING__ON_BAD_RECORD__SKIP;
    assert_int_equal(intake_new(&im, &e), OK);
    assert_int_equal(
        read_as(LINES, "a.txt", (struct span){ bytes, sizeof bytes - 1 }, &how, 4, im, &s, &e), OK);
    assert_string_equal(s.text.p, "世界 one|世 three");
    assert_int_equal(intake_counts(im)->fates[FATE_UNDECODABLE], 2);
    assert_string_equal(intake_complaints(im), "a.txt:2: it holds bytes that are no UTF-8\n"
                                               "a.txt:4: it holds bytes that are no UTF-8");
    intake_free(im);
    buf_free(&s.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encoding_is_told_by_what_people_write),
        cmocka_unit_test(text_comes_out_as_it_was_whatever_its_encoding),
        cmocka_unit_test(what_is_not_safe_to_tell_is_refused),
        cmocka_unit_test(what_is_no_text_is_refused),
        cmocka_unit_test(a_declared_encoding_is_obeyed),
        cmocka_unit_test(a_byte_that_does_not_decode_is_told_with_its_line),
        cmocka_unit_test(lines_that_do_not_decode_are_counted_and_not_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
