#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "workers/math/pool.h"

#define TILES_MAX 1000

struct tally {
    size_t tiles;
    int done[TILES_MAX]; /* plain: a tile has one thread, and the end of a run orders the rest */
};

static void count(void *ctx, size_t tile)
{
    struct tally *t = ctx;

    if (tile < t->tiles)
        t->done[tile]++;
}

static void run_and_check(struct pool *p, struct tally *t, size_t tiles)
{
    memset(t, 0, sizeof *t);
    t->tiles = tiles;
    pool_run(p, tiles, count, t);
    for (size_t i = 0; i < TILES_MAX; i++)
        assert_int_equal(t->done[i], i < tiles);
}

static void every_tile_is_worked_on_once(void **state)
{
    static const size_t tiles[] = { 0, 1, 2, 3, 7, 8, 64, 999 };
    static struct tally t;
    (void)state;

    for (int threads = 1; threads <= 4; threads++) {
        struct pool *p;
        struct err e = ERR_INIT;
        assert_int_equal(pool_new(&p, threads, &e), OK);
        assert_int_equal(pool_threads(p), threads);
        for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++)
            run_and_check(p, &t, tiles[i]);
        pool_free(p);
    }
    pool_free(NULL);
}

static void thousands_of_short_runs_follow_each_other(void **state)
{
    struct tally t = { .tiles = TILES_MAX };
    struct pool *p;
    struct err e = ERR_INIT;
    (void)state;

    assert_int_equal(pool_new(&p, 3, &e), OK);
    for (int run = 1; run <= 5000; run++) {
        pool_run(p, 5, count, &t);
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(t.done[i], run);
    }
    pool_free(p);
}

/* Long enough for idle helpers to fall asleep, without a clock. */
static void dawdle(void)
{
    static atomic_uint sink;

    for (unsigned i = 0; i < 300000; i++)
        atomic_fetch_add_explicit(&sink, i, memory_order_relaxed);
}

static void helpers_that_fell_asleep_are_woken(void **state)
{
    static struct tally t;
    struct pool *p;
    struct err e = ERR_INIT;
    (void)state;

    assert_int_equal(pool_new(&p, 4, &e), OK);
    for (int run = 0; run < 20; run++) {
        dawdle();
        run_and_check(p, &t, 40);
    }
    pool_free(p);
}

static void slow(void *ctx, size_t tile)
{
    dawdle();
    count(ctx, tile);
}

static void the_caller_waits_for_helpers_at_work(void **state)
{
    struct tally t = { .tiles = TILES_MAX };
    struct pool *p;
    struct err e = ERR_INIT;
    (void)state;

    assert_int_equal(pool_new(&p, 3, &e), OK);
    for (int run = 1; run <= 20; run++) {
        pool_run(p, 4, slow, &t);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(t.done[i], run);
    }
    pool_free(p);
}

static void *one_of_many(void *arg)
{
    struct tally *t = arg;
    struct pool *p;
    struct err e = ERR_INIT;

    if (pool_new(&p, 3, &e) != OK)
        return arg;
    for (int run = 0; run < 500; run++)
        pool_run(p, 7, count, t);
    pool_free(p);
    return NULL;
}

static void pools_side_by_side_on_few_cores_all_finish(void **state)
{
    enum { POOLS = 4 };
    static struct tally t[POOLS];
    pthread_t threads[POOLS];
    (void)state;

    for (int i = 0; i < POOLS; i++) {
        t[i].tiles = TILES_MAX;
        assert_int_equal(pthread_create(&threads[i], NULL, one_of_many, &t[i]), 0);
    }
    for (int i = 0; i < POOLS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
        for (size_t tile = 0; tile < 7; tile++)
            assert_int_equal(t[i].done[tile], 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tile_is_worked_on_once),
        cmocka_unit_test(thousands_of_short_runs_follow_each_other),
        cmocka_unit_test(helpers_that_fell_asleep_are_woken),
        cmocka_unit_test(the_caller_waits_for_helpers_at_work),
        cmocka_unit_test(pools_side_by_side_on_few_cores_all_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
