#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/records.h"
#include "workers/text/documents_int.h"

/* ---- what a file gives, written as text ---- */

struct seen {
    struct buf text;
    size_t n, stop_after; /* stop_after 0: never */
};

static int see_document(void *ctx, const char *text, size_t n, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    buf_printf(&s->text, "%s%.*s", s->n ? "|" : "", (int)n, text);
    return ++s->n == s->stop_after;
}

static void write_turns(struct buf *out, Turn *const *turns, size_t n)
{
    static const char letters[] = {
        [ROLE__SYSTEM] = 's', [ROLE__USER] = 'u', [ROLE__ASSISTANT] = 'a'
    };

    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%c:%s", i ? " " : "", letters[turns[i]->role], turns[i]->text);
}

static int see_conversation(void *ctx, const struct conversation *c, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    buf_printf(&s->text, "%s", s->n ? "|" : "");
    write_turns(&s->text, c->turns, c->n);
    return ++s->n == s->stop_after;
}

static void write_prompt(struct buf *out, const Prompt *p)
{
    buf_printf(out, "%s(%s) ", p->id, p->lang);
    write_turns(out, p->turns, p->n_turns);
    for (size_t i = 0; i < p->n_accepted; i++)
        buf_printf(out, " =%s", p->accepted[i]);
}

static int see_prompt(void *ctx, Prompt *p, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    buf_printf(&s->text, "%s", s->n ? "|" : "");
    write_prompt(&s->text, p);
    message_free(p);
    return ++s->n == s->stop_after;
}

static int see_ranking(void *ctx, Ranking *r, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    buf_printf(&s->text, "%s", s->n ? "|" : "");
    write_prompt(&s->text, r->prompt);
    for (size_t i = 0; i < r->n_tiers; i++) {
        for (size_t k = 0; k < r->tiers[i]->n_answers; k++)
            buf_printf(&s->text, "%s%s",
                k   ? "="
                : i ? ">"
                    : " ",
                r->answers[r->tiers[i]->answers[k]]->text);
    }
    assert_string_equal(r->source, "file");
    message_free(r);
    return ++s->n == s->stop_after;
}

enum what { FILE_TEXT, LINES, PARAGRAPHS, DEMONSTRATIONS, PROMPTS, RANKINGS };

static int read_bytes(
    enum what what, const char *path, struct span bytes, struct seen *s, struct err *e)
{
    uint64_t count = 0;

    switch (what) {
    case FILE_TEXT:
        return documents_read(path, bytes, SPLIT__FILE, see_document, s, e);
    case LINES:
        return documents_read(path, bytes, SPLIT__LINE, see_document, s, e);
    case PARAGRAPHS:
        return documents_read(path, bytes, SPLIT__PARAGRAPH, see_document, s, e);
    case DEMONSTRATIONS:
        return demonstrations_read(path, bytes, see_conversation, s, e);
    case PROMPTS:
        return prompts_read(path, bytes, &count, see_prompt, s, e);
    case RANKINGS:
        return rankings_read(path, bytes, &count, see_ranking, s, e);
    }
    return E_INPUT;
}

static void expect(enum what what, const char *path, const char *bytes, const char *want)
{
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    if (read_bytes(what, path, (struct span){ bytes, strlen(bytes) }, &s, &e) != OK)
        fail_msg("%s", e.msg);
    assert_string_equal(s.text.p ? s.text.p : "", want);
    buf_free(&s.text);
}

static void expect_error(enum what what, const char *path, const char *bytes, const char *want)
{
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    assert_int_equal(
        read_bytes(what, path, (struct span){ bytes, strlen(bytes) }, &s, &e), E_INPUT);
    if (strncmp(e.msg, want, strlen(want)) != 0)
        fail_msg("'%s' does not begin with '%s'", e.msg, want);
    buf_free(&s.text);
}

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
        "a.jsonl:2: no field 'text'");
    expect_error(FILE_TEXT, "a.json", "[{\"text\": 7}]", "a.json:1: record 1: 'text' is no string");
}

static void what_is_not_utf8_is_named(void **state)
{
    char utf16[] = "a\0b\0c\0\n";
    struct seen s = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    expect_error(FILE_TEXT, "a.txt", "ab\ncaf\xe9 cr\xe8me",
        "a.txt:2: not UTF-8 at byte 6 (0xe9): looks like Latin-1 or Windows-1252: convert it");
    expect_error(FILE_TEXT, "a.txt", "\xca\xc0\xbd\xe7\xc9\xcf,\xd7\xee\xb8\xdf",
        "a.txt:1: not UTF-8 at byte 0 (0xca): looks like GBK (GB 18030): convert it to UTF-8");
    expect_error(FILE_TEXT, "a.txt", "\xff\xfeh",
        "a.txt:1: not UTF-8 at byte 0 (0xff): looks like"
        " UTF-16 (little-endian): convert it to UTF-8");
    expect_error(FILE_TEXT, "a.gz", "\x1f\x8b\x08",
        "a.gz:1: not UTF-8 at byte 1 (0x8b): looks like"
        " gzip: unpack it");
    expect_error(FILE_TEXT, "a.txt", "a\n\xe4\xb8\x96\xe7\x95",
        "a.txt:2: ends inside a character at byte 5: was it cut off?");
    assert_int_equal(read_bytes(FILE_TEXT, "a.txt", (struct span){ utf16, 8 }, &s, &e), E_INPUT);
    assert_string_equal(e.msg,
        "a.txt:1: not UTF-8 at byte 1 (0x00): looks like UTF-16 without BOM: convert it to UTF-8");
}

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
        "o.json:3: record 2: no field 'output', 'answer', 'completion' or 'response'");
    expect_error(DEMONSTRATIONS, "o.jsonl", "\n{\"prompt\": \"p\", \"output\": \" \"}",
        "o.jsonl:2: 'output' is empty");
    expect_error(DEMONSTRATIONS, "o.jsonl", "{\"output\": \"a\"}",
        "o.jsonl:1: no field 'instruction', 'prompt' or 'question'");
    expect_error(DEMONSTRATIONS, "o.jsonl", "{\"prompt\": \"\", \"output\": \"a\"}",
        "o.jsonl:1: 'prompt' is empty");
    expect_error(DEMONSTRATIONS, "o.jsonl", "{\"prompt\": \"p\", \"output\": [\"a\"]}",
        "o.jsonl:1: 'output' is no string");
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
        "{\"messages\": [{\"role\": \"tool\", \"content\": \"q\"}]}",
        "o.jsonl:1: message 1: unknown role 'tool'");
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
        { "\"output\": [\"a\"]", "a ranking needs at least two answers" },
        { "\"output\": \"a\"", "'output' is no list of answers" },
        { "\"output\": [\"a\", 7]", "'output' holds what is no string" },
        { "\"chosen\": \"a\"", "'rejected' holds what is no string" },
        { "\"chosen\": [], \"rejected\": \"a\"", "'chosen' holds what is no string" },
        { "\"answers\": [\"a\", \"b\"]", "no field 'output' (a list, best first)" },
        { "\"tiers\": [[0]]", "'answers' is no list of answers" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], [2]]",
            "tier 2: there are answers 0 to 1" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], [0.5]]", "tier 2: there are answers" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], [-1]]", "tier 2: there are answers" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], [1e99]]", "tier 2: there are answers" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], [0]]", "answer 0 is ranked twice" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], []]", "tier 2 is no list of answers" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0], {\"x\": 1}]", "tier 2 is no list" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": [[0]]", "fewer than two answers are ranked" },
        { "\"answers\": [\"a\", \"b\"], \"tiers\": 7", "'tiers' is no list" },
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

/* ---- real files ---- */

static bool read_shared(struct span *out, const char *name)
{
    const char *shared = getenv("JIELONG_SHARED");
    char path[1024], *text = NULL;
    struct err e = ERR_INIT;

    snprintf(path, sizeof path, "%s/data/%s", shared ? shared : "", name);
    if (file_read(&text, &out->n, path, 1 << 24, &e) != OK)
        return false;
    out->p = text;
    return true;
}

static void real_files_give_all_their_records(void **state)
{
    static const struct {
        const char *name;
        enum what what;
        size_t records;
    } rows[] = {
        { "variants/alpaca_zh_bom.json", DEMONSTRATIONS, 60 },
        { "variants/alpaca_zh_crlf.jsonl", DEMONSTRATIONS, 60 },
        { "variants/alpaca_zh_jsonl_in.json", DEMONSTRATIONS, 60 },
        { "variants/alpaca_zh_escaped.json", DEMONSTRATIONS, 60 },
        { "variants/alpaca_zh_blank_lines.jsonl", DEMONSTRATIONS, 60 },
        { "demos/oasst_sft_zh.json", DEMONSTRATIONS, 483 },
        { "demos/alpaca_zh_demo.json", DEMONSTRATIONS, 700 },
        { "demos/gsm8k_train.jsonl", DEMONSTRATIONS, 3000 },
        { "demos/identity.json", DEMONSTRATIONS, 91 },
        { "comparisons/oasst_rank_zh.json", RANKINGS, 543 },
        { "prompts/cvalues_zh.jsonl", PROMPTS, 450 },
        { "prompts/nq_open_en.jsonl", PROMPTS, 300 },
        { "raw/clue_zh_lines.txt", LINES, 1700 },
        { "raw/wiki_en_longlines.txt", LINES, 30 },
        { "raw/c4_demo.jsonl", FILE_TEXT, 210 },
        { "raw/botchan_bom_crlf.txt", FILE_TEXT, 1 },
    };
    struct span bytes;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seen s = { 0 };
        struct err e = ERR_INIT;
        if (!read_shared(&bytes, rows[i].name))
            skip();
        if (read_bytes(rows[i].what, rows[i].name, bytes, &s, &e) != OK)
            fail_msg("%s", e.msg);
        if (s.n != rows[i].records)
            fail_msg("%s: %zu records, not %zu", rows[i].name, s.n, rows[i].records);
        buf_free(&s.text);
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
        { "variants/alpaca_zh_utf16le.json",
            ":1: not UTF-8 at byte 0 (0xff): looks like UTF-16"
            " (little-endian): convert it to UTF-8",
            DEMONSTRATIONS },
        { "variants/alpaca_zh_truncated.json",
            ":200: ends inside a character at byte 24574: was it cut off?", DEMONSTRATIONS },
        { "demos/medical_qa_zh_gbk.csv", ":2: not UTF-8 at byte 28 (0xd0): looks like GBK",
            FILE_TEXT },
        { "raw/inaugural/2005-Bush.txt", "looks like Latin-1", FILE_TEXT },
        { "comparisons/hh_harmless.jsonl.gz", "looks like gzip: unpack it", RANKINGS },
        { "demos/kdconv_film.json", ":2: record 1: message 1: no field 'role'", DEMONSTRATIONS },
        { "comparisons/gsm8k_model_solutions.jsonl", ":1: no field 'output'", RANKINGS },
        { "raw/poetry_zh/poet.tang.0.json", ": record 1: no field 'text'", FILE_TEXT },
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

/* ---- through the store ---- */

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    struct err e = ERR_INIT;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_write(path, text, strlen(text), &e), OK);
}

static void take(struct id *out, struct store *s, const char *path, Split split)
{
    struct err e = ERR_INIT;
    Output *taken = NULL;

    assert_int_equal(files_take(&taken, s, path, split, &e), OK);
    assert_true(id_from_span(out, taken->id.data, taken->id.len));
    message_free(taken);
}

static void folders_are_read_from_the_store(void **state)
{
    char home[] = "/tmp/jielong-documents-XXXXXX", folder[64], command[64];
    struct seen s = { 0 };
    struct store *store = NULL;
    struct err e = ERR_INIT;
    struct id id;

    (void)state;
    assert_non_null(mkdtemp(home));
    snprintf(folder, sizeof folder, "%s/in", home);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(store_open(&store, home, true, &e), OK);
    write_file(folder, "b.txt", "three\nfour\n");
    write_file(folder, "a.txt", "one\n\ntwo\n");
    take(&id, store, folder, SPLIT__LINE);
    assert_int_equal(documents_each(store, &id, see_document, &s, &e), OK);
    assert_string_equal(s.text.p, "one|two|three|four");
    s.text.n = s.n = 0;
    assert_int_equal(prompts_each(store, &id, see_prompt, &s, &e), OK);
    assert_string_equal(s.text.p, "1(en) u:one|2(en) u:two|3(en) u:three|4(en) u:four");
    s.text.n = s.n = 0;
    s.stop_after = 3;
    assert_int_equal(prompts_each(store, &id, see_prompt, &s, &e), OK);
    assert_int_equal(s.n, 3);
    s.stop_after = 0;
    take(&id, store, folder, SPLIT__FILE);
    s.text.n = s.n = 0;
    assert_int_equal(documents_each(store, &id, see_document, &s, &e), OK);
    assert_string_equal(s.text.p, "one\n\ntwo\n|three\nfour\n");
    assert_int_equal(demonstrations_each(store, &id, see_conversation, &s, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "a.txt:1: neither a JSON array nor JSON Lines"));
    assert_int_equal(rankings_each(store, &id, see_ranking, &s, &e), E_INPUT);
    buf_free(&s.text);
    store_close(store);
    snprintf(command, sizeof command, "rm -rf %s", home);
    assert_int_equal(system(command), 0);
}

static void a_real_folder_gives_a_document_for_each_file(void **state)
{
    char home[] = "/tmp/jielong-documents-XXXXXX", path[1024], command[64];
    const char *shared = getenv("JIELONG_SHARED");
    struct seen s = { 0 };
    struct store *store = NULL;
    struct err e = ERR_INIT;
    struct id id;

    (void)state;
    snprintf(path, sizeof path, "%s/data/raw/classical_zh", shared ? shared : "");
    if (access(path, R_OK) != 0)
        skip();
    assert_non_null(mkdtemp(home));
    assert_int_equal(store_open(&store, home, true, &e), OK);
    take(&id, store, path, SPLIT__FILE);
    assert_int_equal(documents_each(store, &id, see_document, &s, &e), OK);
    assert_int_equal(s.n, 120);
    buf_free(&s.text);
    store_close(store);
    snprintf(command, sizeof command, "rm -rf %s", home);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_by_file_line_or_paragraph),
        cmocka_unit_test(byte_order_mark_and_carriage_returns_are_dropped),
        cmocka_unit_test(json_lines_give_the_field_text),
        cmocka_unit_test(what_is_not_utf8_is_named),
        cmocka_unit_test(demonstrations_come_in_many_shapes),
        cmocka_unit_test(the_shape_of_the_file_does_not_depend_on_its_name),
        cmocka_unit_test(mistakes_in_demonstrations_are_told_with_their_place),
        cmocka_unit_test(broken_json_is_told_with_line_and_column),
        cmocka_unit_test(prompts_have_ids_languages_and_accepted_answers),
        cmocka_unit_test(rankings_come_in_three_shapes),
        cmocka_unit_test(mistakes_in_rankings_are_told),
        cmocka_unit_test(real_files_give_all_their_records),
        cmocka_unit_test(variants_of_a_file_give_the_same_records),
        cmocka_unit_test(broken_real_files_are_refused),
        cmocka_unit_test(folders_are_read_from_the_store),
        cmocka_unit_test(a_real_folder_gives_a_document_for_each_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
