#include "tests/unit/workers/learner.h"
#include "tests/unit/workers/practice.h"
#include "workers/text/tokenizer.h"

/* An update of practice against its papers, computed another way from the same episodes. */

enum { EPISODES = 32, TOKENS = 8, MOST = EPISODES * TOKENS };

struct batch_of_episodes {
    ProtobufCMessage *all[EPISODES];
    double advantage[EPISODES][TOKENS], returns[EPISODES][TOKENS];
};

static const Episode *episode(const struct batch_of_episodes *b, size_t i)
{
    return (const Episode *)b->all[i];
}

/* Scores that differ, answers without an end, and a reference that is elsewhere. */
static void made_various(Episode *x)
{
    x->score = (float)(x->item * 7 % 5) - 1.7F;
    x->ended = x->item % 3 != 0;
    for (size_t k = 0; k < x->n_answer; k++)
        x->ref_log_probs[k] += .6F * sinf((float)(x->item * 5 + k));
}

static void read_episodes(struct batch_of_episodes *b, struct chain *c, struct id experience)
{
    ProtobufCMessage *all[EPISODES];

    assert_int_equal(
        records_all(c, experience, ARTIFACT_KIND__EXPERIENCE, &episode__descriptor, all, EPISODES),
        EPISODES);
    for (size_t i = 0; i < EPISODES; i++)
        b->all[((Episode *)all[i])->item] = all[i];
}

static double score_of(const Episode *x, const RlConfig *rl)
{
    return x->ended ? x->score : rl->missing_end_score;
}

static double log_ratio(const Episode *x, size_t k)
{
    return (double)x->log_probs[k] - x->ref_log_probs[k];
}

/* x = (x - mean) / deviation over all tokens; the mean may stay. */
static void whitened(double x[EPISODES][TOKENS], const struct batch_of_episodes *b, bool keep)
{
    double n = 0, mean = 0, square = 0;

    for (size_t i = 0; i < EPISODES; i++)
        for (size_t k = 0; k < episode(b, i)->n_answer; k++, n++)
            mean += x[i][k];
    mean /= n;
    for (size_t i = 0; i < EPISODES; i++)
        for (size_t k = 0; k < episode(b, i)->n_answer; k++)
            square += (x[i][k] - mean) * (x[i][k] - mean) / n;
    for (size_t i = 0; i < EPISODES; i++)
        for (size_t k = 0; k < episode(b, i)->n_answer; k++)
            x[i][k] = (x[i][k] - mean) / sqrt(square + 1e-8) + (keep ? mean : 0);
}

/* Ouyang et al. 2022, eq. 2; Schulman et al. 2016, eq. 16, as the sum that it is. */
static void by_critic(struct batch_of_episodes *b, const RlConfig *rl)
{
    static double reward[EPISODES][TOKENS];

    for (size_t i = 0; i < EPISODES; i++) {
        const Episode *x = episode(b, i);
        for (size_t k = 0; k < x->n_answer; k++)
            reward[i][k] =
                -rl->kl_coef * log_ratio(x, k) + (k + 1 == x->n_answer ? score_of(x, rl) : 0);
    }
    if (rl->whiten_rewards)
        whitened(reward, b, true);
    for (size_t i = 0; i < EPISODES; i++) {
        const Episode *x = episode(b, i);
        for (size_t k = 0; k < x->n_answer; k++) {
            double sum = 0, share = 1;
            for (size_t j = k; j < x->n_answer; j++, share *= rl->discount * rl->gae_lambda)
                sum += share *
                       (reward[i][j] +
                           (j + 1 < x->n_answer ? rl->discount * (double)x->values[j + 1] : 0) -
                           x->values[j]);
            b->advantage[i][k] = sum;
            b->returns[i][k] = sum + x->values[k];
        }
    }
    if (rl->whiten_advantages)
        whitened(b->advantage, b, false);
}

/* RLOO: the reward with its KL, less the mean of the others'; GRPO: the score, in units of the
 * group's deviation. */
static void by_group(struct batch_of_episodes *b, const RlConfig *rl, bool grpo)
{
    for (size_t i = 0; i < EPISODES; i++) {
        size_t n = rl->group_size, first = i - i % n;
        double r[EPISODES], mean = 0, square = 0;
        for (size_t j = 0; j < n; j++) {
            const Episode *x = episode(b, first + j);
            r[j] = score_of(x, rl);
            for (size_t k = 0; k < x->n_answer && !grpo; k++)
                r[j] -= rl->kl_coef * log_ratio(x, k);
            mean += r[j] / (double)n;
        }
        for (size_t j = 0; j < n; j++)
            square += (r[j] - mean) * (r[j] - mean) / (double)n;
        double own = r[i - first];
        for (size_t k = 0; k < TOKENS; k++)
            b->advantage[i][k] = grpo ? (own - mean) / (sqrt(square) + 1e-4)
                                      : own - (mean * (double)n - own) / ((double)n - 1);
    }
}

/* d/dlog p of -min(A ratio, A clip(ratio)). */
static double policy_slope(double ratio, double a, double clip)
{
    bool held = a > 0 ? ratio > 1 + clip : ratio < 1 - clip;

    return held ? 0 : -a * ratio;
}

/* max((v - R)^2, (clip(v, old +- c) - R)^2) / 2, and its slope. */
static double value_loss(double *slope, double v, double old, double r, double c)
{
    double held = fmin(fmax(v, old - c), old + c), free = (v - r) * (v - r);

    *slope = v - r;
    if (free >= (held - r) * (held - r))
        return free / 2;
    *slope = held == v ? held - r : 0;
    return (held - r) * (held - r) / 2;
}

/* What an update says of itself, summed over its tokens or actions. */
struct told {
    double tokens, actions, clipped, approx_kl, entropy, value_loss;
};

struct update {
    struct practice p;
    struct told told;
    TrainTask k;
    double clip; /* of gradients; 0: off */
    struct batch_of_episodes b;
    struct text_tokens text; /* of ptx */
    struct learner policy, critic;
};

/* An episode's tokens but the last, and what each predicts of the answer. */
static size_t lay_out(const Episode *x, int32_t *tokens, int32_t *target)
{
    size_t n = x->n_prompt + x->n_answer - 1;

    for (size_t i = 0; i < x->n_prompt; i++)
        tokens[i] = (int32_t)x->prompt[i];
    for (size_t i = 0; i < x->n_answer; i++)
        tokens[x->n_prompt + i] = (int32_t)x->answer[i];
    for (size_t i = 0; i < n; i++)
        target[i] = i + 1 < x->n_prompt ? -1 : tokens[i + 1];
    return n;
}

static void tell_action(struct told *t, double ratio, double a, double clip)
{
    t->actions += 1;
    t->clipped += a != 0 && policy_slope(ratio, a, clip) == 0;
}

/* Of one of n answers, of the minibatch's `all` tokens, whose log-probabilities were read. */
static void policy_gradient(struct update *u, size_t i, size_t at, size_t n, size_t all)
{
    const Episode *x = episode(&u->b, i);
    const RlConfig *rl = &u->p.rl;
    size_t own = x->n_answer;
    bool whole = u->p.objective == TRAIN_TASK__OBJECTIVE__RLOO;
    double moved = 0;

    for (size_t k = 0; k < own; k++)
        moved += (double)u->policy.log_prob[at + k] - x->log_probs[k];
    for (size_t k = 0; k < own; k++) {
        double d = (double)u->policy.log_prob[at + k] - x->log_probs[k];
        double ratio = exp(whole ? moved : d), a = u->b.advantage[i][k];
        double g = policy_slope(ratio, a, rl->clip_ratio);
        double to_ref = (double)u->policy.log_prob[at + k] - x->ref_log_probs[k];
        u->told.tokens += 1;
        u->told.approx_kl += d * d / 2;
        u->told.entropy += u->policy.entropy[at + k];
        if (!whole || k == 0)
            tell_action(&u->told, ratio, a, rl->clip_ratio);
        if (u->p.objective == TRAIN_TASK__OBJECTIVE__PPO)
            g /= (double)all;
        else if (whole)
            g /= (double)n;
        else /* DeepSeekMath, eq. 4: the slope of e^-d - 1 + d */
            g = (g + rl->kl_coef * (1 - exp(-to_ref))) / (double)(n * own);
        u->policy.g[at + k] = (float)g;
    }
}

static void critic_gradient(struct update *u, size_t i, size_t at, size_t all)
{
    const Episode *x = episode(&u->b, i);
    bool shared = u->p.rl.value_shared;
    struct learner *l = shared ? &u->policy : &u->critic;
    double slope, coef = shared ? u->p.rl.value_coef : 1;

    for (size_t k = 0; k < x->n_answer; k++) {
        u->told.value_loss += value_loss(
            &slope, l->value[at + k], x->values[k], u->b.returns[i][k], u->p.rl.value_clip);
        (shared ? l->value_g : l->g)[at + k] = (float)(coef * slope / (double)all);
    }
}

static void answer_gradient(struct update *u, size_t i, size_t n, size_t all)
{
    const Episode *x = episode(&u->b, i);
    int32_t tokens[LEARNER_TOKENS], target[LEARNER_TOKENS];
    size_t length = lay_out(x, tokens, target), at = x->n_prompt - 1;

    learner_read(&u->policy, tokens, length, target, u->p.rl.temperature);
    policy_gradient(u, i, at, n, all);
    if (u->p.rl.value_shared)
        critic_gradient(u, i, at, all);
    learner_back(&u->policy, tokens, length, target, u->p.rl.temperature);
    if (!u->critic.model)
        return;
    learner_read(&u->critic, tokens, length, NULL, 1);
    critic_gradient(u, i, at, all);
    learner_back(&u->critic, tokens, length, NULL, 1);
}

static void minibatch(struct update *u, const uint32_t *which, uint64_t step, double share)
{
    size_t n = u->p.rl.minibatch_size, all = 0, windows = n * (size_t)u->p.rl.ptx_examples;

    for (size_t i = 0; i < n; i++)
        all += episode(&u->b, which[i])->n_answer;
    for (size_t i = 0; i < n; i++)
        answer_gradient(u, which[i], n, all);
    for (size_t i = 0; u->p.rl.ptx_coef > 0 && i < windows; i++)
        text_gradient(&u->policy, &u->text, step * windows + i, RNG_PTX,
            u->p.rl.ptx_coef / (double)(windows * u->text.window));
    learner_step(&u->policy, &u->k, share * u->k.learning_rate, true, u->p.rl.ema_decay);
    if (u->critic.model)
        learner_step(&u->critic, &u->k, share * u->p.rl.value_learning_rate, true, 0);
}

/* The whole first iteration, at warmup_start of the rates. */
static void learn(struct update *u)
{
    const RlConfig *rl = &u->p.rl;
    uint32_t order[EPISODES], step = 0;

    if (u->p.objective == TRAIN_TASK__OBJECTIVE__PPO)
        by_critic(&u->b, rl);
    else
        by_group(&u->b, rl, u->p.objective == TRAIN_TASK__OBJECTIVE__GRPO);
    for (uint32_t epoch = 0; epoch < rl->epochs; epoch++) {
        rng_permutation(order, EPISODES, 7, RNG_SHUFFLE, epoch);
        for (uint32_t i = 0; i < EPISODES; i += rl->minibatch_size)
            minibatch(u, order + i, step++, rl->warmup_start);
    }
}

static void told_is(const TaskAnswer *a, const char *name, double want)
{
    double got = answer_metric_of(a, name);

    if (!(fabs(got - want) <= 1e-3 * fabs(want) + 1e-5))
        fail_msg("%s is %.9g, not %.9g", name, got, want);
}

static void check_told(const struct update *u, const TaskAnswer *a)
{
    const struct told *t = &u->told;
    double kl = 0, score = 0, reward = 0, ended = 0, length = 0, repetition = 0;

    for (size_t i = 0; i < EPISODES; i++) {
        const Episode *x = episode(&u->b, i);
        for (size_t k = 0; k < x->n_answer; k++)
            kl += log_ratio(x, k) / EPISODES;
        score += x->score / EPISODES;
        reward += score_of(x, &u->p.rl) / EPISODES;
        ended += x->ended / (double)EPISODES;
        length += (double)x->n_answer / EPISODES;
        repetition += x->repetition / EPISODES;
    }
    told_is(a, "objective/kl", kl);
    told_is(a, "objective/scores", score);
    told_is(a, "objective/rlhf_reward", reward - u->p.rl.kl_coef * kl);
    told_is(a, "end_rate", ended);
    told_is(a, "length", length);
    told_is(a, "repetition_rate", repetition);
    told_is(a, "objective/entropy", t->entropy / t->tokens);
    told_is(a, "policy/approxkl_avg", t->approx_kl / t->tokens);
    assert_true(t->clipped > 0);
    told_is(a, "policy/clipfrac_avg", t->clipped / t->actions);
    if (u->p.objective == TRAIN_TASK__OBJECTIVE__PPO)
        told_is(a, "loss/value_avg", t->value_loss / t->tokens);
}

/* With a head for values where the critic shares the body. */
static struct model *first_policy(struct world *w, struct id init, bool shared)
{
    struct model *body = loaded(&w->c, init), *m = body;

    if (shared) {
        chain_check(&w->c, model_with_value_head(&m, body, 7, &w->c.e));
        model_free(body);
    }
    return m;
}

/* Runs the task and computes the same; the last weights, averages and the critic must agree. */
static void check_update(struct update *u, struct world *w)
{
    struct spec s;
    bool ppo = u->p.objective == TRAIN_TASK__OBJECTIVE__PPO, shared = u->p.rl.value_shared;
    struct learner *critic = ppo && !shared ? &u->critic : NULL;

    u->p.shards = 1;
    u->p.rl.iterations = 2; /* a state is left, with all that there is */
    struct id experience = tampered(&w->c, rollout(&u->p, 0, 0, NULL), made_various);
    update_start(&s, &u->k, &u->p, 0, NULL);
    u->k.learning_rate = 1e-2;
    u->k.weight_decay = .1;
    u->k.eps = 1e-2; /* so that the size of a gradient shows */
    u->k.grad_clip = u->clip;
    spec_input(&s, "experience", experience);
    if (u->p.rl.ptx_coef > 0) {
        spec_input(&s, "tokens", w->tokens);
        text_read(&u->text, &w->c, w->tokens, small_model().context);
    }
    TaskAnswer *a = spec_run(&w->c, &s);
    struct id state = answer_id(a, "state");
    read_episodes(&u->b, &w->c, experience);
    learner_start(&u->policy, &w->c, first_policy(w, u->p.init, shared));
    if (critic)
        learner_start(critic, &w->c, loaded(&w->c, *u->p.teacher));
    learn(u);
    check_told(u, a);
    learner_check(&u->policy, state, "policy.", "the policy");
    if (u->p.rl.ema_decay > 0)
        learner_check(&u->policy, state, "average.", "its average");
    if (critic)
        learner_check(critic, state, "value.", "the critic");
    message_free(a);
    records_free_all(u->b.all, EPISODES);
    free(u->text.p);
    learner_end(&u->policy);
    if (critic)
        learner_end(critic);
}

/* What differs from the defaults shows: every setting is one that the result depends on. */
static struct update various(struct world *w, TrainTask__Objective objective)
{
    struct update u = { .p = practice(w, objective) };

    u.p.init = w->base; /* answers of many lengths */
    u.p.rl.epochs = 2;
    u.p.rl.temperature = .8;
    u.p.rl.kl_coef = .3;
    u.p.rl.discount = .9;
    u.p.rl.value_learning_rate = 3e-2;
    u.p.rl.missing_end_score = -2;
    u.p.rl.ema_decay = .7;
    u.p.rl.warmup_start = .3;
    return u;
}

static void ppo_updates_policy_and_critic_as_its_papers_say(void **state)
{
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL);

    /* plain; with text; by rewards that are whitened; with a critic that is a head of the policy */
    for (int i = 0; i < 4; i++) {
        struct update u = various(w, TRAIN_TASK__OBJECTIVE__PPO);
        u.p.teacher = &teacher;
        u.clip = i == 1 ? .05 : 0;
        u.p.rl.ptx_coef = i == 1 ? 3 : 0;
        u.p.rl.ptx_examples = 2;
        u.p.rl.whiten_rewards = i == 2;
        u.p.rl.whiten_advantages = i != 2;
        u.p.rl.value_shared = i == 3;
        check_update(&u, w);
    }
}

static void rloo_and_grpo_update_the_policy_as_theirs_say(void **state)
{
    static const TrainTask__Objective others[] = { TRAIN_TASK__OBJECTIVE__RLOO,
        TRAIN_TASK__OBJECTIVE__GRPO };
    struct world *w = *state;
    struct id teacher = reward_model(w, w->base, NULL);

    for (int i = 0; i < 2; i++) {
        struct update u = various(w, others[i]);
        u.p.teacher = &teacher;
        u.clip = i == 0 ? .05 : 0;
        check_update(&u, w);
    }
}

/* ---- rollouts ---- */

/* What is sampled, asked of the policy and asked of the reference are one distribution. */
static void every_part_of_a_rollout_is_at_its_temperature(void **state)
{
    struct world *w = *state;
    struct practice p = practice(w, TRAIN_TASK__OBJECTIVE__GRPO);
    RolloutTask k = ROLLOUT_TASK__INIT;
    Rubric rubric = RUBRIC__INIT;
    struct spec s;

    p.rl.temperature = .5;
    p.rl.rollout_precision = PRECISION__FP32;
    k.shards = 1;
    k.rl = &p.rl;
    k.rubric = &rubric;
    spec_start(&s, TASK_SPEC__KIND_ROLLOUT);
    s.m.rollout = &k;
    spec_input(&s, "init", w->base);
    spec_input(&s, "reference", w->base); /* KL must be 0, or the task stops */
    spec_input(&s, "prompts", p.prompts);
    TaskAnswer *a = spec_run(&w->c, &s);
    assert_true(answer_metric_of(a, "sampling/kl") < 1e-6);
    message_free(a);
}

static size_t read_rollout(struct world *w, struct practice *p, uint32_t i, ProtobufCMessage **all)
{
    return records_all(&w->c, rollout(p, i, 0, NULL), ARTIFACT_KIND__EXPERIENCE,
        &episode__descriptor, all, EPISODES);
}

/* A rubric beside a reward model is the gold score, which nothing learns from. */
static void a_rubric_is_the_reward_only_where_there_is_no_reward_model(void **state)
{
    struct world *w = *state;
    struct practice p = practice(w, TRAIN_TASK__OBJECTIVE__PPO);
    struct id teacher = reward_model(w, w->base, NULL);
    Rubric rubric = RUBRIC__INIT;
    Rule rule = RULE__INIT, *rules[] = { &rule };
    ProtobufCMessage *all[EPISODES], *scored[EPISODES];

    rule.contains = "s";
    rubric.rules = rules;
    rubric.n_rules = 1;
    p.rubric = &rubric;
    p.shards = 1;
    assert_int_equal(read_rollout(w, &p, 0, all), EPISODES);
    p.teacher = &teacher;
    assert_int_equal(read_rollout(w, &p, 0, scored), EPISODES);
    for (size_t i = 0; i < EPISODES; i++) {
        const Episode *by_rubric = (Episode *)all[i], *by_teacher = (Episode *)scored[i];
        assert_false(by_rubric->has_gold);
        assert_true(by_teacher->has_gold && by_teacher->gold == by_rubric->score);
        assert_true(by_teacher->score != by_teacher->gold);
    }
    records_free_all(all, EPISODES);
    records_free_all(scored, EPISODES);
}

/* Three prompts, two for each iteration: in three iterations each comes twice. */
static void iterations_walk_on_through_the_prompts_with_new_random_numbers(void **state)
{
    struct world *w = *state;
    struct practice p = practice(w, TRAIN_TASK__OBJECTIVE__PPO);
    Rubric rubric = RUBRIC__INIT;
    ProtobufCMessage *all[6], *again[EPISODES];
    size_t seen[6] = { 0 }, same = 0;

    p.rubric = &rubric;
    p.shards = 1;
    p.init = w->base;
    p.rl.batch_size = 2;
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(read_rollout(w, &p, i, all + 2 * i), 2);
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 6; k++)
            seen[i] += strcmp(((Episode *)all[i])->prompt_id, ((Episode *)all[k])->prompt_id) == 0;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(seen[i], 2);
    records_free_all(all, 6);
    p.prompts = chain_file(&w->c, "one.txt", "the cat\n", SPLIT__FILE);
    p.rl.batch_size = EPISODES / 2;
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(read_rollout(w, &p, i, again + i * EPISODES / 2), EPISODES / 2);
    for (size_t i = 0; i < EPISODES / 2; i++) {
        const Episode *x = (Episode *)again[i], *y = (Episode *)again[i + EPISODES / 2];
        same += x->n_answer == y->n_answer &&
                memcmp(x->answer, y->answer, x->n_answer * sizeof *x->answer) == 0;
    }
    assert_true(same < EPISODES / 4);
    records_free_all(again, EPISODES);
}

struct ends {
    size_t answer, text, cut; /* by the limit */
};

static void count_ends(struct ends *e, struct world *w, struct practice *p)
{
    ProtobufCMessage *all[EPISODES];
    struct tokenizer *t;

    assert_int_equal(read_rollout(w, p, 0, all), EPISODES);
    chain_check(&w->c, tokenizer_load(&t, w->c.store, &w->tokenizer, &w->c.e));
    const TokenizerModel *m = tokenizer_model(t);
    for (size_t i = 0; i < EPISODES; i++) {
        const Episode *x = (Episode *)all[i];
        for (size_t k = 0; k < x->n_answer; k++) {
            bool answer = x->answer[k] == m->end_of_answer, text = x->answer[k] == m->end_of_text;
            assert_int_equal(answer || text, x->ended && k + 1 == x->n_answer);
            e->answer += answer;
            e->text += text;
        }
        assert_true(x->ended || x->n_answer == p->rl.max_new_tokens);
        e->cut += !x->ended;
    }
    tokenizer_free(t);
    records_free_all(all, EPISODES);
}

/* Where it stops the answer has ended; one that was cut by the limit has not. */
static void an_answer_ends_at_either_end_token_and_nowhere_else(void **state)
{
    struct world *w = *state;
    struct practice p = practice(w, TRAIN_TASK__OBJECTIVE__PPO);
    Rubric rubric = RUBRIC__INIT;
    struct ends e = { 0 };

    p.rubric = &rubric;
    p.shards = 1;
    count_ends(&e, w, &p); /* of a model that answers */
    p.init = w->base;      /* of one that goes on to the end of a text */
    p.rl.max_new_tokens = 20;
    count_ends(&e, w, &p);
    assert_true(e.answer > 0 && e.text > 0 && e.cut > 0);
}

/* After an iteration at KL 0: .5 (1 - .2 x 32 / 100). Ziegler et al. 2019, sec. 2.2. */
static void an_adaptive_coefficient_moves_between_iterations(void **state)
{
    struct world *w = *state;
    struct practice p = practice(w, TRAIN_TASK__OBJECTIVE__PPO);
    Rubric rubric = RUBRIC__INIT;

    p.rubric = &rubric;
    p.rl.kl_coef = .5;
    p.rl.adaptive_kl = true;
    p.rl.kl_target = 6;
    p.rl.kl_horizon = 100;
    p.rl.iterations = 2;
    TaskAnswer *a = update(&p, 0, NULL);
    assert_true(answer_metric_of(a, "objective/kl_coef") == .5);
    struct id first = answer_id(a, "state");
    message_free(a);
    a = update(&p, 1, &first);
    assert_true(fabs(answer_metric_of(a, "objective/kl_coef") - .5 * (1 - .2 * .32)) < 1e-12);
    message_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ppo_updates_policy_and_critic_as_its_papers_say),
        cmocka_unit_test(rloo_and_grpo_update_the_policy_as_theirs_say),
        cmocka_unit_test(every_part_of_a_rollout_is_at_its_temperature),
        cmocka_unit_test(a_rubric_is_the_reward_only_where_there_is_no_reward_model),
        cmocka_unit_test(iterations_walk_on_through_the_prompts_with_new_random_numbers),
        cmocka_unit_test(an_answer_ends_at_either_end_token_and_nowhere_else),
        cmocka_unit_test(an_adaptive_coefficient_moves_between_iterations),
    };
    return cmocka_run_group_tests(tests, start, end);
}
