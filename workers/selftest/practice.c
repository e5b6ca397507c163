#include "workers/selftest/practice.h"

/* Found by trial: all but GRPO come within a total variation of .02 of their aim by 100,000 draws.
 * The average of the last weights takes off the noise of sampling. */
const struct practice practice_ppo = { "ppo", TRAIN_TASK__OBJECTIVE__PPO, 60, 512, 128, 1, 5e-3,
    .95, 0, false };
const struct practice practice_shared = { "ppo, shared", TRAIN_TASK__OBJECTIVE__PPO, 60, 512, 256,
    1, 5e-3, .95, 0, true };
const struct practice practice_rloo = { "rloo", TRAIN_TASK__OBJECTIVE__RLOO, 60, 512, 128, 4, 5e-3,
    .95, 0, false };
/* One step for each batch: KL in the loss is exact on the policy's own samples alone. Its gradients
 * are skewed: what the policy has become less likely to say than the reference, by some factor,
 * pulls with that factor when it is said after all. Adam measures a step by the gradients of about
 * 1 / (1 - beta2) steps and so cuts short what pulls rarely but hard: it settles elsewhere. With
 * beta2 .95 and the others' learning rate the histogram ended .05 to .10 from the fixed point at
 * beta .2; so it is .03 to .05, by seed and start. The rest is the samples' noise: three times as
 * many left .01 to .05. */
const struct practice practice_grpo = { "grpo", TRAIN_TASK__OBJECTIVE__GRPO, 100, 512, 512, 16,
    3e-3, .99, 10, false };

/* 1 for an "ab", .5 for each d; nothing else counts. */
struct reward {
    Rule ab, d, *rules[2];
    Rubric rubric;
};

static void reward_make(struct reward *r)
{
    static char ab[] = "ab", d[] = "d";

    rule__init(&r->ab);
    rule__init(&r->d);
    r->ab.contains = ab;
    r->d.contains = d;
    r->d.has_score = r->d.has_each = true;
    r->d.score = .5;
    r->d.each = true;
    r->rules[0] = &r->ab;
    r->rules[1] = &r->d;
    rubric__init(&r->rubric);
    r->rubric.has_right = r->rubric.has_answers = r->rubric.has_language = true;
    r->rubric.has_ends = r->rubric.has_short_ = true;
    r->rubric.right = r->rubric.answers = r->rubric.language = 0;
    r->rubric.ends = r->rubric.short_ = 0;
    r->rubric.rules = r->rules;
    r->rubric.n_rules = 2;
}

static RlConfig settings(const struct practice *how, double beta, bool wrong_kl)
{
    RlConfig c = RL_CONFIG__INIT;

    c.iterations = how->iterations;
    c.batch_size = how->batch;
    c.minibatch_size = how->minibatch;
    c.epochs = 1;
    c.max_new_tokens = OUTCOME_LENGTH;
    c.temperature = 1;
    c.has_group_size = c.has_kl_in_reward = true;
    c.group_size = how->group;
    c.kl_in_reward = wrong_kl ? RL_CONFIG__KL_IN_REWARD__ABS_K1 : RL_CONFIG__KL_IN_REWARD__K1;
    c.kl_coef = beta;
    c.clip_ratio = .2;
    c.value_clip = .2;
    c.value_learning_rate = 1e-2;
    c.has_value_shared = c.has_value_coef = true;
    c.value_shared = how->shared;
    c.value_coef = .1;
    c.discount = 1;
    c.gae_lambda = .95;
    c.whiten_advantages = true;
    c.scale_rewards = true;
    c.score_unended = true;
    c.schedule = SCHEDULE__LINEAR;
    c.warmup_iterations = how->warmup;
    c.ema_decay = .95;
    return c;
}

static TrainTask training(const struct practice *how, RlConfig *rl)
{
    TrainTask k = TRAIN_TASK__INIT;

    k.objective = how->objective;
    k.segment = 1;
    k.steps = how->iterations;
    k.batch_size = how->minibatch;
    k.learning_rate = how->learning_rate;
    k.beta1 = .9;
    k.beta2 = how->beta2;
    k.eps = 1e-5;
    k.grad_clip = 1;
    k.rl = rl;
    return k;
}

/* One iteration's batch and update. state: of the iteration before, NULL in the first. */
struct turn {
    uint32_t iteration;
    struct id init, reference, prompts, state;
    struct reward reward;
    RlConfig rl;
    TrainTask train;
};

static int rollout(struct id *experience, struct testbed *t, struct turn *x, struct err *e)
{
    struct spec s;
    RolloutTask k = ROLLOUT_TASK__INIT;

    spec_start(&s, TASK_SPEC__KIND_ROLLOUT);
    k.iteration = x->iteration;
    k.shards = 1;
    k.rl = &x->rl;
    k.rubric = &x->reward.rubric;
    k.critic = x->train.objective == TRAIN_TASK__OBJECTIVE__PPO;
    s.m.rollout = &k;
    spec_input(&s, x->iteration ? "state" : "init", x->iteration ? x->state : x->init);
    spec_input(&s, "reference", x->reference);
    spec_input(&s, "prompts", x->prompts);
    return spec_run_for(experience, t, &s, "experience", e);
}

static int update(TaskAnswer **out, struct testbed *t, struct turn *x, struct err *e)
{
    struct spec s;
    struct id experience;
    int rc = rollout(&experience, t, x, e);

    if (rc != OK)
        return rc;
    spec_start(&s, TASK_SPEC__KIND_TRAIN);
    s.m.train = &x->train;
    spec_input(&s, "experience", experience);
    spec_input(&s, x->iteration ? "state" : "init", x->iteration ? x->state : x->init);
    return spec_run(out, t, &s, e);
}

/* Endless or broken answers must be seen while it runs. */
static bool tells_health(const TaskAnswer *a)
{
    return answer_value(a, "end_rate") >= 0 && answer_value(a, "repetition_rate") >= 0;
}

int practise(struct practised *out, struct testbed *t, const struct practice *how, double beta,
    const struct id *init, const struct id *reference, struct err *e)
{
    struct turn x = { .init = *init, .reference = *reference };
    bool done = false;
    int rc = testbed_file(&x.prompts, t, "prompts.txt", policy_prompt, SPLIT__FILE, e);

    reward_make(&x.reward);
    x.rl = settings(how, beta, t->wrong_kl);
    x.train = training(how, &x.rl);
    for (; rc == OK && !done; x.iteration++) {
        TaskAnswer *a = NULL;
        rc = update(&a, t, &x, e);
        if (rc == OK && x.iteration == 0) {
            out->first_kl = answer_value(a, "objective/kl");
            out->first_ratio = answer_value(a, "policy/approxkl_avg");
        }
        if (rc == OK && !tells_health(a))
            rc = err_set(e, E_INVARIANT, "an iteration does not tell end_rate, repetition_rate");
        if (rc == OK && !(done = answer_find(&out->checkpoint, a, "checkpoint")) &&
            !answer_find(&x.state, a, "state"))
            rc = err_set(e, E_MISSING, "an update gave neither a state nor a checkpoint");
        message_free(a);
    }
    return rc;
}
