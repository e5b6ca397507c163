#include "tests/unit/store/home.h"

#include "proto/task.h"
#include "store/records.h"

static struct id example_records(struct store *s, uint32_t n, uint32_t tokens)
{
    struct err e = ERR_INIT;
    struct records_writer *w = NULL;
    Output *out = NULL;
    struct id id;
    uint32_t *values = calloc(tokens + 1, sizeof *values);

    assert_ok(records_create(&w, s, ARTIFACT_KIND__EXAMPLES, &e), e);
    for (uint32_t i = 0; i < n; i++) {
        Example x = EXAMPLE__INIT;
        values[0] = i;
        x.tokens = values;
        x.n_tokens = tokens;
        assert_ok(records_add(w, &x.base, &e), e);
    }
    assert_ok(records_fact(w, "too_long", 3, &e), e);
    assert_ok(records_commit(w, "examples", &out, &e), e);
    assert_int_equal(fact_value(out->facts, out->n_facts, "records", -1), n);
    assert_int_equal(fact_value(out->facts, out->n_facts, "too_long", -1), 3);
    assert_true(id_from_span(&id, out->id.data, out->id.len));
    message_free(out);
    free(values);
    return id;
}

static void read_back(struct store *s, struct id id, uint32_t n, uint32_t tokens)
{
    struct err e = ERR_INIT;
    struct records_reader *r = NULL;
    ProtobufCMessage *m = NULL;

    assert_ok(records_open(&r, s, &id, ARTIFACT_KIND__EXAMPLES, &example__descriptor, &e), e);
    assert_int_equal(records_count(r), n);
    for (uint32_t i = 0; i < n; i++) {
        assert_ok(records_next(r, &m, &e), e);
        assert_non_null(m);
        const Example *x = (const Example *)m;
        assert_int_equal(x->n_tokens, tokens);
        if (tokens)
            assert_int_equal(x->tokens[0], i);
        message_free(m);
    }
    for (int i = 0; i < 2; i++) {
        assert_ok(records_next(r, &m, &e), e);
        assert_null(m);
    }
    records_close(r);
}

static void records_read_back_in_order(void **state)
{
    const struct {
        uint32_t n, tokens;
    } shapes[] = { { 0, 0 }, { 1, 1 }, { 5000, 100 }, { 7, 0 }, { 3, 1000000 } };
    struct store *s = store_in(*state);

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        read_back(
            s, example_records(s, shapes[i].n, shapes[i].tokens), shapes[i].n, shapes[i].tokens);
    store_close(s);
}

static void a_record_is_its_length_and_its_packed_message(void **state)
{
    static const uint8_t known[] = { 4, 0, 0, 0, 0x0a, 2, 0, 5 }; /* tokens = 0, 5 */
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct records_writer *w = NULL;
    struct artifact_reader *r = NULL;
    uint8_t bytes[sizeof known];
    uint32_t tokens[] = { 0, 5 };
    Example x = EXAMPLE__INIT;
    Output *out = NULL;
    struct id id;

    x.tokens = tokens;
    x.n_tokens = 2;
    assert_ok(records_create(&w, s, ARTIFACT_KIND__EXAMPLES, &e), e);
    assert_ok(records_add(w, &x.base, &e), e);
    assert_ok(records_commit(w, "examples", &out, &e), e);
    assert_true(id_from_span(&id, out->id.data, out->id.len));
    assert_ok(artifact_open(&r, s, &id, 0, &e), e);
    assert_int_equal(artifact_manifest(r)->size, sizeof known);
    assert_ok(artifact_read(r, 0, bytes, sizeof bytes, &e), e);
    assert_memory_equal(bytes, known, sizeof known);
    artifact_close(r);
    message_free(out);
    store_close(s);
}

static void a_record_of_more_than_16_mib_is_refused(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct records_writer *w = NULL;
    FilePart part = FILE_PART__INIT;

    part.has_data = true;
    part.data.len = RECORD_MAX + 1;
    part.data.data = calloc(1, part.data.len);
    assert_ok(records_create(&w, s, ARTIFACT_KIND__FILES, &e), e);
    assert_int_equal(records_add(w, &part.base, &e), E_INPUT);
    assert_says(e, "record 0");
    records_abort(w);
    records_abort(NULL);
    free(part.data.data);
    store_close(s);
}

/* What a hostile peer could have sent: right by its hash, wrong inside. */
static int read_hostile(
    struct store *s, const void *bytes, size_t n, int64_t records, struct err *e)
{
    struct artifact_writer *w = NULL;
    struct records_reader *r = NULL;
    ProtobufCMessage *m = NULL;
    Output *out = NULL;
    struct id id;
    int rc;

    assert_ok(artifact_create(&w, s, ARTIFACT_KIND__EXAMPLES, e), *e);
    assert_ok(artifact_write(w, bytes, n, e), *e);
    if (records >= 0)
        assert_ok(artifact_fact(w, "records", records, e), *e);
    assert_ok(artifact_commit(w, "hostile", &out, e), *e);
    assert_true(id_from_span(&id, out->id.data, out->id.len));
    message_free(out);
    rc = records_open(&r, s, &id, ARTIFACT_KIND__EXAMPLES, &example__descriptor, e);
    while (rc == OK && (rc = records_next(r, &m, e)) == OK && m)
        message_free(m);
    records_close(r);
    return rc;
}

static void malformed_records_are_corrupt_and_numbered(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);

    assert_ok(read_hostile(s, "\4\0\0\0\x0a\2\0\5", 8, 1, &e), e);
    assert_int_equal(read_hostile(s, "\4\0\0\0\x0a\2\0\5\7\0\0", 11, 2, &e), E_CORRUPT);
    assert_says(e, "record 1");
    assert_int_equal(read_hostile(s, "\5\0\0\0\x0a\2\0\5", 8, 1, &e), E_CORRUPT);
    assert_says(e, "record 0");
    assert_int_equal(read_hostile(s, "\xff\xff\xff\xff\x0a\2\0\5", 8, 1, &e), E_CORRUPT);
    assert_says(e, "record 0");
    assert_int_equal(read_hostile(s, "\4\0\0\0\x0a\2\0\5\2\0\0\0\x0a\5", 14, 2, &e), E_CORRUPT);
    assert_says(e, "record 1");
    assert_int_equal(read_hostile(s, "\4\0\0\0\x0a\2\0\5", 8, 2, &e), E_CORRUPT);
    assert_says(e, "1 records in place of 2");
    assert_int_equal(read_hostile(s, "", 0, -1, &e), E_CORRUPT);
    assert_says(e, "how many records");
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(records_read_back_in_order),
        home_test(a_record_is_its_length_and_its_packed_message),
        home_test(a_record_of_more_than_16_mib_is_refused),
        home_test(malformed_records_are_corrupt_and_numbered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
