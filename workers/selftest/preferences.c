#include "workers/selftest/preferences.h"

#include <math.h>
#include <string.h>

#include "store/records.h"

/* Outcomes of equal reward form a level; a level is half a point better than the one before. A
 * ranking says that all outcomes of a level are better than all of its neighbour: two are right for
 * each that is wrong. Those are Bradley and Terry's proportions exactly for rewards of which half a
 * point is worth log 2, so DPO with its beta times 2 log 2 has the optimum of rewards and beta as
 * they are. All rankings are one batch: no sampling noise. */
enum { LEVELS = 4, RIGHT = 2, WRONG = 1, ROW = POLICY_PROMPT + OUTCOME_LENGTH };

struct ranking {
    uint32_t tokens[OUTCOMES][ROW], answers[OUTCOMES];
    Example rows[OUTCOMES], *row_pointers[OUTCOMES];
    Tier tiers[2], *tier_pointers[2];
    RankingExample x;
};

static void add_outcome(struct ranking *r, int y)
{
    static uint8_t mask[ROW] = { [POLICY_PROMPT] = 1, 1, 1 };
    size_t n = r->x.n_rows++;

    for (int i = 0; i < POLICY_PROMPT; i++)
        r->tokens[n][i] = (uint32_t)policy_prompt_tokens[i];
    for (int i = 0; i < OUTCOME_LENGTH; i++)
        r->tokens[n][POLICY_PROMPT + i] = LETTER('a') + outcome_letter(y, i);
    example__init(&r->rows[n]);
    r->rows[n].tokens = r->tokens[n];
    r->rows[n].n_tokens = ROW;
    r->rows[n].has_loss = r->rows[n].has_prompt = true;
    r->rows[n].loss = (ProtobufCBinaryData){ sizeof mask, mask };
    r->rows[n].prompt = POLICY_PROMPT;
    r->row_pointers[n] = &r->rows[n];
    r->answers[n] = (uint32_t)n;
}

/* All outcomes of level `better` above all of level `worse`. */
static void ranking_make(struct ranking *r, const int level[2])
{
    ranking_example__init(&r->x);
    for (int k = 0; k < 2; k++) {
        size_t first = r->x.n_rows;
        for (int y = 0; y < OUTCOMES; y++)
            if ((int)(2 * outcome_reward(y) + .5) == level[k])
                add_outcome(r, y);
        tier__init(&r->tiers[k]);
        r->tiers[k].answers = r->answers + first;
        r->tiers[k].n_answers = r->x.n_rows - first;
        r->tier_pointers[k] = &r->tiers[k];
    }
    r->x.rows = r->row_pointers;
    r->x.tiers = r->tier_pointers;
    r->x.n_tiers = 2;
}

static int add_rankings(struct records_writer *w, struct err *e)
{
    static struct ranking r;
    int rc = OK;

    for (int low = 0; low + 1 < LEVELS; low++)
        for (int i = 0; i < RIGHT + WRONG && rc == OK; i++) {
            ranking_make(&r, i < RIGHT ? (int[]){ low + 1, low } : (int[]){ low, low + 1 });
            rc = records_add(w, &r.x.base, e);
        }
    return rc;
}

static int write_rankings(struct id *out, struct testbed *t, struct err *e)
{
    struct records_writer *w = NULL;
    Output *o = NULL;
    int rc = records_create(&w, t->store, ARTIFACT_KIND__RANKING_EXAMPLES, e);

    if (rc == OK)
        rc = add_rankings(w, e);
    if (rc == OK) {
        rc = records_commit(w, "examples", &o, e);
        w = NULL;
    }
    if (rc == OK)
        id_from_span(out, o->id.data, o->id.len);
    records_abort(w);
    message_free(o);
    return rc;
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
    TrainTask k =
        letters_training(TRAIN_TASK__OBJECTIVE__DPO, (LEVELS - 1) * (RIGHT + WRONG), 1e-2);
    struct named_input first = { "init", *init }, data = { "examples", { { 0 } } };
    struct id rankings;
    int rc = write_rankings(&rankings, t, e);

    k.has_epochs = k.has_loss = k.has_beta = k.has_from_reference = true;
    k.from_reference = id_equal(init, reference);
    k.epochs = 200;
    k.loss = DPO_STAGE__LOSS__SIGMOID;
    k.beta = beta * 2 * M_LN2;
    if (rc == OK)
        rc = ask_reference(&data.id, t, reference, &rankings, e);
    return rc == OK ? letters_train(checkpoint, NULL, t, &k, &first, &data, e) : rc;
}
