#include "rounds.h"

static struct id key_of(const char *yaml, const char *job, const char *numeric_class)
{
    Submit *s = given(yaml);
    struct plan *p = planned(s);
    struct world w = { .job = job_called(p, job) };
    struct err e = ERR_INIT;
    struct id id;

    put_inputs(&w, w.job);
    for (size_t i = 0; i < w.slots.n; i++) { /* whatever its source is called: its place */
        memset(w.items[i]->id.data, 0, 32);
        memcpy(w.items[i]->id.data, &i, sizeof i);
    }
    if (job_key(&id, w.job, &w.slots, numeric_class, &e) != OK)
        fail_msg("%s", e.msg);
    world_end(&w);
    plan_free(p);
    message_free(s);
    return id;
}

static bool same(const char *a, const char *job_a, const char *b, const char *job_b)
{
    struct id x = key_of(a, job_a, "class"), y = key_of(b, job_b, "class");

    return id_equal(&x, &y);
}

#define CHAT_WITH(name, more)                                                                      \
    TEACHER "  " name ": {kind: ppo, init_from: sft, reward_model: teacher, prompts: prompts" more \
            "}\n"

static void names_order_and_explicit_defaults_do_not_matter(void **state)
{
    (void)state;
    assert_true(same(CHAT_WITH("chat", ""), "chat", CHAT_WITH("talk", ""), "talk"));
    assert_true(same(CHAT_WITH("chat", ""), "chat", CHAT_WITH("chat", ", kl_coef: 0.02"), "chat"));
    assert_true(same(CHAT_WITH("chat", ", epochs: 2, kl_coef: 0.1"), "chat",
        CHAT_WITH("chat", ", kl_coef: 0.1, epochs: 2"), "chat"));
    assert_true(same(CHAT_WITH("chat", ""), "chat",
        CHAT_WITH("chat", ", priority: 5, retries: 9, timeout: 60, resources: {memory: 100}"),
        "chat"));
    assert_true(same(CHAT_WITH("chat", ", kl_coef: 0.1"), "chat",
        CHAT_WITH("chat", ", matrix: {kl_coef: [0.05, 0.1]}"), "chat[kl_coef=0.1]"));
    /* text that is named, or found by itself */
    assert_true(
        same(CHAT_WITH("chat", ""), "chat", CHAT_WITH("chat", ", pretrain_text: corpus"), "chat"));
}

static void what_decides_the_results_matters(void **state)
{
    static const char *const changes[] = { ", kl_coef: 0.05", ", seed: 8", ", ptx_coef: 0",
        ", pretrain_text: [corpus, prompts]", ", rollout_shards: 2" };

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char yaml[4096];
        snprintf(yaml, sizeof yaml, CHAT_WITH("chat", "%s"), changes[i]);
        assert_false(same(CHAT_WITH("chat", ""), "chat", yaml, "chat"));
    }
}

static void the_inputs_and_their_order_matter(void **state)
{
    Submit *s = given("name: keys\n" INPUTS "stages:\n"
                      "  vocabulary: {kind: tokenizer, text: [corpus, prompts]}\n");
    struct plan *p = planned(s);
    struct world w = { .job = &p->jobs[0] };
    struct err e = ERR_INIT;
    struct id a, b;

    (void)state;
    put(&w, "in.text.0", "corpus", ARTIFACT_KIND__FILES);
    assert_int_equal(job_key(&a, w.job, &w.slots, "", &e), E_MISSING);
    put(&w, "in.text.1", "prompts", ARTIFACT_KIND__FILES);
    assert_int_equal(job_key(&a, w.job, &w.slots, "", &e), OK);
    put(&w, "in.text.0", "prompts", ARTIFACT_KIND__FILES);
    put(&w, "in.text.1", "corpus", ARTIFACT_KIND__FILES);
    assert_int_equal(job_key(&b, w.job, &w.slots, "", &e), OK);
    assert_false(id_equal(&a, &b));
    world_end(&w);
    plan_free(p);
    message_free(s);
}

static void the_numeric_class_matters_to_numeric_kinds_alone(void **state)
{
    struct id a = key_of(REPORT, "base", "one"), b = key_of(REPORT, "base", "two");

    (void)state;
    assert_false(id_equal(&a, &b));
    a = key_of(REPORT, "ranking", "one");
    b = key_of(REPORT, "ranking", "two");
    assert_true(id_equal(&a, &b));
}

static void a_rubric_counts_by_its_content(void **state)
{
    static const char other[] = "data-rubric.yaml";
    static const char ranking[] = ANSWERS "  ranking: {kind: rank, answers: answers, by: {rubric: "
                                          "data-rubric.yaml}}\n";
    static const char text[] = "noise: 0.05\nright: 1\nasking_back: [\"谁来告诉我\", \"哪里?\"]\n";
    static const char changed[] =
        "noise: 0.06\nright: 1\nasking_back: [\"谁来告诉我\", \"哪里?\"]\n";
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(file_write(other, text, strlen(text), &e), OK);
    assert_true(same(RANKING, "ranking", ranking, "ranking"));
    assert_int_equal(file_write(other, changed, strlen(changed), &e), OK);
    assert_false(same(RANKING, "ranking", ranking, "ranking"));
    unlink(other);
}

static void how_inherited_text_is_encoded_matters(void **state)
{
#define BASE_WITH(more)                                                                            \
    "name: keys\nseed: 7\n" INPUTS "stages:\n"                                                     \
    "  vocabulary: {kind: tokenizer, text: corpus, vocab_size: 512}\n"                             \
    "  base: {kind: pretrain, tokenizer: vocabulary, text: corpus, model: {}, steps: 5" more "}\n" \
    "  sft: {kind: sft, init_from: base, demonstrations: demonstrations}\n"
    (void)state;
    assert_true(same(BASE_WITH(""), "sft", BASE_WITH(", learning_rate: 0.1"), "sft"));
    assert_false(same(BASE_WITH(""), "sft", BASE_WITH(", held_out: 0.1"), "sft"));
    assert_false(same(BASE_WITH(""), "sft", BASE_WITH(", encode_shards: 4"), "sft"));
#undef BASE_WITH
}

static void a_report_knows_its_models_by_name(void **state)
{
    (void)state;
    assert_false(same(BASE "  report: {kind: evaluate, models: base, prompts: prompts}\n", "report",
        "name: keys\nseed: 7\n" INPUTS "stages:\n"
        "  vocabulary: {kind: tokenizer, text: corpus, vocab_size: 512}\n"
        "  foundation: {kind: pretrain, tokenizer: vocabulary, text: corpus, model: {}, steps: 5}\n"
        "  report: {kind: evaluate, models: foundation, prompts: prompts}\n",
        "report"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_order_and_explicit_defaults_do_not_matter),
        cmocka_unit_test(what_decides_the_results_matters),
        cmocka_unit_test(the_inputs_and_their_order_matter),
        cmocka_unit_test(the_numeric_class_matters_to_numeric_kinds_alone),
        cmocka_unit_test(a_rubric_counts_by_its_content),
        cmocka_unit_test(how_inherited_text_is_encoded_matters),
        cmocka_unit_test(a_report_knows_its_models_by_name),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
