#include "tests/simulation/sim_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/field.h"
#include "pipelines/pipeline.h"

/* How a world begins and ends, and what a test does to it. */

/* ---- beginning and end ---- */

static void take_inputs(struct sim *s)
{
    struct err e = ERR_INIT;

    s->submit->inputs = calloc(s->submit->pipeline->n_inputs, sizeof *s->submit->inputs);
    assert(s->submit->inputs);
    for (size_t i = 0; i < s->submit->pipeline->n_inputs; i++) {
        TakenInput *t = malloc(sizeof *t);
        const char *name = s->submit->pipeline->inputs[i]->name;
        struct id id;
        assert(t);
        taken_input__init(t);
        t->artifact = malloc(sizeof *t->artifact);
        assert(t->artifact && field_text(&t->name, name, &e) == OK);
        output__init(t->artifact);
        sha256(&id, name, strlen(name));
        artifacts_add(&id);
        t->artifact->has_id = t->artifact->has_kind = true;
        t->artifact->kind = ARTIFACT_KIND__FILES;
        assert(field_bytes(&t->artifact->id, &id, &e) == OK);
        assert(field_text(&t->artifact->name, name, &e) == OK);
        s->submit->inputs[s->submit->n_inputs++] = t;
    }
}

static void load(struct sim *s, const char *pipeline)
{
    const char *root = getenv("JIELONG_SOURCE");
    struct setting settings[4];
    struct diags *d = diags_new();
    struct buf text = { 0 };
    struct err e = ERR_INIT;
    char path[4096], parts[4][128];
    size_t n = 0;

    for (; n < 4 && s->opts.set[n]; n++) {
        snprintf(parts[n], sizeof parts[n], "%s", s->opts.set[n]);
        char *equals = strchr(parts[n], '=');
        assert(equals);
        *equals = '\0';
        settings[n] = (struct setting){ parts[n], equals + 1 };
    }
    snprintf(path, sizeof path, "%s/tests/simulation/%s", root ? root : ".", pipeline);
    if (pipeline_load(&s->submit, path, settings, n, d, &e) != OK) {
        diags_print(d, &text);
        fprintf(stderr, "%s%s\n", text.p ? text.p : "", e.msg);
        abort();
    }
    diags_free(d);
    take_inputs(s);
    sim_must(plan_make(&s->plan, s->submit, &e), &e);
}

struct sim *sim_start(const char *pipeline, struct sim_opts o)
{
    struct sim *s = calloc(1, sizeof *s);

    assert(s && o.workers <= WORKERS_MAX);
    s->opts = o;
    s->random = o.seed * 0x2545f4914f6cdd1dull + 1;
    s->now = 1000;
    s->trace = getenv("SIM_TRACE") != NULL;
    disk_wipe();
    artifacts_wipe();
    check_wipe();
    pretend_forget();
    load(s, pipeline);
    sim_orchestrator_starts(s);
    for (int i = 0; i < o.workers; i++) {
        s->workers[i].index = i;
        sim_plan(
            s, (struct happening){
                   .at = s->now + sim_between(s, 1, 300), .kind = WORKER_STARTS, .worker = i });
    }
    sim_plan(s, (struct happening){ .at = s->now + 10, .kind = CLIENT_ASKS });
    sim_plan(s, (struct happening){ .at = s->now + SECOND, .kind = FAULTS });
    return s;
}

void sim_end(struct sim *s)
{
    orchestrator_close(s->o);
    while (s->n_heap > 0) {
        struct happening h = sim_take_first(s);
        buf_free(&h.frame);
    }
    for (int i = 0; i < s->opts.workers; i++)
        worker_free(&s->workers[i]);
    plan_free(s->plan);
    message_free(s->submit);
    buf_free(&s->told);
    id_set_free(&s->audits);
    free(s->heap);
    free(s);
    disk_wipe();
    artifacts_wipe();
}

/* ---- what a test does to it ---- */

static struct fake_worker *holder(struct sim *s, const char *job)
{
    for (int i = 0; i < s->opts.workers; i++) {
        struct fake_worker *w = &s->workers[i];
        for (size_t k = 0; k < w->n_held; k++)
            if (!strcmp(strchr(w->held[k].label, '/') + 1, job))
                return w;
    }
    return NULL;
}

static bool is_leased(struct sim *s, const void *job)
{
    return holder(s, job) != NULL;
}

bool sim_run_until_leased(struct sim *s, const char *job, int64_t ms)
{
    return sim_run_until(s, ms, is_leased, job);
}

struct beginnings {
    int job, n;
};

static bool has_begun(struct sim *s, const void *what)
{
    const struct beginnings *b = what;

    return s->executions[b->job] >= b->n;
}

bool sim_run_until_executions(struct sim *s, const char *job, int n, int64_t ms)
{
    struct beginnings b = { sim_job(s, job), n };

    return sim_run_until(s, ms, has_begun, &b);
}

int sim_holder_of(struct sim *s, const char *job)
{
    const struct fake_worker *w = holder(s, job);

    return w ? w->index + 1 : 0;
}

void sim_kill_holder_of(struct sim *s, const char *job)
{
    struct fake_worker *w = holder(s, job);

    assert(w);
    worker_stop(s, w, false);
    sim_plan(
        s, (struct happening){
               .at = s->now + SECOND, .kind = WORKER_STARTS, .worker = w->index, .life = w->life });
}

void sim_cut_off_holder_of(struct sim *s, const char *job, int64_t ms)
{
    struct fake_worker *w = holder(s, job);

    assert(w);
    w->cut_until = s->now + ms;
}

void sim_fail_attempt_of(struct sim *s, const char *job, int cause)
{
    struct fake_worker *w = holder(s, job);

    assert(w);
    w->held[0].fails = (Cause)cause;
    struct ref ref = w->held[0].ref;
    worker_ends(s, w, &ref);
}

void sim_lose_result_of(struct sim *s, const char *job)
{
    struct fake_worker *w = holder(s, job);

    assert(w);
    w->held[0].vanishes = true;
}

void sim_answer_twice(struct sim *s, const char *job, const char *output)
{
    struct fake_worker *w = holder(s, job);

    assert(w);
    s->lied = true;
    worker_answers_early(s, w, output);
    struct ref ref = w->held[0].ref;
    worker_ends(s, w, &ref);
}

void sim_kill_orchestrator(struct sim *s, int64_t down_ms)
{
    assert(s->o);
    s->down_ms = down_ms;
    s->crashes = true;
    sim_end_turn(s);
}

static void ask(struct sim *s, Envelope *m)
{
    struct happening h = {
        .kind = AT_ORCHESTRATOR, .worker = -1, .peer = { .n = 1 }, .at = s->now + 1
    };
    struct err e = ERR_INIT;

    sim_must(wire_encode(&h.frame, m, &e), &e);
    sim_plan(s, h);
}

static void control(struct sim *s, Control__Verb verb, const char *job, const char *worker)
{
    Envelope m = ENVELOPE__INIT;
    Control c = CONTROL__INIT;

    c.has_verb = true;
    c.verb = verb;
    c.run = "tiny-1";
    c.job = (char *)job;
    c.worker = (char *)worker;
    m.kind_case = ENVELOPE__KIND_CONTROL;
    m.control = &c;
    ask(s, &m);
}

void sim_cancel(struct sim *s, const char *job)
{
    s->cancelled = true;
    control(s, CONTROL__VERB__CANCEL, job, NULL);
}

void sim_pause(struct sim *s, const char *job)
{
    control(s, CONTROL__VERB__PAUSE, job, NULL);
}

void sim_resume(struct sim *s, const char *job)
{
    control(s, CONTROL__VERB__RESUME, job, NULL);
}

void sim_drain(struct sim *s, const char *worker)
{
    control(s, CONTROL__VERB__DRAIN, NULL, worker);
}

void sim_submit_again(struct sim *s)
{
    s->opts.runs = s->submitted + 1;
    sim_client_asks(s);
}

void sim_label(struct sim *s, const char *job, int rankings)
{
    Envelope m = ENVELOPE__INIT;
    Labels l = LABELS__INIT;
    Ranking r = RANKING__INIT, *all[64];

    assert(rankings <= 64);
    r.source = "page";
    for (int i = 0; i < rankings; i++)
        all[i] = &r;
    l.run = "tiny-1";
    l.job = (char *)job;
    l.rankings = all;
    l.n_rankings = (size_t)rankings;
    m.kind_case = ENVELOPE__KIND_LABELS;
    m.labels = &l;
    ask(s, &m);
}
