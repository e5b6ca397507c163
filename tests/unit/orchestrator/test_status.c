#include "orchestrator/status.h"

#include "orchestrator/job.h"
#include "tests/unit/orchestrator/home.h"

/* A state that is written by hand and looked at as `jielong status` does. */
struct scene {
    char *home;
    struct state *state;
    struct state_txn *txn;
    Submit *submit;
};

static void put_run(struct scene *c, uint64_t number, const char *name, RunState state)
{
    RunRecord r = RUN_RECORD__INIT;
    struct err e = ERR_INIT;

    r.has_number = r.has_state = r.has_submitted_ms = true;
    r.number = number;
    r.name = (char *)name;
    r.submit = c->submit;
    r.state = state;
    r.submitted_ms = 1000000;
    r.numeric_class = "blas-a";
    r.has_finished_ms = state != RUN_STATE__RUN_RUNNING;
    r.finished_ms = 1090000;
    assert_int_equal(state_put(c->txn, STATE_RUN, key_numbers(1, number, 0, 0), &r.base, &e), OK);
}

static void put_job(struct scene *c, const JobRecord *j)
{
    struct err e = ERR_INIT;
    struct state_key key = key_numbers(2, j->run, j->index, 0);

    assert_int_equal(state_put(c->txn, STATE_JOB, key, &j->base, &e), OK);
}

static JobRecord job(uint32_t index, enum job_state state)
{
    JobRecord j = JOB_RECORD__INIT;

    j.has_run = j.has_index = j.has_state = true;
    j.run = 1;
    j.index = index;
    j.state = state;
    return j;
}

static void put_base(struct scene *c)
{
    JobRecord j = job(1, JOB_RUNNING);
    Progress p = PROGRESS__INIT;
    Metric loss = METRIC__INIT, bpb = METRIC__INIT, *metrics[] = { &loss, &bpb };

    loss.name = "loss";
    loss.has_value = bpb.has_value = true;
    loss.value = 2.414;
    bpb.name = "bits_per_byte";
    bpb.value = 1.306;
    p.has_done = p.has_total = p.has_rate = true;
    p.done = 200;
    p.total = 600;
    p.rate = 41200;
    p.rate_unit = "tok/s";
    j.progress = &p;
    j.metrics = metrics;
    j.n_metrics = 2;
    j.has_attempts = j.has_started_ms = true;
    j.attempts = 2;
    j.started_ms = 1000000;
    j.worker = "w1";
    put_job(c, &j);
}

static void put_vocabulary(struct scene *c)
{
    static uint8_t bytes[32] = { 0xab };
    JobRecord j = job(0, JOB_DONE);
    Metric tokens = METRIC__INIT, *metrics[] = { &tokens };
    Output o = OUTPUT__INIT, *outputs[] = { &o };

    tokens.name = "tokens";
    tokens.has_value = true;
    tokens.value = 2048;
    j.metrics = metrics;
    j.n_metrics = 1;
    o.name = "tokenizer";
    o.has_id = o.has_kind = true;
    o.id = (ProtobufCBinaryData){ sizeof bytes, bytes };
    o.kind = ARTIFACT_KIND__TOKENIZER;
    j.outputs = outputs;
    j.n_outputs = 1;
    j.has_cached = true;
    j.cached = true;
    put_job(c, &j);
}

static int set_up(void **at)
{
    struct scene *c = calloc(1, sizeof *c);
    struct err e = ERR_INIT;

    c->home = home_new();
    c->submit = small_submit(c->home);
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
    message_free(c->submit);
    home_remove(c->home);
    free(c);
    return 0;
}

static void job_that_runs_says_how_it_goes(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    RunStatus *s = NULL;

    put_run(c, 1, "small-1", RUN_STATE__RUN_RUNNING);
    put_vocabulary(c);
    put_base(c);
    assert_int_equal(status_run(&s, c->txn, NULL, true, 1020000, &e), OK);
    assert_string_equal(s->run, "small-1");
    assert_string_equal(s->state, "running");
    assert_string_equal(s->submitted_at, "1970-01-01T00:16:40.000Z");
    assert_int_equal(s->n_jobs, 3);
    const JobStatus *j = s->jobs[1];
    assert_string_equal(j->state, "running");
    assert_string_equal(j->kind, "pretrain");
    assert_string_equal(j->worker, "w1");
    assert_string_equal(j->key_metric, "loss 2.41 bpb 1.31");
    assert_int_equal(j->progress->done, 200);
    assert_int_equal(j->attempts, 2);
    /* 200 of 600 took 20 s: 40 s are left */
    assert_true(j->seconds == 20 && j->seconds_left == 40);
    assert_string_equal(j->rate_unit, "tok/s");
    message_free(s);
}

static void job_that_is_done_has_outputs_and_no_time_left(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    RunStatus *s = NULL;

    put_run(c, 1, "small-1", RUN_STATE__RUN_RUNNING);
    put_vocabulary(c);
    assert_int_equal(status_run(&s, c->txn, "small-1", true, 1020000, &e), OK);
    const JobStatus *j = s->jobs[0];
    assert_string_equal(j->state, "done");
    assert_true(j->cached);
    assert_string_equal(j->key_metric, "2048 tokens");
    assert_string_equal(j->outputs[0]->name, "tokenizer");
    assert_int_equal(j->outputs[0]->id.data[0], 0xab);
    assert_false(j->has_seconds_left);
    message_free(s);
}

static void blocked_job_names_what_blocks_it(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    RunStatus *s = NULL;

    put_run(c, 1, "small-1", RUN_STATE__RUN_RUNNING);
    put_vocabulary(c);
    put_base(c);
    assert_int_equal(status_run(&s, c->txn, "", true, 1020000, &e), OK);
    assert_string_equal(s->jobs[2]->state, "blocked");
    assert_string_equal(s->jobs[2]->blocked_by[0], "base");
    assert_string_equal(s->jobs[2]->key_metric, "K=4");
    assert_int_equal(s->jobs[1]->n_blocked_by, 0);
    message_free(s);
}

static void run_without_an_orchestrator_is_interrupted(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    RunStatus *s = NULL;

    put_run(c, 1, "small-1", RUN_STATE__RUN_RUNNING);
    assert_int_equal(status_run(&s, c->txn, NULL, false, 1020000, &e), OK);
    assert_string_equal(s->state, "interrupted");
    assert_true(s->seconds == 0); /* nobody knows since when */
    message_free(s);
}

static void run_of_which_only_people_are_missing_is_waiting(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    RunStatus *s = NULL;
    JobRecord j = job(1, JOB_WAITING_FOR_PEOPLE);

    put_run(c, 1, "small-1", RUN_STATE__RUN_RUNNING);
    put_vocabulary(c);
    put_job(c, &j);
    assert_int_equal(status_run(&s, c->txn, NULL, true, 1020000, &e), OK);
    assert_string_equal(s->state, "waiting");
    assert_string_equal(s->jobs[1]->state, "waiting_for_people");
    message_free(s);
}

static void last_run_is_meant_when_none_is_named(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    RunStatus *s = NULL;
    StatusReply *all = NULL;

    put_run(c, 1, "small-1", RUN_STATE__RUN_DONE);
    put_run(c, 2, "small-2", RUN_STATE__RUN_FAILED);
    assert_int_equal(status_run(&s, c->txn, NULL, true, 2000000, &e), OK);
    assert_string_equal(s->run, "small-2");
    assert_string_equal(s->state, "failed");
    assert_true(s->seconds == 90);
    message_free(s);
    assert_int_equal(status_runs(&all, c->txn, true, 2000000, &e), OK);
    assert_int_equal(all->n_runs, 2);
    assert_string_equal(all->runs[0]->state, "done");
    assert_int_equal(all->runs[0]->n_jobs, 0);
    message_free(all);
}

static void unknown_run_is_answered_with_those_there_are(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    RunStatus *s = NULL;

    assert_int_equal(status_run(&s, c->txn, NULL, true, 0, &e), E_MISSING);
    assert_string_equal(e.msg, "there are no runs yet");
    put_run(c, 1, "small-1", RUN_STATE__RUN_DONE);
    put_run(c, 2, "small-2", RUN_STATE__RUN_DONE);
    assert_int_equal(status_run(&s, c->txn, "smal-1", true, 0, &e), E_MISSING);
    assert_string_equal(e.msg, "there is no run 'smal-1'; there are small-2, small-1");
    assert_null(s);
}

static void artifact_is_found_by_run_and_stage(void **at)
{
    static const char *const ways[] = { "vocabulary", "small-1/vocabulary",
        "small-1/vocabulary.tokenizer", "vocabulary.tokenizer" };
    struct scene *c = *at;
    struct err e = ERR_INIT;

    put_run(c, 1, "small-1", RUN_STATE__RUN_RUNNING);
    put_vocabulary(c);
    put_base(c);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        Output *o = NULL;
        assert_int_equal(status_artifact(&o, c->txn, ways[i], "checkpoint", &e), OK);
        assert_int_equal(o->id.data[0], 0xab);
        message_free(o);
    }
}

static void artifact_that_is_not_there_is_explained(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    Output *o = NULL;

    put_run(c, 1, "small-1", RUN_STATE__RUN_RUNNING);
    put_vocabulary(c);
    put_base(c);
    assert_int_equal(status_artifact(&o, c->txn, "small-1/bass", NULL, &e), E_MISSING);
    assert_string_equal(
        e.msg, "run 'small-1' has no stage 'bass'; it has vocabulary, base, answers");
    assert_int_equal(status_artifact(&o, c->txn, "base", "checkpoint", &e), E_MISSING);
    assert_string_equal(e.msg, "stage 'base' has no output yet: it is running");
    assert_int_equal(
        status_artifact(&o, c->txn, "vocabulary.nothing", "checkpoint", &e), E_MISSING);
    assert_string_equal(e.msg, "stage 'vocabulary' has no output 'nothing'");
}

int main(void)
{
#define STATUS_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STATUS_TEST(job_that_runs_says_how_it_goes),
        STATUS_TEST(job_that_is_done_has_outputs_and_no_time_left),
        STATUS_TEST(blocked_job_names_what_blocks_it),
        STATUS_TEST(run_without_an_orchestrator_is_interrupted),
        STATUS_TEST(run_of_which_only_people_are_missing_is_waiting),
        STATUS_TEST(last_run_is_meant_when_none_is_named),
        STATUS_TEST(unknown_run_is_answered_with_those_there_are),
        STATUS_TEST(artifact_is_found_by_run_and_stage),
        STATUS_TEST(artifact_that_is_not_there_is_explained),
    };
#undef STATUS_TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
