#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/message.h"
#include "proto/yaml.h"

/* What text gives as a Pipeline, and all that is told about it. */
struct reading {
    Pipeline *p;
    size_t mistakes;
    char told[4096];
    int rc;
};

static struct reading read_pipeline(const char *text)
{
    struct diags *d = diags_new();
    ProtobufCMessage *m = NULL;
    struct reading r = { 0 };
    struct yaml *y = NULL;
    struct buf b = { 0 };

    assert_non_null(d);
    assert_int_equal(diags_file(d, "p.yaml", text, strlen(text)), OK);
    assert_int_equal(yaml_parse(&y, text, strlen(text), d), OK);
    r.rc = yaml_message(&m, &pipeline__descriptor, yaml_root(y), d);
    r.p = (Pipeline *)m;
    r.mistakes = diags_count(d);
    assert_int_equal(diags_print(d, &b), OK);
    if (b.n > 0)
        memcpy(r.told, b.p, b.n < sizeof r.told ? b.n + 1 : sizeof r.told);
    r.told[sizeof r.told - 1] = '\0';
    buf_free(&b);
    yaml_free(y);
    diags_free(d);
    return r;
}

static void expect_told(const char *text, size_t mistakes, const char *told)
{
    struct reading r = read_pipeline(text);

    if (r.mistakes != mistakes || !strstr(r.told, told))
        fail_msg("%s\ngives %zu mistakes:\n%s", text, r.mistakes, r.told);
    message_free(r.p);
}

static const char quickstart[] =
    "name: quickstart\n"
    "seed: 7\n"
    "inputs:\n"
    "  corpus: corpus.txt\n"
    "  prompts: {path: prompts.jsonl, split: line}\n"
    "stages:\n"
    "  vocabulary: {kind: tokenizer, text: corpus, vocab_size: 2048}\n"
    "  base:\n"
    "    kind: pretrain\n"
    "    tokenizer: vocabulary\n"
    "    text: [corpus, prompts]\n"
    "    model: {family: gpt2, layers: 4, tied_output: no}\n"
    "    steps: 600\n"
    "    learning_rate: 1e-3\n"
    "    resources: {memory: 1000000}\n"
    "  ranking:  {kind: rank, answers: answers, by: {rubric: rubric.yaml}}\n"
    "  people:   {kind: rank, answers: answers, by: people}\n"
    "  some:     {kind: rank, answers: answers, by: {people: {target: 3}}}\n"
    "  others:   {kind: rank, answers: answers, by: {kind: people, target: 4}}\n"
    "  from:     {kind: rank, by: {kind: file, file: prompts}}\n"
    "  chat:\n"
    "    kind: ppo\n"
    "    init_from: base\n"
    "    reward_model: base\n"
    "    prompts: prompts\n"
    "    retries: 0\n"
    "    needs: [some]\n"
    "    matrix: {kl_coef: [0.01, 0.05], seed: 1}\n"
    "  report:\n"
    "    kind: evaluate\n"
    "    prompts: prompts\n"
    "    reward_examples:\n"
    "      - {prompt: '台湾最高的山是哪座?', answers: [玉山, 谁来告诉我呀]}\n";

static void a_pipeline_file_is_its_message(void **state)
{
    struct reading r = read_pipeline(quickstart);
    Pipeline *p = r.p;
    Stage **s;

    (void)state;
    assert_string_equal(r.told, "");
    assert_int_equal(r.rc, OK);
    s = p->stages;
    assert_string_equal(p->name, "quickstart");
    assert_true(p->has_seed && p->seed == 7);
    assert_string_equal(p->numeric_class, "auto");
    assert_int_equal(p->n_inputs, 2);
    assert_string_equal(p->inputs[0]->name, "corpus");
    assert_string_equal(p->inputs[0]->path, "corpus.txt");
    assert_string_equal(p->inputs[1]->path, "prompts.jsonl");
    assert_int_equal(p->inputs[1]->split, SPLIT__LINE);
    assert_int_equal(p->n_stages, 9);
    assert_string_equal(s[0]->name, "vocabulary");
    assert_int_equal(s[0]->kind_case, STAGE__KIND_TOKENIZER);
    assert_int_equal(s[0]->tokenizer->n_text, 1);
    assert_string_equal(s[0]->tokenizer->text[0], "corpus");
    assert_int_equal(s[1]->pretrain->n_text, 2);
    assert_int_equal(s[1]->pretrain->model->family, MODEL_CONFIG__FAMILY__GPT2);
    assert_int_equal(s[1]->pretrain->steps, 600);
    assert_true(s[1]->pretrain->learning_rate == 1e-3);
    assert_true(s[1]->pretrain->model->has_tied_output && !s[1]->pretrain->model->tied_output);
    assert_int_equal(s[1]->resources->memory, 1000000);
    assert_false(s[1]->has_retries);
    message_free(p);
}

static void a_oneof_is_chosen_by_kind_by_key_or_by_a_word(void **state)
{
    struct reading r = read_pipeline(quickstart);
    Stage **s = r.p->stages;

    (void)state;
    assert_int_equal(s[2]->rank->by->kind_case, RANK_BY__KIND_RUBRIC);
    assert_string_equal(s[2]->rank->by->rubric, "rubric.yaml");
    assert_int_equal(s[3]->rank->by->kind_case, RANK_BY__KIND_PEOPLE);
    assert_false(s[3]->rank->by->people->has_target);
    assert_int_equal(s[4]->rank->by->people->target, 3);
    assert_int_equal(s[5]->rank->by->people->target, 4);
    assert_int_equal(s[6]->rank->by->kind_case, RANK_BY__KIND_FILE);
    assert_string_equal(s[6]->rank->by->file, "prompts");
    message_free(r.p);
}

static void lists_may_be_mappings_from_names_or_single_values(void **state)
{
    struct reading r = read_pipeline(quickstart);
    const Stage *chat = r.p->stages[7];
    const EvaluateStage *report = r.p->stages[8]->evaluate;

    (void)state;
    assert_string_equal(chat->needs[0], "some");
    assert_int_equal(chat->n_matrix, 2);
    assert_string_equal(chat->matrix[0]->name, "kl_coef");
    assert_int_equal(chat->matrix[0]->n_values, 2);
    assert_string_equal(chat->matrix[0]->values[1], "0.05");
    assert_string_equal(chat->matrix[1]->name, "seed");
    assert_string_equal(chat->matrix[1]->values[0], "1");
    assert_true(chat->has_retries && chat->retries == 0);
    assert_int_equal(report->n_reward_examples, 1);
    assert_string_equal(report->reward_examples[0]->answers[1], "谁来告诉我呀");
    message_free(r.p);
}

static void nothing_stands_twice_after_reading_twice(void **state)
{
    struct reading a = read_pipeline(quickstart), b = read_pipeline(quickstart);
    struct err e = ERR_INIT;
    struct id x, y;

    (void)state;
    assert_int_equal(message_id(&x, &a.p->base, &e), OK);
    assert_int_equal(message_id(&y, &b.p->base, &e), OK);
    assert_true(id_equal(&x, &y));
    message_free(a.p);
    message_free(b.p);
}

static void all_mistakes_are_told_at_once_each_with_its_place(void **state)
{
    struct reading r = read_pipeline("name: x\n"
                                     "stages:\n"
                                     "  base:\n"
                                     "    kind: pretrian\n"
                                     "    stepps: 5\n"
                                     "  sft:\n"
                                     "    kind: sft\n"
                                     "    demonstrations: base\n"
                                     "    epochs: 2.5\n"
                                     "    epocs: 3\n"
                                     "    timeout: [1]\n"
                                     "colour: red\n");

    (void)state;
    assert_string_equal(r.told, "error: unknown kind 'pretrian'\n"
                                " --> p.yaml:4:11\n"
                                "  |\n"
                                "4 |     kind: pretrian\n"
                                "  |           ^^^^^^^^\n"
                                "  = help: did you mean 'pretrain'?\n"
                                "\n"
                                "error: key 'init_from' is missing\n"
                                " --> p.yaml:6:3\n"
                                "  |\n"
                                "6 |   sft:\n"
                                "  |   ^^^\n"
                                "  = help: kind 'sft' needs it\n"
                                "\n"
                                "error: 'epochs' must be a whole number, not '2.5'\n"
                                " --> p.yaml:9:13\n"
                                "  |\n"
                                "9 |     epochs: 2.5\n"
                                "  |             ^^^\n"
                                "\n"
                                "error: unknown key 'epocs'\n"
                                "  --> p.yaml:10:5\n"
                                "   |\n"
                                "10 |     epocs: 3\n"
                                "   |     ^^^^^\n"
                                "   = help: did you mean 'epochs'?\n"
                                "\n"
                                "error: 'timeout' must be a number, not a list\n"
                                "  --> p.yaml:11:14\n"
                                "   |\n"
                                "11 |     timeout: [1]\n"
                                "   |              ^\n"
                                "\n"
                                "error: unknown key 'colour'\n"
                                "  --> p.yaml:12:1\n"
                                "   |\n"
                                "12 | colour: red\n"
                                "   | ^^^^^^\n"
                                "   = help: one of: name, seed, numeric_class, inputs, stages, "
                                "audit\n");
    assert_int_equal(r.rc, OK);
    /* What was missing is empty, so that later checks can walk the message. */
    assert_int_equal(r.p->n_stages, 2);
    assert_int_equal(r.p->stages[0]->kind_case, STAGE__KIND__NOT_SET);
    assert_string_equal(r.p->stages[1]->sft->demonstrations[0], "base");
    assert_string_equal(r.p->stages[1]->sft->init_from, "");
    message_free(r.p);
}

static void each_mistake_is_told_in_plain_words(void **state)
{
    static const struct {
        const char *text, *told;
        size_t mistakes;
    } rows[] = {
        { "seed: 1\n", "error: key 'name' is missing\n --> p.yaml:1:1\n", 1 },
        { "name: [a]\n", "error: 'name' must be a text, not a list\n --> p.yaml:1:7\n", 1 },
        { "name: {a: b}\n", "error: 'name' must be a text, not a mapping\n --> p.yaml:1:1\n", 1 },
        { "name:\n", "error: 'name' has no value\n --> p.yaml:1:1\n", 1 },
        { "name: a\nstages: {b: {text: c}}\n", "error: key 'kind' is missing\n --> p.yaml:2:10\n",
            1 },
        { "name: a\nstages: {b: {}}\n", "  = help: one of: tokenizer, pretrain, sft, sample,", 1 },
        { "name: a\nstages: {b: {kind: [c]}}\n", "error: 'kind' must be a word\n", 1 },
        { "name: a\nstages: {b: [c]}\n", "error: 'b' must be a mapping\n --> p.yaml:2:10\n", 1 },
        { "name: a\nstages: {b: }\n", "error: 'b' has no value\n --> p.yaml:2:10\n", 1 },
        { "name: a\nstages: b\n", "error: 'stages' must be a mapping from names\n", 1 },
        { "name: a\nstages: {b: tokenizr}\n", "  = help: did you mean 'tokenizer'?\n", 1 },
        { "name: a\nstages: {b: {name: c, kind: tokenizer}}\n",
            "error: 'name' is given already: it stands before the colon\n", 1 },
        { "name: a\nstages: {b: {kind: rank, by: {rubric: r, file: f}}}\n",
            "error: 'file' is given, but its kind is 'rubric' already\n --> p.yaml:2:42\n", 1 },
        { "name: a\nstages: {b: {kind: rank, by: rubric}}\n",
            "error: 'rubric' needs a value: {rubric: …}\n --> p.yaml:2:30\n", 1 },
        { "name: a\nstages: {b: {kind: rank, by: {kind: rubric}}}\n",
            "error: key 'rubric' is missing\n --> p.yaml:2:26\n", 1 },
        { "name: a\nstages: {b: {kind: rank, by: {}}}\n",
            "error: key 'kind' is missing\n --> p.yaml:2:26\n", 1 },
        { "name: a\nstages: {b: {kind: rank}}\n", "error: key 'by' is missing\n --> p.yaml:2:10\n",
            1 },
        { "name: a\nstages: {b: {kind: rank, by: people, tokenizer: x}}\n",
            "error: unknown key 'tokenizer'\n --> p.yaml:2:38\n", 1 },
        { "name: a\ninputs: {b: [c]}\n", "error: 'b' must be a mapping\n --> p.yaml:2:10\n", 1 },
        { "name: a\ninputs: [b]\n", "error: this must be a mapping\n --> p.yaml:2:10\n", 1 },
        { "name: a\ninputs: {b: {split: word}}\n", "  = help: one of: file, line, paragraph\n", 2 },
        { "name: a\nstages: {b: {kind: sft, init_from: c, demonstrations: d, pretrain_text: "
          "[e, {f: g}]}}\n",
            "error: 'pretrain_text' must be a text, not a mapping\n", 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_told(rows[i].text, rows[i].mistakes, rows[i].told);
}

static void a_file_that_is_no_mapping_gives_nothing(void **state)
{
    struct reading r = read_pipeline("- a\n- b\n");

    (void)state;
    assert_int_equal(r.rc, E_INPUT);
    assert_null(r.p);
    assert_non_null(strstr(r.told, "error: expected a mapping: key: value\n --> p.yaml:1:1\n"));
}

static void an_alias_is_told_once(void **state)
{
    expect_told("name: *a\nseed: &b 2\n", 2, "error: aliases are not supported\n");
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_file_is_its_message),
        cmocka_unit_test(a_oneof_is_chosen_by_kind_by_key_or_by_a_word),
        cmocka_unit_test(lists_may_be_mappings_from_names_or_single_values),
        cmocka_unit_test(nothing_stands_twice_after_reading_twice),
        cmocka_unit_test(all_mistakes_are_told_at_once_each_with_its_place),
        cmocka_unit_test(each_mistake_is_told_in_plain_words),
        cmocka_unit_test(a_file_that_is_no_mapping_gives_nothing),
        cmocka_unit_test(an_alias_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
