#include "orchestrator/field.h"

#include <stdlib.h>

#include "tests/unit/orchestrator/bench.h"

static Metric *metric(const char *name, double value)
{
    Metric *m = malloc(sizeof *m);

    metric__init(m);
    m->name = strdup(name);
    m->has_value = true;
    m->value = value;
    return m;
}

static void text_is_copied_replaced_and_emptied(void **unused)
{
    struct err e = ERR_INIT;
    char text[] = "one", *field = NULL;

    (void)unused;
    assert_int_equal(field_text(&field, text, &e), OK);
    text[0] = 'O';
    assert_string_equal(field, "one");
    assert_int_equal(field_textf(&field, &e, "%d-%s", 2, "two"), OK);
    assert_string_equal(field, "2-two");
    assert_int_equal(field_text(&field, NULL, &e), OK);
    assert_null(field);
}

static void metric_replaces_the_one_of_its_name(void **unused)
{
    struct err e = ERR_INIT;
    Metric **items = NULL, *more[] = { metric("loss", 2), metric("kl", 3), metric("loss", 1) };
    size_t n = 0;

    (void)unused;
    assert_int_equal(field_metrics(&items, &n, more, 3, &e), OK);
    assert_int_equal(n, 2);
    assert_string_equal(items[0]->name, "loss");
    assert_true(items[0]->value == 1);
    for (size_t i = 0; i < 3; i++)
        message_free(more[i]);
    for (size_t i = 0; i < n; i++)
        message_free(items[i]);
    free(items);
}

static void metrics_are_bounded(void **unused)
{
    struct err e = ERR_INIT;
    Metric **items = NULL;
    size_t n = 0;

    (void)unused;
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        Metric *m = metric(name, i);
        assert_int_equal(field_metrics(&items, &n, &m, 1, &e), OK);
        message_free(m);
    }
    assert_int_equal(n, 64);
    for (size_t i = 0; i < n; i++)
        message_free(items[i]);
    free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_copied_replaced_and_emptied),
        cmocka_unit_test(metric_replaces_the_one_of_its_name),
        cmocka_unit_test(metrics_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
