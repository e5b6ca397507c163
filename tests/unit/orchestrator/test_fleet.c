#include "orchestrator/fleet.h"

#include "tests/unit/orchestrator/bench.h"

static struct fleet *fleet(void)
{
    struct err e = ERR_INIT;
    struct fleet *f = NULL;

    assert_int_equal(fleet_new(&f, &e), OK);
    return f;
}

static struct session *hello(
    struct bench *b, struct fleet *f, const char *name, char **classes, size_t n)
{
    static uint8_t peers;
    struct peer p = { .b = { ++peers }, .n = 1 };
    char id[32];
    struct err e = ERR_INIT;
    struct session *s = NULL;
    Hello h = HELLO__INIT;

    snprintf(id, sizeof id, "id-%u", peers);
    h.worker = id;
    h.name = (char *)name;
    h.host = "here";
    h.numeric_classes = classes;
    h.n_numeric_classes = n;
    assert_int_equal(fleet_join(&s, f, b->s, &p, &h, b->now, &e), OK);
    feed(b, (struct event){ .kind = EV_INVENTORY, .worker = s->worker });
    return s;
}

static void session_is_found_by_all_that_it_is_known_by(void **unused)
{
    struct bench *b = bench_new();
    struct fleet *f = fleet();
    struct session *one = hello(b, f, "w1", NULL, 0), *two = hello(b, f, "w2", NULL, 0);

    (void)unused;
    assert_ptr_equal(fleet_by_peer(f, &two->peer), two);
    assert_ptr_equal(fleet_by_id(f, two->id), two);
    assert_ptr_equal(fleet_by_name(f, "here", "w1"), one);
    assert_null(fleet_by_name(f, "there", "w1"));
    assert_ptr_equal(fleet_by_worker(one->worker), one);
    assert_ptr_equal(fleet_first(f), one);
    fleet_leave(f, one);
    assert_ptr_equal(fleet_first(f), two);
    assert_null(fleet_by_name(f, "here", "w1"));
    fleet_free(f);
    bench_free(b);
}

static void nameless_worker_gets_a_name(void **unused)
{
    struct bench *b = bench_new();
    struct fleet *f = fleet();

    (void)unused;
    assert_string_equal(hello(b, f, "", NULL, 0)->name, "w1");
    assert_string_equal(hello(b, f, "", NULL, 0)->name, "w2");
    fleet_free(f);
    bench_free(b);
}

static void best_class_is_the_first_that_all_share(void **unused)
{
    static char *new[] = { "avx512", "avx2", "sse2" }, *old[] = { "avx2", "sse2" },
                *other[] = { "neon" };
    struct bench *b = bench_new();
    struct fleet *f = fleet();

    (void)unused;
    assert_null(fleet_best_class(f));
    hello(b, f, "w1", new, 3);
    assert_string_equal(fleet_best_class(f), "avx512");
    hello(b, f, "w2", old, 2);
    assert_string_equal(fleet_best_class(f), "avx2");
    hello(b, f, "w3", other, 1);
    assert_string_equal(fleet_best_class(f), "avx512"); /* none is shared: the oldest decides */
    fleet_free(f);
    bench_free(b);
}

static void tag_is_the_same_number_at_every_mention(void **unused)
{
    struct fleet *f = fleet();
    struct err e = ERR_INIT;
    uint32_t gpu = 0, again = 0, class = 0;

    (void)unused;
    assert_int_equal(fleet_label(f, "gpu", &gpu, &e), OK);
    assert_int_equal(fleet_class(f, "gpu", &class, &e), OK);
    assert_int_equal(fleet_label(f, "gpu", &again, &e), OK);
    assert_int_equal(gpu, again);
    assert_int_not_equal(gpu, class);
    assert_string_equal(fleet_tag_name(f, gpu), "label gpu");
    assert_string_equal(fleet_tag_name(f, class), "numeric class gpu");
    fleet_free(f);
}

static void status_says_how_long_a_worker_is_silent(void **unused)
{
    struct bench *b = bench_new();
    struct fleet *f = fleet();
    struct session *s = hello(b, f, "w1", NULL, 0);
    struct err e = ERR_INIT;
    WorkerStatus *w = NULL;

    (void)unused;
    feed(b, (struct event){ .kind = EV_TICK });
    wait_for(b, 6000);
    assert_int_equal(fleet_status(&w, s, "small-1/base", b->now, &e), OK);
    assert_string_equal(w->state, "suspect");
    assert_string_equal(w->job, "small-1/base");
    assert_true(w->seconds_silent == 6);
    message_free(w);
    fleet_free(f);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_is_found_by_all_that_it_is_known_by),
        cmocka_unit_test(nameless_worker_gets_a_name),
        cmocka_unit_test(best_class_is_the_first_that_all_share),
        cmocka_unit_test(tag_is_the_same_number_at_every_mention),
        cmocka_unit_test(status_says_how_long_a_worker_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
