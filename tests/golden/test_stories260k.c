#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/formats/model_import.h"
#include "workers/model/generator.h"

/* A real trained model of 260 thousand parameters (llama2.c, version 0 of its file) against logits
 * and 200 greedy tokens that an independent float64 program computed. */

#define FOLDER "/fixtures/llama2c/stories260K/"
#define BOS 1
#define NEW_TOKENS 200

static const char *shared;
static struct engine engine;
static struct model *model;

static char *fixture(const char *name, size_t *n)
{
    char path[1024], *bytes = NULL;
    struct err e = ERR_INIT;

    snprintf(path, sizeof path, "%s%s%s", shared, FOLDER, name);
    assert_int_equal(file_read(&bytes, n, path, 1 << 24, &e), OK);
    return bytes;
}

static void read_model(void)
{
    struct err e = ERR_INIT;
    struct named_file files[2] = { { "stories260K.bin", { NULL, 0 } },
        { "tok512.bin", { NULL, 0 } } };
    struct imported m;
    const char *what;

    for (size_t i = 0; i < 2; i++)
        files[i].bytes.p = fixture(files[i].name, &files[i].bytes.n);
    assert_int_equal(model_import(&m, &what, files, 2, &(struct import_options){ 0 }, &e), OK);
    assert_string_equal(what, "llama2.c weights");
    assert_int_equal(m.tokenizer->n_tokens, 512);
    model = m.model;
    message_free(m.tokenizer);
    for (size_t i = 0; i < 2; i++)
        free((void *)(uintptr_t)files[i].bytes.p);
}

static int set_up(void **state)
{
    struct err e = ERR_INIT;
    char *probe = NULL, path[1024];
    size_t n;

    (void)state;
    shared = getenv("JIELONG_SHARED");
    if (shared == NULL)
        return 0;
    snprintf(path, sizeof path, "%s%s", shared, FOLDER "stories260K.bin");
    if (file_read(&probe, &n, path, 1 << 24, &e) != OK)
        return 0;
    free(probe);
    if (engine_init(&engine, NULL, 2, &e) != OK)
        return -1;
    read_model();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    model_free(model);
    engine_free(&engine);
    return 0;
}

static void logits_after_the_first_token_are_the_known_ones(void **state)
{
    (void)state;
    if (model == NULL)
        skip();
    struct err e = ERR_INIT;
    const int32_t bos = BOS;
    const uint32_t start[2] = { 0, 1 };
    const struct batch b = { .n_sequences = 1, .n_tokens = 1, .start = start, .tokens = &bos };
    struct workspace *w = NULL;
    float logits[512];
    size_t n;
    char *json = fixture("expected_logits_bos.json", &n), *at = strstr(json, "\"logits\": [");

    assert_int_equal(model->config.vocab_size, 512);
    assert_non_null(at);
    at += strlen("\"logits\": [");
    assert_int_equal(workspace_new(&w, &model->config, 1, false, &e), OK);
    transformer_forward(w, &engine, model, &b);
    transformer_logits(w, &engine, model, 0, logits);
    for (size_t i = 0; i < 512; i++) {
        double expected = strtod(at, &at);
        if (fabs((double)logits[i] - expected) > 1e-3)
            fail_msg("logit %zu is %f, not %f", i, (double)logits[i], expected);
        at += strspn(at, ", ]");
    }
    workspace_free(w);
    free(json);
}

static void the_model_tells_the_known_story(void **state)
{
    (void)state;
    if (model == NULL)
        skip();
    struct err e = ERR_INIT;
    const int32_t bos = BOS;
    int32_t tokens[NEW_TOKENS];
    struct generation g = { .prompt = &bos, .n_prompt = 1, .tokens = tokens };
    const struct generator_options o = {
        .sampler = { .temperature = 0, .top_p = 1 }, .max_new = NEW_TOKENS, .slots = 1
    };
    size_t n;
    char *ids = fixture("expected_greedy_200_ids.txt", &n), *at = ids;

    assert_int_equal(generate(&engine, model, &g, 1, &o, NULL, NULL, &e), OK);
    assert_int_equal(g.n_tokens, NEW_TOKENS);
    for (size_t i = 0; i < NEW_TOKENS; i++)
        assert_int_equal(tokens[i], strtol(at, &at, 10));
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_after_the_first_token_are_the_known_ones),
        cmocka_unit_test(the_model_tells_the_known_story),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
