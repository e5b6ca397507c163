/* Whatever pipeline a stranger submits is refused, or all of its jobs can begin. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/plan.h"

#define SLOTS_MAX 64
#define ROUNDS 3

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* Artifacts for a job's first inputs; that the others are missing must be no more than an error. */
struct made_up {
    Output outputs[SLOTS_MAX], *items[SLOTS_MAX];
    char names[SLOTS_MAX][64];
    uint8_t id[32];
    struct slots slots;
};

static void make_up(struct made_up *m, const char *name)
{
    Output *o = &m->outputs[m->slots.n];

    if (m->slots.n == SLOTS_MAX)
        return;
    snprintf(m->names[m->slots.n], sizeof m->names[0], "%s", name);
    output__init(o);
    o->name = m->names[m->slots.n];
    o->id = (ProtobufCBinaryData){ sizeof m->id, m->id };
    m->items[m->slots.n++] = o;
}

static void make_up_inputs(struct made_up *m, const struct plan_job *job)
{
    *m = (struct made_up){ .slots = { .items = m->items } };
    for (size_t i = 0; i < job->n_bindings; i++) {
        size_t before = 0, all = 0;
        char name[64];
        for (size_t k = 0; k < job->n_bindings; k++) {
            bool same = strcmp(job->bindings[k].port, job->bindings[i].port) == 0;
            before += same && k < i;
            all += same;
        }
        snprintf(name, sizeof name, all > 1 ? "in.%s.%zu" : "in.%s", job->bindings[i].port, before);
        make_up(m, name);
    }
}

static void begin(const struct plan_job *job)
{
    static const char *const results[] = { "state", "examples", "tokens.0.tokens", "part.0.answers",
        "experience.0.experience", "score.0.0.scores" };
    struct unfolding u = { 0 };
    struct err e = ERR_INIT;
    struct made_up m;
    struct id key;
    int rc;

    make_up_inputs(&m, job);
    rc = job_key(&key, job, &m.slots, "class", &e);
    must(rc == OK || (rc == E_MISSING && m.slots.n == SLOTS_MAX));
    for (uint32_t round = 0; round < ROUNDS; round++) {
        rc = unfold(&u, job, &m.slots, round, "class", &e);
        must(rc == OK || e.msg[0] != '\0');
        must(round > 0 || rc == OK || m.slots.n == SLOTS_MAX);
        if (rc == OK)
            unfolding_free(&u);
        for (size_t i = 0; round == 0 && i < sizeof results / sizeof *results; i++)
            make_up(&m, results[i]);
    }
}

static void check_order(const struct plan *p)
{
    for (size_t i = 0; i < p->n_jobs; i++)
        for (size_t k = 0; k < p->jobs[i].n_after; k++)
            must(p->jobs[i].after[k] < i);
}

/* Fields that no message has are refused at the edge (proto/wire.h); some cannot be copied. */
static bool is_whole(const Submit *s)
{
    ProtobufCMessage *copy = NULL;
    struct err e = ERR_INIT;
    bool whole = message_copy(&copy, &s->base, &e) == OK;

    message_free(copy);
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = ERR_INIT;
    Submit *s = NULL;
    struct plan *plan = NULL;

    if (message_unpack((ProtobufCMessage **)&s, &submit__descriptor, p, n, &e) != OK)
        return 0;
    if (!is_whole(s)) {
        message_free(s);
        return 0;
    }
    if (plan_make(&plan, s, &e) == OK) {
        check_order(plan);
        for (size_t i = 0; i < plan->n_jobs; i++)
            begin(&plan->jobs[i]);
    } else {
        must(!plan && e.code == E_INPUT);
    }
    plan_free(plan);
    message_free(s);
    return 0;
}
