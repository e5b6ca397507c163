#include "orchestrator/metric_points.h"

#include "tests/unit/orchestrator/home.h"

#define POINTS METRIC_POINTS_MAX

/* A state with points of two jobs, put there by hand. */
struct scene {
    char *home;
    struct state *state;
    struct state_txn *txn;
};

static void put_run(struct scene *c)
{
    RunRecord r = RUN_RECORD__INIT;
    struct err e = ERR_INIT;

    r.has_number = true;
    r.number = 1;
    r.name = "small-1";
    r.submit = small_submit(c->home);
    assert_int_equal(state_put(c->txn, STATE_RUN, key_numbers(1, 1, 0, 0), &r.base, &e), OK);
    message_free(r.submit);
}

static void put_point(struct scene *c, uint32_t job, uint64_t seq, double loss)
{
    MetricPoint p = METRIC_POINT__INIT;
    Metric m = METRIC__INIT, *metrics[] = { &m };
    struct err e = ERR_INIT;

    p.has_step = p.has_time_ms = m.has_value = true;
    p.step = 10 * seq;
    p.time_ms = 1000;
    m.name = "loss";
    m.value = loss;
    p.metrics = metrics;
    p.n_metrics = 1;
    assert_int_equal(state_put(c->txn, STATE_METRIC, key_numbers(3, 1, job, seq), &p.base, &e), OK);
}

static int set_up(void **at)
{
    struct scene *c = calloc(1, sizeof *c);
    struct err e = ERR_INIT;

    c->home = home_new();
    assert_int_equal(state_open(&c->state, c->home, true, &e), OK);
    assert_int_equal(state_begin(&c->txn, c->state, true, &e), OK);
    put_run(c);
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

static int points_of(
    MetricsReply **out, struct scene *c, const char *job, uint64_t after, struct err *e)
{
    MetricsRequest q = METRICS_REQUEST__INIT;

    q.run = "small-1";
    q.job = (char *)(uintptr_t)job;
    q.has_after = true;
    q.after = after;
    return metric_points_read(out, c->txn, &q, e);
}

static void every_point_comes_once_in_bounded_parts(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    uint64_t seen = 0, parts = 0;
    bool more = true;

    for (uint64_t i = 0; i < POINTS; i++)
        put_point(c, 1, i, (double)i);
    put_point(c, 2, 0, 7);
    while (more) {
        MetricsReply *r = NULL;
        assert_int_equal(points_of(&r, c, "base", seen, &e), OK);
        assert_true(r->n_points <= 2000);
        for (size_t i = 0; i < r->n_points; i++) {
            assert_int_equal(r->points[i]->step, 10 * (seen + i));
            assert_true(r->points[i]->metrics[0]->value == (double)(seen + i));
        }
        more = r->n_points > 0;
        seen += r->n_points;
        assert_int_equal(r->next, seen);
        parts += more;
        message_free(r);
    }
    assert_int_equal(seen, POINTS);
    assert_int_equal(parts, 3);
    assert_int_equal(metric_stride(POINTS), 1);
}

static int drop_point(void *ctx, uint64_t number, struct err *e)
{
    struct scene *c = ctx;
    ProtobufCMessage *m = NULL;
    struct state_key key = key_numbers(3, 1, 1, number);

    assert_int_equal(state_get(c->txn, STATE_METRIC, key, &metric_point__descriptor, &m, e), OK);
    assert_non_null(m); /* nothing is dropped twice */
    message_free(m);
    return state_delete(c->txn, STATE_METRIC, key, e);
}

static int count(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    size_t *n = ctx;

    (void)key;
    (void)e;
    ++*n;
    message_free(m);
    return 0;
}

/* A week of points: the state holds so many at every moment, and they are evenly spread. */
static void old_points_are_thinned_out(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    uint64_t told = 0, seen = 0, next = 0;
    bool more = true;

    for (uint64_t i = 0; i < 10 * METRIC_POINTS_MAX + 3; i++) {
        size_t n = 0;
        assert_int_equal(metric_points_thin(i, drop_point, c, &e), OK);
        put_point(c, 1, i, (double)i);
        if (i % 1000 == 0 || i % METRIC_POINTS_MAX < 2) {
            assert_int_equal(state_each(c->txn, STATE_METRIC, key_numbers(2, 1, 1, 0), false,
                                 &metric_point__descriptor, count, &n, &e),
                OK);
            assert_in_range(
                n, i < METRIC_POINTS_MAX ? i + 1 : METRIC_POINTS_MAX / 2, METRIC_POINTS_MAX + 1);
        }
    }
    assert_int_equal(metric_points_told(&told, c->txn, 1, 1, &e), OK);
    assert_int_equal(told, 10 * METRIC_POINTS_MAX + 3);
    uint64_t stride = metric_stride(told);
    assert_int_equal(stride, 16);
    while (more) {
        MetricsReply *r = NULL;
        assert_int_equal(points_of(&r, c, "base", next, &e), OK);
        for (size_t k = 0; k < r->n_points; k++, seen += stride)
            assert_int_equal(r->points[k]->step, 10 * (seen < told ? seen : told - 1));
        more = r->n_points > 0;
        next = r->next;
        message_free(r);
    }
    assert_true(seen >= told); /* the last one was among them */
}

static void points_have_their_time_and_the_reply_its_names(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    MetricsReply *r = NULL;

    put_point(c, 2, 0, .5);
    assert_int_equal(points_of(&r, c, "answers", 0, &e), OK);
    assert_string_equal(r->run, "small-1");
    assert_string_equal(r->job, "answers");
    assert_int_equal(r->n_points, 1);
    assert_string_equal(r->points[0]->time, "1970-01-01T00:00:01.000Z");
    message_free(r);
}

static void a_job_that_there_is_not_is_missing(void **at)
{
    struct err e = ERR_INIT;
    MetricsReply *r = NULL;

    assert_int_equal(points_of(&r, *at, "bass", 0, &e), E_MISSING);
    assert_string_equal(e.msg, "run 'small-1' has no job 'bass'");
}

#define METRICS_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        METRICS_TEST(every_point_comes_once_in_bounded_parts),
        METRICS_TEST(old_points_are_thinned_out),
        METRICS_TEST(points_have_their_time_and_the_reply_its_names),
        METRICS_TEST(a_job_that_there_is_not_is_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
