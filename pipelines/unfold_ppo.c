#include "pipelines/unfold_int.h"

/*   ppo   text, as in pretrain ─────┬──────────────────┬─ …
 *         prompts ─┬─ rollout ─┬─ train ── state ─┬─ rollout ─┬─ train ── … ── checkpoint
 *                  └─ rollout ─┘                  └─ rollout ─┘
 *
 * Rounds: text first, if there is any; then a rollout and an update for each iteration. */

static int roll_out(struct round *r, uint32_t iteration, uint32_t shard)
{
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_ROLLOUT, "experience.%u", shard);

    if (rc != OK)
        return rc;
    t->rollout->has_iteration = t->rollout->has_shard = t->rollout->has_shards = 1;
    t->rollout->iteration = iteration;
    t->rollout->shard = shard;
    t->rollout->shards = r->job->stage->ppo->rollout_shards;
    rc = round_config(r, (ProtobufCMessage **)&t->rollout->ppo);
    if (rc == OK && iteration == 0)
        rc = round_bound(r, t, "init", "init");
    else if (rc == OK)
        rc = round_input(r, t, "state", "state");
    if (rc == OK)
        rc = round_bound(r, t, "reference", "init");
    if (rc == OK)
        rc = round_bound(r, t, "reward_model", "reward_model");
    return rc == OK ? round_bound(r, t, "prompts", "prompts") : rc;
}

/* What the loop of all training knows by other names. */
static int set_loop(struct round *r, TrainTask *k)
{
    const PpoStage *p = r->job->stage->ppo;

    k->has_steps = k->has_batch_size = 1;
    k->steps = p->iterations;
    k->batch_size = p->minibatch_size;
    k->has_epochs = 0; /* those over a batch stand in ppo */
    k->epochs = 0;
    return round_config(r, (ProtobufCMessage **)&k->ppo);
}

static int update(struct round *r)
{
    static const char *const first[] = { "init", "reward_model", NULL };
    TaskSpec *t;
    int rc = round_train(r, &t, TRAIN_TASK__OBJECTIVE__PPO, 1, first);

    if (rc == OK)
        rc = set_loop(r, t->train);
    for (uint32_t k = 0; k < r->job->stage->ppo->rollout_shards && rc == OK; k++)
        rc = round_input(r, t, "experience", "experience.%u.experience", k);
    return rc == OK ? round_tokens(r, t) : rc;
}

int unfold_ppo(struct round *r)
{
    const PpoStage *p = r->job->stage->ppo;
    bool text = round_ports(r, "text") > 0;
    uint32_t turn = r->number - text, iteration = turn / 2;
    int rc = OK;

    if (round_has(r, "checkpoint"))
        return round_model(r, "checkpoint");
    if (text && r->number == 0)
        return round_encode_text(r);
    if (iteration >= p->iterations)
        return err_set(r->e, E_INVARIANT, "no checkpoint after %u iterations", p->iterations);
    if (turn % 2 == 1)
        return update(r);
    for (uint32_t k = 0; k < p->rollout_shards && rc == OK; k++)
        rc = roll_out(r, iteration, k);
    return rc;
}
