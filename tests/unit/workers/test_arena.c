#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "workers/math/arena.h"

static void pieces_are_aligned_zero_and_apart(void **state)
{
    static const size_t counts[] = { 1, 15, 16, 17, 0, 100 };
    struct arena a;
    struct err e = ERR_INIT;
    size_t bytes = 0;
    (void)state;

    for (size_t i = 0; i < 6; i++)
        bytes += 2 * arena_size(counts[i]);
    assert_int_equal(arena_init(&a, bytes, &e), OK);
    for (size_t i = 0; i < 6; i++) {
        float *f = arena_floats(&a, counts[i]);
        int32_t *n = arena_ints(&a, counts[i]);
        assert_int_equal((uintptr_t)f % 64, 0);
        assert_int_equal((uintptr_t)n % 64, 0);
        for (size_t j = 0; j < counts[i]; j++) {
            assert_true(f[j] == 0 && n[j] == 0);
            f[j] = 1;
            n[j] = 1;
        }
    }
    assert_int_equal(a.used, bytes);
    arena_free(&a);
    assert_null(a.p);
    arena_free(&a);
    arena_free(NULL);
}

static void what_cannot_be_had_is_said(void **state)
{
    struct arena a;
    struct err e = ERR_INIT;
    (void)state;

    assert_int_equal(arena_init(&a, SIZE_MAX, &e), E_NOMEM);
    assert_non_null(strstr(e.msg, "MiB"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_zero_and_apart),
        cmocka_unit_test(what_cannot_be_had_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
