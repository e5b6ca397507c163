#include "workers/selftest/preferences.h"

#include <math.h>

#include "workers/selftest/rankings.h"

/* Outcomes of equal reward form a level; a level is half a point better than the one before. A
 * ranking says that all outcomes of a level are better than all of its neighbour: two are right for
 * each that is wrong. Those are Bradley and Terry's proportions exactly for rewards of which half a
 * point is worth log 2, so DPO with its beta times 2 log 2 has the optimum of rewards and beta as
 * they are. All rankings are one batch: no sampling noise. */
enum { LEVELS = 4, RIGHT = 2, WRONG = 1, ROW = POLICY_PROMPT + OUTCOME_LENGTH };
enum { RANKINGS = (LEVELS - 1) * (RIGHT + WRONG) };

static void add_level(struct order *r, int level)
{
    uint32_t tokens[ROW];

    for (int i = 0; i < POLICY_PROMPT; i++)
        tokens[i] = (uint32_t)policy_prompt_tokens[i];
    order_tier(r);
    for (int y = 0; y < OUTCOMES; y++) {
        if ((int)(2 * outcome_reward(y) + .5) != level)
            continue;
        for (int i = 0; i < OUTCOME_LENGTH; i++)
            tokens[POLICY_PROMPT + i] = LETTER('a') + outcome_letter(y, i);
        order_row(r, tokens, ROW, POLICY_PROMPT);
    }
}

static void fill_ranking(struct order *r, size_t number, const void *unused)
{
    int low = (int)number / (RIGHT + WRONG);
    bool right = number % (RIGHT + WRONG) < RIGHT;

    (void)unused;
    add_level(r, right ? low + 1 : low);
    add_level(r, right ? low : low + 1);
}

static int ask_reference(struct id *out, struct testbed *t, const struct id *model,
    const struct id *examples, struct err *e)
{
    struct spec s;
    ReferenceTask k = REFERENCE_TASK__INIT;

    spec_start(&s, TASK_SPEC__KIND_REFERENCE);
    s.m.reference = &k;
    spec_input(&s, "model", *model);
    spec_input(&s, "examples", *examples);
    return spec_run_for(out, t, &s, "examples", e);
}

int prefer(struct id *checkpoint, struct testbed *t, double beta, const struct id *init,
    const struct id *reference, struct err *e)
{
    TrainTask k = letters_training(TRAIN_TASK__OBJECTIVE__DPO, RANKINGS, 1e-2);
    struct named_input first = { "init", *init }, data = { "examples", { { 0 } } };
    struct id rankings;
    int rc = rankings_write(&rankings, t, RANKINGS, fill_ranking, NULL, e);

    k.has_epochs = k.has_loss = k.has_beta = k.has_from_reference = true;
    k.from_reference = id_equal(init, reference);
    k.epochs = 200;
    k.loss = DPO_STAGE__LOSS__SIGMOID;
    k.beta = beta * 2 * M_LN2;
    if (rc == OK)
        rc = ask_reference(&data.id, t, reference, &rankings, e);
    return rc == OK ? letters_train(checkpoint, NULL, t, &k, &first, &data, e) : rc;
}
