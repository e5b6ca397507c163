#include "workers/tasks/run.h"

#include <stdlib.h>

#include "store/records.h"
#include "workers/tasks/prompt_set.h"
#include "workers/tasks/sampled.h"
#include "workers/tasks/warm.h"

/* K answers to each prompt of a shard, and the shards put back in order. */

int generate_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    const GenerateTask *k = spec->generate;
    const struct model *m;
    const struct tokenizer *t;
    struct prompt_set prompts = { 0 };
    struct sampled s = { 0 };
    struct forward f;
    struct records_writer *w = NULL;
    struct id model, files;
    Output *o = NULL;
    int rc = task_input(&model, spec, "model", e);

    if (rc == OK)
        rc = task_input(&files, spec, "prompts", e);
    forward_start(&f, c, "sampling answers");
    if (rc == OK)
        rc = forward_model(&f, &model, "", e);
    if (rc == OK) {
        forward_packs(&f, k->precision);
        rc = forward_admit(&f, e);
    }
    if (rc == OK)
        rc = warm_model(&m, c, &model, "", e);
    if (rc == OK)
        rc = warm_tokenizer(&t, c, &m->tokenizer, e);
    if (rc == OK)
        rc = prompt_set_load(&prompts, c, &files, m, k->max_new_tokens, k->limit, e);
    if (rc == OK) {
        struct generator_options options =
            generator_options_for(t, spec->seed, 0, k->max_new_tokens);
        options.sampler = (struct sampler){ k->temperature, k->top_k, k->top_p, k->min_p };
        generator_ban_specials(&options, t);
        rc = warm_panels(&options, c, m, &model, "", k->precision, e);
        if (rc == OK)
            rc = sampled_make(
                &s, &f, m, t, &prompts, k->shard, k->shards, k->answers_per_prompt, &options, e);
    }
    if (rc == OK)
        rc = records_create(&w, c->store, ARTIFACT_KIND__ANSWERS, e);
    for (size_t i = 0; i < s.n && rc == OK; i++) {
        AnswerSet set = ANSWER_SET__INIT;
        set.prompt = prompts.prompts[s.prompt[i]];
        set.answers = s.answers + i * k->answers_per_prompt;
        set.n_answers = k->answers_per_prompt;
        rc = records_add(w, &set.base, e);
    }
    if (rc == OK) {
        rc = records_commit(w, "answers", &o, e);
        w = NULL;
    }
    if (rc == OK)
        rc = answer_output(out, o, e);
    if (rc == OK)
        rc = forward_metric(&f, out, e);
    if (rc == OK)
        rc = answer_metric(out, "prompts_too_long", (double)prompts.dropped, e);
    if (rc == OK)
        rc = answer_intake(out, prompts.intake, e);
    records_abort(w);
    sampled_free(&s);
    prompt_set_free(&prompts);
    return rc;
}

int join_run(struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    size_t n = task_inputs(spec, "part", NULL, 0);
    struct id *ids = calloc(n + 1, sizeof *ids);
    struct records_reader **parts = calloc(n + 1, sizeof *parts);
    struct records_writer *w = NULL;
    Output *o = NULL;
    int rc = ids && parts ? OK : err_set(e, E_NOMEM, "no memory for %zu parts", n);

    if (rc == OK) {
        task_inputs(spec, "part", ids, n);
        rc = records_create(&w, c->store, ARTIFACT_KIND__ANSWERS, e);
    }
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = records_open(
            &parts[i], c->store, &ids[i], ARTIFACT_KIND__ANSWERS, &answer_set__descriptor, e);
    for (size_t k = 0; n && rc == OK; k++) {
        ProtobufCMessage *m = NULL;
        rc = records_next(parts[k % n], &m, e);
        if (rc != OK || !m)
            break;
        rc = records_add(w, m, e);
        message_free(m);
    }
    if (rc == OK) {
        rc = records_commit(w, "answers", &o, e);
        w = NULL;
    }
    if (rc == OK)
        rc = answer_output(out, o, e);
    records_abort(w);
    for (size_t i = 0; parts && i < n; i++)
        records_close(parts[i]);
    free(parts);
    free(ids);
    return rc;
}
