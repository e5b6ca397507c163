#include "proto/id_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct id named(uint8_t first)
{
    struct id id = { { first } };

    return id;
}

static void what_was_added_is_found_once(void **state)
{
    const uint8_t added[] = { 9, 3, 200, 3, 9, 0 };
    struct id_set s = { 0 };
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof added; i++) {
        struct id id = named(added[i]);
        assert_int_equal(id_set_add(&s, &id, &e), OK);
    }
    id_set_sort(&s);
    assert_int_equal(s.n, 4);
    for (unsigned i = 0; i < 256; i++) {
        struct id id = named((uint8_t)i);
        assert_int_equal(id_set_find(&s, &id) >= 0, memchr(added, (int)i, sizeof added) != NULL);
    }
    id_set_free(&s);
}

static void nothing_is_in_an_empty_set(void **state)
{
    struct id_set s = { 0 };
    struct id id = named(1);

    (void)state;
    id_set_sort(&s);
    assert_int_equal(id_set_find(&s, &id), -1);
    id_set_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_once),
        cmocka_unit_test(nothing_is_in_an_empty_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
