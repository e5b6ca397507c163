#ifndef TESTS_UNIT_ORCHESTRATOR_BENCH_H
#define TESTS_UNIT_ORCHESTRATOR_BENCH_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "orchestrator/scheduler.h"

/* A scheduler on the bench: events go in one by one, the actions of the last are kept. */
struct bench {
    struct sched *s;
    int64_t now;
    struct action acts[256];
    size_t n;
};

static inline struct bench *bench_new(void)
{
    struct bench *b = calloc(1, sizeof *b);
    struct err e = ERR_INIT;

    b->now = 1000;
    assert_int_equal(sched_new(&b->s, 7, &e), OK);
    return b;
}

static inline void bench_free(struct bench *b)
{
    sched_free(b->s);
    free(b);
}

static inline size_t feed(struct bench *b, struct event ev)
{
    const struct action *acts;

    b->n = sched_step(b->s, &ev, b->now, &acts);
    assert_true(b->n <= sizeof b->acts / sizeof *b->acts);
    memcpy(b->acts, acts, b->n * sizeof *acts);
    return b->n;
}

static inline size_t wait_for(struct bench *b, int64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        b->now += ms < 1000 ? ms : 1000;
        feed(b, (struct event){ .kind = EV_TICK });
        if (b->n > 0)
            break;
    }
    return b->n;
}

static inline const struct action *act(const struct bench *b, enum action_kind kind)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->acts[i].kind == kind)
            return &b->acts[i];
    return NULL;
}

static inline struct run *add_run(struct bench *b, const struct job_spec *jobs, size_t n)
{
    static uint64_t number;
    struct err e = ERR_INIT;
    struct run *r = NULL;

    assert_int_equal(sched_add_run(&r, b->s, ++number, jobs, n, &e), OK);
    return r;
}

static inline struct run *start_run(struct bench *b, const struct job_spec *jobs, size_t n)
{
    struct run *r = add_run(b, jobs, n);

    feed(b, (struct event){ .kind = EV_START, .run = r });
    return r;
}

static inline struct id name_of(uint32_t task)
{
    struct id id;

    sha256(&id, &task, sizeof task);
    return id;
}

/* The job's round is the tasks first, first + 1, …. */
static inline size_t unfold_into(struct bench *b, struct job *j, uint32_t first, uint32_t n)
{
    struct err e = ERR_INIT;

    for (uint32_t i = 0; i < n; i++) {
        struct task_spec spec = { .id = name_of(first + i) };
        assert_int_equal(sched_add_task(NULL, b->s, j, i, &spec, &e), OK);
    }
    return feed(b, (struct event){ .kind = EV_UNFOLDED, .job = j });
}

static inline struct worker *join(struct bench *b, const struct worker_spec *spec)
{
    static const struct worker_spec plain = { .memory = 1 << 30, .credit = 1 };
    struct err e = ERR_INIT;
    struct worker *w = NULL;

    assert_int_equal(sched_add_worker(&w, b->s, spec ? spec : &plain, b->now, &e), OK);
    feed(b, (struct event){ .kind = EV_INVENTORY, .worker = w });
    return w;
}

static inline struct task *task_named(const struct bench *b, uint32_t task)
{
    struct id id = name_of(task);

    return sched_task(b->s, &id);
}

static inline size_t report(
    struct bench *b, enum event_kind kind, struct worker *w, struct ref ref, Cause cause)
{
    return feed(b, (struct event){ .kind = kind, .worker = w, .ref = ref, .cause = cause });
}

#endif
