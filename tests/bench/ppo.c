#include "tests/bench/world.h"

#include <string.h>

#include "workers/tasks/warm.h"

/* Iterations of PPO through the real tasks: one rollout shard, then the update; what each says of
 * its progress tells its parts apart. The first iteration is the warm-up. */

enum part { ROLLOUT, SCORING, UPDATE, STORING };

struct row {
    const struct work *w;
    struct world world;
    struct task_context c;
    RlConfig p;
    struct id policy, reward, prompts, state;
    uint32_t iteration;
    bool updating;
    double told; /* when all answers were there; when the last step was done */
};

static int heard(void *ctx, const Progress *p)
{
    struct row *r = ctx;

    if (r->updating || (p->done >= p->total && !r->told))
        r->told = seconds();
    return 0;
}

static Precision precision(const struct work *w)
{
    return strcmp(w->precision, "bf16") == 0 ? PRECISION__BF16 : PRECISION__FP32;
}

/* As the stage's defaults are, without pretraining text mixed in. */
static void configure(RlConfig *p, const struct work *w)
{
    const ProtobufCMessageDescriptor *d = &rl_config__descriptor;

    rl_config__init(p);
    p->iterations = 1000;
    p->batch_size = w->sequences;
    p->minibatch_size = w->sequences / MINIBATCHES;
    p->epochs = 1;
    p->max_new_tokens = NEW_TOKENS;
    p->temperature = p->discount = 1;
    p->kl_coef = .02;
    p->clip_ratio = p->value_clip = .2;
    p->value_learning_rate = 1e-5;
    p->gae_lambda = .95;
    p->whiten_advantages = true;
    p->missing_end_score = -1;
    p->schedule = SCHEDULE__CONSTANT;
    p->ema_decay = .992;
    p->rollout_precision = PRECISION__BF16;
    for (unsigned i = 0; i < d->n_fields; i++)
        *(protobuf_c_boolean *)((char *)p + d->fields[i].quantifier_offset) = true;
}

static int row_open(struct row *r, const struct engine *en, struct err *e)
{
    const struct size *s = r->w->size;
    int rc = world_open(&r->world, s, e);

    r->c = (struct task_context){
        .store = r->world.store, .engine = en, .warm = r->world.warm, .progress = heard, .ctx = r
    };
    if (rc == OK)
        rc = world_checkpoint(&r->policy, &r->world, s, false, e);
    if (rc == OK)
        rc = world_checkpoint(&r->reward, &r->world, s, true, e);
    if (rc == OK)
        rc = world_prompts(&r->prompts, &r->world, r->w->sequences, e);
    configure(&r->p, r->w);
    return rc;
}

static int run(struct row *r, TaskAnswer **a, struct spec *s, struct err *e)
{
    r->updating = s->m.kind_case == TASK_SPEC__KIND_TRAIN;
    message_fill_defaults(&s->m.base);
    r->told = 0;
    return task_run(a, &r->c, &s->m, e);
}

/* What the last update has made is read back before the clock of the rollout starts. */
static int load(struct row *r, double *parts, struct err *e)
{
    const struct model *m;
    double began = seconds();
    bool later = r->iteration > 0;
    int rc = warm_model(&m, &r->c, later ? &r->state : &r->policy, later ? "policy." : "", e);

    if (rc == OK)
        rc = warm_model(&m, &r->c, &r->policy, "", e);
    if (rc == OK)
        rc = warm_model(&m, &r->c, &r->reward, "", e);
    if (rc == OK)
        rc = warm_model(&m, &r->c, later ? &r->state : &r->reward, later ? "value." : "", e);
    parts[STORING] += seconds() - began;
    return rc;
}

static int rollout(struct row *r, struct id *experience, double *parts, struct err *e)
{
    struct spec s;
    RolloutTask k = ROLLOUT_TASK__INIT;
    TaskAnswer *a = NULL;
    double began = seconds();

    spec_start(&s, TASK_SPEC__KIND_ROLLOUT);
    k.has_iteration = k.has_shards = k.has_shard = k.has_critic = k.has_precision = 1;
    k.precision = precision(r->w);
    k.critic = true;
    k.iteration = r->iteration;
    k.shards = 1;
    k.rl = &r->p;
    s.m.rollout = &k;
    spec_input(&s, r->iteration ? "state" : "init", r->iteration ? r->state : r->policy);
    spec_input(&s, "reference", r->policy);
    spec_input(&s, "reward_model", r->reward);
    spec_input(&s, "prompts", r->prompts);
    int rc = run(r, &a, &s, e);
    if (rc == OK && !answer_find(experience, a, "experience"))
        rc = err_set(e, E_MISSING, "a rollout gave no experience");
    message_free(a);
    parts[ROLLOUT] += r->told - began;
    parts[SCORING] += seconds() - r->told;
    return rc;
}

static TrainTask update_task(struct row *r)
{
    TrainTask k = TRAIN_TASK__INIT;

    k.has_objective = k.has_segment = k.has_batch_size = k.has_steps = k.has_precision = 1;
    k.precision = precision(r->w);
    k.objective = TRAIN_TASK__OBJECTIVE__PPO;
    k.segment = 1;
    k.steps = r->p.iterations;
    k.batch_size = r->p.minibatch_size;
    k.gradient_accumulation = 1;
    k.learning_rate = 1e-5;
    k.schedule = r->p.schedule;
    k.beta1 = .9;
    k.beta2 = .95;
    k.eps = 1e-5;
    k.grad_clip = 1;
    k.rl = &r->p;
    return k;
}

static int update(struct row *r, struct id experience, double *parts, struct err *e)
{
    struct spec s;
    TrainTask k = update_task(r);
    TaskAnswer *a = NULL;
    double began = seconds();

    spec_start(&s, TASK_SPEC__KIND_TRAIN);
    s.m.train = &k;
    spec_input(&s, "experience", experience);
    spec_input(&s, r->iteration ? "state" : "init", r->iteration ? r->state : r->policy);
    if (!r->iteration)
        spec_input(&s, "reward_model", r->reward);
    int rc = run(r, &a, &s, e);
    if (rc == OK && !answer_find(&r->state, a, "state"))
        rc = err_set(e, E_MISSING, "an update gave no state");
    message_free(a);
    parts[UPDATE] += r->told - began;
    parts[STORING] += seconds() - r->told;
    return rc;
}

static int iterate(struct row *r, double *parts, struct err *e)
{
    struct id experience;
    int rc = load(r, parts, e);

    if (rc == OK)
        rc = rollout(r, &experience, parts, e);
    if (rc == OK)
        rc = update(r, experience, parts, e);
    r->iteration++;
    return rc;
}

int serve_ppo(struct turns *t, const struct work *w, const struct engine *en, struct err *e)
{
    struct row r = { .w = w };
    unsigned n;
    int rc = row_open(&r, en, e);

    while (rc == OK && turns_next(t, &n)) {
        double parts[4] = { 0 };
        for (unsigned i = 0; i < (n ? n : 1) && rc == OK; i++)
            rc = iterate(&r, parts, e);
        if (rc == OK)
            turns_answer(t, parts, 4);
    }
    world_close(&r.world);
    return rc;
}
