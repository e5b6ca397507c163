#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/log.h"
#include "workers/worker_int.h"

/* The attempt that runs:  start ─► (fetching) ─► computing ─► (pushing) ─► finished */

bool attempt_is(const AttemptRef *a, const AttemptRef *b)
{
    return a->attempt == b->attempt && a->epoch == b->epoch && a->task.len == b->task.len &&
           memcmp(a->task.data, b->task.data, a->task.len) == 0;
}

void attempt_end_child(struct worker *w)
{
    child_end(w->child);
    w->child = NULL;
    for (; w->n_sent > 0; w->n_sent--) { /* the next child gets them anew */
        struct waiting *last = &w->queue[w->n_sent - 1];
        if (!last->revoked)
            continue;
        message_free(last->a);
        memmove(last, last + 1, (--w->n_queue - (w->n_sent - 1)) * sizeof *last);
    }
}

static void running_free(struct worker *w)
{
    message_free(w->running);
    message_free(w->answer);
    w->running = NULL;
    w->answer = NULL;
    w->revoked = false;
}

void attempt_stop(struct worker *w)
{
    if (w->phase == COMPUTING)
        attempt_end_child(w);
    else
        courier_stop(w->courier);
    worker_send_lines(w);
    running_free(w);
}

/* Keeps a result (taking the answer or failure) and tells it. */
static void finish(struct worker *w, TaskAnswer *answer, Failure *failure)
{
    Envelope m = ENVELOPE__INIT;

    if (w->revoked) {
        message_free(answer);
        message_free(failure);
        running_free(w);
        return;
    }
    Result **more = realloc(w->finished, (w->n_finished + 1) * sizeof *more);
    Result *r = calloc(1, sizeof *r);

    if (!more || !r) {
        log_error("no memory for a result: stopping");
        exit(70);
    }
    result__init(r);
    r->attempt = w->running->attempt;
    w->running->attempt = NULL; /* moved */
    r->kind_case = answer ? RESULT__KIND_ANSWER : RESULT__KIND_FAILURE;
    if (answer)
        r->answer = answer;
    else
        r->failure = failure;
    w->finished = more;
    w->finished[w->n_finished++] = r;
    m.kind_case = ENVELOPE__KIND_RESULT;
    m.result = r;
    worker_post(w, &m);
    running_free(w);
}

void attempt_failed(struct worker *w, Failure *takes)
{
    worker_send_lines(w);
    finish(w, NULL, takes);
}

void attempt_fail(struct worker *w, Cause cause, const char *text)
{
    Failure *f = calloc(1, sizeof *f);

    if (!f)
        return;
    failure__init(f);
    f->has_cause = true;
    f->cause = cause;
    f->message = strdup(text);
    attempt_failed(w, f);
}

static const char *class_of(const Assignment *a)
{
    return a->spec->numeric_class ? a->spec->numeric_class : "";
}

static int threads_of(const struct worker *w, const Assignment *a)
{
    int most = w->threads, usual = w->o->share && w->o->share < most ? w->o->share : most;

    return a->threads == 0 ? usual : a->threads < (uint32_t)most ? (int)a->threads : most;
}

/* Its class and its threads are given to an executor when it starts. */
static bool child_suits(const struct worker *w, const Assignment *a)
{
    const char *class = class_of(a);

    return (!*class || strcmp(child_class(w->child), class) == 0) &&
           child_threads(w->child) == threads_of(w, a);
}

/* From now on it runs, and its time counts. */
static void began(struct worker *w, int64_t now)
{
    w->phase = COMPUTING;
    w->started = now;
    w->times_out = w->running->timeout > 0 ? now + (int64_t)(w->running->timeout * 1000) : 0;
    if (w->revoked)
        w->times_out = now + REVOKED_MS;
}

/* What follows goes into the executor's socket. */
static void send_ahead(struct worker *w)
{
    struct err e = ERR_INIT;

    while (
        !w->courier && w->child && w->running && w->n_sent < w->n_queue && w->n_sent < SENT_MAX) {
        const Assignment *a = w->queue[w->n_sent].a;
        if (!child_suits(w, a) || task_spec__get_packed_size(a->spec) > SENT_BYTES ||
            child_execute(w->child, a, &e) != OK)
            return;
        w->n_sent++;
    }
}

/* Gives what runs to an executor of its class. */
static void compute(struct worker *w, int64_t now)
{
    struct err e = ERR_INIT;
    int rc = OK;

    w->phase = COMPUTING;
    if (w->child && !child_suits(w, w->running))
        attempt_end_child(w);
    if (!w->child) {
        struct child_options o = { w->o->home, class_of(w->running), threads_of(w, w->running) };
        rc = child_spawn(&w->child, &o, &e);
    }
    if (rc == OK)
        rc = child_execute(w->child, w->running, &e);
    began(w, now);
    if (rc == E_INPUT)
        attempt_fail(w, CAUSE__BAD_INPUT, e.msg);
    else if (rc != OK)
        attempt_fail(w, CAUSE__CRASH, e.msg);
}

static void start(struct worker *w, int64_t now)
{
    struct err e = ERR_INIT;

    w->running = w->queue[0].a;
    w->revoked = w->queue[0].revoked;
    memmove(w->queue, w->queue + 1, --w->n_queue * sizeof *w->queue);
    w->times_out = 0;
    if (w->n_sent > 0) { /* the executor has it */
        w->n_sent--;
        began(w, now);
        return;
    }
    if (!w->courier) {
        compute(w, now);
        return;
    }
    w->phase = FETCHING;
    if (courier_fetch(w->courier, w->running->spec, &e) != OK) {
        w->phase = COMPUTING; /* there is no errand to end */
        attempt_fail(w, CAUSE__IO, e.msg);
    }
}

void attempt_start_next(struct worker *w, int64_t now)
{
    if (!w->running && w->n_queue > 0)
        start(w, now);
    send_ahead(w);
}

void attempt_computed(struct worker *w, Outcome *takes)
{
    struct err e = ERR_INIT;

    if (takes->kind_case != OUTCOME__KIND_ANSWER) {
        attempt_failed(w, takes->failure);
    } else if (!w->courier) {
        finish(w, takes->answer, NULL);
    } else {
        w->answer = takes->answer;
        w->times_out = 0;
        if (courier_push(w->courier, w->answer, &e) == OK)
            w->phase = PUSHING;
        else
            attempt_fail(w, CAUSE__IO, e.msg);
    }
    takes->kind_case = OUTCOME__KIND__NOT_SET; /* moved */
}

void attempt_carried(struct worker *w, int64_t now)
{
    struct err e = ERR_INIT;
    int rc = OK;

    if (!courier_done(w->courier, &rc, &e) || !w->running || w->phase == COMPUTING)
        return;
    if (rc != OK) {
        w->phase = COMPUTING;
        attempt_fail(w, CAUSE__IO, e.msg);
    } else if (w->phase == FETCHING) {
        compute(w, now);
    } else {
        TaskAnswer *answer = w->answer;
        w->answer = NULL;
        finish(w, answer, NULL);
    }
}
