#include "workers/tasks/run.h"

#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/math/rng.h"
#include "workers/tasks/prompt_set.h"
#include "workers/tasks/scorer.h"
#include "workers/tasks/warm.h"

/* One shard of an iteration's batch: sample answers, then score them with the very forward pass
 * that training uses, so that the update finds a ratio of exactly 1. */

struct rollout {
    const struct task_context *c;
    const TaskSpec *spec;
    const PpoStage *p;
    const struct model *policy, *reference, *value, *reward;
    const struct tokenizer *tokenizer;
    struct prompt_set prompts;
    size_t n;         /* episodes of this shard */
    uint32_t *prompt; /* of each: index into prompts */
    struct generation *g;
    struct scored_sequence *s;
    int32_t *tokens;           /* n x max_new */
    float *log_probs, *scores; /* log_probs: room for all three rows */
    float **rows[3];
};

static int open_models(struct rollout *r, struct err *e)
{
    const TaskSpec *spec = r->spec;
    struct id state, init, reference, reward, prompts;
    bool later = task_inputs(spec, "state", &state, 1) == 1;

    if ((!later && task_inputs(spec, "init", &init, 1) != 1) ||
        task_inputs(spec, "reference", &reference, 1) != 1 ||
        task_inputs(spec, "reward_model", &reward, 1) != 1 ||
        task_inputs(spec, "prompts", &prompts, 1) != 1)
        return err_set(
            e, E_PROTOCOL, "a rollout needs init or state, reference, reward_model, prompts");
    int rc = warm_model(&r->policy, r->c, later ? &state : &init, later ? "policy." : "", e);
    if (rc == OK)
        rc = warm_model(&r->reference, r->c, &reference, "", e);
    if (rc == OK)
        rc = warm_model(&r->reward, r->c, &reward, "", e);
    if (rc == OK)
        rc = warm_model(&r->value, r->c, later ? &state : &reward, later ? "value." : "", e);
    if (rc == OK)
        rc = warm_tokenizer(&r->tokenizer, r->c, &r->policy->tokenizer, e);
    if (rc == OK && !id_equal(&r->policy->tokenizer, &r->reward->tokenizer))
        rc = err_set(e, E_INPUT, "the policy and the reward model have different tokenizers");
    if (rc == OK)
        rc = prompt_set_load(&r->prompts, r->c, &prompts, r->policy, r->p->max_new_tokens, 0, e);
    return rc;
}

/* Which prompts this shard's episodes are about: a walk through one shuffle after the other. */
static int choose_prompts(struct rollout *r, struct err *e)
{
    const RolloutTask *k = r->spec->rollout;
    uint32_t *order = malloc(r->prompts.n * sizeof *order);
    uint64_t pass = UINT64_MAX;

    r->n = (r->p->batch_size + k->shards - 1 - k->shard) / k->shards;
    r->prompt = calloc(r->n + 1, sizeof *r->prompt);
    r->g = calloc(r->n + 1, sizeof *r->g);
    r->s = calloc(r->n + 1, sizeof *r->s);
    r->tokens = calloc(r->n + 1, r->p->max_new_tokens * sizeof *r->tokens);
    if (!order || !r->prompt || !r->g || !r->s || !r->tokens) {
        free(order);
        return err_set(e, E_NOMEM, "no memory for %zu episodes", r->n);
    }
    for (size_t i = 0; i < r->n; i++) {
        uint64_t item = k->shard + (uint64_t)i * k->shards;
        uint64_t at = (uint64_t)k->iteration * r->p->batch_size + item;
        if (pass != at / r->prompts.n) {
            pass = at / r->prompts.n;
            rng_permutation(
                order, (uint32_t)r->prompts.n, r->spec->seed, RNG_PROMPT, (uint32_t)pass);
        }
        r->prompt[i] = order[at % r->prompts.n];
        const struct ids *ids = &r->prompts.tokens[r->prompt[i]];
        r->g[i] = (struct generation){ .prompt = ids->p,
            .n_prompt = ids->n,
            .item = item,
            .tokens = r->tokens + i * r->p->max_new_tokens };
    }
    free(order);
    return OK;
}

static int report_done(void *ctx, size_t done)
{
    struct rollout *r = ctx;
    Progress p = PROGRESS__INIT;

    p.has_done = p.has_total = true;
    p.done = done;
    p.total = r->n;
    return r->c->progress ? r->c->progress(r->c->ctx, &p) : 0;
}

static int score(struct rollout *r, struct err *e)
{
    size_t room = r->p->max_new_tokens;
    float *all = calloc(3 * r->n + 1, room * sizeof *all);

    r->log_probs = all;
    r->scores = calloc(r->n + 1, sizeof *r->scores);
    for (int k = 0; k < 3; k++)
        r->rows[k] = calloc(r->n + 1, sizeof *r->rows[k]);
    if (!all || !r->scores || !r->rows[0] || !r->rows[1] || !r->rows[2])
        return err_set(e, E_NOMEM, "no memory to score %zu episodes", r->n);
    for (size_t i = 0; i < r->n; i++) {
        const struct generation *g = &r->g[i];
        r->s[i] = (struct scored_sequence){ g->prompt, g->tokens, g->n_prompt, g->n_tokens };
        for (size_t k = 0; k < 3; k++)
            r->rows[k][i] = all + (k * r->n + i) * room;
    }
    int rc = score_log_probs(r->rows[0], r->c, r->policy, r->s, r->n, r->p->temperature, e);
    if (rc == OK)
        rc = score_log_probs(r->rows[1], r->c, r->reference, r->s, r->n, r->p->temperature, e);
    if (rc == OK)
        rc = score_values(r->rows[2], r->c, r->value, r->s, r->n, e);
    if (rc == OK)
        rc = score_rewards(r->scores, r->c, r->reward, r->s, r->n, e);
    return rc;
}

static int write_episodes(struct rollout *r, struct answer *out, struct err *e)
{
    struct records_writer *w = NULL;
    Output *o = NULL;
    int rc = records_create(&w, r->c->store, ARTIFACT_KIND__EXPERIENCE, e);

    for (size_t i = 0; i < r->n && rc == OK; i++) {
        const struct generation *g = &r->g[i];
        Episode x = EPISODE__INIT;
        x.prompt_id = r->prompts.prompts[r->prompt[i]]->id;
        x.prompt = (uint32_t *)g->prompt;
        x.n_prompt = g->n_prompt;
        x.answer = (uint32_t *)g->tokens;
        x.n_answer = x.n_log_probs = x.n_ref_log_probs = x.n_values = g->n_tokens;
        x.log_probs = r->rows[0][i];
        x.ref_log_probs = r->rows[1][i];
        x.values = r->rows[2][i];
        x.has_score = x.has_ended = true;
        x.score = r->scores[i];
        x.ended = g->ended;
        rc = records_add(w, &x.base, e);
    }
    if (rc == OK) {
        rc = records_commit(w, "experience", &o, e);
        w = NULL;
    }
    records_abort(w);
    return rc == OK ? answer_output(out, o, e) : rc;
}

static void rollout_free(struct rollout *r)
{
    prompt_set_free(&r->prompts);
    free(r->prompt);
    free(r->g);
    free(r->s);
    free(r->tokens);
    free(r->log_probs);
    free(r->scores);
    for (int k = 0; k < 3; k++)
        free(r->rows[k]);
}

int rollout_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct rollout r = { .c = c, .spec = spec, .p = spec->rollout->ppo };
    int rc = open_models(&r, e);

    if (rc == OK)
        rc = choose_prompts(&r, e);
    if (rc == OK) {
        struct generator_options o = generator_options_for(
            r.tokenizer, spec->seed, spec->rollout->iteration, r.p->max_new_tokens);
        o.sampler.temperature = r.p->temperature;
        rc = generate(c->engine, r.policy, r.g, r.n, &o, report_done, &r, e);
    }
    if (rc == OK)
        rc = score(&r, e);
    if (rc == OK)
        rc = write_episodes(&r, out, e);
    rollout_free(&r);
    return rc;
}
