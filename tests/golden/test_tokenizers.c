#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/json.h"
#include "workers/formats/gguf_tokenizer.h"
#include "workers/formats/tokenizer_file.h"
#include "workers/text/tokenizer.h"

/* Tokenizers of other programs, read from their own files, against ids that those programs gave
 * (../shared/fixtures/README.md). */

static const char *shared;

static struct buf fixture(const char *name)
{
    char path[1024];
    struct buf b = { 0 };
    struct err e = ERR_INIT;

    snprintf(path, sizeof path, "%s/fixtures/%s", shared, name);
    if (file_read(&b.p, &b.n, path, 1 << 26, &e) != OK)
        fail_msg("%s", e.msg);
    return b;
}

static struct span span_of(struct buf b)
{
    return (struct span){ b.p, b.n };
}

/* ---- readers, all with one form ---- */

static int read_gguf(TokenizerModel **out, const char *name, const char *other, struct err *e)
{
    struct buf b = fixture(name);
    struct gguf *g = NULL;
    int rc = gguf_open(&g, span_of(b), e);

    (void)other;
    if (rc == OK)
        rc = tokenizer_from_gguf(out, g, e);
    gguf_free(g);
    buf_free(&b);
    return rc;
}

static int read_merges(TokenizerModel **out, const char *name, const char *other, struct err *e)
{
    struct buf a = fixture(name), b = fixture(other);
    int rc = tokenizer_from_merges(out, span_of(a), span_of(b), e);

    buf_free(&a);
    buf_free(&b);
    return rc;
}

static int read_tiktoken(TokenizerModel **out, const char *name, const char *other, struct err *e)
{
    struct buf b = fixture(name);
    int rc = tokenizer_from_tiktoken(out, span_of(b), other, e);

    buf_free(&b);
    return rc;
}

static int read_llama2c(TokenizerModel **out, const char *name, const char *other, struct err *e)
{
    struct buf b = fixture(name);
    int rc = tokenizer_from_llama2c(out, span_of(b), e);

    (void)other;
    buf_free(&b);
    return rc;
}

static int read_json(TokenizerModel **out, const char *name, const char *other, struct err *e)
{
    struct buf a = fixture(name), b = { 0 };
    int rc;

    if (other)
        b = fixture(other);
    rc = tokenizer_from_json(out, span_of(a), span_of(b), e);
    buf_free(&a);
    buf_free(&b);
    return rc;
}

static struct tokenizer *open_tokenizer(
    int (*read)(TokenizerModel **out, const char *name, const char *other, struct err *e),
    const char *name, const char *other)
{
    struct err e = ERR_INIT;
    TokenizerModel *m = NULL;
    struct tokenizer *t = NULL;

    if (read(&m, name, other, &e) != OK || tokenizer_new(&t, m, &e) != OK)
        fail_msg("%s: %s", name, e.msg);
    message_free(m);
    return t;
}

/* ---- checks ---- */

static void expect(const struct tokenizer *t, struct span text, const int32_t *ids, size_t n)
{
    struct ids got = { 0 };
    struct buf back = { 0 };
    struct err e = ERR_INIT;

    assert_int_equal(tokenizer_encode(t, &got, text.p, text.n, &e), OK);
    for (size_t i = 0; i < n && i < got.n; i++)
        if (got.p[i] != ids[i])
            fail_msg("'%.*s': id %zu is %d, not %d", (int)text.n, (const char *)text.p, i, got.p[i],
                ids[i]);
    if (got.n != n)
        fail_msg("'%.*s': %zu ids, not %zu", (int)text.n, (const char *)text.p, got.n, n);
    assert_int_equal(tokenizer_decode(t, &back, got.p, got.n), OK);
    assert_int_equal(back.n, text.n);
    if (text.n > 0)
        assert_memory_equal(back.p, text.p, text.n);
    ids_free(&got);
    buf_free(&back);
}

/* Numbers separated by anything, up to the end of the line. */
static size_t read_ids(int32_t *ids, size_t most, const char **at)
{
    size_t n = 0;

    while (**at && **at != '\n') {
        if (**at < '0' || **at > '9') {
            (*at)++;
            continue;
        }
        assert_true(n < most);
        ids[n++] = (int32_t)strtol(*at, (char **)(uintptr_t)at, 10);
    }
    *at += **at == '\n';
    return n;
}

#define MARK "\n__ggml_vocab_test__\n"

/* llama.cpp's own: texts in one file, ids in another. */
static size_t expect_inp(const struct tokenizer *t, const char *inp, const char *out)
{
    struct buf texts = fixture(inp), answers = fixture(out);
    const char *text = texts.p, *answer = answers.p;
    int32_t ids[512];
    size_t checked = 0;

    while (text) {
        const char *end = strstr(text, MARK);
        size_t n = end ? (size_t)(end - text) : strlen(text);
        size_t n_ids = read_ids(ids, 512, &answer);
        expect(t, (struct span){ text, n }, ids, n_ids);
        checked++;
        text = end ? end + strlen(MARK) : NULL;
    }
    buf_free(&texts);
    buf_free(&answers);
    return checked;
}

static void expect_json(const struct tokenizer *t, const struct json *list, bool begin)
{
    for (size_t i = 0; i < json_size(list); i++) {
        const struct json *row = json_at(list, i);
        const struct json *ids = json_get(json_get(row, "encoded"), "input_ids");
        struct span text;
        int32_t numbers[512];
        size_t n = json_size(ids);
        assert_true(n <= 512);
        text.p = json_text(json_get(row, "input"), &text.n);
        for (size_t k = 0; k < n; k++)
            numbers[k] = (int32_t)json_number(json_at(ids, k), -1);
        if (begin)
            assert_int_equal(numbers[0], tokenizer_start(t));
        expect(t, text, numbers + begin, n - begin);
    }
}

static void expect_hf(const struct tokenizer *t, const char *model, bool begin)
{
    struct buf b = fixture("hf_vectors/tokenizer_tests_gpt2_llama2.json");
    struct err e = ERR_INIT;
    struct json *root;

    assert_int_equal(json_parse(&root, b.p, b.n, &e), OK);
    assert_int_equal(json_size(json_get(root, model)), 18);
    expect_json(t, json_get(root, model), begin);
    json_free(root);
    buf_free(&b);
}

static void expect_encoded(const struct tokenizer *t, const char *name, bool begin)
{
    struct buf b = fixture(name);
    struct err e = ERR_INIT;
    struct json *root;
    struct span text;
    int32_t ids[2048];

    assert_int_equal(json_parse(&root, b.p, b.n, &e), OK);
    const struct json *list = json_get(root, "token_ids");
    size_t n = json_size(list);
    assert_true(n > 10 && n < 2048);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_number(json_at(list, i), -1);
    text.p = json_text(json_get(root, "text"), &text.n);
    expect(t, text, ids + begin, n - begin);
    json_free(root);
    buf_free(&b);
}

/* "Sample: text\nEncoded: [ids]\n"; texts may have several lines. */
static size_t expect_plans(const struct tokenizer *t)
{
    struct buf b = fixture("gpt2/TestPlans_r50k.txt");
    int32_t ids[4096];
    size_t checked = 0;

    for (const char *at = b.p; (at = strstr(at, "Sample: ")) != NULL; checked++) {
        const char *text = at + strlen("Sample: "), *end = strstr(text, "\nEncoded: ");
        assert_non_null(end);
        at = end + strlen("\nEncoded: ");
        size_t n = read_ids(ids, 4096, &at);
        expect(t, (struct span){ text, (size_t)(end - text) }, ids, n);
    }
    buf_free(&b);
    return checked;
}

/* ---- tests ---- */

static void gpt2_gives_the_known_ids_from_each_of_its_three_files(void **state)
{
    static const struct {
        int (*read)(TokenizerModel **out, const char *name, const char *other, struct err *e);
        const char *name, *other;
    } files[] = {
        { read_merges, "gpt2/encoder.json", "gpt2/vocab.bpe" },
        { read_tiktoken, "gpt2/r50k_base.tiktoken", "gpt-2" },
        { read_gguf, "gguf/ggml-vocab-gpt-2.gguf", NULL },
    };

    (void)state;
    if (!shared)
        skip();
    for (size_t i = 0; i < 3; i++) {
        struct tokenizer *t = open_tokenizer(files[i].read, files[i].name, files[i].other);
        assert_int_equal(tokenizer_size(t), 50257);
        assert_int_equal(tokenizer_model(t)->end_of_text, 50256);
        assert_int_equal(
            expect_inp(t, "gguf/ggml-vocab-gpt-2.gguf.inp", "gguf/ggml-vocab-gpt-2.gguf.out"), 47);
        assert_int_equal(expect_plans(t), 64);
        expect_hf(t, "distilgpt2", false);
        expect_encoded(t, "hf_vectors/gpt2_encoded_tokens.json", false);
        tokenizer_free(t);
    }
}

static void llama_gives_the_known_ids_from_both_of_its_files(void **state)
{
    (void)state;
    if (!shared)
        skip();
    for (int i = 0; i < 2; i++) {
        struct tokenizer *t = i ? open_tokenizer(read_gguf, "gguf/ggml-vocab-llama-spm.gguf", NULL)
                                : open_tokenizer(read_llama2c, "llama2c/tokenizer.bin", NULL);
        assert_int_equal(tokenizer_size(t), 32000);
        assert_int_equal(tokenizer_start(t), 1);
        assert_int_equal(expect_inp(t, "gguf/ggml-vocab-llama-spm.gguf.inp",
                             "gguf/ggml-vocab-llama-spm.gguf.out"),
            47);
        expect_hf(t, "coreml-projects/Llama-2-7b-chat-coreml", true);
        expect_encoded(t, "hf_vectors/llama_encoded.json", true);
        tokenizer_free(t);
    }
}

/* Out as the keys of a GGUF file and in again: the same ids. */
static void llama_goes_out_and_comes_back(void **state)
{
    (void)state;
    if (!shared)
        skip();
    char path[] = "/tmp/jielong-words-XXXXXX", file[64];
    struct tokenizer *t = open_tokenizer(read_llama2c, "llama2c/tokenizer.bin", NULL), *back;
    struct gguf_writer *w;
    struct gguf *g;
    struct err e = ERR_INIT;
    struct buf b = { 0 };
    TokenizerModel *m = NULL;

    assert_non_null(mkdtemp(path));
    snprintf(file, sizeof file, "%s/x.gguf", path);
    assert_int_equal(gguf_create(&w, file, &e), OK);
    assert_int_equal(gguf_tokenizer_write(w, tokenizer_model(t), 32000, &e), OK);
    assert_int_equal(gguf_commit(w, &e), OK);
    assert_int_equal(file_read(&b.p, &b.n, file, 1 << 26, &e), OK);
    assert_int_equal(gguf_open(&g, span_of(b), &e), OK);
    assert_int_equal(tokenizer_from_gguf(&m, g, &e), OK);
    assert_int_equal(tokenizer_new(&back, m, &e), OK);
    assert_int_equal(expect_inp(back, "gguf/ggml-vocab-llama-spm.gguf.inp",
                         "gguf/ggml-vocab-llama-spm.gguf.out"),
        47);
    assert_int_equal(tokenizer_start(back), 1);
    unlink(file);
    rmdir(path);
    gguf_free(g);
    buf_free(&b);
    message_free(m);
    tokenizer_free(t);
    tokenizer_free(back);
}

static void deepseek_coder_gives_the_known_ids(void **state)
{
    (void)state;
    if (!shared)
        skip();
    struct tokenizer *t = open_tokenizer(read_gguf, "gguf/ggml-vocab-deepseek-coder.gguf", NULL);

    assert_int_equal(expect_inp(t, "gguf/ggml-vocab-deepseek-coder.gguf.inp",
                         "gguf/ggml-vocab-deepseek-coder.gguf.out"),
        47);
    assert_int_equal(tokenizer_start(t), 32013);
    tokenizer_free(t);
}

/* A vocabulary that lacks bytes says so; nothing is dropped silently. */
static void a_tokenizer_json_without_some_bytes_is_read(void **state)
{
    (void)state;
    if (!shared)
        skip();
    struct tokenizer *t =
        open_tokenizer(read_json, "hf_tokenizer_json/torchtune_tiny/tiny_bpe_tokenizer.json", NULL);
    static const char text[] = "I can see 123 things, can't you?";
    struct ids ids = { 0 };
    struct err e = ERR_INIT;

    assert_int_equal(tokenizer_size(t), 2003);
    assert_string_equal(tokenizer_model(t)->template_->name, "chatml");
    assert_int_equal(tokenizer_model(t)->end_of_answer, 2002);
    assert_int_equal(tokenizer_encode(t, &ids, text, strlen(text), &e), OK);
    expect(t, (struct span){ text, strlen(text) }, ids.p, ids.n);
    assert_int_equal(tokenizer_encode(t, &ids, "\0", 1, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "lacks"));
    tokenizer_free(t);
    ids_free(&ids);
}

static void chinese_tokenizer_json_with_its_configuration_is_read(void **state)
{
    (void)state;
    if (!shared)
        skip();
    struct tokenizer *t = open_tokenizer(read_json, "hf_tokenizer_json/minimind/tokenizer.json",
        "hf_tokenizer_json/minimind/tokenizer_config.json");
    struct ids ids = { 0 };
    struct err e = ERR_INIT;
    static const char text[] = "<|im_start|>user\n你好<|im_end|>\n";

    assert_int_equal(tokenizer_size(t), 6400);
    assert_int_equal(tokenizer_model(t)->end_of_text, 0);
    assert_int_equal(tokenizer_model(t)->end_of_answer, 2);
    assert_string_equal(tokenizer_model(t)->template_->name, "chatml");
    assert_int_equal(tokenizer_encode(t, &ids, text, strlen(text), &e), OK);
    for (size_t i = 0; i < ids.n; i++)
        assert_false(tokenizer_is_special(t, ids.p[i]));
    ids.n = 0;
    assert_int_equal(tokenizer_encode_special(t, &ids, text, strlen(text), &e), OK);
    assert_int_equal(ids.p[0], 1);
    tokenizer_free(t);
    ids_free(&ids);
}

static int set_up(void **state)
{
    char path[1024];
    struct buf b = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    shared = getenv("JIELONG_SHARED");
    if (shared) {
        snprintf(path, sizeof path, "%s/fixtures/README.md", shared);
        if (file_read(&b.p, &b.n, path, 1 << 20, &e) != OK)
            shared = NULL;
    }
    buf_free(&b);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_gives_the_known_ids_from_each_of_its_three_files),
        cmocka_unit_test(llama_gives_the_known_ids_from_both_of_its_files),
        cmocka_unit_test(llama_goes_out_and_comes_back),
        cmocka_unit_test(deepseek_coder_gives_the_known_ids),
        cmocka_unit_test(a_tokenizer_json_without_some_bytes_is_read),
        cmocka_unit_test(chinese_tokenizer_json_with_its_configuration_is_read),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
