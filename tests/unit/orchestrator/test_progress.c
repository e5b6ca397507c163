#include "orchestrator/runs.h"

#include "tests/unit/orchestrator/home.h"

/* The books of one run with one job, without a scheduler. */
struct scene {
    char *home;
    struct orchestrator o;
    RunRecord run_record;
    JobRecord *job_record;
    struct plan_job plan_job;
    struct plan plan;
    struct run_book run;
    struct job_book job;
};

static int set_up(void **at)
{
    struct scene *c = calloc(1, sizeof *c);
    struct err e = ERR_INIT;

    c->home = home_new();
    assert_int_equal(journal_open(&c->o.journal, c->home, &e), OK);
    c->o.now = (struct now){ 5000, 1000000 };
    run_record__init(&c->run_record);
    c->run_record.number = 1;
    c->job_record = malloc(sizeof *c->job_record);
    job_record__init(c->job_record);
    c->job_record->run = 1;
    c->plan_job.name = "base";
    c->plan = (struct plan){ .jobs = &c->plan_job, .n_jobs = 1 };
    c->run = (struct run_book){ .record = &c->run_record, .plan = &c->plan, .jobs = &c->job };
    c->job = (struct job_book){ .record = c->job_record, .plan = &c->plan_job, .run = &c->run };
    *at = c;
    return 0;
}

static int tear_down(void **at)
{
    struct scene *c = *at;

    journal_close(c->o.journal);
    message_free(c->job_record);
    free(c->job.lines.numbers);
    home_remove(c->home);
    free(c);
    return 0;
}

struct seen {
    uint64_t n, first, last;
};

static int see(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct seen *s = ctx;
    const LogLine *line = (const LogLine *)m;

    (void)key;
    (void)e;
    if (s->n++ == 0)
        s->first = line->number;
    s->last = line->number;
    message_free(m);
    return OK;
}

static struct seen lines_of(struct scene *c)
{
    struct seen s = { 0 };
    struct state_txn *t = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(journal_txn(c->o.journal, &t, &e), OK);
    assert_int_equal(state_each(t, STATE_LOG, key_numbers(1, 1, 0, 0), false, &log_line__descriptor,
                         see, &s, &e),
        OK);
    return s;
}

static void add_lines(struct scene *c, int n)
{
    struct err e = ERR_INIT;

    for (int i = 0; i < n; i++)
        assert_int_equal(progress_log(&c->o, &c->job, "w1", 1, "a line", &e), OK);
}

static void oldest_log_lines_give_way(void **at)
{
    struct scene *c = *at;

    add_lines(c, LOG_LINES_MAX + 100);
    struct seen s = lines_of(c);
    assert_int_equal(s.n, LOG_LINES_MAX);
    assert_int_equal(s.first, 101);
    assert_int_equal(s.last, LOG_LINES_MAX + 100);
}

static void numbers_and_bounds_of_log_lines_survive_a_restart(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;

    add_lines(c, LOG_LINES_MAX - 1);
    free(c->job.lines.numbers);
    c->job.lines = (struct lines){ 0 };
    c->run.next_line = 0;
    assert_int_equal(progress_load_lines(&c->o, &c->run, &e), OK);
    add_lines(c, 3);
    struct seen s = lines_of(c);
    assert_int_equal(s.n, LOG_LINES_MAX);
    assert_int_equal(s.first, 3);
    assert_int_equal(s.last, LOG_LINES_MAX + 2);
}

static void hear(struct scene *c, TaskSpec__KindCase kind, uint64_t done, uint64_t total)
{
    TaskSpec spec = TASK_SPEC__INIT;
    struct task t = { .spec = &spec };
    Progress p = PROGRESS__INIT;
    Metric loss = METRIC__INIT, *metrics[] = { &loss };
    struct err e = ERR_INIT;

    spec.kind_case = kind;
    loss.name = "loss";
    loss.has_value = true;
    loss.value = 2;
    p.done = done;
    p.total = total;
    p.rate_unit = "tok/s";
    p.metrics = metrics;
    p.n_metrics = 1;
    c->o.now.ms += 1000;
    assert_int_equal(progress_take(&c->o, &c->job, &t, &p, &e), OK);
}

static void shards_count_as_tasks_until_training_tells_its_steps(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    TaskAnswer answer = TASK_ANSWER__INIT, *answers[3] = { &answer };
    const JobRecord *r = c->job_record;

    c->job.round = (struct round){ .answers = answers, .n = 3, .missing = 2 };
    c->job_record->tasks_run = 1;
    assert_int_equal(progress_count(&c->job, &e), OK);
    assert_int_equal(r->progress->done, 1);
    assert_int_equal(r->progress->total, 3);
    hear(c, TASK_SPEC__KIND_ENCODE, 50, 100); /* one shard of three says nothing */
    assert_int_equal(r->progress->total, 3);
    hear(c, TASK_SPEC__KIND_TRAIN, 200, 600);
    assert_int_equal(r->progress->done, 200);
    assert_string_equal(r->metrics[0]->name, "loss");
    assert_int_equal(c->job.next_metric, 1);
    assert_int_equal(progress_count(&c->job, &e), OK); /* rollouts of the next iteration */
    hear(c, TASK_SPEC__KIND_ROLLOUT, 1, 2);
    assert_int_equal(r->progress->done, 200);
    assert_int_equal(r->progress->total, 600);
}

static void flood_of_progress_is_thinned_but_its_end_is_heard(void **at)
{
    struct scene *c = *at;

    hear(c, TASK_SPEC__KIND_TRAIN, 1, 600);
    for (uint64_t step = 2; step < 10; step++) {
        c->o.now.ms -= 999;
        hear(c, TASK_SPEC__KIND_TRAIN, step, 600);
    }
    assert_int_equal(c->job_record->progress->done, 1);
    c->o.now.ms -= 999;
    hear(c, TASK_SPEC__KIND_TRAIN, 600, 600);
    assert_int_equal(c->job_record->progress->done, 600);
}

int main(void)
{
#define PROGRESS_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PROGRESS_TEST(oldest_log_lines_give_way),
        PROGRESS_TEST(numbers_and_bounds_of_log_lines_survive_a_restart),
        PROGRESS_TEST(shards_count_as_tasks_until_training_tells_its_steps),
        PROGRESS_TEST(flood_of_progress_is_thinned_but_its_end_is_heard),
    };
#undef PROGRESS_TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
