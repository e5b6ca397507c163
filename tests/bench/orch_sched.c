#include "tests/bench/orch.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/scheduler.h"

/* The scheduler alone, in virtual time: every task takes a second or so, every worker beats each
 * second and says what it runs. */

#define SECOND 1000

struct due { /* an attempt that ends, or (attempt 0) a heartbeat */
    int64_t at;
    struct worker *worker;
    struct ref ref;
};

struct play {
    struct sched *s;
    struct due *heap;
    size_t n, cap;
    size_t answered;
    uint32_t random;
    double spent; /* in the scheduler */
};

static void due_add(struct play *p, struct due d)
{
    size_t i = p->n++;

    for (; i > 0 && d.at < p->heap[(i - 1) / 2].at; i = (i - 1) / 2)
        p->heap[i] = p->heap[(i - 1) / 2];
    p->heap[i] = d;
}

static struct due due_take(struct play *p)
{
    struct due first = p->heap[0], last = p->heap[--p->n];
    size_t i = 0;

    for (size_t k = 1; k < p->n; k = 2 * i + 1) {
        k += k + 1 < p->n && p->heap[k + 1].at < p->heap[k].at;
        if (p->heap[k].at >= last.at)
            break;
        p->heap[i] = p->heap[k];
        i = k;
    }
    p->heap[i] = last;
    return first;
}

static int64_t later(struct play *p, int64_t now)
{
    p->random = p->random * 1664525u + 1013904223u;
    return now + SECOND / 2 + p->random % SECOND;
}

static void feed(struct play *p, struct event ev, int64_t now)
{
    const struct action *acts;
    double began = seconds();
    size_t n = sched_step(p->s, &ev, now, &acts);

    p->spent += seconds() - began;
    for (size_t i = 0; i < n; i++)
        if (acts[i].kind == ACT_ASSIGN)
            due_add(p, (struct due){ later(p, now), acts[i].worker, acts[i].ref });
}

static int fill(struct play *p, size_t workers, size_t tasks, struct err *e)
{
    const struct job_spec spec = { .retries = 3 };
    struct run *run = NULL;
    int rc = sched_new(&p->s, 1, e);

    p->heap = malloc((2 * workers + 16) * sizeof *p->heap);
    if (rc == OK && !p->heap)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK)
        rc = sched_add_run(&run, p->s, 1, &spec, 1, e);
    if (rc != OK)
        return rc;
    feed(p, (struct event){ .kind = EV_START, .run = run }, SECOND);
    p->spent = 0;
    double began = seconds();
    for (uint32_t i = 0; i < tasks && rc == OK; i++) {
        struct task_spec t = { .id = { { 0 } } };
        sha256(&t.id, &i, sizeof i);
        rc = sched_add_task(NULL, p->s, &run->jobs[0], i, &t, e);
    }
    p->spent += seconds() - began;
    if (rc == OK)
        feed(p, (struct event){ .kind = EV_UNFOLDED, .job = &run->jobs[0] }, SECOND);
    for (size_t i = 0; i < workers && rc == OK; i++) {
        struct worker_spec w = { .credit = 1 };
        struct worker *one;
        rc = sched_add_worker(&one, p->s, &w, SECOND, e);
        if (rc != OK)
            break;
        feed(p, (struct event){ .kind = EV_INVENTORY, .worker = one }, SECOND);
        due_add(p, (struct due){ .at = SECOND + (int64_t)(i % SECOND), .worker = one });
    }
    return rc;
}

/* Seconds in the scheduler for each task. */
static int play(double *out, size_t workers, size_t tasks, struct err *e)
{
    struct play p = { .random = 1 };
    int rc = fill(&p, workers, tasks, e);

    while (rc == OK && p.answered < tasks && p.n > 0) {
        struct due d = due_take(&p);
        if (d.ref.attempt == 0) {
            feed(&p, (struct event){ .kind = EV_INVENTORY, .worker = d.worker }, d.at);
            d.at += SECOND;
            due_add(&p, d);
            continue;
        }
        p.answered++;
        feed(&p, (struct event){ .kind = EV_ANSWER, .worker = d.worker, .ref = d.ref }, d.at);
        feed(&p, (struct event){ .kind = EV_TICK }, d.at); /* as each turn of the loop has one */
        (void)sched_wait_ms(p.s, d.at);
    }
    sched_free(p.s);
    free(p.heap);
    *out = p.spent / (double)tasks;
    return rc;
}

int sched_row(struct orch *o, struct figure *f, struct err *e)
{
    size_t tasks = o->quick ? 100000 : 1000000;
    double each = 0;
    int rc = play(&each, 10000, tasks, e);

    f->value = 1e6 * each;
    snprintf(f->note, sizeof f->note, "10000 workers, %zu tasks, simulated", tasks);
    return rc;
}

int sched_growth_row(struct orch *o, struct figure *f, struct err *e)
{
    size_t tasks = o->quick ? 100000 : 1000000;
    double few = 1, many = 0;
    int rc = play(&few, 1000, tasks, e);

    if (rc == OK)
        rc = play(&many, 10000, tasks, e);
    f->value = many / few;
    snprintf(f->note, sizeof f->note, "that time, of what it is with 1000 workers");
    return rc;
}
