#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "workers/text/tokenizer.h"

static TokenizerModel *train(const char *const *texts, size_t n, uint32_t vocab_size)
{
    struct tokenizer_trainer *trainer;
    TokenizerModel *m = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(tokenizer_trainer_new(&trainer, "gpt-2", 1, &e), OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(tokenizer_trainer_add(trainer, texts[i], strlen(texts[i]), &e), OK);
    assert_int_equal(tokenizer_trainer_finish(trainer, &m, vocab_size, "plain", &e), OK);
    return m;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void random_word(char word[32], uint64_t *random)
{
    size_t n = 1 + next_random(random) % 30;

    for (size_t i = 0; i < n; i++)
        word[i] = (char)('a' + next_random(random) % 3);
    word[n] = '\0';
}

static void expect_merges(const char *text, const char *want)
{
    TokenizerModel *m = train(&text, 1, 1000);
    struct buf got = { 0 };

    for (size_t i = 0; i < m->n_merges; i++) {
        const ProtobufCBinaryData *token = &m->tokens[m->merges[i]];
        assert_int_equal(buf_printf(&got, "%s%.*s",
                             i == 0  ? ""
                             : i % 2 ? "+"
                                     : " ",
                             (int)token->len, (char *)token->data),
            OK);
    }
    assert_string_equal(got.p, want);
    buf_free(&got);
    message_free(m);
}

static void training_gives_the_merges_computed_by_hand(void **state)
{
    (void)state;
    /* aa is there 4 times; then aa+a and a+b twice each, and "a" < "aa"; then aa+ab twice. */
    expect_merges("aaabdaaabac", "a+a a+b aa+ab");
    /* a+x, a+y, x+a twice each; then ax+a, a+y; then ax+ay. */
    expect_merges("axayaxay", "a+x a+y ax+ay");
    /* Pieces "ab", " ab", " ac", " ac": a space and a are there 3 times, then " a"+c twice. */
    expect_merges("ab ab ac ac", " +a  a+c");
}

static void training_numbers_specials_bytes_and_merges_in_this_order(void **state)
{
    TokenizerModel *m = train(&(const char *){ "aaabdaaabac" }, 1, 1000);

    (void)state;
    assert_int_equal(m->n_tokens, 3 + 256 + 3); /* too little text for 1,000 */
    assert_int_equal(m->pad, 0);
    assert_int_equal(m->end_of_text, 1);
    assert_int_equal(m->end_of_answer, 2);
    assert_memory_equal(m->tokens[2].data, "<|end|>", 7);
    for (size_t b = 0; b < 256; b++) {
        assert_int_equal(m->tokens[3 + b].len, 1);
        assert_int_equal(m->tokens[3 + b].data[0], b);
    }
    assert_memory_equal(m->tokens[261].data, "aaab", 4);
    assert_string_equal(m->template_->name, "plain");
    assert_memory_equal(m->split, "gpt-2/unicode-", 14);
    message_free(m);
}

/* Words of token numbers, merged the slow way. */
struct naive {
    char token[400][64];
    size_t n_tokens;
    int word[60][32];
    size_t length[60], n_words;
};

static int compare_pairs(const struct naive *n, const int *a, const int *b)
{
    int order = strcmp(n->token[a[0]], n->token[b[0]]);

    return order ? order : strcmp(n->token[a[1]], n->token[b[1]]);
}

static size_t count_pair(const struct naive *n, int left, int right)
{
    size_t count = 0;

    for (size_t w = 0; w < n->n_words; w++) {
        for (size_t i = 0; i + 1 < n->length[w]; i++)
            count += n->word[w][i] == left && n->word[w][i + 1] == right;
    }
    return count;
}

static bool best_pair(const struct naive *n, int best[2])
{
    size_t most = 1;

    for (size_t w = 0; w < n->n_words; w++) {
        for (size_t i = 0; i + 1 < n->length[w]; i++) {
            const int *pair = &n->word[w][i];
            size_t count = count_pair(n, pair[0], pair[1]);
            if (count > most || (count == most && most > 1 && compare_pairs(n, pair, best) < 0)) {
                most = count;
                memcpy(best, pair, 2 * sizeof *best);
            }
        }
    }
    return most > 1;
}

static void apply_merge(struct naive *n, const int pair[2])
{
    size_t product = 0;
    char token[64];

    snprintf(token, sizeof token, "%s%s", n->token[pair[0]], n->token[pair[1]]);
    while (product < n->n_tokens && strcmp(n->token[product], token) != 0)
        product++;
    strcpy(n->token[product], token);
    n->n_tokens += product == n->n_tokens;
    for (size_t w = 0; w < n->n_words; w++) {
        size_t k = 0;
        for (size_t i = 0; i < n->length[w]; i++, k++) {
            bool here =
                i + 1 < n->length[w] && n->word[w][i] == pair[0] && n->word[w][i + 1] == pair[1];
            n->word[w][k] = here ? (int)product : n->word[w][i];
            i += here;
        }
        n->length[w] = k;
    }
}

static void training_agrees_with_a_slow_one(void **state)
{
    static struct naive n;
    uint64_t random = 11;

    (void)state;
    for (int round = 0; round < 8; round++) {
        const char *words[60];
        char bytes[60][32];
        TokenizerModel *m;
        size_t merges = 0;
        int pair[2];
        memset(&n, 0, sizeof n);
        for (n.n_tokens = 0; n.n_tokens < 256; n.n_tokens++)
            n.token[n.n_tokens][0] = (char)n.n_tokens;
        for (n.n_words = 0; n.n_words < 60; n.n_words++) {
            random_word(bytes[n.n_words], &random);
            words[n.n_words] = bytes[n.n_words];
            n.length[n.n_words] = strlen(words[n.n_words]);
            for (size_t i = 0; i < n.length[n.n_words]; i++)
                n.word[n.n_words][i] = words[n.n_words][i];
        }
        m = train(words, 60, 259 + 100);
        while (n.n_tokens < 356 && best_pair(&n, pair)) {
            assert_true(2 * merges < m->n_merges);
            assert_int_equal(m->merges[2 * merges], pair[0] + 3);
            assert_int_equal(m->merges[2 * merges + 1], pair[1] + 3);
            apply_merge(&n, pair);
            merges++;
        }
        assert_int_equal(m->n_merges, 2 * merges);
        message_free(m);
    }
}

static void training_does_not_depend_on_the_order_of_documents(void **state)
{
    static const char *const texts[] = { "the cat sat on the mat", "世界上最高的山 the the",
        "on and on and on", "最高的 最长的 最大的" };
    static const char *const other[] = { "最高的 最长的 最大的", "on and on and on",
        "世界上最高的山 the the", "the cat sat on the mat" };
    TokenizerModel *a = train(texts, 4, 300), *b = train(other, 4, 300);
    struct id x, y;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(message_id(&x, &a->base, &e), OK);
    assert_int_equal(message_id(&y, &b->base, &e), OK);
    assert_true(id_equal(&x, &y));
    message_free(a);
    message_free(b);
}

static void no_token_is_longer_than_128_bytes(void **state)
{
    struct buf text = { 0 };
    TokenizerModel *m;
    size_t longest = 0;

    (void)state;
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf_add(&text, "a", 1), OK);
    m = train(&(const char *){ text.p }, 1, 1000);
    for (size_t i = 0; i < m->n_tokens; i++)
        longest = m->tokens[i].len > longest ? m->tokens[i].len : longest;
    assert_int_equal(longest, 128);
    message_free(m);
    buf_free(&text);
}

static void expect_refused(uint32_t vocab_size, const char *template, const char *why)
{
    struct tokenizer_trainer *trainer;
    TokenizerModel *m = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(tokenizer_trainer_new(&trainer, "gpt-2", 1, &e), OK);
    assert_int_equal(tokenizer_trainer_finish(trainer, &m, vocab_size, template, &e), E_INPUT);
    assert_non_null(strstr(e.msg, why));
    assert_null(m);
}

static void a_vocabulary_without_room_for_the_bytes_is_refused(void **state)
{
    (void)state;
    expect_refused(258, "plain", "need 259");
    expect_refused(259, "chatml", "need 260");
    expect_refused(300, "mustache", "unknown chat template 'mustache'");
}

static TokenizerModel *train_with(int threads, const char *split)
{
    struct tokenizer_trainer *trainer;
    TokenizerModel *m = NULL;
    struct err e = ERR_INIT;
    uint64_t random = 11;
    char word[32];

    assert_int_equal(tokenizer_trainer_new(&trainer, split, threads, &e), OK);
    for (size_t i = 0; i < 20000; i++) {
        struct buf text = { 0 };
        for (size_t k = 0; k < 40; k++) {
            random_word(word, &random);
            assert_int_equal(buf_printf(&text, "%s %u", word, (unsigned)(random >> 50)), OK);
        }
        assert_int_equal(tokenizer_trainer_add(trainer, text.p, text.n, &e), OK);
        buf_free(&text);
    }
    assert_int_equal(tokenizer_trainer_finish(trainer, &m, 600, "plain", &e), OK);
    return m;
}

/* More than one block of text. */
static void any_number_of_threads_gives_the_same_tokenizer(void **state)
{
    struct buf one = { 0 }, three = { 0 };
    TokenizerModel *m = train_with(1, "qwen2");

    (void)state;
    assert_int_equal(message_pack(&one, &m->base), OK);
    message_free(m);
    m = train_with(3, "qwen2");
    assert_int_equal(message_pack(&three, &m->base), OK);
    message_free(m);
    assert_int_equal(one.n, three.n);
    assert_memory_equal(one.p, three.p, one.n);
    buf_free(&one);
    buf_free(&three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_threads_gives_the_same_tokenizer),
        cmocka_unit_test(training_gives_the_merges_computed_by_hand),
        cmocka_unit_test(training_numbers_specials_bytes_and_merges_in_this_order),
        cmocka_unit_test(training_agrees_with_a_slow_one),
        cmocka_unit_test(training_does_not_depend_on_the_order_of_documents),
        cmocka_unit_test(no_token_is_longer_than_128_bytes),
        cmocka_unit_test(a_vocabulary_without_room_for_the_bytes_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
