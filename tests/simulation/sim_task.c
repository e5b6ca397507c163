#include "tests/simulation/sim_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "proto/task.h"

/* Pretended tasks: an output's id is the hash of the spec and the output's name, so equal specs
 * give equal answers and a chain that differs anywhere differs at its end. Training states know
 * their step, as the real ones do. */

static struct {
    struct id id;
    int64_t step;
} states[8192];
static size_t n_states;

void pretend_forget(void)
{
    n_states = 0;
}

static int64_t step_of(const struct id *id)
{
    for (size_t i = 0; i < n_states; i++)
        if (id_equal(&states[i].id, id))
            return states[i].step;
    return 0;
}

static void add_fact(Output *o, const char *name, int64_t value)
{
    struct err e = ERR_INIT;
    Fact *f = malloc(sizeof *f);

    assert(f);
    fact__init(f);
    f->has_value = true;
    f->value = value;
    assert(field_text(&f->name, name, &e) == OK);
    o->facts = field_grow(o->facts, o->n_facts, sizeof *o->facts, &e);
    assert(o->facts);
    o->facts[o->n_facts++] = f;
}

void pretended_id(struct id *out, const struct id *task, const char *output)
{
    char text[ID_HEX + 80];

    id_hex(text, task);
    snprintf(text + ID_HEX - 1, 80, " %s", output);
    sha256(out, text, strlen(text));
}

static Output *add(TaskAnswer *a, const struct id *spec, const char *name, ArtifactKind kind)
{
    struct err e = ERR_INIT;
    Output *o = malloc(sizeof *o);
    struct id id;

    assert(o);
    output__init(o);
    pretended_id(&id, spec, name);
    artifacts_add(&id);
    check_made(&id);
    o->has_id = o->has_kind = true;
    o->kind = kind;
    assert(field_text(&o->name, name, &e) == OK && field_bytes(&o->id, &id, &e) == OK);
    a->outputs = field_grow(a->outputs, a->n_outputs, sizeof *a->outputs, &e);
    assert(a->outputs);
    a->outputs[a->n_outputs++] = o;
    add_fact(o, "records", 24);
    return o;
}

static int64_t total_of(const TrainTask *t)
{
    if (t->rl)
        return t->rl->iterations;
    return t->steps > 0 ? t->steps : 5 * (int64_t)t->epochs;
}

static void train(TaskAnswer *a, const TaskSpec *spec, const struct id *id)
{
    int64_t total = total_of(spec->train), segment = spec->train->segment;
    struct id state;
    int64_t step = task_inputs(spec, "state", &state, 1) == 1 ? step_of(&state) : 0;
    Output *o;

    if (spec->train->rl)
        segment = 1;
    step = segment > 0 && step + segment < total ? step + segment : total;
    o = step < total ? add(a, id, "state", ARTIFACT_KIND__TRAINING_STATE)
                     : add(a, id, "checkpoint", ARTIFACT_KIND__CHECKPOINT);
    add_fact(o, "step", step);
    add_fact(o, "total", total);
    assert(
        n_states < sizeof states / sizeof *states && id_from_span(&state, o->id.data, o->id.len));
    states[n_states].id = state;
    states[n_states++].step = step;
}

static void encode(TaskAnswer *a, const EncodeTask *t, const struct id *id)
{
    if (t->as == ENCODE_AS__AS_TEXT) {
        add(a, id, "tokens", ARTIFACT_KIND__TOKENS);
        add(a, id, "held_out", ARTIFACT_KIND__TOKENS);
    } else {
        add(a, id, "examples",
            t->as == ENCODE_AS__AS_RANKINGS ? ARTIFACT_KIND__RANKING_EXAMPLES
                                            : ARTIFACT_KIND__EXAMPLES);
    }
}

static const struct {
    TaskSpec__KindCase kind;
    const char *output;
    ArtifactKind of;
    int64_t ms;
} rows[] = {
    { TASK_SPEC__KIND_TOKENIZER, "tokenizer", ARTIFACT_KIND__TOKENIZER, 1500 },
    { TASK_SPEC__KIND_ENCODE, NULL, 0, 400 },
    { TASK_SPEC__KIND_TRAIN, NULL, 0, 3000 },
    { TASK_SPEC__KIND_GENERATE, "answers", ARTIFACT_KIND__ANSWERS, 1000 },
    { TASK_SPEC__KIND_JOIN, "answers", ARTIFACT_KIND__ANSWERS, 50 },
    { TASK_SPEC__KIND_RANK, "rankings", ARTIFACT_KIND__RANKINGS, 50 },
    { TASK_SPEC__KIND_CALIBRATE, "checkpoint", ARTIFACT_KIND__CHECKPOINT, 500 },
    { TASK_SPEC__KIND_ROLLOUT, "experience", ARTIFACT_KIND__EXPERIENCE, 900 },
    { TASK_SPEC__KIND_SCORE, "scores", ARTIFACT_KIND__SCORES, 800 },
    { TASK_SPEC__KIND_REPORT, "report", ARTIFACT_KIND__REPORT, 50 },
    { TASK_SPEC__KIND_REFERENCE, "examples", ARTIFACT_KIND__RANKING_EXAMPLES, 300 },
};

int64_t pretended_ms(const TaskSpec *spec)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].kind == spec->kind_case)
            return rows[i].ms;
    assert(!"a task of no known kind");
    return 0;
}

TaskAnswer *pretend(const TaskSpec *spec)
{
    struct err e = ERR_INIT;
    TaskAnswer *a = malloc(sizeof *a);
    struct id id;

    assert(a && message_id(&id, &spec->base, &e) == OK);
    task_answer__init(a);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].kind == spec->kind_case && rows[i].output)
            add(a, &id, rows[i].output, rows[i].of);
    if (spec->kind_case == TASK_SPEC__KIND_TRAIN)
        train(a, spec, &id);
    if (spec->kind_case == TASK_SPEC__KIND_ENCODE)
        encode(a, spec->encode, &id);
    assert(a->n_outputs > 0);
    return a;
}
