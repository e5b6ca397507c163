#include "tests/simulation/sim_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pretended worker. It keeps the protocol as workers/worker.c does: Hello until welcome, a
 * heartbeat each second, results told again in every Hello until acknowledged, everything stopped
 * when nothing was heard for the deadline. */

static void drop_held(struct fake_worker *w, size_t i)
{
    message_free(w->held[i].spec);
    free(w->held[i].label);
    memmove(&w->held[i], &w->held[i + 1], (--w->n_held - i) * sizeof *w->held);
}

void worker_free(struct fake_worker *w)
{
    while (w->n_held > 0)
        drop_held(w, 0);
    while (w->n_finished > 0)
        message_free(w->finished[--w->n_finished]);
}

/* ---- saying ---- */

static void fill_ref(AttemptRef *a, const struct ref *r)
{
    attempt_ref__init(a);
    a->has_task = a->has_attempt = a->has_epoch = true;
    a->task = (ProtobufCBinaryData){ sizeof r->task.b, (uint8_t *)r->task.b };
    a->attempt = r->attempt;
    a->epoch = r->epoch;
}

static void say_hello(struct sim *s, struct fake_worker *w)
{
    static char *classes[] = { "blas-a", "blas-b" };
    Envelope m = ENVELOPE__INIT;
    Hello h = HELLO__INIT;
    AttemptRef refs[HELD_MAX], *running[HELD_MAX];
    char name[16];

    snprintf(name, sizeof name, "w%d", w->index + 1);
    h.worker = w->id;
    h.name = name;
    h.host = "simulated";
    h.has_cores = h.has_memory = true;
    if (s->opts.label && w->index == s->opts.workers - 1) {
        h.labels = (char **)(uintptr_t)&s->opts.label;
        h.n_labels = 1;
    }
    h.cores = 2;
    h.memory = 8ull << 30;
    h.numeric_classes = classes;
    h.n_numeric_classes = 2;
    for (size_t i = 0; i < w->n_held; i++) {
        fill_ref(&refs[i], &w->held[i].ref);
        running[i] = &refs[i];
    }
    h.running = running;
    h.n_running = w->n_held;
    h.finished = w->finished;
    h.n_finished = w->n_finished;
    m.kind_case = ENVELOPE__KIND_HELLO;
    m.hello = &h;
    sim_post(s, w, &m);
}

static void say_beat(struct sim *s, struct fake_worker *w)
{
    Envelope m = ENVELOPE__INIT;
    Heartbeat h = HEARTBEAT__INIT;
    AttemptRef refs[HELD_MAX], *running[HELD_MAX];

    for (size_t i = 0; i < w->n_held; i++) {
        fill_ref(&refs[i], &w->held[i].ref);
        running[i] = &refs[i];
    }
    h.running = running;
    h.n_running = w->n_held;
    m.kind_case = ENVELOPE__KIND_HEARTBEAT;
    m.heartbeat = &h;
    sim_post(s, w, &m);
}

static void say_progress(struct sim *s, struct fake_worker *w)
{
    Envelope m = ENVELOPE__INIT;
    Progress p = PROGRESS__INIT;
    AttemptRef ref;
    Metric loss = METRIC__INIT, *metrics[] = { &loss };

    if (w->n_held == 0)
        return;
    fill_ref(&ref, &w->held[0].ref);
    loss.name = "loss";
    loss.has_value = true;
    loss.value = 2.5;
    p.attempt = &ref;
    p.has_done = p.has_total = true;
    p.done = 1;
    p.total = 2;
    p.metrics = metrics;
    p.n_metrics = 1;
    m.kind_case = ENVELOPE__KIND_PROGRESS;
    m.progress = &p;
    sim_post(s, w, &m);
}

static void say_lines(struct sim *s, struct fake_worker *w)
{
    Envelope m = ENVELOPE__INIT;
    LogLines l = LOG_LINES__INIT;
    AttemptRef ref;
    char *lines[] = { "one line", "another line" };

    if (w->n_held == 0)
        return;
    fill_ref(&ref, &w->held[0].ref);
    l.attempt = &ref;
    l.lines = lines;
    l.n_lines = 2;
    m.kind_case = ENVELOPE__KIND_LOG_LINES;
    m.log_lines = &l;
    sim_post(s, w, &m);
}

void worker_beat(struct sim *s, struct fake_worker *w)
{
    if (w->welcome && s->now - w->heard > DEADLINE_MS) {
        while (w->n_held > 0)
            drop_held(w, 0);
        w->welcome = false;
    }
    if (!w->welcome) {
        say_hello(s, w);
    } else {
        say_beat(s, w);
        say_progress(s, w);
        say_lines(s, w);
    }
    sim_plan(
        s, (struct happening){
               .at = s->now + HEARTBEAT_MS, .kind = BEAT, .worker = w->index, .life = w->life });
}

void worker_start(struct sim *s, struct fake_worker *w)
{
    w->up = true;
    w->welcome = false;
    w->life++;
    w->peer = sim_new_peer(s);
    w->heard = s->now;
    w->cut_until = w->stalled_until = s->now;
    snprintf(w->id, sizeof w->id, "worker-%d-life-%llu", w->index, (unsigned long long)w->life);
    worker_beat(s, w);
}

void worker_stop(struct sim *s, struct fake_worker *w, bool goodbye)
{
    Envelope m = ENVELOPE__INIT;
    Goodbye bye = GOODBYE__INIT;

    m.kind_case = ENVELOPE__KIND_GOODBYE;
    m.goodbye = &bye;
    if (goodbye && w->welcome)
        sim_post(s, w, &m);
    worker_free(w);
    w->up = false;
    w->life++;
}

/* ---- attempts ---- */

static void begin_next(struct sim *s, struct fake_worker *w)
{
    struct held *h = &w->held[0];
    static const Cause causes[] = { CAUSE__CRASH, CAUSE__OUT_OF_MEMORY, CAUSE__IO };
    int64_t ms;

    if (w->n_held == 0 || h->begun)
        return;
    h->begun = true;
    check_begin(s, w, h);
    ms = pretended_ms(h->spec) * sim_between(s, 50, 150) / (s->opts.quick ? 5000 : 100);
    ms = ms > 0 ? ms : 1;
    if (s->now < s->opts.calm && sim_chance(s) < s->opts.attempt_fails) {
        h->fails = causes[sim_between(s, 0, 2)];
        ms = sim_between(s, 1, ms);
    }
    s->executions[sim_job(s, strchr(h->label, '/') + 1)]++;
    sim_plan(s, (struct happening){ .at = s->now + ms,
                    .kind = ATTEMPT_ENDS,
                    .worker = w->index,
                    .life = w->life,
                    .ref = h->ref });
}

static void forget_outputs(const TaskAnswer *a)
{
    struct id id;

    for (size_t i = 0; i < a->n_outputs; i++)
        if (id_from_span(&id, a->outputs[i]->id.data, a->outputs[i]->id.len))
            artifacts_remove(&id);
}

static void falsify(TaskAnswer *a)
{
    a->outputs[0]->id.data[0] ^= 1; /* one bit */
    artifacts_add((const struct id *)a->outputs[0]->id.data);
}

static Result *result_of(const struct sim *s, const struct fake_worker *w, const struct held *h)
{
    struct err e = ERR_INIT;
    Result r = RESULT__INIT, *copy = NULL;
    Failure f = FAILURE__INIT;
    AttemptRef ref;
    TaskAnswer *answer = h->fails ? NULL : pretend(h->spec);

    if (answer && w->index + 1 == s->opts.liar)
        falsify(answer);
    fill_ref(&ref, &h->ref);
    r.attempt = &ref;
    f.has_cause = true;
    f.cause = h->fails;
    f.message = "as the simulation would have it";
    r.kind_case = answer ? RESULT__KIND_ANSWER : RESULT__KIND_FAILURE;
    if (answer)
        r.answer = answer;
    else
        r.failure = &f;
    assert(message_copy((ProtobufCMessage **)&copy, &r.base, &e) == OK);
    if (answer && h->vanishes)
        forget_outputs(answer);
    message_free(answer);
    return copy;
}

static bool same(const struct ref *a, const AttemptRef *b)
{
    return b->attempt == a->attempt && b->epoch == a->epoch &&
           !memcmp(b->task.data, a->task.b, sizeof a->task.b);
}

void worker_answers_early(struct sim *s, struct fake_worker *w, const char *output)
{
    Envelope m = ENVELOPE__INIT;
    Result *r = result_of(s, w, &w->held[0]);

    assert(r->kind_case == RESULT__KIND_ANSWER);
    sha256((struct id *)r->answer->outputs[0]->id.data, output, strlen(output));
    artifacts_add((const struct id *)r->answer->outputs[0]->id.data);
    m.kind_case = ENVELOPE__KIND_RESULT;
    m.result = r;
    sim_post(s, w, &m);
    message_free(r);
}

void worker_ends(struct sim *s, struct fake_worker *w, const struct ref *ref)
{
    Envelope m = ENVELOPE__INIT;
    const struct held *h = &w->held[0];

    if (w->n_held == 0 || !h->begun || h->ref.attempt != ref->attempt ||
        h->ref.epoch != ref->epoch || !id_equal(&h->ref.task, &ref->task))
        return; /* it was stopped meanwhile */
    assert(w->n_finished < FINISHED_MAX);
    w->finished[w->n_finished] = result_of(s, w, h);
    m.kind_case = ENVELOPE__KIND_RESULT;
    m.result = w->finished[w->n_finished++];
    drop_held(w, 0);
    sim_post(s, w, &m);
    begin_next(s, w);
}

/* ---- hearing ---- */

static bool same_attempt(const AttemptRef *a, const AttemptRef *b)
{
    return a->attempt == b->attempt && a->epoch == b->epoch &&
           !memcmp(a->task.data, b->task.data, sizeof(struct id));
}

/* It has a name of its own, not its specification's. */
static void note_audit(struct sim *s, const struct held *h)
{
    struct err e = ERR_INIT;
    struct id own;

    assert(message_id(&own, &h->spec->base, &e) == OK);
    if (id_equal(&own, &h->ref.task))
        return;
    assert(id_set_add(&s->audits, &h->ref.task, &e) == OK);
    id_set_sort(&s->audits);
}

static void take(struct sim *s, struct fake_worker *w, const Assign *a)
{
    struct err e = ERR_INIT;

    for (size_t i = 0; i < a->n_assignments; i++) {
        const Assignment *x = a->assignments[i];
        bool known = false;
        for (size_t k = 0; k < w->n_held; k++)
            known = known || same(&w->held[k].ref, x->attempt);
        for (size_t k = 0; k < w->n_finished; k++) /* a doubled letter: one acknowledgement would
                                                      be for both results */
            known = known || same_attempt(w->finished[k]->attempt, x->attempt);
        if (known || w->n_held == HELD_MAX)
            continue;
        struct held *h = &w->held[w->n_held++];
        *h = (struct held){ .ref.attempt = x->attempt->attempt, .ref.epoch = x->attempt->epoch };
        assert(id_from_span(&h->ref.task, x->attempt->task.data, x->attempt->task.len));
        h->label = strdup(x->label);
        assert(message_copy((ProtobufCMessage **)&h->spec, &x->spec->base, &e) == OK);
        note_audit(s, h);
    }
    begin_next(s, w);
}

static void revoke(struct sim *s, struct fake_worker *w, const Revoke *r)
{
    for (size_t i = 0; i < r->n_attempts; i++)
        for (size_t k = w->n_held; k-- > 0;)
            if (same(&w->held[k].ref, r->attempts[i]))
                drop_held(w, k);
    begin_next(s, w);
}

static void acknowledged(struct fake_worker *w, const ResultAck *a)
{
    for (size_t i = 0; i < a->n_attempts; i++)
        for (size_t k = w->n_finished; k-- > 0;) {
            const AttemptRef *r = w->finished[k]->attempt;
            if (r->attempt != a->attempts[i]->attempt || r->epoch != a->attempts[i]->epoch ||
                memcmp(r->task.data, a->attempts[i]->task.data, 32))
                continue;
            message_free(w->finished[k]);
            w->finished[k] = w->finished[--w->n_finished];
        }
}

void worker_hears(struct sim *s, struct fake_worker *w, const Envelope *m)
{
    w->heard = s->now;
    if (m->kind_case == ENVELOPE__KIND_WELCOME)
        w->welcome = true;
    else if (m->kind_case == ENVELOPE__KIND_CHALLENGE)
        say_hello(s, w);
    else if (m->kind_case == ENVELOPE__KIND_ASSIGN)
        take(s, w, m->assign);
    else if (m->kind_case == ENVELOPE__KIND_REVOKE)
        revoke(s, w, m->revoke);
    else if (m->kind_case == ENVELOPE__KIND_RESULT_ACK)
        acknowledged(w, m->result_ack);
    else
        assert(m->kind_case == ENVELOPE__KIND_HEARTBEAT_ACK ||
               m->kind_case == ENVELOPE__KIND_DRAIN); /* it stays, and gets nothing */
}

/* ---- babble ---- */

/* Somebody's attempt, perhaps with another number or epoch. */
static struct ref stolen_ref(struct sim *s, const struct fake_worker *w)
{
    struct ref r = { .attempt = 1, .epoch = (uint64_t)sim_between(s, 0, 1000) };
    const struct fake_worker *victim = &s->workers[sim_between(s, 0, s->opts.workers - 1)];

    sha256(&r.task, &r.epoch, sizeof r.epoch);
    if (victim == w || victim->n_held == 0 || sim_chance(s) < 0.2)
        return r;
    r = victim->held[0].ref;
    r.attempt += (uint32_t)sim_between(s, 0, 1);
    r.epoch -= r.epoch > 0 && sim_chance(s) < 0.3;
    return r;
}

static void false_failure(Envelope *m, Result *r, Failure *f, AttemptRef *ref, Cause cause)
{
    f->has_cause = true;
    f->cause = cause;
    r->attempt = ref;
    r->kind_case = RESULT__KIND_FAILURE;
    r->failure = f;
    m->kind_case = ENVELOPE__KIND_RESULT;
    m->result = r;
}

void worker_babbles(struct sim *s, struct fake_worker *w)
{
    Envelope m = ENVELOPE__INIT;
    Result r = RESULT__INIT;
    Failure f = FAILURE__INIT;
    Heartbeat h = HEARTBEAT__INIT;
    Progress p = PROGRESS__INIT;
    Drain d = DRAIN__INIT;
    AttemptRef ref, *running[] = { &ref };
    struct ref stolen = stolen_ref(s, w);

    fill_ref(&ref, &stolen);
    switch (sim_between(s, 0, 4)) {
    case 0:
        false_failure(&m, &r, &f, &ref, CAUSE__BAD_INPUT);
        break;
    case 1:
        false_failure(&m, &r, &f, &ref, CAUSE__LOST);
        break;
    case 2:
        h.running = running;
        h.n_running = 1;
        m.kind_case = ENVELOPE__KIND_HEARTBEAT;
        m.heartbeat = &h;
        break;
    case 3:
        p.attempt = &ref;
        m.kind_case = ENVELOPE__KIND_PROGRESS;
        m.progress = &p;
        break;
    default:
        m.kind_case = ENVELOPE__KIND_DRAIN;
        m.drain = &d;
    }
    sim_post(s, w, &m);
}
