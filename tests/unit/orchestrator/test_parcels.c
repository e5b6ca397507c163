#include "orchestrator/parcels.h"

#include "tests/unit/orchestrator/home.h"

/* A journal and a store with artifacts a, b and c, which jobs have made. */
struct scene {
    char *home;
    struct journal *journal;
    struct store *store;
    struct id ids[3];
    Parcel *parcel;
};

static const struct id job_of_a = { { 1 } }, job_of_both = { { 2 } };

static struct id artifact(struct store *s, const char *text)
{
    struct err e = ERR_INIT;
    struct artifact_writer *w = NULL;
    Output *out = NULL;
    struct id id;

    assert_int_equal(artifact_create(&w, s, ARTIFACT_KIND__TOKENS, &e), OK);
    assert_int_equal(artifact_write(w, text, strlen(text), &e), OK);
    assert_int_equal(artifact_commit(w, "x", &out, &e), OK);
    assert_true(id_from_span(&id, out->id.data, out->id.len));
    message_free(out);
    return id;
}

static int set_up(void **at)
{
    struct scene *c = calloc(1, sizeof *c);
    struct err e = ERR_INIT;

    c->home = home_new();
    assert_int_equal(journal_open(&c->journal, c->home, &e), OK);
    assert_int_equal(store_open(&c->store, c->home, true, &e), OK);
    c->ids[0] = artifact(c->store, "a");
    c->ids[1] = artifact(c->store, "b");
    c->ids[2] = artifact(c->store, "c");
    c->parcel = malloc(sizeof *c->parcel);
    parcel__init(c->parcel);
    *at = c;
    return 0;
}

static int tear_down(void **at)
{
    struct scene *c = *at;

    message_free(c->parcel);
    journal_close(c->journal);
    store_close(c->store);
    home_remove(c->home);
    free(c);
    return 0;
}

/* The job's answer: n outputs from ids[first] on. */
static void remember(struct scene *c, const struct id *key, size_t first, size_t n)
{
    Output items[2] = { OUTPUT__INIT, OUTPUT__INIT }, *outputs[] = { &items[0], &items[1] };
    JobAnswer a = JOB_ANSWER__INIT;
    Progress p = PROGRESS__INIT;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < n; i++) {
        items[i].name = i ? "second" : "first";
        items[i].has_id = items[i].has_kind = true;
        items[i].id = (ProtobufCBinaryData){ 32, c->ids[first + i].b };
        items[i].kind = ARTIFACT_KIND__TOKENS;
    }
    a.outputs = outputs;
    a.n_outputs = n;
    a.progress = &p;
    assert_int_equal(journal_put_job_answer(c->journal, key, &a, &e), OK);
}

static void add(struct scene *c, size_t i)
{
    struct err e = ERR_INIT;

    assert_int_equal(parcel_add_item(c->parcel, &c->ids[i], ARTIFACT_KIND__TOKENS, "name", &e), OK);
}

static void add_jobs(struct scene *c)
{
    struct state_txn *t = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(journal_txn(c->journal, &t, &e), OK);
    assert_int_equal(parcel_add_jobs(c->parcel, t, &e), OK);
}

static bool has_key(const Parcel *p, const struct id *key)
{
    for (size_t i = 0; i < p->n_jobs; i++)
        if (memcmp(p->jobs[i]->key.data, key->b, sizeof key->b) == 0)
            return true;
    return false;
}

static void an_item_stands_once(void **at)
{
    struct scene *c = *at;

    add(c, 0);
    add(c, 1);
    add(c, 0);
    assert_int_equal(c->parcel->n_items, 2);
}

static void jobs_go_along_with_all_of_their_outputs(void **at)
{
    struct scene *c = *at;

    remember(c, &job_of_a, 0, 1);
    remember(c, &job_of_both, 1, 2);
    add(c, 0);
    add(c, 1);
    add_jobs(c);
    assert_true(has_key(c->parcel, &job_of_a));
    assert_false(has_key(c->parcel, &job_of_both)); /* c is missing */
    assert_true(has_key(c->parcel, &c->ids[1]));    /* so b is held by an answer of its own */
    assert_int_equal(c->parcel->n_jobs, 2);
    assert_null(c->parcel->jobs[0]->answer->progress);
}

static void without_a_state_every_item_is_held(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;

    add(c, 0);
    add(c, 1);
    assert_int_equal(parcel_add_jobs(c->parcel, NULL, &e), OK);
    assert_true(has_key(c->parcel, &c->ids[0]) && has_key(c->parcel, &c->ids[1]));
}

static JobAnswer *known(struct scene *c, const struct id *key)
{
    struct err e = ERR_INIT;
    JobAnswer *a = NULL;

    assert_int_equal(journal_job_answer(c->journal, key, &a, &e), OK);
    return a;
}

static void what_is_stored_is_remembered(void **at)
{
    struct scene *c = *at, other = { .home = home_new() };
    struct err e = ERR_INIT;
    JobAnswer *a;

    remember(c, &job_of_a, 0, 1);
    remember(c, &job_of_both, 1, 2);
    add(c, 0);
    add(c, 1);
    add(c, 2);
    add_jobs(c);
    assert_int_equal(journal_open(&other.journal, other.home, &e), OK);
    assert_int_equal(store_open(&other.store, other.home, true, &e), OK);
    artifact(other.store, "a");
    artifact(other.store, "b");
    assert_int_equal(parcel_remember(other.journal, other.store, c->parcel, &e), OK);
    a = known(&other, &job_of_a);
    assert_non_null(a);
    assert_memory_equal(a->outputs[0]->id.data, c->ids[0].b, 32);
    message_free(a);
    assert_null(known(&other, &job_of_both)); /* c is not there */
    journal_close(other.journal);
    store_close(other.store);
    home_remove(other.home);
}

static void what_is_known_already_stays(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    JobAnswer *a;

    remember(c, &job_of_a, 0, 1);
    add(c, 0);
    add_jobs(c);
    remember(c, &job_of_a, 1, 1);
    assert_int_equal(parcel_remember(c->journal, c->store, c->parcel, &e), OK);
    a = known(c, &job_of_a);
    assert_memory_equal(a->outputs[0]->id.data, c->ids[1].b, 32);
    message_free(a);
}

#define PARCEL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARCEL_TEST(an_item_stands_once),
        PARCEL_TEST(jobs_go_along_with_all_of_their_outputs),
        PARCEL_TEST(without_a_state_every_item_is_held),
        PARCEL_TEST(what_is_stored_is_remembered),
        PARCEL_TEST(what_is_known_already_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
