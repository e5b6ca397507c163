#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "workers/text/hash_set.h"

static void add(struct hash_set *s, uint64_t key, bool want)
{
    struct err e = ERR_INIT;
    bool was = !want;

    assert_int_equal(hash_set_add(&was, s, key, &e), OK);
    if (was != want)
        fail_msg("key %llu", (unsigned long long)key);
}

static uint64_t key_of(uint64_t i)
{
    return i * 0x9e3779b97f4a7c15;
}

/* Beyond 32 MiB it moves into a file, and remembers all. */
static void what_was_added_is_remembered(void **state)
{
    struct hash_set s = { 0 };
    const uint64_t n = 4000000;

    (void)state;
    for (uint64_t i = 1; i <= n; i++)
        add(&s, key_of(i), false);
    assert_true(s.mapped);
    for (uint64_t i = 1; i <= n; i += 7)
        add(&s, key_of(i), true);
    assert_int_equal(s.n, n);
    hash_set_free(&s);
    assert_null(s.at);
}

static void small_keys_and_zero_are_keys_too(void **state)
{
    struct hash_set s = { 0 };

    (void)state;
    for (uint64_t i = 2; i < 10000; i++)
        add(&s, i, false);
    add(&s, 0, false);
    add(&s, 0, true);
    add(&s, 9999, true);
    assert_false(s.mapped);
    hash_set_free(&s);
}

static void without_a_folder_for_files_it_stays_in_memory(void **state)
{
    struct hash_set s = { 0 };

    (void)state;
    assert_int_equal(setenv("TMPDIR", "/nowhere", 1), 0);
    for (uint64_t i = 1; i <= 3200000; i++)
        add(&s, key_of(i), false);
    assert_false(s.mapped);
    add(&s, key_of(5), true);
    hash_set_free(&s);
    assert_int_equal(unsetenv("TMPDIR"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_remembered),
        cmocka_unit_test(small_keys_and_zero_are_keys_too),
        cmocka_unit_test(without_a_folder_for_files_it_stays_in_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
