#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/tasks/memory.h"

static void a_network_needs_weights_gradients_and_two_moments(void **state)
{
    ModelConfig c = MODEL_CONFIG__INIT;
    struct memory_need n = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    c.vocab_size = 512;
    assert_int_equal(model_config_check(&c, &e), OK);
    memory_add_network(&n, &c);
    assert_int_equal(n.weights, 4 * model_floats(&c));
    assert_int_equal(n.gradients, n.weights);
    assert_int_equal(n.moments, 2 * n.weights);
    assert_int_equal(memory_total(&n), 16 * model_floats(&c));
}

static void what_does_not_fit_is_told_in_numbers(void **state)
{
    const uint64_t mib = 1 << 20;
    struct memory_need n = { .weights = 10 * mib,
        .gradients = 20 * mib,
        .moments = 30 * mib,
        .activations = 40 * mib,
        .batch = 2 * mib,
        .other = 1 * mib,
        .process = 2 * mib };
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(memory_check(&n, 105 * mib, &e), OK);
    assert_int_equal(memory_check(&n, 0, &e), OK);
    assert_int_equal(memory_check(&n, 104 * mib, &e), E_TOO_LARGE);
    assert_string_equal(e.msg,
        "training needs 105.0 MiB of memory (weights 10.0, gradients 20.0, moments 30.0, "
        "activations 40.0, batch 2.0, other 1.0, the process itself 2.0) but 104.0 MiB is all "
        "there is");

    struct memory_need import = { .what = "importing", .files = 3 * mib, .weights = 6 * mib };
    assert_int_equal(memory_check(&import, 8 * mib, &e), E_TOO_LARGE);
    assert_string_equal(e.msg,
        "importing needs 9.0 MiB of memory (files 3.0, weights 6.0) but 8.0 MiB is all there is");
}

/* A cache and scores take turns; models and packed weights stay. */
static void of_work_that_follows_work_the_largest_counts(void **state)
{
    const uint64_t mib = 1 << 20;
    struct memory_need n = { .what = "a rollout", .weights = 3 * mib, .packed = 2 * mib };
    struct err e = ERR_INIT;

    (void)state;
    memory_add_work(&n, 4 * mib, 0, 1 * mib);
    memory_add_work(&n, 0, 3 * mib, 1 * mib);
    n.kept = 7 * mib;
    assert_int_equal(memory_total(&n), 17 * mib);
    assert_int_equal(memory_check(&n, 17 * mib, &e), OK);
    assert_int_equal(memory_check(&n, 16 * mib, &e), E_TOO_LARGE);
    assert_string_equal(e.msg,
        "a rollout needs 17.0 MiB of memory (weights 3.0, batch 1.0, packed weights 2.0, cache "
        "4.0, kept of tasks before 7.0) but 16.0 MiB is all there is");
    memory_add_work(&n, 0, 6 * mib, 1 * mib);
    assert_int_equal(memory_total(&n), 19 * mib);
}

/* Two models lie there while one is made of the other: that counts where it is more than all that
 * comes later. */
static void a_model_that_is_remade_counts_twice_while_it_is(void **state)
{
    const uint64_t mib = 1 << 20;
    struct memory_need n = { .process = 1 * mib };
    struct err e = ERR_INIT;

    (void)state;
    memory_add_loading(&n, 20 * mib);
    assert_int_equal(memory_total(&n), 21 * mib);
    n.weights = 17 * mib;
    n.gradients = n.moments = 1 * mib;
    assert_int_equal(memory_total(&n), 21 * mib);
    assert_int_equal(memory_check(&n, 20 * mib, &e), E_TOO_LARGE);
    assert_string_equal(e.msg,
        "training needs 21.0 MiB of memory (weights 17.0, gradients 1.0, moments 1.0, activations "
        "0.0, batch 0.0, other 0.0, the process itself 1.0, while loading or saving 1.0) but 20.0 "
        "MiB is all "
        "there is");
    memory_add_loading(&n, 20 * mib); /* another, beside the first */
    assert_int_equal(memory_total(&n), 40 * mib);
    n.activations = 30 * mib;
    assert_int_equal(memory_total(&n), 50 * mib);
}

/* ---- the limit, of a root that is made up ---- */

static char root[64];

static void put(const char *path, const char *text)
{
    char command[512];

    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s%s')\"", root, path);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "%s%s", root, path);
    FILE *f = fopen(command, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/jielong-memory-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int drop_root(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void the_limit_is_the_machines_memory(void **state)
{
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    (void)state;
    assert_int_equal(memory_limit(root), all);
    assert_true(memory_limit("") <= all);
}

static void the_tightest_control_group_counts(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.max", "2000000\n");
    put("/sys/fs/cgroup/memory.max", "3000000\n");
    assert_int_equal(memory_limit(root), 2000000);
    put("/proc/self/cgroup", "0::/\n");
    assert_int_equal(memory_limit(root), 3000000);
}

static void control_groups_of_the_first_version_count_too(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "5:cpu:/x\n4:memory:/y\n");
    put("/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "1000000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(memory_limit(root), 1000000);
}

static void a_strange_file_changes_nothing(void **state)
{
    uint64_t all = memory_limit("/nowhere");

    (void)state;
    put("/proc/self/cgroup", "\n0\n0:\n0::\n0::x\n:memory:\n");
    assert_int_equal(memory_limit(root), all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_needs_weights_gradients_and_two_moments),
        cmocka_unit_test(what_does_not_fit_is_told_in_numbers),
        cmocka_unit_test(of_work_that_follows_work_the_largest_counts),
        cmocka_unit_test(a_model_that_is_remade_counts_twice_while_it_is),
        cmocka_unit_test(the_limit_is_the_machines_memory),
        cmocka_unit_test(the_tightest_control_group_counts),
        cmocka_unit_test(control_groups_of_the_first_version_count_too),
        cmocka_unit_test(a_strange_file_changes_nothing),
    };

    return cmocka_run_group_tests(tests, make_root, drop_root);
}
