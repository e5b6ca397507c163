#include "tests/bench/orch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/wire.h"

int shared_open(struct shared **out, const char *home, bool make, struct err *e)
{
    char path[300];
    void *p = MAP_FAILED;

    snprintf(path, sizeof path, "%s/bench.shared", home);
    int fd = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
    if (fd >= 0 && (!make || ftruncate(fd, sizeof **out) == 0))
        p = mmap(NULL, sizeof **out, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (p == MAP_FAILED)
        return err_errno(e, "'%s'", path);
    *out = p;
    return OK;
}

void shared_close(struct shared *s)
{
    if (s)
        munmap(s, sizeof *s);
}

/* ---- the executor that does nothing ---- */

#define OUTPUTS 2

static struct id *pool_of(struct shared *s, const TaskSpec *spec, int64_t *step)
{
    struct id *found = &s->pool[0];

    *step = 0;
    for (size_t i = 0; i < spec->n_inputs; i++)
        for (size_t k = 1; strcmp(spec->inputs[i]->name, "state") == 0 && k < POOL; k++)
            if (memcmp(spec->inputs[i]->id.data, s->pool[k].b, sizeof s->pool[k].b) == 0) {
                *step = (int64_t)k;
                found = &s->pool[k];
            }
    return found;
}

/* What the task would have put into the store, by name. */
static size_t name_outputs(struct shared *s, const TaskSpec *spec, Output o[OUTPUTS], Fact *step)
{
    int64_t before;
    struct id *id = pool_of(s, spec, &before);
    const char *names[OUTPUTS] = { "output", NULL };

    if (spec->kind_case == TASK_SPEC__KIND_TOKENIZER)
        names[0] = "tokenizer";
    if (spec->kind_case == TASK_SPEC__KIND_ENCODE) {
        names[0] = "tokens";
        names[1] = "held_out";
    }
    if (spec->kind_case == TASK_SPEC__KIND_TRAIN) {
        step->value = before + spec->train->segment;
        names[0] = step->value < spec->train->steps ? "state" : "checkpoint";
        id = &s->pool[step->value % POOL];
    }
    for (size_t i = 0; i < OUTPUTS; i++) {
        output__init(&o[i]);
        o[i].name = (char *)(uintptr_t)names[i];
        o[i].has_id = o[i].has_kind = true;
        o[i].id = (ProtobufCBinaryData){ sizeof id->b, id->b };
        o[i].kind = ARTIFACT_KIND__TOKENS; /* no link of a chain: they stay in the store */
    }
    return names[1] ? 2 : 1;
}

static int answer(struct shared *s, const Execute *k, struct err *e)
{
    Envelope m = ENVELOPE__INIT;
    Outcome outcome = OUTCOME__INIT;
    TaskAnswer a = TASK_ANSWER__INIT;
    Fact step = FACT__INIT, *facts[] = { &step };
    Output outputs[OUTPUTS], *items[OUTPUTS] = { &outputs[0], &outputs[1] };

    if (atomic_load(&s->epoch) != k->attempt->epoch) {
        atomic_store(&s->epoch, k->attempt->epoch);
        atomic_store(&s->changed, seconds());
    }
    while (atomic_load(&s->hold))
        usleep(500);
    atomic_fetch_add(&s->executed, 1);
    step.name = "step";
    step.has_value = true;
    a.n_outputs = name_outputs(s, k->spec, outputs, &step);
    a.outputs = items;
    outputs[0].facts = facts;
    outputs[0].n_facts = k->spec->kind_case == TASK_SPEC__KIND_TRAIN;
    outcome.kind_case = OUTCOME__KIND_ANSWER;
    outcome.answer = &a;
    m.kind_case = ENVELOPE__KIND_OUTCOME;
    m.outcome = &outcome;
    return wire_write(3, &m, e);
}

int noop_executor(const char *home)
{
    struct shared *s = NULL;
    struct err e = ERR_INIT;
    int rc = shared_open(&s, home, false, &e);

    while (rc == OK) {
        Envelope *m = NULL;
        rc = wire_read(&m, 3, &e);
        if (rc != OK || !m)
            break;
        rc = answer(s, m->execute, &e);
        message_free(m);
    }
    shared_close(s);
    if (rc != OK)
        fprintf(stderr, "executor: %s\n", e.msg);
    return rc == OK ? 0 : 1;
}
