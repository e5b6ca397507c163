#include "pipelines/unfold_int.h"

/*   pretrain       text ─┬─ encode ─┬─ train ── state ── train ── … ── checkpoint
 *                        └─ encode ─┘
 *   sft            demonstrations ── encode ─┬─ train ── state ── … ── checkpoint
 *                  text, as in pretrain ─────┤
 *                  what chooses an epoch ────┘
 *   reward_model   rankings ── encode ── train ── state ── … ── checkpoint ── calibrate
 *   dpo            rankings ── encode ── reference ── train ── state ── … ── checkpoint
 *
 * A segment takes the state to a further one, or, with the last step, to a checkpoint. */

int round_train(struct round *r, TaskSpec **out, TrainTask__Objective objective, uint32_t segment,
    const char *const *first)
{
    bool goes_on = round_has(r, "state");
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_TRAIN, "%s", "");

    if (rc != OK)
        return rc;
    t->train->has_objective = t->train->has_segment = 1;
    t->train->objective = objective;
    t->train->segment = segment;
    if (goes_on) { /* the state knows its model */
        message_free(t->train->model);
        t->train->model = NULL;
        rc = round_input(r, t, "state", "state");
    }
    for (; (!goes_on || t->train->lora) && *first && rc == OK; first++)
        rc = round_bound(r, t, *first, *first);
    if (rc == OK)
        *out = t;
    return rc;
}

/* Every round of training, which begins with round `first`, is to leave a state or a checkpoint
 * behind. */
static int check_progress(struct round *r, uint32_t first)
{
    if (r->number > first && !round_has(r, "state"))
        return err_set(r->e, E_INVARIANT, "training gave neither a state nor a checkpoint");
    return OK;
}

int unfold_pretrain(struct round *r)
{
    static const char *const first[] = { "tokenizer", NULL };
    TaskSpec *t;
    int rc;

    if (round_has(r, "checkpoint"))
        return round_model(r, "checkpoint");
    if (r->number == 0)
        return round_encode_text(r);
    rc = check_progress(r, 1);
    if (rc == OK)
        rc = round_train(
            r, &t, TRAIN_TASK__OBJECTIVE__LM, r->job->stage->pretrain->checkpoint_every, first);
    return rc == OK ? round_tokens(r, t) : rc;
}

/* People's data → rows, as the model that is trained has its context and its template. */
static int encode_examples(struct round *r, EncodeAs as, const char *port)
{
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_ENCODE, "%s", "");

    if (rc != OK)
        return rc;
    t->encode->has_as = 1;
    t->encode->as = as;
    rc = round_bound(r, t, "model", "init");
    return rc == OK ? round_bound(r, t, port, port) : rc;
}

static int train_on_examples(
    struct round *r, TaskSpec **out, TrainTask__Objective objective, uint32_t segment)
{
    static const char *const first[] = { "init", NULL };
    int rc = check_progress(r, 1);

    if (rc == OK)
        rc = round_train(r, out, objective, segment, first);
    return rc == OK ? round_input(r, *out, "examples", "examples") : rc;
}

int unfold_sft(struct round *r)
{
    TaskSpec *t;
    int rc;

    if (round_has(r, "checkpoint"))
        return round_model(r, "checkpoint");
    if (r->number == 0) {
        rc = encode_examples(r, ENCODE_AS__AS_DEMONSTRATIONS, "demonstrations");
        return rc == OK ? round_encode_text(r) : rc;
    }
    rc = train_on_examples(
        r, &t, TRAIN_TASK__OBJECTIVE__ANSWERS, r->job->stage->sft->checkpoint_every);
    if (rc == OK)
        rc = round_bound(r, t, "reward_model", "reward_model");
    if (rc == OK)
        rc = round_bound(r, t, "prompts", "prompts");
    return rc == OK ? round_tokens(r, t) : rc;
}

/* Its bias is set on demonstrations, else on the best answers of the rankings. */
static int calibrate(struct round *r)
{
    const char *port = round_ports(r, "demonstrations") > 0 ? "demonstrations" : "rankings";
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_CALIBRATE, "calibrated");

    if (rc == OK)
        rc = round_input(r, t, "model", "checkpoint");
    if (rc == OK)
        rc = round_bound(r, t, port, port);
    return rc == OK ? round_input(r, t, "examples", "examples") : rc;
}

int unfold_reward_model(struct round *r)
{
    TaskSpec *t;

    if (round_has(r, "calibrated.checkpoint"))
        return round_model(r, "calibrated.checkpoint");
    if (round_has(r, "checkpoint"))
        return calibrate(r);
    if (r->number == 0)
        return encode_examples(r, ENCODE_AS__AS_RANKINGS, "rankings");
    return train_on_examples(
        r, &t, TRAIN_TASK__OBJECTIVE__RANKING, r->job->stage->reward_model->checkpoint_every);
}

static int ask_reference(struct round *r)
{
    TaskSpec *t;
    int rc = round_task(r, &t, TASK_SPEC__KIND_REFERENCE, "compared");

    if (rc == OK)
        rc = round_bound(r, t, "model", "init");
    return rc == OK ? round_input(r, t, "examples", "examples") : rc;
}

int unfold_dpo(struct round *r)
{
    static const char *const first[] = { "init", NULL };
    TaskSpec *t;
    int rc;

    if (round_has(r, "checkpoint"))
        return round_model(r, "checkpoint");
    if (r->number == 0)
        return encode_examples(r, ENCODE_AS__AS_RANKINGS, "rankings");
    if (r->number == 1)
        return ask_reference(r);
    rc = check_progress(r, 2);
    if (rc == OK)
        rc = round_train(
            r, &t, TRAIN_TASK__OBJECTIVE__DPO, r->job->stage->dpo->checkpoint_every, first);
    if (rc == OK)
        t->train->has_from_reference = t->train->from_reference = true;
    return rc == OK ? round_input(r, t, "examples", "compared.examples") : rc;
}
