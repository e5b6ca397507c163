#include "tests/unit/store/home.h"

/* A manifest of two chunks and two facts, right until a test spoils it. */
struct sample {
    Manifest m;
    uint8_t ids[2][32];
    ProtobufCBinaryData chunks[2];
    Fact a, b;
    Fact *facts[2];
};

static void sample_make(struct sample *s)
{
    *s = (struct sample){ .m = MANIFEST__INIT, .a = FACT__INIT, .b = FACT__INIT };
    s->chunks[0] = (ProtobufCBinaryData){ 32, s->ids[0] };
    s->chunks[1] = (ProtobufCBinaryData){ 32, s->ids[1] };
    s->a.name = "records";
    s->b.name = "tokens";
    s->a.has_value = s->b.has_value = true;
    s->facts[0] = &s->a;
    s->facts[1] = &s->b;
    s->m.has_kind = s->m.has_size = true;
    s->m.kind = ARTIFACT_KIND__TOKENS;
    s->m.size = CHUNK_SIZE + 1;
    s->m.chunks = s->chunks;
    s->m.n_chunks = 2;
    s->m.facts = s->facts;
    s->m.n_facts = 2;
}

static void a_manifest_reads_back_as_it_was_packed(void **state)
{
    struct err e = ERR_INIT;
    struct buf packed = { 0 };
    Manifest *read = NULL;
    struct sample s;

    (void)state;
    sample_make(&s);
    assert_int_equal(message_pack(&packed, &s.m.base), OK);
    assert_ok(manifest_parse(&read, packed.p, packed.n, &e), e);
    assert_int_equal(read->size, CHUNK_SIZE + 1);
    assert_int_equal(manifest_chunk_size(read, 0), CHUNK_SIZE);
    assert_int_equal(manifest_chunk_size(read, 1), 1);
    assert_string_equal(read->facts[1]->name, "tokens");
    message_free(read);
    buf_free(&packed);
}

static void what_is_no_manifest_is_corrupt(void **state)
{
    struct err e = ERR_INIT;
    Manifest *m = NULL;

    (void)state;
    assert_int_equal(manifest_parse(&m, "\xff\xff\xff", 3, &e), E_CORRUPT);
    assert_int_equal(manifest_parse(&m, "", 0, &e), E_CORRUPT);
    assert_null(m);
}

static void spoil_kind(struct sample *s)
{
    s->m.kind = (ArtifactKind)99;
}

static void spoil_size(struct sample *s)
{
    s->m.has_size = false;
}

static void spoil_count(struct sample *s)
{
    s->m.size = 2ull * CHUNK_SIZE + 1;
}

static void spoil_huge(struct sample *s)
{
    s->m.size = UINT64_MAX;
}

static void spoil_chunk(struct sample *s)
{
    s->chunks[1].len = 31;
}

static void spoil_order(struct sample *s)
{
    s->b.name = "bytes";
}

static void spoil_twice(struct sample *s)
{
    s->b.name = "records";
}

static void spoil_name(struct sample *s)
{
    s->a.name = NULL;
}

static void spoil_value(struct sample *s)
{
    s->b.has_value = false;
}

static void every_mistake_in_a_manifest_is_found(void **state)
{
    static const struct {
        void (*spoil)(struct sample *s);
        const char *says;
    } cases[] = {
        { spoil_kind, "unknown kind" },
        { spoil_size, "no size" },
        { spoil_count, "2 chunks for" },
        { spoil_huge, "2 chunks for" },
        { spoil_chunk, "chunk 1 has a malformed name" },
        { spoil_order, "not sorted" },
        { spoil_twice, "not sorted" },
        { spoil_name, "fact 0 is incomplete" },
        { spoil_value, "fact 1 is incomplete" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_INIT;
        struct sample s;
        sample_make(&s);
        assert_ok(manifest_check(&s.m, &e), e);
        cases[i].spoil(&s);
        assert_int_equal(manifest_check(&s.m, &e), E_CORRUPT);
        assert_says(e, cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_reads_back_as_it_was_packed),
        cmocka_unit_test(what_is_no_manifest_is_corrupt),
        cmocka_unit_test(every_mistake_in_a_manifest_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
