#ifndef TESTS_UNIT_PIPELINES_ROUNDS_H
#define TESTS_UNIT_PIPELINES_ROUNDS_H

#include "given.h"
#include "proto/task.h"

/* Jobs unfolded without workers: every output that a task would have is made up. The 32 bytes of
 * an id hold a readable name, so that a task's inputs can be read. */

struct world {
    const struct plan_job *job;
    Output *items[256];
    struct slots slots;
    uint32_t segments; /* of training, until there is a checkpoint */
};

static inline Output *made_up(const char *slot, const char *id, ArtifactKind kind)
{
    Output *o = malloc(sizeof *o);

    output__init(o);
    o->name = strdup(slot);
    o->id.len = 32;
    o->id.data = calloc(1, 33);
    memcpy(o->id.data, id, strlen(id) < 32 ? strlen(id) : 32);
    o->has_id = o->has_kind = 1;
    o->kind = kind;
    return o;
}

static inline void put(struct world *w, const char *slot, const char *id, ArtifactKind kind)
{
    size_t i = 0;

    while (i < w->slots.n && strcmp(w->items[i]->name, slot) != 0)
        i++;
    if (i == w->slots.n)
        assert_true(w->slots.n++ < 256);
    else
        message_free(w->items[i]);
    w->items[i] = made_up(slot, id, kind);
    w->slots.items = w->items;
}

/* As the orchestrator names bound inputs. */
static inline void put_inputs(struct world *w, const struct plan_job *job)
{
    for (size_t i = 0; i < job->n_bindings; i++) {
        const struct binding *b = &job->bindings[i];
        size_t before = 0, all = 0;
        char slot[64], id[64];
        for (size_t k = 0; k < job->n_bindings; k++) {
            bool same = strcmp(job->bindings[k].port, b->port) == 0;
            before += same && k < i;
            all += same;
        }
        snprintf(slot, sizeof slot, all > 1 ? "in.%s.%zu" : "in.%s", b->port, before);
        snprintf(
            id, sizeof id, "%s%s%s", b->name, b->output ? "." : "", b->output ? b->output : "");
        put(w, slot, id, ARTIFACT_KIND__FILES);
    }
}

static inline void world_end(struct world *w)
{
    for (size_t i = 0; i < w->slots.n; i++)
        message_free(w->items[i]);
    *w = (struct world){ 0 };
}

/* NAME=kind(input:id …) */
static inline void write_task(struct buf *b, const char *name, const TaskSpec *t)
{
    buf_printf(b, "%s%s%s(", name, name[0] ? "=" : "", message_kind(&t->base));
    for (size_t i = 0; i < t->n_inputs; i++)
        buf_printf(
            b, "%s%s:%.32s", i ? " " : "", t->inputs[i]->name, (const char *)t->inputs[i]->id.data);
    buf_printf(b, ")\n");
}

static const struct {
    TaskSpec__KindCase kind;
    ArtifactKind artifact;
    const char *output;
} results[] = {
    { TASK_SPEC__KIND_TOKENIZER, ARTIFACT_KIND__TOKENIZER, "tokenizer" },
    { TASK_SPEC__KIND_GENERATE, ARTIFACT_KIND__ANSWERS, "answers" },
    { TASK_SPEC__KIND_JOIN, ARTIFACT_KIND__ANSWERS, "answers" },
    { TASK_SPEC__KIND_RANK, ARTIFACT_KIND__RANKINGS, "rankings" },
    { TASK_SPEC__KIND_CALIBRATE, ARTIFACT_KIND__CHECKPOINT, "checkpoint" },
    { TASK_SPEC__KIND_ROLLOUT, ARTIFACT_KIND__EXPERIENCE, "experience" },
    { TASK_SPEC__KIND_SCORE, ARTIFACT_KIND__SCORES, "scores" },
    { TASK_SPEC__KIND_REPORT, ARTIFACT_KIND__REPORT, "report" },
    { TASK_SPEC__KIND_IMPORT, ARTIFACT_KIND__CHECKPOINT, "checkpoint" },
    { TASK_SPEC__KIND_REFERENCE, ARTIFACT_KIND__RANKING_EXAMPLES, "examples" },
};

static inline void answer_with(
    struct world *w, const char *name, const char *output, ArtifactKind kind, uint32_t round)
{
    char slot[64], id[80];

    snprintf(slot, sizeof slot, "%s%s%s", name, name[0] ? "." : "", output);
    snprintf(id, sizeof id, "%s@%u", slot, round);
    put(w, slot, id, kind);
}

static inline void answer(struct world *w, const char *name, const TaskSpec *t, uint32_t round)
{
    bool text = t->kind_case == TASK_SPEC__KIND_ENCODE && t->encode->as == ENCODE_AS__AS_TEXT;

    if (t->kind_case == TASK_SPEC__KIND_TRAIN) {
        bool last = --w->segments == 0;
        answer_with(w, name, last ? "checkpoint" : "state",
            last ? ARTIFACT_KIND__CHECKPOINT : ARTIFACT_KIND__TRAINING_STATE, round);
    } else if (text) {
        answer_with(w, name, "tokens", ARTIFACT_KIND__TOKENS, round);
        answer_with(w, name, "held_out", ARTIFACT_KIND__TOKENS, round);
    } else if (t->kind_case == TASK_SPEC__KIND_ENCODE) {
        answer_with(w, name, "examples", ARTIFACT_KIND__EXAMPLES, round);
    }
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i].kind == t->kind_case)
            answer_with(w, name, results[i].output, results[i].artifact, round);
}

/* Unfolds a job to its end: each round's tasks, then its outputs. */
static inline char *unfolded(const struct plan_job *job, uint32_t segments)
{
    struct world w = { .job = job, .segments = segments };
    struct buf b = { 0 };
    struct unfolding u;
    struct err e = ERR_INIT;

    put_inputs(&w, job);
    for (uint32_t round = 0;; round++) {
        assert_true(round < 32);
        if (unfold(&u, job, &w.slots, round, "some/class", &e) != OK)
            fail_msg("%s", e.msg);
        if (u.what != UNFOLD_TASKS)
            break;
        buf_printf(&b, "%u\n", round);
        for (size_t i = 0; i < u.n_tasks; i++)
            write_task(&b, u.names[i], u.tasks[i]);
        for (size_t i = 0; i < u.n_tasks; i++)
            answer(&w, u.names[i], u.tasks[i], round);
        unfolding_free(&u);
    }
    if (u.what == UNFOLD_PEOPLE)
        buf_printf(&b, "people %u\n", u.wanted);
    for (size_t i = 0; i < u.n_outputs; i++)
        buf_printf(&b, "%s = %.32s\n", u.outputs[i]->name, (const char *)u.outputs[i]->id.data);
    unfolding_free(&u);
    world_end(&w);
    return b.p;
}

#endif
