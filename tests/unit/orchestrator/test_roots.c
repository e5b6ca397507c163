#include "orchestrator/roots.h"

#include "orchestrator/job.h"
#include "tests/unit/orchestrator/home.h"

/* An artifact is named by one letter here. */

struct scene {
    char *home;
    struct state *state;
    struct state_txn *txn;
    struct id ids[128];
};

static int set_up(void **at)
{
    struct scene *c = calloc(1, sizeof *c);
    struct err e = ERR_INIT;

    c->home = home_new();
    for (int i = 0; i < 128; i++)
        memset(&c->ids[i], i, sizeof c->ids[i]);
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

static Output output(struct scene *c, char letter, ArtifactKind kind)
{
    Output o = OUTPUT__INIT;

    o.name = "x";
    o.has_id = o.has_kind = true;
    o.id = (ProtobufCBinaryData){ sizeof(struct id), c->ids[(int)letter].b };
    o.kind = kind;
    return o;
}

static void check_roots(struct scene *c, const char *wanted)
{
    struct id_set roots = { 0 };
    struct err e = ERR_INIT;

    assert_int_equal(roots_collect(&roots, c->txn, &e), OK);
    assert_int_equal(roots.n, strlen(wanted));
    for (const char *p = wanted; *p; p++)
        assert_true(id_set_find(&roots, &c->ids[(int)*p]) >= 0);
    id_set_free(&roots);
}

static void put_job(struct scene *c, uint32_t index, enum job_state state, char slot, char out)
{
    Output slots = output(c, slot, ARTIFACT_KIND__TRAINING_STATE), *s = &slots;
    Output outputs = output(c, out, ARTIFACT_KIND__CHECKPOINT), *o = &outputs;
    JobRecord r = JOB_RECORD__INIT;
    struct err e = ERR_INIT;

    r.has_state = true;
    r.state = state;
    r.slots = &s;
    r.n_slots = 1;
    r.outputs = &o;
    r.n_outputs = out != 0;
    assert_int_equal(state_put(c->txn, STATE_JOB, key_numbers(2, 1, index, 0), &r.base, &e), OK);
}

static void an_unfinished_job_needs_its_links_a_finished_one_does_not(void **at)
{
    struct scene *c = *at;

    check_roots(c, "");
    put_job(c, 0, JOB_DONE, 'a', 'b');
    put_job(c, 1, JOB_RUNNING, 'c', 0);
    put_job(c, 2, JOB_FAILED, 'd', 0); /* it may be tried again */
    check_roots(c, "bcd");
}

static void an_answer_is_remembered_but_for_links(void **at)
{
    struct scene *c = *at;
    Output kept = output(c, 'k', ARTIFACT_KIND__TOKENS);
    Output state = output(c, 's', ARTIFACT_KIND__TRAINING_STATE);
    Output experience = output(c, 'e', ARTIFACT_KIND__EXPERIENCE);
    Output *outputs[] = { &kept, &state, &experience };
    TaskAnswer a = TASK_ANSWER__INIT;
    JobAnswer j = JOB_ANSWER__INIT;
    struct err e = ERR_INIT;

    a.outputs = outputs;
    a.n_outputs = 3;
    assert_int_equal(state_put(c->txn, STATE_ANSWER, key_id(&c->ids[1]), &a.base, &e), OK);
    check_roots(c, "k");
    j.outputs = outputs + 1;
    j.n_outputs = 1;
    assert_int_equal(state_put(c->txn, STATE_JOB_ANSWER, key_id(&c->ids[2]), &j.base, &e), OK);
    check_roots(c, "ks"); /* what a whole job gave is kept, whatever it is */
}

static void a_runs_inputs_are_kept(void **at)
{
    struct scene *c = *at;
    Output files = output(c, 'f', ARTIFACT_KIND__FILES);
    TakenInput input = TAKEN_INPUT__INIT, *inputs = &input;
    Submit s = SUBMIT__INIT;
    RunRecord r = RUN_RECORD__INIT;
    struct err e = ERR_INIT;

    input.artifact = &files;
    s.inputs = &inputs;
    s.n_inputs = 1;
    r.submit = &s;
    assert_int_equal(state_put(c->txn, STATE_RUN, key_numbers(1, 1, 0, 0), &r.base, &e), OK);
    check_roots(c, "f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            an_unfinished_job_needs_its_links_a_finished_one_does_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_answer_is_remembered_but_for_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_runs_inputs_are_kept, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
