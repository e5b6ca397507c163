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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answers_last_token_is_its_end),
        cmocka_unit_test(an_answer_is_never_cut_inside_a_character),
        cmocka_unit_test(gradient_accumulation_does_not_change_the_loss_of_unequal_answers),
    };
    return cmocka_run_group_tests(tests, start, end);
}
