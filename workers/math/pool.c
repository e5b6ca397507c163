#include "workers/math/pool.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* INVARIANTS
 * (1) `state` holds the job's number, whether it is open, and how many helpers are inside it.
 * (2) A helper enters only an open job; work, ctx and tiles change only while the job is closed
 *     and nobody is inside. So the caller waits for helpers at work, never for ones asleep.
 * (3) Whoever sleeps has announced it in `sleepers` (or waits in pool_run) before a last look at
 *     `state`; whoever changes `state` looks at that afterwards: no wake-up is lost. */
#define OPEN ((uint64_t)1 << 31)
#define JOB ((uint64_t)1 << 32)
#define INSIDE(state) ((state) & (OPEN - 1))

#define SPINS 1000 /* some 20 us, about what sleeping and waking costs */

struct pool {
    int threads;
    int started; /* helpers to be joined */
    pthread_t *helpers;
    void (*work)(void *ctx, size_t tile);
    void *ctx;
    size_t tiles;
    _Alignas(64) _Atomic uint64_t state;
    _Alignas(64) atomic_size_t next; /* tile */
    _Alignas(64) atomic_int sleepers;
    atomic_bool caller_waits, stop;
    pthread_mutex_t lock;
    pthread_cond_t job_opened, job_left;
};

static void spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work_on_tiles(struct pool *p)
{
    size_t tile;

    while ((tile = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->tiles)
        p->work(p->ctx, tile);
}

/* Whether there is a job other than `last` to enter, or the end. */
static int called(struct pool *p, uint64_t last)
{
    uint64_t state = atomic_load(&p->state);

    return ((state & OPEN) != 0 && state / JOB != last) || atomic_load(&p->stop);
}

static void wait_for_job(struct pool *p, uint64_t last)
{
    for (int i = 0; i < SPINS; i++) {
        if (called(p, last))
            return;
        spin_pause();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (!called(p, last))
        pthread_cond_wait(&p->job_opened, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

static void leave(struct pool *p)
{
    uint64_t state = atomic_fetch_sub(&p->state, 1) - 1;

    if (INSIDE(state) != 0 || (state & OPEN) != 0 || !atomic_load(&p->caller_waits))
        return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->job_left);
    pthread_mutex_unlock(&p->lock);
}

static void *helper(void *arg)
{
    struct pool *p = arg;
    uint64_t last = 0;

    while (!atomic_load(&p->stop)) {
        uint64_t state = atomic_load(&p->state);
        if ((state & OPEN) == 0 || state / JOB == last) {
            wait_for_job(p, last);
        } else if (atomic_compare_exchange_weak(&p->state, &state, state + 1)) {
            last = state / JOB;
            work_on_tiles(p);
            leave(p);
        }
    }
    return NULL;
}

static void open_job(struct pool *p)
{
    uint64_t state = atomic_load(&p->state);

    assert((state & OPEN) == 0 && INSIDE(state) == 0);
    atomic_store(&p->next, 0);
    atomic_store(&p->state, (state / JOB + 1) * JOB | OPEN);
    int wake = atomic_load(&p->sleepers);
    if (wake == 0)
        return;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 1; i < p->tiles && wake > 0; i++, wake--)
        pthread_cond_signal(&p->job_opened);
    pthread_mutex_unlock(&p->lock);
}

static void close_job(struct pool *p)
{
    atomic_fetch_and(&p->state, ~OPEN);
    for (int i = 0; i < SPINS; i++) {
        if (INSIDE(atomic_load(&p->state)) == 0)
            return;
        spin_pause();
    }
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_waits, true);
    while (INSIDE(atomic_load(&p->state)) != 0)
        pthread_cond_wait(&p->job_left, &p->lock);
    atomic_store(&p->caller_waits, false);
    pthread_mutex_unlock(&p->lock);
}

void pool_run(struct pool *p, size_t tiles, void (*work)(void *ctx, size_t tile), void *ctx)
{
    if (tiles <= 1 || p->started == 0) {
        for (size_t tile = 0; tile < tiles; tile++)
            work(ctx, tile);
        return;
    }
    p->work = work;
    p->ctx = ctx;
    p->tiles = tiles;
    open_job(p);
    work_on_tiles(p);
    close_job(p);
}

/* Signals are the caller's: helpers block them all. */
static int start_helpers(struct pool *p, struct err *e)
{
    sigset_t all, before;
    int rc = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (p->started < p->threads - 1 && rc == 0) {
        rc = pthread_create(&p->helpers[p->started], NULL, helper, p);
        if (rc == 0)
            p->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return err_set(e, E_NOMEM, "cannot start thread %d of %d: %s", p->started + 2, p->threads,
            strerror(rc));
    return OK;
}

int pool_new(struct pool **out, int threads, struct err *e)
{
    assert(threads >= 1);
    struct pool *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
    pthread_t *helpers = calloc((size_t)threads, sizeof *helpers);

    if (p == NULL || helpers == NULL) {
        free(p);
        free(helpers);
        return err_set(e, E_NOMEM, "no memory for %d threads", threads);
    }
    memset(p, 0, sizeof *p);
    p->threads = threads;
    p->helpers = helpers;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->job_opened, NULL);
    pthread_cond_init(&p->job_left, NULL);
    int rc = start_helpers(p, e);
    if (rc != OK) {
        pool_free(p);
        return rc;
    }
    *out = p;
    return OK;
}

void pool_free(struct pool *p)
{
    if (p == NULL)
        return;
    atomic_store(&p->stop, true);
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->job_opened);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->helpers[i], NULL);
    pthread_cond_destroy(&p->job_left);
    pthread_cond_destroy(&p->job_opened);
    pthread_mutex_destroy(&p->lock);
    free(p->helpers);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p->threads;
}
