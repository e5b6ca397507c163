#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "workers/text/spread.h"

static void quantiles_are_right_to_two_percent(void **state)
{
    static struct spread s;
    static const double shares[] = { 0.01, 0.25, 0.5, 0.95, 0.999 };

    (void)state;
    for (uint64_t i = 1; i <= 100000; i++)
        spread_add(&s, (i * 7919) % 100000 + 1);
    for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
        double want = shares[k] * 100000, got = (double)spread_at(&s, shares[k]);
        assert_true(got > 0.98 * want - 1 && got < 1.02 * want + 1);
    }
    assert_int_equal(s.least, 1);
    assert_int_equal(s.most, 100000);
}

static void one_number_is_all_of_its_quantiles(void **state)
{
    static struct spread s;
    Spread *m = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(spread_message(&m, &s, &e), OK);
    assert_null(m);
    spread_add(&s, UINT64_MAX >> 1);
    assert_int_equal(spread_message(&m, &s, &e), OK);
    assert_true(m->least == m->median && m->median == m->p95 && m->p95 == m->most);
    message_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_right_to_two_percent),
        cmocka_unit_test(one_number_is_all_of_its_quantiles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
