#ifndef TESTS_UNIT_PIPELINES_GIVEN_H
#define TESTS_UNIT_PIPELINES_GIVEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pipelines/pipeline.h"
#include "pipelines/plan.h"

/* Pipelines given as text, in a folder of their own that has the golden tests' data/. */

#define INPUTS                                      \
    "inputs:\n"                                     \
    "  corpus: data/corpus.txt\n"                   \
    "  demonstrations: data/demonstrations.jsonl\n" \
    "  prompts: data/prompts.jsonl\n"

#define BASE                                                           \
    "name: quickstart\nseed: 7\n" INPUTS "stages:\n"                   \
    "  vocabulary: {kind: tokenizer, text: corpus, vocab_size: 512}\n" \
    "  base:\n"                                                        \
    "    kind: pretrain\n"                                             \
    "    tokenizer: vocabulary\n"                                      \
    "    text: corpus\n"                                               \
    "    model: {layers: 2, width: 64, heads: 4, context: 64}\n"       \
    "    steps: 500\n"
#define SFT BASE "  sft: {kind: sft, init_from: base, demonstrations: demonstrations}\n"
#define ANSWERS SFT "  answers: {kind: sample, model: sft, prompts: prompts}\n"
#define RANKING \
    ANSWERS "  ranking: {kind: rank, answers: answers, by: {rubric: data/rubric.yaml}}\n"
#define TEACHER RANKING "  teacher: {kind: reward_model, init_from: sft, rankings: ranking}\n"
#define CHAT                                                                               \
    TEACHER "  chat: {kind: ppo, init_from: sft, reward_model: teacher, prompts: prompts," \
            " iterations: 3, rollout_shards: 2}\n"
#define REPORT                                                                     \
    CHAT "  report: {kind: evaluate, models: [base, sft, chat], prompts: prompts," \
         " reference: sft, reward_model: teacher, rubric: data/rubric.yaml}\n"

static inline const char *source_root(void)
{
    const char *root = getenv("JIELONG_SOURCE");

    return root ? root : ".";
}

static char given_folder[] = "/tmp/jielong-given-XXXXXX";

static inline int enter_folder(void **state)
{
    char data[4096];

    (void)state;
    snprintf(data, sizeof data, "%s/tests/golden/pipelines/data", source_root());
    if (!realpath(data, data + sizeof data / 2) || !mkdtemp(given_folder))
        return -1;
    return chdir(given_folder) || symlink(data + sizeof data / 2, "data");
}

static inline int leave_folder(void **state)
{
    (void)state;
    unlink("data");
    unlink("pipeline.yaml");
    return chdir("/") || rmdir(given_folder);
}

/* What is wrong with it, or "". *submit as by pipeline_load; may be NULL. */
static inline char *load_text(
    Submit **submit, const char *yaml, const struct setting *settings, size_t n)
{
    struct diags *d = diags_new();
    struct err e = ERR_INIT;
    struct buf printed = { 0 };
    Submit *s = NULL;
    int rc;

    assert_int_equal(file_write("pipeline.yaml", yaml, strlen(yaml), &e), OK);
    rc = pipeline_load(&s, "pipeline.yaml", settings, n, d, &e);
    assert_int_equal(rc, diags_count(d) ? E_INPUT : OK);
    assert_int_equal(diags_print(d, &printed), OK);
    if (printed.n == 0)
        assert_int_equal(buf_add(&printed, "", 0), OK);
    diags_free(d);
    if (submit)
        *submit = s;
    else
        message_free(s);
    return printed.p;
}

static inline Submit *given(const char *yaml)
{
    Submit *s = NULL;
    char *wrong = load_text(&s, yaml, NULL, 0);

    if (!s)
        fail_msg("%s", wrong);
    free(wrong);
    return s;
}

static inline struct plan *planned(const Submit *s)
{
    struct err e = ERR_INIT;
    struct plan *p = NULL;

    if (plan_make(&p, s, &e) != OK)
        fail_msg("%s", e.msg);
    return p;
}

static inline const struct plan_job *job_called(const struct plan *p, const char *name)
{
    for (size_t i = 0; i < p->n_jobs; i++)
        if (strcmp(p->jobs[i].name, name) == 0)
            return &p->jobs[i];
    fail_msg("no job '%s'", name);
    return NULL;
}

#endif
