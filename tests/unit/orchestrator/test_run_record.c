#include "orchestrator/run_record.h"

#include "tests/unit/orchestrator/home.h"

struct scene {
    char *home;
    struct state *state;
    struct state_txn *txn;
};

static int set_up(void **at)
{
    struct scene *c = calloc(1, sizeof *c);
    struct err e = ERR_INIT;

    c->home = home_new();
    assert_int_equal(state_open(&c->state, c->home, true, &e), OK);
    assert_int_equal(state_begin(&c->txn, c->state, true, &e), OK);
    *at = c;
    return 0;
}

static int tear_down(void **at)
{
    struct scene *c = *at;

    state_abort(c->txn);
    state_close(c->state);
    home_remove(c->home);
    free(c);
    return 0;
}

static void put(struct scene *c, uint64_t number, const char *name, const char *pipeline)
{
    RunRecord r = RUN_RECORD__INIT;
    Submit s = SUBMIT__INIT;
    Pipeline p = PIPELINE__INIT;
    struct err e = ERR_INIT;

    p.name = (char *)pipeline;
    s.pipeline = &p;
    r.has_number = true;
    r.number = number;
    r.name = (char *)name;
    r.submit = &s;
    assert_int_equal(state_put(c->txn, STATE_RUN, key_numbers(1, number, 0, 0), &r.base, &e), OK);
}

static void check_name(struct scene *c, const char *pipeline, const char *want)
{
    struct err e = ERR_INIT;
    char *name = NULL;

    assert_int_equal(run_record_name(&name, c->txn, pipeline, &e), OK);
    assert_string_equal(name, want);
    free(name);
}

static void runs_are_counted_for_each_pipeline(void **at)
{
    struct scene *c = *at;

    check_name(c, "chat", "chat-1");
    put(c, 1, "chat-1", "chat");
    put(c, 2, "chat-2", "chat");
    put(c, 3, "tiny-1", "tiny");
    check_name(c, "chat", "chat-3");
    check_name(c, "tiny", "tiny-2");
    check_name(c, "chat-1", "chat-1-1"); /* a pipeline of that name is another */
}

static void more_than_nine_runs_are_counted_as_numbers(void **at)
{
    struct scene *c = *at;

    put(c, 1, "chat-9", "chat");
    put(c, 2, "chat-10", "chat");
    check_name(c, "chat", "chat-11");
}

static void last_run_is_found_without_a_name(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    RunRecord *r = NULL;

    put(c, 255, "chat-1", "chat");
    put(c, 256, "tiny-1", "tiny");
    assert_int_equal(run_record_find(&r, c->txn, NULL, &e), OK);
    assert_string_equal(r->name, "tiny-1");
    message_free(r);
    assert_int_equal(run_record_find(&r, c->txn, "chat-1", &e), OK);
    assert_int_equal(r->number, 255);
    message_free(r);
}

static void only_the_latest_runs_are_listed(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    RunRecord *r = NULL;
    char name[16];

    for (uint64_t i = 1; i <= 12; i++) {
        snprintf(name, sizeof name, "r-%llu", (unsigned long long)i);
        put(c, i, name, "r");
    }
    assert_int_equal(run_record_find(&r, c->txn, "x", &e), E_MISSING);
    assert_string_equal(e.msg, "there is no run 'x'; there are r-12, r-11, r-10, r-9, r-8, r-7, "
                               "r-6, r-5, r-4, r-3, …");
}

int main(void)
{
#define RECORD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RECORD_TEST(runs_are_counted_for_each_pipeline),
        RECORD_TEST(more_than_nine_runs_are_counted_as_numbers),
        RECORD_TEST(last_run_is_found_without_a_name),
        RECORD_TEST(only_the_latest_runs_are_listed),
    };
#undef RECORD_TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
