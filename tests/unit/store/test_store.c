#include "tests/unit/store/home.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void a_chunk_is_named_by_its_sha256_and_reads_back(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct id id, known = id_of(ABC);
    struct buf b = { 0 };

    assert_ok(store_chunk_put(s, "abc", 3, &id, &e), e);
    assert_true(id_equal(&id, &known));
    assert_ok(store_chunk_put(s, "abc", 3, &id, &e), e);
    assert_ok(store_chunk_get(s, &known, &b, &e), e);
    assert_int_equal(b.n, 3);
    assert_memory_equal(b.p, "abc", 3);
    buf_free(&b);
    store_close(s);
}

static void a_chunk_has_from_one_byte_to_chunk_size(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    uint8_t *large = calloc(1, CHUNK_SIZE + 1);
    struct id id;

    assert_int_equal(store_chunk_put(s, "", 0, &id, &e), E_INPUT);
    assert_int_equal(store_chunk_put(s, large, CHUNK_SIZE + 1, &id, &e), E_INPUT);
    assert_ok(store_chunk_put(s, large, CHUNK_SIZE, &id, &e), e);
    free(large);
    store_close(s);
}

static void what_is_not_there_is_missing_by_name(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct id id = id_of(ABC);
    struct buf b = { 0 };
    Manifest *m = NULL;

    assert_int_equal(store_chunk_get(s, &id, &b, &e), E_MISSING);
    assert_says(e, "there is no chunk " ABC);
    assert_int_equal(store_manifest(&m, s, &id, &e), E_MISSING);
    assert_says(e, "there is no artifact " ABC);
    assert_false(store_has(s, &id));
    assert_null(m);
    store_close(s);
}

static void a_flipped_bit_in_a_chunk_is_found_when_it_is_fetched(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct buf b = { 0 };
    struct id id;

    assert_ok(store_chunk_put(s, "abc", 3, &id, &e), e);
    store_close(s);
    lmdb_change(*state, STORE_FOLDER, DB_CHUNK, id.b, sizeof id.b, 1, 0x10);
    s = store_in(*state);
    assert_int_equal(store_chunk_get(s, &id, &b, &e), E_CORRUPT);
    assert_says(e, ABC);
    assert_null(b.p);
    store_close(s);
}

static void a_flipped_bit_in_a_manifest_is_found_when_it_is_read(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    Manifest *m = NULL;
    struct id id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);

    store_close(s);
    lmdb_change(*state, STORE_FOLDER, DB_MANIFEST, id.b, sizeof id.b, 3, 1);
    s = store_in(*state);
    assert_int_equal(store_manifest(&m, s, &id, &e), E_CORRUPT);
    store_close(s);
}

/* Chunk by chunk and the manifest last: how artifacts move between hosts. */
static void an_artifact_moves_to_another_store_with_its_name(void **state)
{
    static uint8_t bytes[3 * (1 << 20)], back[3 * (1 << 20)];
    struct err e = ERR_INIT;
    char other[512];
    struct store *from = store_in(*state), *to;
    struct artifact_reader *r = NULL;
    struct id id, moved, chunk;
    Manifest *m = NULL;

    snprintf(other, sizeof other, "%s/other", (char *)*state);
    to = store_in(other);
    bytes_fill(bytes, sizeof bytes, 3);
    id = artifact_of(from, ARTIFACT_KIND__EXPERIENCE, bytes, sizeof bytes);
    assert_ok(store_manifest(&m, from, &id, &e), e);
    for (size_t i = 0; i < m->n_chunks; i++) {
        struct buf b = { 0 };
        assert_int_equal(store_manifest_put(to, m, &moved, &e), E_MISSING);
        assert_true(id_from_span(&chunk, m->chunks[i].data, m->chunks[i].len));
        assert_ok(store_chunk_get(from, &chunk, &b, &e), e);
        assert_ok(store_chunk_put(to, b.p, b.n, &moved, &e), e);
        assert_true(id_equal(&moved, &chunk));
        buf_free(&b);
    }
    assert_false(store_has(to, &id));
    assert_ok(store_manifest_put(to, m, &moved, &e), e);
    assert_true(id_equal(&moved, &id));
    assert_true(store_has(to, &id));
    assert_ok(artifact_open(&r, to, &id, ARTIFACT_KIND__EXPERIENCE, &e), e);
    assert_ok(artifact_read(r, 0, back, sizeof back, &e), e);
    assert_memory_equal(bytes, back, sizeof back);
    artifact_close(r);
    message_free(m);
    store_close(from);
    store_close(to);
}

static void a_manifest_that_does_not_fit_its_chunks_is_refused(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    Manifest *m = NULL;
    struct id id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);

    assert_ok(store_manifest(&m, s, &id, &e), e);
    m->size = 4;
    assert_int_equal(store_manifest_put(s, m, &id, &e), E_CORRUPT);
    assert_says(e, "chunk 0");
    m->size = CHUNK_SIZE + 1ull;
    assert_int_equal(store_manifest_put(s, m, &id, &e), E_CORRUPT);
    message_free(m);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(a_chunk_is_named_by_its_sha256_and_reads_back),
        home_test(a_chunk_has_from_one_byte_to_chunk_size),
        home_test(what_is_not_there_is_missing_by_name),
        home_test(a_flipped_bit_in_a_chunk_is_found_when_it_is_fetched),
        home_test(a_flipped_bit_in_a_manifest_is_found_when_it_is_read),
        home_test(an_artifact_moves_to_another_store_with_its_name),
        home_test(a_manifest_that_does_not_fit_its_chunks_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
