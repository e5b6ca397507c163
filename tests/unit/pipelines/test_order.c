#include "given.h"

#include "pipelines/draft.h"

/* A graph: edges[i] = { job, source }. */
struct graph {
    struct draft drafts[8];
    struct reference refs[8][8];
    struct mistakes mistakes;
    struct drafts d;
    uint32_t order[8];
};

static void draw(struct graph *g, size_t n, const uint32_t (*edges)[2], size_t n_edges)
{
    static char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    struct err e = ERR_INIT;

    *g = (struct graph){ .d = { .n = n } };
    g->d.items = g->drafts;
    g->d.mistakes = &g->mistakes;
    for (uint32_t i = 0; i < n; i++)
        g->drafts[i] = (struct draft){ .stage = i, .name = names[i], .refs = g->refs[i] };
    for (size_t i = 0; i < n_edges; i++) {
        struct draft *job = &g->drafts[edges[i][0]];
        job->refs[job->n_refs++] = (struct reference){ .is_job = true,
            .used = true,
            .source = edges[i][1],
            .at = site_of(SITE_STAGE, edges[i][0], "needs") };
    }
    assert_int_equal(drafts_order(&g->d, g->order, &e), OK);
}

static void assert_order(const struct graph *g, const char *expected)
{
    char got[16] = "";

    for (size_t i = 0; i < g->d.n; i++)
        strcat(got, g->drafts[g->order[i]].name);
    assert_string_equal(got, expected);
}

static void what_waits_for_nothing_keeps_its_place(void **state)
{
    struct graph g;

    (void)state;
    draw(&g, 4, NULL, 0);
    assert_order(&g, "abcd");
}

static void each_job_comes_as_early_as_the_file_has_it(void **state)
{
    static const uint32_t edges[][2] = { { 0, 3 }, { 1, 0 }, { 4, 2 } };
    struct graph g;

    (void)state;
    draw(&g, 5, edges, 3);
    assert_order(&g, "cdabe");
    assert_int_equal(g.mistakes.n, 0);
}

static void every_cycle_is_told_once_and_what_waits_behind_it_is_not(void **state)
{
    static const uint32_t edges[][2] = { { 0, 1 }, { 1, 2 }, { 2, 1 }, { 3, 4 }, { 4, 5 }, { 5, 3 },
        { 5, 0 } };
    struct graph g;

    (void)state;
    draw(&g, 6, edges, 7);
    assert_int_equal(g.mistakes.n, 2);
    assert_string_equal(g.mistakes.items[0].what, "stages wait for each other: b -> c -> b");
    assert_int_equal(g.mistakes.items[0].at.index, 1);
    assert_string_equal(g.mistakes.items[1].what, "stages wait for each other: d -> e -> f -> d");
    mistakes_free(&g.mistakes);
}

static void a_reference_that_is_not_used_is_not_waited_for(void **state)
{
    struct graph g;
    static const uint32_t edges[][2] = { { 0, 1 } };
    struct err e = ERR_INIT;

    (void)state;
    draw(&g, 2, edges, 1);
    assert_order(&g, "ba");
    g.drafts[0].refs[0].used = false;
    assert_int_equal(drafts_order(&g.d, g.order, &e), OK);
    assert_order(&g, "ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_for_nothing_keeps_its_place),
        cmocka_unit_test(each_job_comes_as_early_as_the_file_has_it),
        cmocka_unit_test(every_cycle_is_told_once_and_what_waits_behind_it_is_not),
        cmocka_unit_test(a_reference_that_is_not_used_is_not_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
