#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orchestrator/audits.h"

static int picked(double share)
{
    int n = 0;

    for (uint32_t i = 0; i < 4000; i++) {
        struct id id;
        sha256(&id, &i, sizeof i);
        n += audit_picks(&id, share);
    }
    return n;
}

static void share_of_tasks_is_picked_by_their_ids(void **unused)
{
    (void)unused;
    assert_int_equal(picked(0), 0);
    assert_int_equal(picked(1), 4000);
    assert_in_range(picked(0.05), 160, 240);
    assert_int_equal(picked(0.05), picked(0.05));
}

static void larger_share_has_the_tasks_of_a_smaller_one(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < 1000; i++) {
        struct id id;
        sha256(&id, &i, sizeof i);
        assert_true(!audit_picks(&id, 0.1) || audit_picks(&id, 0.2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(share_of_tasks_is_picked_by_their_ids),
        cmocka_unit_test(larger_share_has_the_tasks_of_a_smaller_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
