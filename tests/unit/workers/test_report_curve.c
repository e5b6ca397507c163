#include "workers/tasks/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { N = 60 };

struct made {
    CurvePoint points[N], *pointers[N];
    ReportCurve c;
};

static void make(struct made *m, size_t n, double (*gold)(size_t i))
{
    report_curve__init(&m->c);
    for (size_t i = 0; i < n; i++) {
        CurvePoint *p = m->pointers[i] = &m->points[i];
        curve_point__init(p);
        p->iteration = (uint32_t)i;
        p->kl = (double)(i * i) / 100;
        p->score = (double)i;
        p->has_gold = gold != NULL;
        p->gold = gold ? gold(i) : 0;
    }
    m->c.points = m->pointers;
    m->c.n_points = n;
}

static void set_peak(struct made *m)
{
    struct err e = ERR_INIT;

    assert_int_equal(report_curve_peak(&m->c, &e), OK);
}

static void says(const ReportCurve *c, const char *words)
{
    struct buf b = { 0 };

    assert_int_equal(report_curve_words(&b, c), OK);
    if (!strstr(b.p, words))
        fail_msg("'%s' is not in: %s", words, b.p);
    buf_free(&b);
}

static double hump(size_t i)
{
    return 9 - ((double)i - 24) * ((double)i - 24) / 100;
}

static double hump_with_an_outlier(size_t i)
{
    return hump(i) + (i == 50 ? 7 : 0);
}

static double rising(size_t i)
{
    return (double)i;
}

static void the_peak_of_a_hump_is_found(void **state)
{
    struct made m;

    (void)state;
    make(&m, N, hump);
    set_peak(&m);
    assert_int_equal(m.c.window, 7);
    assert_int_equal(m.c.peak, 24);
    assert_true(fabs(m.c.peak_gold - (9 - 2 * (1 + 4 + 9) / 700.)) < 1e-9);
    assert_true(m.c.first_gold < m.c.peak_gold && m.c.last_gold < m.c.peak_gold);
    says(&m.c, "peak of 8.960 in iteration 24, at √KL 2.40");
    assert_true(report_curve_fell(&m.c));
    says(&m.c, "fell to");
    says(&m.c, "Gao et al.");
}

static void one_lucky_batch_is_no_peak(void **state)
{
    struct made m;

    (void)state;
    make(&m, N, hump_with_an_outlier);
    set_peak(&m);
    assert_int_equal(m.c.peak, 24);
}

static void what_still_rises_has_no_fall(void **state)
{
    struct made m;

    (void)state;
    make(&m, 10, rising);
    set_peak(&m);
    assert_int_equal(m.c.window, 3);
    assert_int_equal(m.c.peak, 9);
    assert_true(fabs(m.c.peak_gold - 8.5) < 1e-9); /* the window is cut at the end */
    assert_false(report_curve_fell(&m.c));
    says(&m.c, "no fall");
}

/* Level, with a scatter of ±1: a standard error of an average of 7 is about 1/sqrt(7). */
static double level(size_t i)
{
    return 5 + (i * 7919 % 13 < 6 ? -1 : 1);
}

static void scatter_is_no_fall(void **state)
{
    struct made m;

    (void)state;
    make(&m, N, level);
    set_peak(&m);
    assert_true(m.c.peak_gold > m.c.last_gold);
    assert_true(m.c.noise > .3 && m.c.noise < .45);
    assert_false(report_curve_fell(&m.c));
}

static void without_gold_there_is_no_peak(void **state)
{
    struct made m;

    (void)state;
    make(&m, N, NULL);
    set_peak(&m);
    assert_false(m.c.has_peak);
    make(&m, N, hump);
    m.points[7].has_gold = 0;
    set_peak(&m);
    assert_false(m.c.has_peak);
    make(&m, 0, NULL);
    set_peak(&m);
    says(&m.c, "No iteration");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_peak_of_a_hump_is_found),
        cmocka_unit_test(one_lucky_batch_is_no_peak),
        cmocka_unit_test(what_still_rises_has_no_fall),
        cmocka_unit_test(scatter_is_no_fall),
        cmocka_unit_test(without_gold_there_is_no_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
