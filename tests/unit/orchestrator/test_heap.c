#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "orchestrator/heap.h"

struct number {
    struct ranked ranked;
    uint32_t value;
};

static bool is_less(const struct ranked *a, const struct ranked *b)
{
    return ((const struct number *)a)->value < ((const struct number *)b)->value;
}

static void first_is_the_least_whatever_comes_goes_and_changes(void **unused)
{
    static struct number n[200];
    struct heap h = { .before = is_less };
    struct err e = ERR_INIT;
    uint32_t random = 1;

    (void)unused;
    assert_int_equal(heap_reserve(&h, 200, &e), OK);
    for (int turn = 0; turn < 20000; turn++) {
        struct number *x = &n[(random = random * 1664525u + 1013904223u) >> 8 & 127];
        bool in = x->ranked.at > 0;
        if (in && random >> 20 & 1) {
            heap_take(&h, &x->ranked);
        } else {
            x->value = random >> 24;
            in ? heap_moved(&h, &x->ranked) : heap_put(&h, &x->ranked);
        }
        uint32_t least = UINT32_MAX, second = UINT32_MAX;
        for (int i = 0; i < 128; i++)
            if (n[i].ranked.at > 0 && n[i].value < least) {
                second = least;
                least = n[i].value;
            } else if (n[i].ranked.at > 0 && n[i].value < second) {
                second = n[i].value;
            }
        struct number *a = (struct number *)heap_first(&h), *b = (struct number *)heap_second(&h);
        assert_int_equal(a ? a->value : UINT32_MAX, least);
        assert_int_equal(b ? b->value : UINT32_MAX, second);
    }
    heap_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_is_the_least_whatever_comes_goes_and_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
