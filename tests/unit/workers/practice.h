#ifndef TESTS_UNIT_WORKERS_PRACTICE_H
#define TESTS_UNIT_WORKERS_PRACTICE_H

#include "tests/unit/workers/world.h"

/* Practice through the real tasks, in a world that is small. */

static inline RlConfig small_practice(TrainTask__Objective objective)
{
    RlConfig p = RL_CONFIG__INIT;

    p.iterations = 3;
    p.batch_size = 32;
    p.minibatch_size = 8;
    p.epochs = 1;
    p.max_new_tokens = 8;
    p.temperature = 1;
    p.group_size = objective == TRAIN_TASK__OBJECTIVE__PPO ? 1 : 4;
    p.kl_coef = .02;
    p.clip_ratio = p.value_clip = .2;
    p.value_learning_rate = 1e-5;
    p.discount = 1;
    p.gae_lambda = .95;
    p.whiten_advantages = p.scale_rewards = true;
    p.missing_end_score = -1;
    p.value_coef = .1;
    p.schedule = SCHEDULE__CONSTANT;
    p.warmup_iterations = 10;
    p.warmup_start = .1;
    p.ema_decay = objective == TRAIN_TASK__OBJECTIVE__PPO ? .992 : 0;
    for (unsigned i = 0; i < p.base.descriptor->n_fields; i++)
        *(protobuf_c_boolean *)((char *)&p + p.base.descriptor->fields[i].quantifier_offset) = 1;
    return p;
}

/* Practice through the real tasks: where the reward comes from, and how it is run. */
struct practice {
    struct world *w;
    TrainTask__Objective objective;
    RlConfig rl;
    uint32_t shards;
    struct id init, prompts;
    const struct id *teacher;   /* NULL: none */
    const struct id *reference; /* NULL: init */
    Rubric *rubric;             /* NULL: none */
    int threads;
    bool cold;
    Precision precision;
    double score, gold, kl, kl0; /* of the last iteration, and KL of the first */
};

static inline struct id rollout(
    struct practice *p, uint32_t iteration, uint32_t shard, const struct id *state)
{
    struct spec s;
    RolloutTask k = ROLLOUT_TASK__INIT;

    spec_start(&s, TASK_SPEC__KIND_ROLLOUT);
    k.has_iteration = k.has_shard = k.has_shards = k.has_critic = k.has_precision = 1;
    k.precision = p->precision;
    k.iteration = iteration;
    k.shard = shard;
    k.shards = p->shards;
    k.rl = &p->rl;
    k.rubric = p->rubric;
    k.critic = p->objective == TRAIN_TASK__OBJECTIVE__PPO;
    s.m.rollout = &k;
    spec_input(&s, state ? "state" : "init", state ? *state : p->init);
    if (p->teacher)
        spec_input(&s, "reward_model", *p->teacher);
    spec_input(&s, "reference", p->reference ? *p->reference : p->init);
    spec_input(&s, "prompts", p->prompts);
    TaskAnswer *a = spec_run(&p->w->c, &s);
    struct id id = answer_id(a, "experience");
    message_free(a);
    return id;
}

/* An update in the making: the shards' experience is still to be given. */
static inline void update_start(
    struct spec *s, TrainTask *k, struct practice *p, uint32_t i, const struct id *state)
{
    train_task(k, p->objective, 1);
    k->batch_size = p->rl.minibatch_size;
    k->has_steps = 1;
    k->steps = p->rl.iterations;
    k->eps = 1e-5;
    k->weight_decay = 0;
    k->learning_rate = 1e-3;
    k->rl = &p->rl;
    k->has_precision = 1;
    k->precision = p->precision;
    spec_start(s, TASK_SPEC__KIND_TRAIN);
    s->m.train = k;
    spec_input(s, state ? "state" : "init", state ? *state : p->init);
    if (p->teacher && i == 0 && p->objective == TRAIN_TASK__OBJECTIVE__PPO)
        spec_input(s, "reward_model", *p->teacher);
}

static inline TaskAnswer *update(struct practice *p, uint32_t i, const struct id *state)
{
    struct spec s;
    TrainTask k;

    update_start(&s, &k, p, i, state);
    for (uint32_t n = 0; n < p->shards; n++)
        spec_input(&s, "experience", rollout(p, i, n, state));
    if (p->cold)
        chain_cold(&p->w->c, p->threads);
    return spec_run(&p->w->c, &s);
}

static inline struct id practise(struct practice *p)
{
    struct id state;

    chain_cold(&p->w->c, p->threads);
    for (uint32_t i = 0;; i++) {
        TaskAnswer *a = update(p, i, i ? &state : NULL);
        p->kl = answer_metric_of(a, "objective/kl");
        p->kl0 = i ? p->kl0 : p->kl;
        p->score = answer_metric_of(a, "objective/scores");
        if (p->teacher && p->rubric)
            p->gold = answer_metric_of(a, "objective/gold");
        bool done = answer_has(a, "checkpoint");
        state = answer_id(a, done ? "checkpoint" : "state");
        message_free(a);
        if (done)
            return state;
    }
}

static inline struct practice practice(struct world *w, TrainTask__Objective objective)
{
    struct practice p = { .w = w,
        .objective = objective,
        .rl = small_practice(objective),
        .shards = 2,
        .threads = 2,
        .precision = PRECISION__FP32 };

    p.init = sft(w, 20, NULL);
    p.prompts = chain_file(&w->c, "prompts.txt", "the cat\nthe dog\na bird\n", SPLIT__FILE);
    return p;
}

/* The same experience, after something was done to each of its episodes. */
static inline struct id tampered(struct chain *c, struct id experience, void (*with)(Episode *x))
{
    struct records_reader *r;
    struct records_writer *w;
    Output *o = NULL;
    struct id id;

    chain_check(c, records_open(&r, c->store, &experience, ARTIFACT_KIND__EXPERIENCE,
                       &episode__descriptor, &c->e));
    chain_check(c, records_create(&w, c->store, ARTIFACT_KIND__EXPERIENCE, &c->e));
    for (;;) {
        ProtobufCMessage *m = NULL;
        chain_check(c, records_next(r, &m, &c->e));
        if (!m)
            break;
        with((Episode *)m);
        chain_check(c, records_add(w, m, &c->e));
        message_free(m);
    }
    records_close(r);
    chain_check(c, records_commit(w, "experience", &o, &c->e));
    id_from_span(&id, o->id.data, o->id.len);
    message_free(o);
    return id;
}

#endif
