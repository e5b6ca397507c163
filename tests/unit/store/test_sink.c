#include "tests/unit/store/home.h"

/* Chunk i of a stream. */
static void fill(uint8_t *p, uint32_t i)
{
    memset(p, 0, CHUNK_SIZE);
    memcpy(p, &i, sizeof i);
}

static void chunks_of_a_stream_are_named_in_order_and_stored(void **state)
{
    struct store *s = store_in(*state);
    struct sink *k = NULL;
    struct err e = ERR_INIT;
    uint8_t *chunk = malloc(CHUNK_SIZE);
    struct id id;
    enum { N = 5 * SINK_CHUNKS + 1 };

    assert_int_equal(sink_new(&k, s, &e), OK);
    for (uint32_t i = 0; i < N; i++) {
        fill(chunk, i);
        assert_int_equal(sink_write(k, chunk, 1000, &e), OK);
        assert_int_equal(sink_write(k, chunk + 1000, CHUNK_SIZE - 1000, &e), OK);
    }
    assert_int_equal(sink_flush(k, &e), OK);
    assert_int_equal(sink_ids(k).n, N * sizeof id);
    for (uint32_t i = 0; i < N; i++) {
        struct buf got = { 0 };
        fill(chunk, i);
        sha256(&id, chunk, CHUNK_SIZE);
        assert_true(id_equal(&id, (const struct id *)sink_ids(k).p + i));
        assert_int_equal(store_chunk_get(s, &id, &got, &e), OK);
        buf_free(&got);
    }
    sink_free(k);
    free(chunk);
    store_close(s);
}

/* In pieces that end within chunks, so that some of what is lent is copied and some is not. */
static void lent_stream_has_the_chunks_of_a_copied_one(void **state)
{
    struct store *s = store_in(*state);
    struct sink *lent = NULL, *copied = NULL;
    struct err e = ERR_INIT;
    const size_t sizes[] = { 100, 3 * CHUNK_SIZE, CHUNK_SIZE - 100, 6 * CHUNK_SIZE + 1, 7 };
    const size_t most = 6 * CHUNK_SIZE + 1;
    uint8_t *bytes = malloc(most);

    for (size_t i = 0; i < most; i++)
        bytes[i] = (uint8_t)(i * i >> 7);
    assert_int_equal(sink_new(&lent, s, &e), OK);
    assert_int_equal(sink_new(&copied, s, &e), OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(sink_lend(lent, bytes, sizes[i], &e), OK);
        assert_int_equal(sink_write(copied, bytes, sizes[i], &e), OK);
    }
    assert_int_equal(sink_flush(lent, &e), OK);
    assert_int_equal(sink_flush(copied, &e), OK);
    assert_int_equal(sink_ids(lent).n, 11 * sizeof(struct id));
    assert_int_equal(sink_ids(copied).n, sink_ids(lent).n);
    assert_memory_equal(sink_ids(lent).p, sink_ids(copied).p, sink_ids(lent).n);
    sink_free(lent);
    sink_free(copied);
    free(bytes);
    store_close(s);
}

static void chunk_of_another_hash_is_refused_and_nothing_follows(void **state)
{
    struct store *s = store_in(*state);
    struct sink *k = NULL;
    struct err e = ERR_INIT;
    struct id id;

    assert_int_equal(sink_new(&k, s, &e), OK);
    sha256(&id, "abc", 3);
    assert_int_equal(sink_chunk(k, "abc", 3, &id, &e), OK);
    assert_int_equal(sink_flush(k, &e), OK);
    assert_int_equal(sink_chunk(k, "abd", 3, &id, &e), OK);
    assert_int_equal(sink_flush(k, &e), E_CORRUPT);
    assert_int_equal(sink_chunk(k, "abc", 3, &id, &e), E_CORRUPT);
    sink_free(k);
    store_close(s);
}

static void damaged_sum_is_outvoted_by_the_hash(void **state)
{
    struct store *s = store_in(*state);
    struct err e = ERR_INIT;
    struct id id;
    MDB_txn *t = NULL;
    uint64_t wrong = 1;

    assert_int_equal(store_chunk_put(s, "abc", 3, &id, &e), OK);
    assert_int_equal(env_begin(&t, &s->env, true, &e), OK);
    MDB_val key = { sizeof id.b, id.b }, value = { sizeof wrong, &wrong };
    assert_int_equal(mdb_put(t, s->dbi[STORE_SUM], &key, &value, 0), 0);
    assert_int_equal(
        store_check_sum((struct span){ "abc", 3 }, sum64("abc", 3), s, t, &id, &e), OK);
    assert_int_equal(
        store_check_sum((struct span){ "abd", 3 }, sum64("abd", 3), s, t, &id, &e), E_CORRUPT);
    assert_int_equal(mdb_del(t, s->dbi[STORE_SUM], &key, NULL), 0);
    assert_int_equal(
        store_check_sum((struct span){ "abc", 3 }, sum64("abc", 3), s, t, &id, &e), OK);
    env_abort(&s->env, t);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(chunks_of_a_stream_are_named_in_order_and_stored),
        home_test(lent_stream_has_the_chunks_of_a_copied_one),
        home_test(chunk_of_another_hash_is_refused_and_nothing_follows),
        home_test(damaged_sum_is_outvoted_by_the_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
