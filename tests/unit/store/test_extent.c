#include "tests/unit/store/home.h"

#include <sys/stat.h>

static off_t file_of(char path[512], const char *home)
{
    struct stat st;

    snprintf(path, 512, "%s/store/data.mdb", home);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void a_file_that_was_cut_is_refused_and_left_as_it_is(void **state)
{
    static uint8_t bytes[4 << 20];
    struct store *s = store_in(*state);
    char path[512];
    off_t whole;

    bytes_fill(bytes, sizeof bytes, 1);
    artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, sizeof bytes);
    store_close(s);
    whole = file_of(path, *state);
    for (int parts = 3; parts > 0; parts--) {
        struct err e = ERR_INIT;
        off_t cut = whole * parts / 4;
        assert_int_equal(truncate(path, cut), 0);
        assert_int_equal(store_open(&s, *state, true, &e), E_CORRUPT);
        assert_says(e, "/store/data.mdb' was cut off");
        assert_int_equal(store_open(&s, *state, false, &e), E_CORRUPT);
        assert_int_equal(file_of(path, *state), cut);
    }
}

static void a_file_that_is_cut_within_its_first_pages_is_refused(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    char path[512];

    store_close(s);
    file_of(path, *state);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(store_open(&s, *state, true, &e), E_CORRUPT);
    assert_says(e, "damaged");
    assert_int_equal(file_of(path, *state), 100);
}

/* A transaction that takes away what it has written leaves free pages that were never written. */
static void pages_that_are_free_may_be_missing(void **state)
{
    static uint8_t bytes[4 << 20];
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    MDB_envinfo info;
    MDB_txn *t = NULL;
    char path[512];
    struct id id;

    id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);
    assert_ok(store_drop(s, &id, 1, &(struct swept){ 0 }, &e), e); /* there are free pages */
    id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abcd", 4);
    assert_ok(env_begin(&t, &s->env, true, &e), e);
    for (uint8_t i = 0; i < 8; i++) {
        MDB_val key = { 1, &i }, value = { sizeof bytes / 8, bytes };
        assert_int_equal(mdb_put(t, s->dbi[STORE_CHUNK], &key, &value, 0), 0);
    }
    for (uint8_t i = 0; i < 8; i++) {
        MDB_val key = { 1, &i };
        assert_int_equal(mdb_del(t, s->dbi[STORE_CHUNK], &key, NULL), 0);
    }
    assert_ok(env_commit(&s->env, t, &e), e);
    assert_int_equal(mdb_env_info(s->env.mdb, &info), 0);
    store_close(s);
    assert_true(
        (size_t)file_of(path, *state) < (info.me_last_pgno + 1) * (size_t)sysconf(_SC_PAGESIZE));
    s = store_in(*state);
    assert_true(store_has(s, &id));
    assert_intact(s);
    bytes_fill(bytes, sizeof bytes, 2);
    artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, sizeof bytes);
    assert_intact(s);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(a_file_that_was_cut_is_refused_and_left_as_it_is),
        home_test(a_file_that_is_cut_within_its_first_pages_is_refused),
        home_test(pages_that_are_free_may_be_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
