#include "given.h"

#include <dirent.h>
#include <limits.h>

static void assert_told(const char *told, const char *what)
{
    if (!strstr(told, what))
        fail_msg("expected:\n%s\ngot:\n%s", what, told);
}

static size_t count_errors(const char *told)
{
    size_t n = 0;

    for (const char *p = told; (p = strstr(p, "error: ")); p++)
        n++;
    return n;
}

static void a_good_pipeline_becomes_a_submission(void **state)
{
    Submit *s = given(REPORT);
    char folder[PATH_MAX], path[PATH_MAX + 32];

    (void)state;
    assert_non_null(getcwd(folder, sizeof folder));
    assert_string_equal(s->pipeline->name, "quickstart");
    assert_int_equal(s->pipeline->n_inputs, 3);
    assert_int_equal(s->pipeline->n_stages, 8);
    assert_int_equal(s->n_inputs, 0);
    snprintf(path, sizeof path, "%s/pipeline.yaml", folder);
    assert_string_equal(s->file, path);
    snprintf(path, sizeof path, "%s/data/corpus.txt", folder);
    assert_string_equal(s->pipeline->inputs[0]->path, path);
    message_free(s);
}

static void defaults_are_filled_in(void **state)
{
    Submit *s = given(CHAT);
    const Stage *chat = s->pipeline->stages[6];

    (void)state;
    assert_true(chat->has_retries);
    assert_true(chat->ppo->has_kl_coef);
    assert_true(chat->ppo->kl_coef == 0.02);
    assert_true(s->pipeline->stages[1]->pretrain->model->has_norm_eps);
    assert_string_equal(s->pipeline->numeric_class, "auto");
    message_free(s);
}

static void a_rubric_is_read_once_and_comes_along(void **state)
{
    Submit *s = given(REPORT);

    (void)state;
    assert_int_equal(s->n_rubrics, 1);
    assert_string_equal(s->rubrics[0]->path, "data/rubric.yaml");
    assert_true(s->rubrics[0]->rubric->noise == 0.05);
    assert_true(s->rubrics[0]->rubric->has_max_chars);
    assert_int_equal(s->rubrics[0]->rubric->n_asking_back, 2);
    message_free(s);
}

static void settings_override_the_file(void **state)
{
    const struct setting settings[] = { { "seed", "3" }, { "base.steps", "20" },
        { "base.model.width", "32" }, { "corpus", "data/prompts.jsonl" } };
    Submit *s = NULL;
    char *wrong = load_text(&s, SFT, settings, 4);

    (void)state;
    assert_string_equal(wrong, "");
    assert_int_equal(s->pipeline->seed, 3);
    assert_int_equal(s->pipeline->stages[1]->pretrain->steps, 20);
    assert_int_equal(s->pipeline->stages[1]->pretrain->model->width, 32);
    assert_non_null(strstr(s->pipeline->inputs[0]->path, "/data/prompts.jsonl"));
    free(wrong);
    message_free(s);
}

static void a_setting_can_correct_the_file(void **state)
{
    const struct setting settings[] = { { "sft.epochs", "2" } };
    char *wrong = load_text(NULL,
        BASE "  sft: {kind: sft, init_from: base, demonstrations: demonstrations, epochs: 0}\n",
        settings, 1);

    (void)state;
    assert_string_equal(wrong, "");
    free(wrong);
}

static void mistakes_in_settings_are_shown_there(void **state)
{
    const struct setting settings[] = { { "base.stpes", "20" }, { "sft.epochs", "0" },
        { "bsae.steps", "5" }, { "base.steps", "7" } };
    char *wrong = load_text(NULL, SFT, settings, 4);

    (void)state;
    assert_string_equal(wrong, "error: unknown key 'stpes'\n"
                               " --> --set:1:1\n"
                               "  |\n"
                               "1 | base.stpes=20\n"
                               "  | ^^^^^^^^^^\n"
                               "  = help: did you mean 'steps'?\n"
                               "\n"
                               "error: 'epochs' must be at least 1, not 0\n"
                               " --> --set:1:12\n"
                               "  |\n"
                               "1 | sft.epochs=0\n"
                               "  |            ^\n"
                               "  = help: 0 would leave nothing to do\n"
                               "\n"
                               "error: unknown key 'bsae'\n"
                               " --> --set:1:1\n"
                               "  |\n"
                               "1 | bsae.steps=5\n"
                               "  | ^^^^^^^^^^\n"
                               "  = help: did you mean 'base'?\n");
    free(wrong);
}

static void of_two_settings_for_one_key_the_last_counts(void **state)
{
    const struct setting settings[] = { { "base.steps", "0" }, { "base.steps", "9" } };
    const struct setting reversed[] = { { "base.steps", "9" }, { "base.steps", "0" } };
    char *right = load_text(NULL, BASE, settings, 2), *wrong = load_text(NULL, BASE, reversed, 2);

    (void)state;
    assert_string_equal(right, "");
    assert_int_equal(count_errors(wrong), 1);
    assert_told(wrong, "'steps' must be at least 1, not 0\n --> --set:1:12\n");
    free(right);
    free(wrong);
}

static void what_is_not_there_is_said(void **state)
{
    struct diags *d = diags_new();
    struct err e = ERR_INIT;
    struct buf printed = { 0 };
    Submit *s = NULL;

    (void)state;
    assert_int_equal(pipeline_load(&s, "nowhere.yaml", NULL, 0, d, &e), E_INPUT);
    assert_null(s);
    assert_int_equal(diags_print(d, &printed), OK);
    assert_string_equal(printed.p,
        "error: cannot read 'nowhere.yaml': No such file or directory\n --> nowhere.yaml\n");
    buf_free(&printed);
    diags_free(d);
}

static void a_file_of_more_than_a_mebibyte_is_refused(void **state)
{
    size_t n = (1u << 20) + 1;
    char *text = malloc(n + 1), *wrong;

    (void)state;
    assert_non_null(text);
    memset(text, '#', n);
    text[n] = '\0';
    wrong = load_text(NULL, text, NULL, 0);
    assert_told(wrong, "'pipeline.yaml' is larger than 1048576 bytes");
    free(wrong);
    free(text);
}

/* Stages and inputs may be lists, a kind may be a key, a path may be absolute. */
static void other_ways_of_writing_give_the_same_places(void **state)
{
    char *wrong = load_text(NULL,
        "name: bad\n"
        "inputs:\n"
        "  - {name: corpus, path: /nowhere/corpus.txt}\n"
        "stages:\n"
        "  - name: vocabulary\n"
        "    tokenizer:\n"
        "      text: corpus\n"
        "      vocab_size: 5\n"
        "    matrix:\n"
        "      - {name: template, values: [plain, chatml, alpaca]}\n",
        NULL, 0);

    (void)state;
    assert_int_equal(count_errors(wrong), 3);
    assert_told(wrong, " --> pipeline.yaml:3:26\n");
    assert_told(wrong, " --> pipeline.yaml:8:19\n");
    assert_told(wrong, " --> pipeline.yaml:10:50\n");
    free(wrong);
}

/* ---- golden files ---- */

static char *text_of(const char *path)
{
    struct err e = ERR_INIT;
    char *text = NULL;
    size_t n;

    return file_read(&text, &n, path, 1 << 20, &e) == OK ? text : NULL;
}

/* GOLDEN=write writes what is told now, to be read before it is committed. */
static bool compare(const char *yaml, const char *told)
{
    const char *mode = getenv("GOLDEN");
    struct err e = ERR_INIT;
    char path[512];
    char *expected;
    bool same;

    snprintf(path, sizeof path, "%.*s.txt", (int)(strlen(yaml) - strlen(".yaml")), yaml);
    if (mode && strcmp(mode, "write") == 0)
        assert_int_equal(file_write(path, told, strlen(told), &e), OK);
    expected = text_of(path);
    same = expected && strcmp(expected, told) == 0;
    if (!same)
        print_error("%s: expected:\n%s\ngot:\n%s\n", yaml, expected ? expected : "(no file)", told);
    free(expected);
    return same;
}

static bool golden(const char *yaml)
{
    struct diags *d = diags_new();
    struct err e = ERR_INIT;
    struct buf told = { 0 };
    Submit *s = NULL;
    bool same;

    assert_int_equal(pipeline_load(&s, yaml, NULL, 0, d, &e), E_INPUT);
    assert_int_equal(diags_print(d, &told), OK);
    same = compare(yaml, told.p);
    buf_free(&told);
    diags_free(d);
    return same;
}

static void every_mistake_is_told_as_the_golden_files_have_it(void **state)
{
    char path[4096];
    DIR *folder;
    struct dirent *file;
    size_t n = 0, different = 0;

    (void)state;
    snprintf(path, sizeof path, "%s/tests/golden/pipelines", source_root());
    assert_int_equal(chdir(path), 0);
    folder = opendir(".");
    assert_non_null(folder);
    while ((file = readdir(folder))) {
        size_t length = strlen(file->d_name);
        if (length < 5 || strcmp(file->d_name + length - 5, ".yaml") != 0)
            continue;
        different += !golden(file->d_name);
        n++;
    }
    closedir(folder);
    assert_int_equal(chdir(given_folder), 0);
    assert_true(n > 0);
    assert_int_equal(different, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_pipeline_becomes_a_submission),
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(a_rubric_is_read_once_and_comes_along),
        cmocka_unit_test(settings_override_the_file),
        cmocka_unit_test(a_setting_can_correct_the_file),
        cmocka_unit_test(mistakes_in_settings_are_shown_there),
        cmocka_unit_test(of_two_settings_for_one_key_the_last_counts),
        cmocka_unit_test(what_is_not_there_is_said),
        cmocka_unit_test(a_file_of_more_than_a_mebibyte_is_refused),
        cmocka_unit_test(other_ways_of_writing_give_the_same_places),
        cmocka_unit_test(every_mistake_is_told_as_the_golden_files_have_it),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
