#include "tests/unit/workers/world.h"

#include "workers/tasks/sampled.h"
#include "workers/tasks/sequences.h"
#include "workers/text/tokenizer.h"

/* What users of other systems were hurt by, and the test that guards against each. T: a row of
 * `jielong selftest`.
 *
 * - padding id = end id masks the end token: test_tokenizer (refused); T floor/copy (answers end)
 * - the reward lands on a pad: test_losses (the last token's); no batch has padding; here
 * - a template's mask becomes all ones: test_template (refused, as all zeros is)
 * - gradient accumulation changes the loss: test_train; here, of answers of unequal lengths
 * - sampling and training disagree: test_generator; T sampler/softmax, T gate/sampler; T
 *   gate/first-ratio
 * - a score depends on batch or padding: test_transformer; T bits/batch
 * - resume forgets the data's position: test_train; T bits/segments
 * - the number of workers changes the samples: test_objective_rl (however the batch was cut); e2e
 * - text is cut inside a character: test_utf8; here, of answers
 * - broken or endless text goes unseen: T gate/…, where every iteration must tell end and
 *   repetition rates
 */

static void an_answers_last_token_is_its_end(void **state)
{
    struct world *w = *state;
    struct tokenizer *t = NULL;
    struct ids ids = { 0 };
    Answer a = ANSWER__INIT;
    char text[] = "meows";

    chain_check(&w->c, tokenizer_load(&t, w->c.store, &w->tokenizer, &w->c.e));
    a.text = text;
    chain_check(&w->c, answer_tokens(&ids, t, &a, &w->c.e));
    assert_int_equal(ids.p[ids.n - 1], tokenizer_model(t)->end_of_answer);
    for (size_t i = 0; i + 1 < ids.n; i++)
        assert_false(tokenizer_is_special(t, ids.p[i]));
    ids_free(&ids);
    tokenizer_free(t);
}

/* The id of a byte's own token. */
static int32_t byte_token(const struct tokenizer *t, uint8_t byte)
{
    for (int32_t id = 0; id < (int32_t)tokenizer_size(t); id++) {
        struct span s = tokenizer_bytes(t, id);
        if (!tokenizer_is_special(t, id) && s.n == 1 && *(const uint8_t *)s.p == byte)
            return id;
    }
    fail_msg("no token for byte %u", byte);
    return -1;
}

static void an_answer_is_never_cut_inside_a_character(void **state)
{
    struct world *w = *state;
    struct tokenizer *t = NULL;
    static const uint8_t bytes[] = { 0xe6, 0x88, 0x91, 'a', 0xe4, 0xbb }; /* 我 a, half of 们 */
    int32_t ids[sizeof bytes];
    static const char *const want[] = { "", "", "", "我", "我a", "我a", "我a" };

    chain_check(&w->c, tokenizer_load(&t, w->c.store, &w->tokenizer, &w->c.e));
    for (size_t n = 0; n <= sizeof bytes; n++) {
        for (size_t i = 0; i < n; i++)
            ids[i] = byte_token(t, bytes[i]);
        char *text = text_of(t, ids, n, &w->c.e);
        assert_string_equal(text, want[n]);
        free(text);
    }
    tokenizer_free(t);
}

static double loss_with_parts(struct world *w, struct id examples, uint32_t parts)
{
    TrainTask k;
    double loss = 0;

    train_task(&k, TRAIN_TASK__OBJECTIVE__ANSWERS, 1000);
    k.has_epochs = 1;
    k.epochs = 5;
    k.gradient_accumulation = parts;
    train_to_end(&w->c, &k, "init", w->base, "examples", examples, false, &loss);
    return loss;
}

/* Averages are by tokens: not means of the parts' means. */
static void gradient_accumulation_does_not_change_the_loss_of_unequal_answers(void **state)
{
    struct world *w = *state;
    static const char unequal[] =
        "{\"instruction\": \"the cat\", \"output\": \"a\"}\n"
        "{\"instruction\": \"the dog\", \"output\": \"barks at the bird and follows it\"}\n"
        "{\"instruction\": \"a bird\", \"output\": \"sings\"}\n"
        "{\"instruction\": \"我们\", \"output\": \"看见他们\"}\n";
    struct id files = chain_file(&w->c, "unequal.jsonl", unequal, SPLIT__FILE);
    struct id examples = run_encode(
        &w->c, ENCODE_AS__AS_DEMONSTRATIONS, "demonstrations", files, "model", w->base, "examples");
    double whole = loss_with_parts(w, examples, 1);

    for (uint32_t parts = 2; parts <= 4; parts++)
        assert_true(fabs(loss_with_parts(w, examples, parts) - whole) < 2e-3 * whole);
}

/* One token more is left out and counted. */
static void demonstrations_of_every_length_up_to_the_context_are_learnt(void **state)
{
    struct world *w = *state;
    char text[60 * 160], answer[128] = "";
    size_t n = 0;
    struct spec s;
    TrainTask k;
    EncodeTask of = ENCODE_TASK__INIT;

    for (int i = 0; i < 60; i++) { /* digits stand in no text here: a token each */
        strcat(answer, i % 2 ? "7" : "3");
        n += (size_t)sprintf(
            text + n, "{\"instruction\": \"the cat\", \"output\": \"%s\"}\n", answer);
    }
    spec_start(&s, TASK_SPEC__KIND_ENCODE);
    of.has_as = true;
    of.as = ENCODE_AS__AS_DEMONSTRATIONS;
    s.m.encode = &of;
    spec_input(&s, "model", w->base);
    spec_input(&s, "demonstrations", chain_file(&w->c, "lengths.jsonl", text, SPLIT__FILE));
    TaskAnswer *a = spec_run(&w->c, &s);
    double kept = answer_metric_of(a, "examples");
    assert_true(kept > 10 && kept + answer_metric_of(a, "too_long") == 60);
    train_task(&k, TRAIN_TASK__OBJECTIVE__ANSWERS, 1000);
    k.has_epochs = 1;
    k.epochs = 1;
    train_to_end(&w->c, &k, "init", w->base, "examples", answer_id(a, "examples"), false, NULL);
    message_free(a);
}

static double documents_of(struct world *w, uint32_t shard, uint32_t shards, uint64_t *bytes)
{
    struct spec s;
    EncodeTask k = ENCODE_TASK__INIT;

    spec_start(&s, TASK_SPEC__KIND_ENCODE);
    k.has_as = k.has_shards = k.has_shard = 1;
    k.as = ENCODE_AS__AS_TEXT;
    k.shard = shard;
    k.shards = shards;
    s.m.encode = &k;
    spec_input(&s, "tokenizer", w->tokenizer);
    spec_input(&s, "text", w->text);
    TaskAnswer *a = spec_run(&w->c, &s);
    struct id id = answer_id(a, "tokens");
    struct artifact_reader *r;
    chain_check(&w->c, artifact_open(&r, w->c.store, &id, ARTIFACT_KIND__TOKENS, &w->c.e));
    *bytes = artifact_manifest(r)->size;
    artifact_close(r);
    double documents = answer_metric_of(a, "documents");
    message_free(a);
    return documents;
}

/* Shards of unequal content: none is there twice in place of another. */
static void shards_of_a_text_hold_each_document_once(void **state)
{
    struct world *w = *state;
    uint64_t all, bytes[3], sum = 0;
    double documents = 0, whole = documents_of(w, 0, 1, &all);

    for (uint32_t i = 0; i < 3; i++) {
        documents += documents_of(w, i, 3, &bytes[i]);
        sum += bytes[i];
    }
    assert_true(documents == whole);
    assert_true(sum == all);
    assert_true(bytes[0] != bytes[1] || bytes[1] != bytes[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answers_last_token_is_its_end),
        cmocka_unit_test(an_answer_is_never_cut_inside_a_character),
        cmocka_unit_test(demonstrations_of_every_length_up_to_the_context_are_learnt),
        cmocka_unit_test(shards_of_a_text_hold_each_document_once),
        cmocka_unit_test(gradient_accumulation_does_not_change_the_loss_of_unequal_answers),
    };
    return cmocka_run_group_tests(tests, start, end);
}
