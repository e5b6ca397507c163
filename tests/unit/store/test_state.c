#include "tests/unit/store/home.h"

#include <signal.h>

#include "store/state.h"

static struct state *state_in(const char *home, bool writer)
{
    struct err e = ERR_INIT;
    struct state *s = NULL;

    assert_ok(state_open(&s, home, writer, &e), e);
    return s;
}

static struct state_txn *begin(struct state *s, bool write)
{
    struct err e = ERR_INIT;
    struct state_txn *t = NULL;

    assert_ok(state_begin(&t, s, write, &e), e);
    return t;
}

static void commit(struct state_txn *t)
{
    struct err e = ERR_INIT;

    assert_ok(state_commit(t, &e), e);
}

static void put_line(struct state_txn *t, uint64_t run, uint64_t number)
{
    struct err e = ERR_INIT;
    LogLine line = LOG_LINE__INIT;

    line.has_number = true;
    line.number = number;
    line.text = "text";
    assert_ok(state_put(t, STATE_LOG, key_numbers(2, run, number, 0), &line.base, &e), e);
}

/* "5 7 " for the lines with these numbers. */
struct listing {
    struct buf text;
    int left; /* stops after so many */
};

static int list(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    struct listing *l = ctx;
    int rc = buf_printf(&l->text, "%d ", (int)((LogLine *)m)->number);

    (void)e;
    assert_int_equal(key.n, 16);
    assert_int_equal(key.b[15], ((LogLine *)m)->number & 0xff);
    message_free(m);
    return rc == OK && --l->left == 0 ? 1 : rc;
}

static void assert_lists(
    struct state_txn *t, struct state_key prefix, bool backwards, int limit, const char *expected)
{
    struct err e = ERR_INIT;
    struct listing l = { .left = limit };

    assert_int_equal(buf_add(&l.text, NULL, 0), OK);
    assert_ok(state_each(t, STATE_LOG, prefix, backwards, &log_line__descriptor, list, &l, &e), e);
    assert_string_equal(l.text.p, expected);
    buf_free(&l.text);
}

static void keys_are_big_endian_and_sort_by_number(void **state)
{
    struct state_key k = key_numbers(3, 1, 0x0102030405060708, 255);
    struct id id = id_of("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    (void)state;
    assert_int_equal(k.n, 24);
    assert_memory_equal(k.b, "\0\0\0\0\0\0\0\1\1\2\3\4\5\6\7\10\0\0\0\0\0\0\0\377", 24);
    assert_int_equal(key_numbers(1, 1, 2, 3).n, 8);
    assert_int_equal(key_id(&id).n, 32);
    assert_memory_equal(key_id(&id).b, id.b, 32);
}

static void a_record_reads_back_changes_and_goes(void **state)
{
    struct err e = ERR_INIT;
    struct state *s = state_in(*state, true);
    struct state_txn *t = begin(s, true);
    struct state_key key = key_numbers(1, 0, 0, 0);
    ProtobufCMessage *m = NULL;
    Meta meta = META__INIT;

    assert_ok(state_get(t, STATE_META, key, &meta__descriptor, &m, &e), e);
    assert_null(m);
    meta.has_epoch = true;
    for (meta.epoch = 1; meta.epoch < 4; meta.epoch++)
        assert_ok(state_put(t, STATE_META, key, &meta.base, &e), e);
    assert_ok(state_get(t, STATE_META, key, &meta__descriptor, &m, &e), e);
    assert_int_equal(((Meta *)m)->epoch, 3);
    message_free(m);
    commit(t);

    t = begin(s, true);
    assert_ok(state_delete(t, STATE_META, key, &e), e);
    assert_ok(state_delete(t, STATE_META, key, &e), e);
    assert_ok(state_get(t, STATE_META, key, &meta__descriptor, &m, &e), e);
    assert_null(m);
    state_abort(t);

    t = begin(s, false);
    assert_ok(state_get(t, STATE_META, key, &meta__descriptor, &m, &e), e);
    assert_non_null(m);
    message_free(m);
    state_abort(t);
    state_abort(NULL);
    state_close(s);
    state_close(NULL);
}

static void ranges_are_in_order_both_ways_and_end_with_their_prefix(void **state)
{
    const uint64_t runs[] = { 2, 1, 255, 256, 3 };
    struct state *s = state_in(*state, true);
    struct state_txn *t = begin(s, true);

    assert_lists(t, (struct state_key){ .n = 0 }, false, 0, "");
    assert_lists(t, (struct state_key){ .n = 0 }, true, 0, "");
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        for (uint64_t n = 3; n-- > 0;)
            put_line(t, runs[i], 10 * (runs[i] % 100) + n);
    put_line(t, UINT64_MAX, 7);
    commit(t);
    t = begin(s, false);
    assert_lists(t, key_numbers(1, 2, 0, 0), false, 0, "20 21 22 ");
    assert_lists(t, key_numbers(1, 2, 0, 0), true, 0, "22 21 20 ");
    assert_lists(t, key_numbers(1, 255, 0, 0), true, 0, "552 551 550 ");
    assert_lists(t, key_numbers(1, 256, 0, 0), true, 2, "562 561 ");
    assert_lists(t, key_numbers(1, UINT64_MAX, 0, 0), true, 0, "7 ");
    assert_lists(t, key_numbers(1, UINT64_MAX, 0, 0), false, 0, "7 ");
    assert_lists(t, key_numbers(1, 4, 0, 0), false, 0, "");
    assert_lists(t, key_numbers(1, 4, 0, 0), true, 0, "");
    assert_lists(t, key_numbers(1, 0, 0, 0), true, 0, "");
    assert_lists(t, key_numbers(2, 3, 31, 0), false, 0, "31 ");
    assert_lists(t, (struct state_key){ .n = 0 }, false, 4, "10 11 12 20 ");
    assert_lists(t, (struct state_key){ .n = 0 }, true, 3, "7 562 561 ");
    state_abort(t);
    state_close(s);
}

static int fail_at_once(void *ctx, struct state_key key, ProtobufCMessage *m, struct err *e)
{
    (void)ctx;
    (void)key;
    message_free(m);
    return err_set(e, E_CANCELLED, "enough");
}

static void an_error_of_each_comes_back(void **state)
{
    struct err e = ERR_INIT;
    struct state *s = state_in(*state, true);
    struct state_txn *t = begin(s, true);

    put_line(t, 1, 1);
    assert_int_equal(state_each(t, STATE_LOG, key_numbers(1, 1, 0, 0), false, &log_line__descriptor,
                         fail_at_once, NULL, &e),
        E_CANCELLED);
    state_abort(t);
    state_close(s);
}

static void tables_do_not_mix(void **state)
{
    struct err e = ERR_INIT;
    struct state *s = state_in(*state, true);
    struct state_txn *t = begin(s, true);
    ProtobufCMessage *m = NULL;

    put_line(t, 1, 1);
    for (int table = 0; table < STATE_TABLES; table++) {
        assert_ok(state_get(t, (enum state_table)table, key_numbers(2, 1, 1, 0),
                      &log_line__descriptor, &m, &e),
            e);
        assert_int_equal(m != NULL, table == STATE_LOG);
        message_free(m);
    }
    state_abort(t);
    state_close(s);
}

static void a_damaged_record_is_corrupt_and_its_table_named(void **state)
{
    struct err e = ERR_INIT;
    struct state *s = state_in(*state, true);
    struct state_key key = key_numbers(2, 1, 1, 0);
    struct state_txn *t = begin(s, true);
    ProtobufCMessage *m = NULL;

    put_line(t, 1, 1);
    commit(t);
    state_close(s);
    lmdb_change(*state, STATE_FOLDER, "log", key.b, key.n, 0, 0x07);
    s = state_in(*state, false);
    t = begin(s, false);
    assert_int_equal(state_get(t, STATE_LOG, key, &log_line__descriptor, &m, &e), E_CORRUPT);
    assert_says(e, "'log'");
    state_abort(t);
    state_close(s);
}

/* ---- several processes ---- */

static int open_as_writer(const char *home)
{
    struct err e = ERR_INIT;
    struct state *s = NULL;
    int rc = state_open(&s, home, true, &e);

    state_close(s);
    return -rc;
}

static int read_only(const char *home)
{
    struct err e = ERR_INIT;
    struct state *s = NULL;
    struct state_txn *t = NULL;
    int rc = state_open(&s, home, false, &e);

    if (rc != OK)
        return -rc;
    if (state_begin(&t, s, true, &e) == OK)
        return 100; /* a reader must not write */
    t = begin(s, false);
    assert_lists(t, key_numbers(1, 1, 0, 0), false, 0, "5 ");
    state_abort(t);
    state_close(s);
    return 0;
}

static int is_alive(const char *home)
{
    return state_orchestrator_alive(home);
}

static void a_second_writer_is_refused_while_readers_see_what_is_committed(void **state)
{
    struct state *s = state_in(*state, true);
    struct state_txn *t = begin(s, true);

    put_line(t, 1, 5);
    commit(t);
    t = begin(s, true);
    put_line(t, 1, 6); /* not committed: nobody sees it */
    assert_int_equal(in_child(open_as_writer, *state), -E_BUSY);
    assert_int_equal(in_child(read_only, *state), 0);
    state_abort(t);
    state_close(s);
    assert_int_equal(in_child(open_as_writer, *state), 0);
    assert_int_equal(in_child(read_only, *state), 0);
}

static void the_lock_tells_whether_an_orchestrator_lives(void **state)
{
    struct state *s;

    assert_false(state_orchestrator_alive(*state));
    s = state_in(*state, true);
    assert_true(state_orchestrator_alive(*state));
    assert_true(state_orchestrator_alive(*state)); /* asking does not give it up */
    assert_int_equal(in_child(is_alive, *state), 1);
    assert_int_equal(in_child(open_as_writer, *state), -E_BUSY);
    state_close(s);
    assert_false(state_orchestrator_alive(*state));
    s = state_in(*state, false);
    assert_false(state_orchestrator_alive(*state));
    state_close(s);
}

static void a_state_that_is_not_there_is_missing(void **state)
{
    assert_int_equal(in_child(read_only, *state), -E_MISSING);
}

static int commit_and_die(const char *home)
{
    struct state *s = state_in(home, true);
    struct state_txn *t = begin(s, true);

    put_line(t, 1, 5);
    commit(t);
    t = begin(s, true);
    put_line(t, 1, 6);
    raise(SIGKILL);
    return 1;
}

static void a_killed_writer_leaves_its_commits_and_no_lock(void **state)
{
    struct state *s;
    struct state_txn *t;

    for (int i = 0; i < 3; i++)
        assert_int_equal(in_child(commit_and_die, *state), 128 + SIGKILL);
    assert_false(state_orchestrator_alive(*state));
    s = state_in(*state, true);
    t = begin(s, true);
    assert_lists(t, (struct state_key){ .n = 0 }, false, 0, "5 ");
    state_abort(t);
    state_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_big_endian_and_sort_by_number),
        home_test(a_record_reads_back_changes_and_goes),
        home_test(ranges_are_in_order_both_ways_and_end_with_their_prefix),
        home_test(an_error_of_each_comes_back),
        home_test(tables_do_not_mix),
        home_test(a_damaged_record_is_corrupt_and_its_table_named),
        home_test(a_second_writer_is_refused_while_readers_see_what_is_committed),
        home_test(the_lock_tells_whether_an_orchestrator_lives),
        home_test(a_state_that_is_not_there_is_missing),
        home_test(a_killed_writer_leaves_its_commits_and_no_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
