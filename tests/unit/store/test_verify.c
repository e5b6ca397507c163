#include "tests/unit/store/home.h"

#include "proto/id_set.h"

static void a_store_that_is_whole_has_nothing_to_say(void **state)
{
    static uint8_t bytes[3 << 20];
    struct store *s = store_in(*state);

    assert_intact(s);
    bytes_fill(bytes, sizeof bytes, 1);
    artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, sizeof bytes);
    artifact_of(s, ARTIFACT_KIND__TOKENS, NULL, 0);
    assert_intact(s);
    store_close(s);
}

static void a_flipped_bit_is_named_with_every_artifact_that_has_the_chunk(void **state)
{
    static uint8_t bytes[2 << 20];
    struct store *s = store_in(*state);
    char *found, hex[3][ID_HEX];
    struct id a, b, c, chunk;

    bytes_fill(bytes, sizeof bytes, 1);
    a = artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, sizeof bytes);
    b = artifact_of(s, ARTIFACT_KIND__ANSWERS, bytes, CHUNK_SIZE);
    c = artifact_of(s, ARTIFACT_KIND__ANSWERS, bytes, 1000);
    store_close(s);
    sha256(&chunk, bytes, CHUNK_SIZE);
    lmdb_change(*state, STORE_FOLDER, DB_CHUNK, chunk.b, sizeof chunk.b, 0, 1);
    s = store_in(*state);
    found = verify_all(s);
    id_hex(hex[0], &chunk);
    assert_non_null(strstr(found, hex[0]));
    id_hex(hex[1], &a);
    assert_non_null(strstr(found, hex[1]));
    id_hex(hex[1], &b);
    assert_non_null(strstr(found, hex[1]));
    id_hex(hex[2], &c);
    assert_null(strstr(found, hex[2]));
    free(found);
    store_close(s);
}

static void a_missing_chunk_is_named_with_its_artifact(void **state)
{
    struct store *s = store_in(*state);
    struct id chunk, id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);
    char *found, hex[ID_HEX];

    store_close(s);
    sha256(&chunk, "abc", 3);
    lmdb_delete(*state, STORE_FOLDER, DB_CHUNK, chunk.b, sizeof chunk.b);
    s = store_in(*state);
    found = verify_all(s);
    id_hex(hex, &id);
    assert_non_null(strstr(found, hex));
    assert_non_null(strstr(found, "there is no chunk"));
    free(found);
    store_close(s);
}

static void a_changed_manifest_is_named(void **state)
{
    struct store *s = store_in(*state);
    struct id id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);
    char *found, hex[ID_HEX];

    store_close(s);
    lmdb_change(*state, STORE_FOLDER, DB_MANIFEST, id.b, sizeof id.b, 1, 2);
    s = store_in(*state);
    found = verify_all(s);
    id_hex(hex, &id);
    assert_non_null(strstr(found, hex));
    free(found);
    store_close(s);
}

static void note_gone(void *ctx, const struct id *artifact)
{
    struct err e = ERR_INIT;

    assert_ok(id_set_add(ctx, artifact, &e), e);
}

static void note_nothing(void *ctx, const char *what)
{
    (void)ctx;
    (void)what;
}

static void healing_takes_away_what_is_damaged_and_nothing_else(void **state)
{
    static uint8_t bytes[2 << 20];
    struct store *s = store_in(*state);
    struct id_set gone = { 0 };
    struct err e = ERR_INIT;
    struct id whole, both, first, chunk;

    bytes_fill(bytes, sizeof bytes, 1);
    both = artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, sizeof bytes);
    first = artifact_of(s, ARTIFACT_KIND__ANSWERS, bytes, CHUNK_SIZE);
    whole = artifact_of(s, ARTIFACT_KIND__ANSWERS, bytes + CHUNK_SIZE, CHUNK_SIZE);
    store_close(s);
    sha256(&chunk, bytes, CHUNK_SIZE);
    lmdb_change(*state, STORE_FOLDER, DB_CHUNK, chunk.b, sizeof chunk.b, 0, 1);
    s = store_in(*state);
    assert_ok(store_heal(s, note_nothing, note_gone, &gone, &e), e);
    id_set_sort(&gone);
    assert_int_equal(gone.n, 2);
    assert_true(id_set_find(&gone, &both) >= 0 && id_set_find(&gone, &first) >= 0);
    assert_false(store_has(s, &both) || store_has(s, &first));
    assert_true(store_has(s, &whole));
    assert_intact(s);
    struct id again = artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, sizeof bytes);
    assert_true(id_equal(&again, &both));
    assert_intact(s);
    id_set_free(&gone);
    store_close(s);
}

static void what_is_not_damaged_is_not_taken_away(void **state)
{
    struct store *s = store_in(*state);
    struct id_set gone = { 0 };
    struct err e = ERR_INIT;
    struct id chunk, id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);

    sha256(&chunk, "abc", 3);
    assert_ok(store_mend(s, &chunk, 1, note_gone, &gone, &e), e);
    assert_int_equal(gone.n, 0);
    assert_true(store_has(s, &id));
    assert_intact(s);
    store_close(s);
}

static void healing_takes_away_a_changed_manifest_and_one_that_lacks_a_chunk(void **state)
{
    struct store *s = store_in(*state);
    struct id_set gone = { 0 };
    struct err e = ERR_INIT;
    struct id chunk, changed = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);

    artifact_of(s, ARTIFACT_KIND__TOKENS, "def", 3);
    store_close(s);
    sha256(&chunk, "def", 3);
    lmdb_change(*state, STORE_FOLDER, DB_MANIFEST, changed.b, sizeof changed.b, 1, 2);
    lmdb_delete(*state, STORE_FOLDER, DB_CHUNK, chunk.b, sizeof chunk.b);
    s = store_in(*state);
    assert_ok(store_heal(s, note_nothing, note_gone, &gone, &e), e);
    assert_int_equal(gone.n, 2);
    assert_intact(s);
    id_set_free(&gone);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(a_store_that_is_whole_has_nothing_to_say),
        home_test(a_flipped_bit_is_named_with_every_artifact_that_has_the_chunk),
        home_test(a_missing_chunk_is_named_with_its_artifact),
        home_test(a_changed_manifest_is_named),
        home_test(healing_takes_away_what_is_damaged_and_nothing_else),
        home_test(what_is_not_damaged_is_not_taken_away),
        home_test(healing_takes_away_a_changed_manifest_and_one_that_lacks_a_chunk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
