#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/simulation/sim.h"

/* Many histories at once. SIM_SEED=n replays one of them, SIM_TRACE=1 tells it; SIM_SEEDS=n runs so
 * many, from SIM_SEED on. */

#define SEEDS 2000

static char *undisturbed(void)
{
    struct sim *s = sim_start("tiny.yaml", (struct sim_opts){ .workers = 1, .seed = 1 });

    assert_true(sim_run_until_done(s, 10 * MINUTE));
    char *results = sim_results(s);
    sim_end(s);
    return results;
}

static struct sim_opts history(uint64_t seed)
{
    double rough = (double)(seed % 4) / 2; /* 0, 0.5, 1, 1.5 */

    return (struct sim_opts){
        .seed = seed,
        .workers = seed % 100 == 50 ? 200 : 1 + (int)(seed % 5),
        .worker_dies = 0.02 * rough,
        .worker_leaves = 0.005 * rough,
        .worker_is_cut_off = 0.01 * rough,
        .worker_stalls = seed % 2 ? 0.01 * rough : 0,
        .network_splits = seed % 4 == 3 ? 0.02 : 0,
        .journal_fails = seed % 3 == 2 ? 0.02 * rough : 0,
        .disk_slow = seed % 5 == 2 ? 0.05 : 0,
        .orchestrator_dies = 0.03 * rough,
        .lost = 0.02 * (double)(seed % 3),
        .doubled = 0.02 * (double)(seed % 3),
        .late = seed % 2 ? 0.05 : 0,
        .babble = seed % 3 ? 0.1 : 0,
        .attempt_fails = seed % 5 == 0 ? 0.1 : 0.02,
        .quick = seed % 3 == 1,
        .calm = 4 * MINUTE,
        .runs = 1 + (int)(seed % 7 == 0),
        .set = { seed % 3 == 2 ? "audit=0.4" : NULL },
    };
}

static bool goes_well(uint64_t seed, const char *results, struct sim_tally *all)
{
    struct sim *s = sim_start("tiny.yaml", history(seed));
    bool done = sim_run_until_done(s, 40 * MINUTE);
    char *state = sim_run_state(s, 1), *got = sim_results(s);
    bool well = done && !strcmp(state, "done") && got && !strcmp(got, results);

    if (!well)
        print_message("seed %llu: %s, run %s after %.0f s\n", (unsigned long long)seed,
            done ? "other results" : "not done", state, (double)sim_now(s) / 1000);
    struct sim_tally t = sim_tally(s);
    all->worker_deaths += t.worker_deaths;
    all->cuts += t.cuts;
    all->stalls += t.stalls;
    all->journal_failures += t.journal_failures;
    all->orchestrator_deaths += t.orchestrator_deaths;
    all->messages += t.messages;
    all->lost += t.lost;
    free(state);
    free(got);
    sim_end(s);
    return well;
}

static void results_are_the_same_whatever_happens(void **unused)
{
    const char *one = getenv("SIM_SEED");
    const char *many = getenv("SIM_SEEDS");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1, bad = 0;
    uint64_t n = many ? strtoull(many, NULL, 10) : one ? 1 : SEEDS;
    char *results = undisturbed();
    struct sim_tally all = { 0 };
    clock_t began = clock();

    (void)unused;
    for (uint64_t seed = first; seed < first + n; seed++)
        bad += !goes_well(seed, results, &all);
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    print_message(
        "%llu seeds, %.0f a second: %d workers and %d orchestrators died (%d by a failed commit), "
        "%d workers were cut off and %d stopped for a while, %d of %d messages were lost\n",
        (unsigned long long)n, (double)n / seconds, all.worker_deaths, all.orchestrator_deaths,
        all.journal_failures, all.cuts, all.stalls, all.lost, all.messages);
    free(results);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_the_same_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
