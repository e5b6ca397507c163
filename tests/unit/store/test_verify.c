#include "tests/unit/store/home.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(a_store_that_is_whole_has_nothing_to_say),
        home_test(a_flipped_bit_is_named_with_every_artifact_that_has_the_chunk),
        home_test(a_missing_chunk_is_named_with_its_artifact),
        home_test(a_changed_manifest_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
