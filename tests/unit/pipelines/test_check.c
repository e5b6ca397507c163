#include "given.h"

/* What each check says is in the golden files; here is when it must say nothing, and that one
 * mistake leads to no other. */

static void assert_told(const char *yaml, size_t n, const char *what)
{
    char *told = load_text(NULL, yaml, NULL, 0);
    size_t errors = 0;

    for (const char *p = told; (p = strstr(p, "error: ")); p++)
        errors++;
    if (errors != n || !strstr(told, what))
        fail_msg("expected %zu with '%s', got:\n%s", n, what, told);
    free(told);
}

static void names_may_be_sixty_four_bytes_long(void **state)
{
    char yaml[1024], name[80];

    (void)state;
    memset(name, 'n', sizeof name);
    snprintf(yaml, sizeof yaml,
        "name: long\n" INPUTS "stages:\n  %.64s: {kind: tokenizer, text: corpus}\n", name);
    assert_told(yaml, 0, "");
    snprintf(yaml, sizeof yaml,
        "name: long\n" INPUTS "stages:\n  %.65s: {kind: tokenizer, text: corpus}\n", name);
    assert_told(yaml, 1, "cannot be the name of a stage");
}

static void a_stage_of_no_known_kind_is_told_of_once(void **state)
{
    (void)state;
    assert_told("name: kinds\n" INPUTS "stages:\n"
                "  vocabulary: {kind: tokeniser, text: corpus}\n"
                "  base: {kind: pretrain, tokenizer: vocabulary, text: corpus, model: {},"
                " steps: 5}\n",
        1, "unknown kind 'tokeniser'");
}

static void a_broken_matrix_is_told_of_once(void **state)
{
    (void)state;
    assert_told("name: matrix\n" INPUTS "stages:\n"
                "  vocabulary: {kind: tokenizer, text: corpus, matrix: {vocab_size: []}}\n"
                "  base: {kind: pretrain, tokenizer: vocabulary, text: corpus, model: {},"
                " steps: 5}\n",
        1, "'vocab_size' has no values");
}

static void what_the_reader_has_told_is_not_told_again(void **state)
{
    (void)state;
    assert_told(BASE "  sft: {kind: sft, init_from: [base], demonstrations: demonstrations}\n", 1,
        "'init_from' must be a text, not a list");
    assert_told(BASE "  sft: {kind: sft, demonstrations: demonstrations}\n", 1,
        "key 'init_from' is missing");
    assert_told("name: steps\n" INPUTS "stages:\n"
                "  vocabulary: {kind: tokenizer, text: {corpus: 1}}\n"
                "  base: {kind: pretrain, tokenizer: vocabulary, text: corpus, model: {},"
                " steps: x}\n",
        2, "'steps' must be a whole number, not 'x'");
}

static void a_mistake_of_all_combinations_is_told_once(void **state)
{
    (void)state;
    assert_told(TEACHER "  chat: {kind: ppo, init_from: sft, reward_model: teacher,"
                        " prompts: nothing,"
                        " matrix: {kl_coef: [0.01, 0.02, 0.05]}}\n",
        1, "there is no input 'nothing'");
}

static void who_chooses_an_epoch_needs_prompts(void **state)
{
    (void)state;
    assert_told(TEACHER "  tuned: {kind: sft, init_from: base, demonstrations: demonstrations,"
                        " chosen_by: teacher}\n",
        1, "'chosen_by' needs 'chosen_on'");
    assert_told(TEACHER "  tuned: {kind: sft, init_from: base, demonstrations: demonstrations,"
                        " chosen_by: teacher, chosen_on: prompts}\n",
        0, "");
    assert_told(TEACHER "  tuned: {kind: sft, init_from: base, demonstrations: demonstrations,"
                        " chosen_by: sft, chosen_on: prompts}\n",
        1, "sft");
}

static void one_tokenizer_handed_on_is_one(void **state)
{
    (void)state;
    assert_told(SFT
        "  other: {kind: pretrain, tokenizer: sft.tokenizer, text: corpus, model: {}, steps: 5}\n"
        "  report: {kind: evaluate, models: [base, other], prompts: prompts, reference: sft}\n",
        0, "");
}

static void greedy_sampling_and_whole_contexts_are_fine(void **state)
{
    (void)state;
    assert_told(SFT "  answers: {kind: sample, model: sft, prompts: prompts, temperature: 0,"
                    " max_new_tokens: 63}\n",
        0, "");
}

static void rankings_from_a_file_need_no_answers(void **state)
{
    (void)state;
    assert_told(
        "name: file\n" INPUTS "stages:\n  ranking: {kind: rank, by: {file: prompts}}\n", 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_may_be_sixty_four_bytes_long),
        cmocka_unit_test(a_stage_of_no_known_kind_is_told_of_once),
        cmocka_unit_test(a_broken_matrix_is_told_of_once),
        cmocka_unit_test(what_the_reader_has_told_is_not_told_again),
        cmocka_unit_test(a_mistake_of_all_combinations_is_told_once),
        cmocka_unit_test(who_chooses_an_epoch_needs_prompts),
        cmocka_unit_test(one_tokenizer_handed_on_is_one),
        cmocka_unit_test(greedy_sampling_and_whole_contexts_are_fine),
        cmocka_unit_test(rankings_from_a_file_need_no_answers),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
