#include "pipelines/unfold_int.h"

#include "pipelines/fields.h"
#include "pipelines/kinds.h"

/*   ppo, rloo, grpo
 *         text, as in pretrain ─────┬──────────────────┬─ …
 *         prompts ─┬─ rollout ─┬─ train ── state ─┬─ rollout ─┬─ train ── … ── checkpoint
 *                  └─ rollout ─┘                  └─ rollout ─┘
 *
 * Rounds: text first, if there is any; then a rollout and an update for each iteration. */

static const struct practice {
    Stage__KindCase kind;
    TrainTask__Objective objective;
    bool critic; /* a value network is trained beside the policy */
} practices[] = {
    { STAGE__KIND_PPO, TRAIN_TASK__OBJECTIVE__PPO, true },
    { STAGE__KIND_RLOO, TRAIN_TASK__OBJECTIVE__RLOO, false },
    { STAGE__KIND_GRPO, TRAIN_TASK__OBJECTIVE__GRPO, false },
};

static const struct practice *practice_of(const struct round *r)
{
    size_t i = 0;

    while (practices[i].kind != r->job->stage->kind_case)
        i++;
    return &practices[i];
}

/* A whole number that all the kinds have under this name. */
static uint32_t number(const struct round *r, const char *field)
{
    const ProtobufCMessage *m = stage_config(r->job->stage);
    double value = 0;

    field_number(&value, m, field_named(m, field));
    return (uint32_t)value;
}

static int configure(struct round *r, RlConfig **out)
{
    *out = (RlConfig *)message_new_of(&rl_config__descriptor);
    if (!*out)
        return err_set(r->e, E_NOMEM, "out of memory");
    return fields_copy(&(*out)->base, stage_config(r->job->stage), r->e);
}

/* A state of adapters is nothing without what they adapt. */
static bool adapts(const struct round *r)
{
    const ProtobufCMessage *m = stage_config(r->job->stage);

    return field_message(m, field_named(m, "lora")) != NULL;
}

static int roll_out(struct round *r, uint32_t iteration, uint32_t shard)
{
    bool other = round_ports(r, "reference") > 0;
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_ROLLOUT, "experience.%u", shard);

    if (rc != OK)
        return rc;
    t->rollout->has_iteration = t->rollout->has_shard = t->rollout->has_shards = 1;
    t->rollout->has_critic = 1;
    t->rollout->iteration = iteration;
    t->rollout->shard = shard;
    t->rollout->shards = number(r, "rollout_shards");
    t->rollout->critic = practice_of(r)->critic;
    rc = configure(r, &t->rollout->rl);
    if (rc == OK)
        rc = round_rubric(r, &t->rollout->rubric);
    if (rc == OK && (iteration == 0 || adapts(r)))
        rc = round_bound(r, t, "init", "init");
    if (rc == OK && iteration > 0)
        rc = round_input(r, t, "state", "state");
    if (rc == OK)
        rc = round_bound(r, t, "reference", other ? "reference" : "init");
    if (rc == OK)
        rc = round_bound(r, t, "reward_model", "reward_model");
    return rc == OK ? round_bound(r, t, "prompts", "prompts") : rc;
}

/* What the loop of all training knows by other names. */
static int set_loop(struct round *r, TrainTask *k)
{
    k->has_steps = k->has_batch_size = 1;
    k->steps = number(r, "iterations");
    k->batch_size = number(r, "minibatch_size");
    k->has_epochs = 0; /* those over a batch stand in rl */
    k->epochs = 0;
    return configure(r, &k->rl);
}

/* Whether the critic is made of the reward model, not of the policy. */
static bool critic_apart(const struct round *r)
{
    const Stage *s = r->job->stage;

    return s->kind_case == STAGE__KIND_PPO && !s->ppo->value_shared;
}

static int update(struct round *r)
{
    static const char *const with_critic[] = { "init", "reward_model", NULL };
    static const char *const without[] = { "init", NULL };
    const struct practice *p = practice_of(r);
    TaskSpec *t;
    int rc = round_train(r, &t, p->objective, 1, critic_apart(r) ? with_critic : without);

    if (rc == OK)
        rc = set_loop(r, t->train);
    for (uint32_t k = 0; k < number(r, "rollout_shards") && rc == OK; k++)
        rc = round_input(r, t, "experience", "experience.%u.experience", k);
    return rc == OK ? round_tokens(r, t) : rc;
}

int unfold_rl(struct round *r)
{
    bool text = round_ports(r, "text") > 0;
    uint32_t turn = r->number - text, iteration = turn / 2, iterations = number(r, "iterations");
    int rc = OK;

    if (round_has(r, "checkpoint"))
        return round_model(r, "checkpoint");
    if (text && r->number == 0)
        return round_encode_text(r);
    if (iteration >= iterations)
        return err_set(r->e, E_INVARIANT, "no checkpoint after %u iterations", iterations);
    if (turn % 2 == 1)
        return update(r);
    for (uint32_t k = 0; k < number(r, "rollout_shards") && rc == OK; k++)
        rc = roll_out(r, iteration, k);
    return rc;
}
