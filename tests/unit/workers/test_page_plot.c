#include "workers/tasks/page.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static char *plot(struct buf *b, const struct plot *f)
{
    struct page p = { b, OK };

    page_plot(&p, f);
    assert_int_equal(p.rc, OK);
    return b->p;
}

static void holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in %s", part, text);
}

static void a_figure_says_its_axes_and_range(void **state)
{
    static const double x[] = { 0, 1, 2, 3 }, y[] = { .1, .4, 2.3, 1.9 };
    struct plot f = { .title = "Gold",
        .x_label = "√KL, √nats",
        .y_label = "score <1>",
        .series = { { "one batch", 2, x, y, 4, true, true } },
        .n = 1,
        .mark = "peak",
        .mark_x = 2,
        .mark_y = 2.3 };
    struct buf b = { 0 };

    (void)state;
    char *svg = plot(&b, &f);
    holds(svg, "role=\"img\" aria-label=\"Gold: score &lt;1&gt; over √KL, √nats; peak;");
    holds(svg, "y from 0.0 to 2.5");
    holds(svg, ">2.5</text>");
    holds(svg, ">peak</text>");
    buf_free(&b);
}

/* Whatever the values, every coordinate is a number within the picture. */
static void odd_values_give_no_odd_pictures(void **state)
{
    static const double same[] = { 5, 5 }, tiny[] = { 1e-7, 3e-7 }, big[] = { -4e9, 7e9 };
    static const double *const all[] = { same, tiny, big };

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct plot f = { .title = "t",
            .x_label = "x",
            .y_label = "y",
            .series = { { "s", 0, all[i], all[(i + 1) % 3], 2, true, true } },
            .n = 1 };
        struct buf b = { 0 };
        char *svg = plot(&b, &f);
        assert_null(strstr(svg, "nan"));
        assert_null(strstr(svg, "inf"));
        assert_null(strstr(svg, ">-0<"));
        buf_free(&b);
    }
    struct plot empty = { .title = "t", .x_label = "x", .y_label = "y" };
    struct buf b = { 0 };
    holds(plot(&b, &empty), "y from 0.0 to 1.0");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_figure_says_its_axes_and_range),
        cmocka_unit_test(odd_values_give_no_odd_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
