#include "workers/tasks/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/records.h"
#include "workers/math/rng.h"
#include "workers/tasks/forward.h"
#include "workers/tasks/prompt_set.h"
#include "workers/tasks/rubric.h"
#include "workers/tasks/sampled.h"
#include "workers/tasks/scorer.h"
#include "workers/tasks/warm.h"

/* One shard of an iteration's batch: sample answers, then score them with the very forward pass
 * that training uses, so that the update finds a ratio of exactly 1.
 *
 * INVARIANT: in iteration 0 the policy is the reference, if that is the same artifact: every
 * log-probability equals the reference's, so KL is exactly 0. */

struct rollout {
    const struct task_context *c;
    const TaskSpec *spec;
    const RlConfig *p;
    const struct model *policy, *reference;
    const struct model *value, *reward; /* NULL: no critic; the rubric is the reward */
    struct model *fresh;                /* a critic's first */
    struct forward forward;
    struct id policy_id;
    const char *policy_prefix;
    bool begins; /* the policy is the reference's very artifact */
    const struct tokenizer *tokenizer;
    struct prompt_set prompts;
    size_t n;         /* episodes of this shard */
    uint32_t *prompt; /* of each: index into prompts */
    struct generation *g;
    struct scored_sequence *s;
    int32_t *tokens;           /* n x max_new */
    float *log_probs, *scores; /* log_probs: room for all three rows */
    float **rows[3];
    float *gold, *repetition; /* gold: the rubric's */
    float *sampler_log_probs; /* n x max_new */
};

/* The critic: of the state; in iteration 0 the reward model, or the policy with a fresh head, as
 * the update will have it. */
static int open_critic(struct rollout *r, const struct id *state, struct err *e)
{
    bool shared = r->p->value_shared;

    if (state && !shared)
        return warm_model(&r->value, r->c, state, "value.", e);
    r->value = shared ? r->policy : r->reward;
    if (state || (!shared && r->value))
        return OK;
    int rc = shared ? model_with_value_head(&r->fresh, r->policy, r->spec->seed, e)
                    : model_with_scalar_head(&r->fresh, r->policy, r->spec->seed, e);
    r->value = r->fresh;
    return rc;
}

static int open_reward(struct rollout *r, struct err *e)
{
    struct id id;

    if (task_inputs(r->spec, "reward_model", &id, 1) != 1)
        return r->spec->rollout->rubric
                   ? OK
                   : err_set(e, E_PROTOCOL, "a rollout needs a reward model or a rubric");
    int rc = warm_model(&r->reward, r->c, &id, "", e);
    if (rc == OK && !id_equal(&r->policy->tokenizer, &r->reward->tokenizer))
        rc = err_set(e, E_INPUT, "the policy and the reward model have different tokenizers");
    return rc;
}

/* In iteration 0: one that is made here, of the policy. */
static bool has_fresh_critic(const struct rollout *r, bool later)
{
    bool teacher = task_inputs(r->spec, "reward_model", NULL, 0) > 0;

    return r->spec->rollout->critic && !later && (r->p->value_shared || !teacher);
}

/* Counts the models before the first is loaded. */
static int admit_models(
    struct rollout *r, const struct id *state, const struct id *reference, struct err *e)
{
    struct forward *f = &r->forward;
    struct id teacher;

    f->scores = true;
    int rc = forward_model(f, &r->policy_id, r->policy_prefix, e);
    if (rc == OK)
        rc = forward_model(f, reference, "", e);
    if (rc == OK && task_inputs(r->spec, "reward_model", &teacher, 1) == 1)
        rc = forward_model(f, &teacher, "", e);
    if (rc == OK && state && r->spec->rollout->critic && !r->p->value_shared)
        rc = forward_model(f, state, "value.", e);
    if (rc != OK)
        return rc;
    if (has_fresh_critic(r, state != NULL)) {
        ModelConfig c = f->models[0].config;
        c.scalar_head = !r->p->value_shared;
        c.value_head = r->p->value_shared;
        forward_made(f, &c);
    }
    forward_packs(f, r->p->rollout_precision);
    return forward_admit(f, e);
}

static int open_models(struct rollout *r, struct err *e)
{
    const TaskSpec *spec = r->spec;
    struct id state, init, reference, prompts;
    bool later = task_inputs(spec, "state", &state, 1) == 1;

    if ((!later && task_inputs(spec, "init", &init, 1) != 1) ||
        task_inputs(spec, "reference", &reference, 1) != 1 ||
        task_inputs(spec, "prompts", &prompts, 1) != 1)
        return err_set(e, E_PROTOCOL, "a rollout needs init or state, reference, prompts");
    r->begins = !later && id_equal(&init, &reference);
    r->policy_id = later ? state : init;
    r->policy_prefix = later ? "policy." : "";
    int rc = admit_models(r, later ? &state : NULL, &reference, e);
    if (rc == OK)
        rc = warm_model(&r->policy, r->c, &r->policy_id, r->policy_prefix, e);
    if (rc == OK)
        rc = warm_model(&r->reference, r->c, &reference, "", e);
    if (rc == OK)
        rc = open_reward(r, e);
    if (rc == OK && spec->rollout->critic)
        rc = open_critic(r, later ? &state : NULL, e);
    if (rc == OK)
        rc = warm_tokenizer(&r->tokenizer, r->c, &r->policy->tokenizer, e);
    if (rc == OK && !id_equal(&r->policy->tokenizer, &r->reference->tokenizer))
        rc = err_set(e, E_INPUT, "the policy and its reference have different tokenizers");
    if (rc == OK)
        rc = prompt_set_load(&r->prompts, r->c, &prompts, r->policy, r->p->max_new_tokens, 0, e);
    return rc;
}

/* Groups of the batch in this shard: those shard, shard + shards, … */
static size_t shard_groups(const struct rollout *r)
{
    const RolloutTask *k = r->spec->rollout;
    size_t groups = r->p->batch_size / r->p->group_size;

    return groups > k->shard ? (groups - k->shard + k->shards - 1) / k->shards : 0;
}

/* Place in the batch of this shard's episode i. */
static uint64_t item_of(const struct rollout *r, size_t i)
{
    const RolloutTask *k = r->spec->rollout;
    uint64_t group = k->shard + (uint64_t)(i / r->p->group_size) * k->shards;

    return group * r->p->group_size + i % r->p->group_size;
}

/* Which prompts this shard's groups are about: a walk through one shuffle after the other. */
static int choose_prompts(struct rollout *r, struct err *e)
{
    const RolloutTask *k = r->spec->rollout;
    uint32_t *order = malloc(r->prompts.n * sizeof *order);
    uint64_t pass = UINT64_MAX;

    r->n = shard_groups(r) * r->p->group_size;
    r->prompt = calloc(r->n + 1, sizeof *r->prompt);
    r->g = calloc(r->n + 1, sizeof *r->g);
    r->s = calloc(r->n + 1, sizeof *r->s);
    r->tokens = calloc(r->n + 1, r->p->max_new_tokens * sizeof *r->tokens);
    r->sampler_log_probs = calloc(r->n + 1, r->p->max_new_tokens * sizeof *r->sampler_log_probs);
    if (!order || !r->prompt || !r->g || !r->s || !r->tokens || !r->sampler_log_probs) {
        free(order);
        return err_set(e, E_NOMEM, "no memory for %zu episodes", r->n);
    }
    for (size_t i = 0; i < r->n; i++) {
        uint64_t item = item_of(r, i), groups = r->p->batch_size / r->p->group_size;
        uint64_t at = k->iteration * groups + item / r->p->group_size;
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
            .tokens = r->tokens + i * r->p->max_new_tokens,
            .log_probs = r->sampler_log_probs + i * r->p->max_new_tokens };
    }
    free(order);
    return OK;
}

static int report_done(void *ctx, size_t done)
{
    const struct rollout *r = ctx;

    return forward_tell(&r->forward, done, r->n);
}

/* Of an episode: its tokens, and a row of each kind of number. */
static size_t episode_bytes(const struct rollout *r)
{
    size_t rows = 1 + sizeof r->rows / sizeof *r->rows;

    return sizeof *r->g + sizeof *r->s +
           r->p->max_new_tokens * (sizeof *r->tokens + rows * sizeof **r->rows[0]);
}

static int score_room(struct rollout *r, struct err *e)
{
    size_t room = r->p->max_new_tokens;
    float *all = calloc(3 * r->n + 1, room * sizeof *all);

    r->log_probs = all;
    r->scores = calloc(r->n + 1, sizeof *r->scores);
    r->gold = calloc(r->n + 1, sizeof *r->gold);
    r->repetition = calloc(r->n + 1, sizeof *r->repetition);
    for (int k = 0; k < 3; k++)
        r->rows[k] = calloc(r->n + 1, sizeof *r->rows[k]);
    if (!all || !r->scores || !r->gold || !r->repetition || !r->rows[0] || !r->rows[1] ||
        !r->rows[2])
        return err_set(e, E_NOMEM, "no memory to score %zu episodes", r->n);
    for (size_t i = 0; i < r->n; i++) {
        const struct generation *g = &r->g[i];
        r->s[i] = (struct scored_sequence){ g->prompt, g->tokens, g->n_prompt, g->n_tokens };
        for (size_t k = 0; k < 3; k++)
            r->rows[k][i] = all + (k * r->n + i) * room;
    }
    return OK;
}

/* What the text itself says. */
static int judge(struct rollout *r, struct err *e)
{
    const Rubric *rubric = r->spec->rollout->rubric;

    for (size_t i = 0; i < r->n; i++) {
        const struct generation *g = &r->g[i];
        const Prompt *prompt = r->prompts.prompts[r->prompt[i]];
        char *text = text_of(r->tokenizer, g->tokens, g->n_tokens, e);
        if (!text)
            return E_NOMEM;
        r->repetition[i] = (float)repetition(text);
        if (rubric)
            r->gold[i] = (float)rubric_judge(rubric, prompt, text, g->ended).gold;
        free(text);
    }
    return OK;
}

static int check_begin(const struct rollout *r, struct err *e)
{
    for (size_t i = 0; i < r->n && r->begins; i++)
        for (size_t k = 0; k < r->s[i].n_answer; k++)
            if (r->rows[0][i][k] != r->rows[1][i][k])
                return err_set(e, E_INVARIANT,
                    "iteration %u: the policy differs from the reference "
                    "(episode %llu, token %zu: %.9g, %.9g): KL must be exactly 0",
                    r->spec->rollout->iteration, (unsigned long long)item_of(r, i), k,
                    (double)r->rows[0][i][k], (double)r->rows[1][i][k]);
    return OK;
}

static int score(struct rollout *r, struct err *e)
{
    const struct scorer_options how = { r->p->temperature, r->spec->rollout->precision };
    int rc = score_room(r, e);

    if (rc == OK)
        rc = score_log_probs(r->rows[0], r->c, r->policy, r->s, r->n, &how, e);
    if (rc == OK)
        rc = score_log_probs(r->rows[1], r->c, r->reference, r->s, r->n, &how, e);
    if (rc == OK)
        rc = check_begin(r, e);
    if (rc == OK && r->value)
        rc = score_values(r->rows[2], r->c, r->value, r->s, r->n, how.precision, e);
    if (rc == OK && r->reward)
        rc = score_rewards(r->scores, r->c, r->reward, r->s, r->n, e);
    return rc == OK ? judge(r, e) : rc;
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
        x.n_answer = x.n_log_probs = x.n_ref_log_probs = g->n_tokens;
        x.n_values = r->value ? g->n_tokens : 0;
        x.log_probs = r->rows[0][i];
        x.ref_log_probs = r->rows[1][i];
        x.values = r->rows[2][i];
        x.has_score = x.has_ended = x.has_item = x.has_repetition = true;
        x.score = r->reward ? r->scores[i] : r->gold[i];
        x.ended = g->ended;
        x.item = (uint32_t)item_of(r, i);
        x.has_gold = r->reward && r->spec->rollout->rubric &&
                     rubric_applies(r->spec->rollout->rubric, r->prompts.prompts[r->prompt[i]]);
        x.gold = x.has_gold ? r->gold[i] : 0;
        x.repetition = r->repetition[i];
        rc = records_add(w, &x.base, e);
    }
    if (rc == OK) {
        rc = records_commit(w, "experience", &o, e);
        w = NULL;
    }
    records_abort(w);
    return rc == OK ? answer_output(out, o, e) : rc;
}

/* KL of the sampler to the policy that the update takes it for, in nats per token: the mean over
 * the sampled tokens of p/q - 1 - log p/q, which is never negative (Schulman 2020, "Approximating
 * KL divergence", k3). */
static double sampling_kl(const struct rollout *r)
{
    double sum = 0, tokens = 0;

    for (size_t i = 0; i < r->n; i++) {
        for (size_t j = 0; j < r->g[i].n_tokens; j++) {
            double ratio = (double)r->rows[0][i][j] - (double)r->g[i].log_probs[j];
            sum += expm1(ratio) - ratio;
        }
        tokens += (double)r->g[i].n_tokens;
    }
    return tokens > 0 ? sum / tokens : 0;
}

/* Not finite where the policy's numbers are not. */
static int tell_sampling(const struct rollout *r, struct answer *out, struct err *e)
{
    int rc = answer_metric(out, "sampling/kl", sampling_kl(r), e);

    return rc == OK ? OK : err_wrap(e, "iteration %u", r->spec->rollout->iteration);
}

static void rollout_free(struct rollout *r)
{
    prompt_set_free(&r->prompts);
    free(r->prompt);
    free(r->g);
    free(r->s);
    free(r->tokens);
    free(r->sampler_log_probs);
    free(r->log_probs);
    free(r->scores);
    free(r->gold);
    free(r->repetition);
    model_free(r->fresh);
    for (int k = 0; k < 3; k++)
        free(r->rows[k]);
}

int rollout_run(
    struct answer *out, const struct task_context *c, const TaskSpec *spec, struct err *e)
{
    struct rollout r = { .c = c, .spec = spec, .p = spec->rollout->rl };
    int rc;

    forward_start(&r.forward, c, "a rollout");
    rc = open_models(&r, e);
    if (rc == OK)
        rc = choose_prompts(&r, e);
    if (rc == OK) {
        struct generator_options o = generator_options_for(
            r.tokenizer, spec->seed, spec->rollout->iteration, r.p->max_new_tokens);
        o.sampler.temperature = r.p->temperature;
        rc = forward_answers(&r.forward, r.g, r.n, &o, r.n * episode_bytes(&r), e);
        if (rc == OK)
            rc = warm_panels(
                &o, c, r.policy, &r.policy_id, r.policy_prefix, r.p->rollout_precision, e);
        if (rc == OK)
            rc = generate(c->engine, r.policy, r.g, r.n, &o, report_done, &r, e);
    }
    if (rc == OK)
        rc = score(&r, e);
    if (rc == OK)
        rc = write_episodes(&r, out, e);
    if (rc == OK)
        rc = forward_metric(&r.forward, out, e);
    if (rc == OK)
        rc = tell_sampling(&r, out, e);
    if (rc == OK && spec->rollout->iteration == 0) /* the file is the same in all of them */
        rc = answer_intake(out, r.prompts.intake, e);
    rollout_free(&r);
    return rc;
}
