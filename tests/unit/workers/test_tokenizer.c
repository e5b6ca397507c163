#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/json.h"
#include "proto/utf8.h"
#include "store/records.h"
#include "workers/text/bpe.h"
#include "workers/text/interner.h"
#include "workers/text/tokenizer.h"

/* ---- tokenizers for tests ---- */

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

static struct tokenizer *make(const TokenizerModel *m)
{
    struct tokenizer *t = NULL;
    struct err e = ERR_INIT;

    if (tokenizer_new(&t, m, &e) != OK)
        fail_msg("%s", e.msg);
    return t;
}

static struct tokenizer *trained(const char *text, uint32_t vocab_size)
{
    TokenizerModel *m = train(&text, 1, vocab_size);
    struct tokenizer *t = make(m);

    message_free(m);
    return t;
}

static const char *const sample =
    "The cat sat on the mat. The dog's bone isn't there; we'll see 1234 things.\n\n"
    "世界上最高的山是珠穆朗玛峰，世界上最长的河是尼罗河。世界上最大的海洋是太平洋。\n"
    "Berge, Flüsse, Seen: the highest mountain, the longest river, the deepest lake.\n";

static void round_trip(const struct tokenizer *t, const char *text, size_t n)
{
    struct ids ids = { 0 };
    struct buf back = { 0 };
    struct err e = ERR_INIT;

    assert_int_equal(tokenizer_encode(t, &ids, text, n, &e), OK);
    for (size_t i = 0; i < ids.n; i++) {
        assert_in_range(ids.p[i], 0, tokenizer_size(t) - 1);
        assert_false(tokenizer_is_special(t, ids.p[i]));
    }
    assert_int_equal(tokenizer_decode(t, &back, ids.p, ids.n), OK);
    assert_int_equal(back.n, n);
    if (n)
        assert_memory_equal(back.p, text, n);
    buf_free(&back);
    ids_free(&ids);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* ---- encoding ---- */

static void every_byte_string_comes_back(void **state)
{
    static const char near[] = "\xe4\xb8\x96 a\n'\0\xff\xe4";
    struct tokenizer *t = trained(sample, 400);
    uint64_t random = 7;
    char text[512];

    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++)
            round_trip(t, (char[]){ (char)a, (char)b }, 2);
        round_trip(t, (char[]){ (char)a }, 1);
    }
    for (int k = 0; k < 2000; k++) {
        size_t n = next_random(&random) % sizeof text;
        for (size_t i = 0; i < n; i++)
            text[i] = k % 2 ? (char)next_random(&random) : near[next_random(&random) % 10];
        round_trip(t, text, n);
    }
    round_trip(t, NULL, 0);
    tokenizer_free(t);
}

static void long_runs_are_encoded_as_well(void **state)
{
    static const char *const units[] = { "a", " ", "世", "\xff", "!", "\n", "1", "'s", "ab", " x" };
    struct tokenizer *t = trained(sample, 400);

    (void)state;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct buf text = { 0 };
        for (size_t k = 0; k < 200000; k++)
            assert_int_equal(buf_add(&text, units[i], strlen(units[i])), OK);
        round_trip(t, text.p, text.n);
        buf_free(&text);
    }
    tokenizer_free(t);
}

/* Sennrich et al. 2016: merge the pair of lowest rank until there is none. */
static void encode_naively(const TokenizerModel *m, const char *word, struct ids *out)
{
    for (const char *p = word; *p; p++)
        assert_int_equal(ids_push(out, 3 + (uint8_t)*p), OK);
    for (;;) {
        size_t best = m->n_merges, at = 0;
        for (size_t i = 0; i + 1 < out->n; i++) {
            for (size_t r = 0; r < best; r += 2) {
                if ((int32_t)m->merges[r] == out->p[i] &&
                    (int32_t)m->merges[r + 1] == out->p[i + 1]) {
                    best = r;
                    at = i;
                }
            }
        }
        if (best == m->n_merges)
            return;
        for (size_t id = 259; id < m->n_tokens; id++) {
            const ProtobufCBinaryData *a = &m->tokens[m->merges[best]];
            const ProtobufCBinaryData *b = &m->tokens[m->merges[best + 1]];
            if (m->tokens[id].len == a->len + b->len &&
                memcmp(m->tokens[id].data, a->data, a->len) == 0 &&
                memcmp(m->tokens[id].data + a->len, b->data, b->len) == 0)
                out->p[at] = (int32_t)id;
        }
        memmove(out->p + at + 1, out->p + at + 2, (out->n - at - 2) * sizeof *out->p);
        out->n--;
    }
}

static void random_word(char word[32], uint64_t *random)
{
    size_t n = 1 + next_random(random) % 30;

    for (size_t i = 0; i < n; i++)
        word[i] = (char)('a' + next_random(random) % 3);
    word[n] = '\0';
}

static void encoding_merges_the_lowest_rank_first(void **state)
{
    const char *words[60];
    char bytes[60][32];
    uint64_t random = 3;
    struct err e = ERR_INIT;
    TokenizerModel *m;
    struct tokenizer *t;

    (void)state;
    for (size_t i = 0; i < 60; i++) {
        random_word(bytes[i], &random);
        words[i] = bytes[i];
    }
    m = train(words, 60, 330);
    assert_true(m->n_tokens > 300);
    t = make(m);
    for (int k = 0; k < 500; k++) {
        struct ids want = { 0 }, got = { 0 };
        char word[32];
        random_word(word, &random);
        encode_naively(m, word, &want);
        assert_int_equal(tokenizer_encode(t, &got, word, strlen(word), &e), OK);
        assert_int_equal(got.n, want.n);
        assert_memory_equal(got.p, want.p, got.n * sizeof *got.p);
        ids_free(&want);
        ids_free(&got);
    }
    tokenizer_free(t);
    message_free(m);
}

static void only_template_text_gives_special_tokens(void **state)
{
    static const char text[] = "a<|end|><|endoftext|>b<|end|";
    struct tokenizer *t = trained(sample, 300);
    struct ids user = { 0 }, template = { 0 };
    struct buf back = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(tokenizer_encode(t, &user, text, strlen(text), &e), OK);
    for (size_t i = 0; i < user.n; i++)
        assert_true(user.p[i] > 2);
    assert_int_equal(tokenizer_encode_special(t, &template, text, strlen(text), &e), OK);
    assert_int_equal(template.p[0], 3 + 'a');
    assert_int_equal(template.p[1], 2);
    assert_int_equal(template.p[2], 1);
    assert_int_equal(template.p[3], 3 + 'b');
    assert_int_equal(tokenizer_decode(t, &back, template.p, template.n), OK);
    assert_string_equal(back.p, "ab<|end|");
    buf_free(&back);
    ids_free(&user);
    ids_free(&template);
    tokenizer_free(t);
}

/* U+180E is a space for PCRE2's \s, but has not been White_Space since Unicode 6.3. */
static void space_is_unicode_white_space(void **state)
{
    struct tokenizer *t = trained("x\xe1\xa0\x8ey x\xe1\xa0\x8ey !\xe1\xa0\x8e !\xe1\xa0\x8e", 400);
    struct ids ids = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(tokenizer_encode(t, &ids, " !\xe1\xa0\x8e", 5, &e), OK);
    assert_int_equal(ids.n, 1); /* one piece, so one token could be learned */
    ids_free(&ids);
    tokenizer_free(t);
}

static void ids_outside_the_vocabulary_have_no_bytes(void **state)
{
    struct tokenizer *t = trained(sample, 300);
    struct buf out = { 0 };

    (void)state;
    assert_int_equal(tokenizer_decode(t, &out, (int32_t[]){ 300, -1, 3 + 'x', 0 }, 4), OK);
    assert_string_equal(out.p, "x");
    assert_null(tokenizer_bytes(t, 300).p);
    assert_false(tokenizer_is_special(t, -1));
    buf_free(&out);
    tokenizer_free(t);
}

static void a_tokenizer_without_text_has_the_bytes(void **state)
{
    struct tokenizer *t = trained("", 259);

    (void)state;
    assert_int_equal(tokenizer_size(t), 259);
    round_trip(t, sample, strlen(sample));
    tokenizer_free(t);
}

/* ---- malformed models ---- */

static void spoil_start(TokenizerModel *m)
{
    m->has_start = 1;
    m->start = 70;
}
static void spoil_fallback(TokenizerModel *m)
{
    m->byte_fallback = malloc(sizeof *m->byte_fallback);
    m->byte_fallback[m->n_byte_fallback++] = 3;
}
static void spoil_ranks(TokenizerModel *m)
{
    m->ranks = malloc(sizeof *m->ranks);
    m->ranks[m->n_ranks++] = 0;
}
static void spoil_added(TokenizerModel *m)
{
    m->added = malloc(sizeof *m->added);
    m->added[m->n_added++] = 0; /* pad */
}
static void spoil_end(TokenizerModel *m)
{
    m->end_of_text = 70;
}
static void spoil_special(TokenizerModel *m)
{
    m->special[1] = 5000;
}
static void spoil_twice(TokenizerModel *m)
{
    m->special[1] = 0;
}
static void spoil_byte(TokenizerModel *m)
{
    m->tokens[100].data[0] = 'A';
}
static void spoil_empty(TokenizerModel *m)
{
    m->tokens[100].len = 0;
}
static void spoil_odd(TokenizerModel *m)
{
    m->n_merges--;
}
static void spoil_left(TokenizerModel *m)
{
    m->merges[0] = 99999;
}
static void spoil_right(TokenizerModel *m)
{
    m->merges[1] = 2;
}
static void spoil_product(TokenizerModel *m)
{
    m->merges[0] = 3 + 0x01;
}
static void spoil_rank(TokenizerModel *m)
{
    m->merges[2] = m->merges[0];
    m->merges[3] = m->merges[1];
}
static void spoil_split(TokenizerModel *m)
{
    m->split[0] = 'x';
}
static void spoil_template(TokenizerModel *m)
{
    message_free(m->template_);
    m->template_ = NULL;
}

static void malformed_models_are_refused(void **state)
{
    static const struct {
        void (*spoil)(TokenizerModel *m);
        const char *why;
    } rows[] = { { spoil_start, "is no special token" }, { spoil_fallback, "not 256" },
        { spoil_ranks, "ranks of" }, { spoil_added, "is special" },
        { spoil_end, "is no special token" }, { spoil_special, "not among the tokens" },
        { spoil_twice, "listed twice" }, { spoil_byte, "same bytes" }, { spoil_empty, "is empty" },
        { spoil_odd, "right side" }, { spoil_left, "no such tokens" },
        { spoil_right, "no such tokens" }, { spoil_product, "makes no token" },
        { spoil_rank, "there twice" }, { spoil_split, "unknown pre-tokenisation split" },
        { spoil_template, "no template" } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TokenizerModel *m = train(&sample, 1, 300);
        struct tokenizer *t = NULL;
        struct err e = ERR_INIT;
        rows[i].spoil(m);
        assert_int_equal(tokenizer_new(&t, m, &e), E_INPUT);
        if (!strstr(e.msg, rows[i].why))
            fail_msg("'%s' does not say '%s'", e.msg, rows[i].why);
        assert_null(t);
        message_free(m);
    }
}

/* ---- GPT-2: known answers ---- */

static char *read_fixture(const char *name)
{
    const char *shared = getenv("JIELONG_SHARED");
    char path[1024], *text = NULL;
    struct err e = ERR_INIT;
    size_t n;

    snprintf(path, sizeof path, "%s/fixtures/%s", shared ? shared : "", name);
    return file_read(&text, &n, path, 1 << 24, &e) == OK ? text : NULL;
}

/* GPT-2 writes a byte as a printable character: encoder.py, bytes_to_unicode. */
static uint32_t character_of(int byte)
{
    uint32_t beyond = 256;

    for (int b = 0;; b++) {
        bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte)
            return printable ? (uint32_t)b : beyond;
        beyond += !printable;
    }
}

static void write_token(struct buf *out, struct span token)
{
    const uint8_t *bytes = token.p;

    out->n = 0;
    for (size_t i = 0; i < token.n; i++) {
        uint32_t c = character_of(bytes[i]);
        if (c < 0x80)
            buf_printf(out, "%c", (int)c);
        else
            buf_printf(out, "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 0x3f)));
    }
}

static struct span read_token(char bytes[256], const char *p, size_t n)
{
    static int byte_of[512];
    size_t length = 0;
    uint32_t c;

    for (int b = 0; byte_of[character_of(255)] == 0 && b < 256; b++)
        byte_of[character_of(b)] = b;
    for (size_t i = 0; i < n && length < 256; length++) {
        i += utf8_decode(&c, p + i, n - i);
        bytes[length] = (char)byte_of[c];
    }
    return (struct span){ bytes, length };
}

/* vocab.bpe as a model with our numbers: bytes from 3, merges from 259. */
static TokenizerModel *gpt2_model(const char *bpe, struct interner *tokens)
{
    TokenizerModel *m = train(&(const char *){ "" }, 1, 259);
    uint32_t number;

    m->tokens = realloc(m->tokens, 51000 * sizeof *m->tokens);
    m->merges = realloc(m->merges, 102000 * sizeof *m->merges);
    for (int b = 0; b < 256; b++)
        assert_int_equal(interner_add(tokens, &(uint8_t){ (uint8_t)b }, 1, &number), OK);
    for (const char *line = strchr(bpe, '\n') + 1, *end; *line; line = end + 1) {
        char bytes[512];
        const char *space = strchr(line, ' ');
        struct span left = read_token(bytes, line, (size_t)(space - line)), right;
        end = strchr(line, '\n');
        right = read_token(bytes + left.n, space + 1, (size_t)(end - space - 1));
        assert_true(interner_find(tokens, left.p, left.n, &number));
        m->merges[m->n_merges++] = number + 3;
        assert_true(interner_find(tokens, right.p, right.n, &number));
        m->merges[m->n_merges++] = number + 3;
        assert_int_equal(interner_add(tokens, bytes, left.n + right.n, &number), OK);
        assert_int_equal(number + 3, m->n_tokens);
        m->tokens[m->n_tokens].data = malloc(left.n + right.n);
        m->tokens[m->n_tokens].len = left.n + right.n;
        memcpy(m->tokens[m->n_tokens++].data, bytes, left.n + right.n);
    }
    return m;
}

struct gpt2 {
    struct tokenizer *t;
    struct interner tokens;
    struct json *encoder; /* GPT-2's numbers */
};

static bool gpt2_load(struct gpt2 *g)
{
    char *bpe = read_fixture("gpt2/vocab.bpe"), *encoder = read_fixture("gpt2/encoder.json");
    struct err e = ERR_INIT;
    TokenizerModel *m;

    *g = (struct gpt2){ 0 };
    if (bpe && encoder) {
        m = gpt2_model(bpe, &g->tokens);
        g->t = make(m);
        message_free(m);
        assert_int_equal(json_parse(&g->encoder, encoder, strlen(encoder), &e), OK);
    }
    free(bpe);
    free(encoder);
    return g->t;
}

static void gpt2_free(struct gpt2 *g)
{
    tokenizer_free(g->t);
    interner_free(&g->tokens);
    json_free(g->encoder);
}

/* want: numbers with anything between them. */
static void expect_gpt2(
    const struct gpt2 *g, const char *text, size_t n, const char *want, size_t want_n)
{
    struct ids ids = { 0 };
    struct buf token = { 0 };
    struct err e = ERR_INIT;
    const char *end = want + want_n;
    size_t i = 0;

    assert_int_equal(tokenizer_encode(g->t, &ids, text, n, &e), OK);
    for (want += strcspn(want, "0123456789\n"); want < end; i++) {
        char *rest;
        long number = strtol(want, &rest, 10);
        assert_true(i < ids.n);
        write_token(&token, tokenizer_bytes(g->t, ids.p[i]));
        if (json_number(json_get(g->encoder, token.p), -1) != (double)number)
            fail_msg("%.*s: token %zu is '%s', not %ld", (int)n, text, i, token.p, number);
        want = rest + strcspn(rest, "0123456789\n");
    }
    assert_int_equal(i, ids.n);
    round_trip(g->t, text, n);
    buf_free(&token);
    ids_free(&ids);
}

static void gpt2_ids_are_those_of_its_authors(void **state)
{
    char *plans = read_fixture("gpt2/TestPlans_r50k.txt");
    struct gpt2 g;
    size_t count = 0;

    (void)state;
    if (!plans || !gpt2_load(&g)) {
        free(plans);
        skip();
    }
    for (const char *p = plans; (p = strstr(p, "\nSample: ")); count++) {
        const char *text = p + 9, *ids = strstr(text, "\nEncoded: [");
        size_t n = strcspn(ids + 11, "]");
        expect_gpt2(&g, text, (size_t)(ids - text), ids + 11, n);
        p = ids;
    }
    assert_int_equal(count, 64);
    gpt2_free(&g);
    free(plans);
}

static void gpt2_ids_are_those_of_llama_cpp(void **state)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char *texts = read_fixture("gguf/ggml-vocab-gpt-2.gguf.inp");
    char *ids = read_fixture("gguf/ggml-vocab-gpt-2.gguf.out");
    const char *text = texts, *want = ids, *end;
    struct gpt2 g;
    size_t count = 0;

    (void)state;
    if (!texts || !ids || !gpt2_load(&g)) {
        free(texts);
        free(ids);
        skip();
    }
    for (; (end = strstr(text, separator)); count++) {
        expect_gpt2(&g, text, (size_t)(end - text), want, strcspn(want, "\n"));
        text = end + strlen(separator);
        want += strcspn(want, "\n") + 1;
    }
    assert_true(count >= 46);
    gpt2_free(&g);
    free(texts);
    free(ids);
}

/* ---- the artifact ---- */

static void a_saved_tokenizer_is_the_same_when_loaded(void **state)
{
    char home[] = "/tmp/jielong-tokenizer-XXXXXX", command[64];
    TokenizerModel *m = train(&sample, 1, 300);
    struct tokenizer *t = NULL;
    struct store *s = NULL;
    struct err e = ERR_INIT;
    struct id id, before, after;
    Output *out = NULL;

    (void)state;
    assert_non_null(mkdtemp(home));
    assert_int_equal(store_open(&s, home, true, &e), OK);
    assert_int_equal(tokenizer_save(&out, m, s, &e), OK);
    assert_true(id_from_span(&id, out->id.data, out->id.len));
    assert_int_equal(tokenizer_load(&t, s, &id, &e), OK);
    assert_int_equal(message_id(&before, &m->base, &e), OK);
    assert_int_equal(message_id(&after, &tokenizer_model(t)->base, &e), OK);
    assert_true(id_equal(&before, &after));
    tokenizer_free(t);
    message_free(out);
    message_free(m);
    store_close(s);
    snprintf(command, sizeof command, "rm -rf %s", home);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_string_comes_back),
        cmocka_unit_test(long_runs_are_encoded_as_well),
        cmocka_unit_test(encoding_merges_the_lowest_rank_first),
        cmocka_unit_test(only_template_text_gives_special_tokens),
        cmocka_unit_test(space_is_unicode_white_space),
        cmocka_unit_test(ids_outside_the_vocabulary_have_no_bytes),
        cmocka_unit_test(a_tokenizer_without_text_has_the_bytes),
        cmocka_unit_test(malformed_models_are_refused),
        cmocka_unit_test(gpt2_ids_are_those_of_its_authors),
        cmocka_unit_test(gpt2_ids_are_those_of_llama_cpp),
        cmocka_unit_test(a_saved_tokenizer_is_the_same_when_loaded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
