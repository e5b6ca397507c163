#include "tests/unit/store/home.h"

#include "proto/task.h"
#include "store/checkpoint.h"

/* Three tensors: [2, 3], a scalar, [20]; the first and the last leave a gap before the next. */
struct sample {
    CheckpointHeader h;
    TrainingCounters counters;
    TensorInfo t[3];
    TensorInfo *tensors[3];
    uint64_t shapes[3][2];
    float values[27];
};

static void sample_make(struct sample *s)
{
    static const struct {
        const char *name;
        uint64_t shape[2];
        size_t n_shape;
    } tensors[] = { { "embedding", { 2, 3 }, 2 }, { "scale", { 0 }, 0 }, { "norm", { 20 }, 1 } };

    *s = (struct sample){ .h = CHECKPOINT_HEADER__INIT, .counters = TRAINING_COUNTERS__INIT };
    for (size_t i = 0; i < 3; i++) {
        tensor_info__init(&s->t[i]);
        s->t[i].name = (char *)(uintptr_t)tensors[i].name;
        memcpy(s->shapes[i], tensors[i].shape, sizeof s->shapes[i]);
        s->t[i].shape = s->shapes[i];
        s->t[i].n_shape = tensors[i].n_shape;
        s->tensors[i] = &s->t[i];
    }
    s->h.tensors = s->tensors;
    s->h.n_tensors = 3;
    s->counters.has_step = s->counters.has_total = true;
    s->counters.step = 40;
    s->counters.total = 100;
    for (size_t i = 0; i < 27; i++)
        s->values[i] = (float)i / 7.0f;
}

static struct checkpoint_writer *writer(struct store *s, const struct sample *x, ArtifactKind kind)
{
    struct err e = ERR_INIT;
    struct checkpoint_writer *w = NULL;

    assert_ok(checkpoint_create(&w, s, kind, &x->h, &e), e);
    return w;
}

static struct id put_all(struct store *s, const struct sample *x, ArtifactKind kind, Output **out)
{
    struct err e = ERR_INIT;
    struct checkpoint_writer *w = writer(s, x, kind);
    struct id id;

    assert_ok(checkpoint_put(w, x->values, 6, &e), e);
    assert_ok(checkpoint_put(w, x->values + 6, 1, &e), e);
    assert_ok(checkpoint_put(w, x->values + 7, 20, &e), e);
    assert_ok(checkpoint_commit(w, "checkpoint", out, &e), e);
    assert_true(id_from_span(&id, (*out)->id.data, (*out)->id.len));
    return id;
}

static void tensors_read_back_by_name(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct checkpoint_reader *r = NULL;
    Output *out = NULL;
    struct sample x;
    struct id id;
    float back[20];

    sample_make(&x);
    id = put_all(s, &x, ARTIFACT_KIND__CHECKPOINT, &out);
    assert_int_equal(fact_value(out->facts, out->n_facts, "parameters", -1), 27);
    assert_int_equal(fact_value(out->facts, out->n_facts, "step", -1), -1);
    assert_ok(checkpoint_open(&r, s, &id, &e), e);
    assert_int_equal(checkpoint_header(r)->n_tensors, 3);
    assert_ok(checkpoint_get(r, "norm", back, 20, &e), e);
    assert_memory_equal(back, x.values + 7, 20 * sizeof *back);
    assert_ok(checkpoint_get(r, "embedding", back, 6, &e), e);
    assert_memory_equal(back, x.values, 6 * sizeof *back);
    assert_ok(checkpoint_get(r, "scale", back, 1, &e), e);
    assert_memory_equal(back, x.values + 6, sizeof *back);
    assert_int_equal(checkpoint_get(r, "bias", back, 1, &e), E_MISSING);
    assert_int_equal(checkpoint_get(r, "norm", back, 19, &e), E_CORRUPT);
    checkpoint_close(r);
    checkpoint_close(NULL);
    message_free(out);
    store_close(s);
}

static void a_training_state_tells_its_counters(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct checkpoint_reader *r = NULL;
    Output *out = NULL;
    struct sample x;
    struct id id;

    sample_make(&x);
    x.h.counters = &x.counters;
    id = put_all(s, &x, ARTIFACT_KIND__TRAINING_STATE, &out);
    assert_int_equal(out->kind, ARTIFACT_KIND__TRAINING_STATE);
    assert_int_equal(fact_value(out->facts, out->n_facts, "step", -1), 40);
    assert_int_equal(fact_value(out->facts, out->n_facts, "total", -1), 100);
    assert_ok(checkpoint_open(&r, s, &id, &e), e);
    assert_int_equal(checkpoint_header(r)->counters->step, 40);
    checkpoint_close(r);
    message_free(out);
    store_close(s);
}

static void the_layout_is_length_header_zeros_and_aligned_tensors(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct artifact_reader *r = NULL;
    Output *out = NULL;
    uint8_t bytes[1024] = { 0 };
    CheckpointHeader *h;
    struct sample x;
    struct id id;
    size_t size, n, start;

    sample_make(&x);
    id = put_all(s, &x, ARTIFACT_KIND__CHECKPOINT, &out);
    assert_ok(artifact_open(&r, s, &id, 0, &e), e);
    size = (size_t)artifact_manifest(r)->size;
    assert_true(size < sizeof bytes);
    assert_ok(artifact_read(r, 0, bytes, size, &e), e);
    n = bytes[0];
    assert_memory_equal(bytes + 1, "\0\0\0\0\0\0\0", 7);
    h = checkpoint_header__unpack(NULL, n, bytes + 8);
    assert_non_null(h);
    start = (8 + n + 63) / 64 * 64;
    for (size_t i = 8 + n; i < start; i++)
        assert_int_equal(bytes[i], 0);
    assert_int_equal(h->tensors[0]->offset, 0);
    assert_int_equal(h->tensors[1]->offset, 64);
    assert_int_equal(h->tensors[2]->offset, 128);
    assert_int_equal(size, start + 128 + 80);
    assert_memory_equal(bytes + start + 64, x.values + 6, 4);
    for (size_t i = start + 24; i < start + 64; i++)
        assert_int_equal(bytes[i], 0);
    message_free(h);
    artifact_close(r);
    message_free(out);
    store_close(s);
}

static void a_checkpoint_is_complete_or_nothing(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct checkpoint_writer *w;
    Output *out = NULL;
    struct sample x;

    sample_make(&x);
    w = writer(s, &x, ARTIFACT_KIND__CHECKPOINT);
    assert_int_equal(checkpoint_put(w, x.values, 7, &e), E_INPUT);
    assert_says(e, "'embedding' has 6 floats and not 7");
    assert_ok(checkpoint_put(w, x.values, 6, &e), e);
    assert_int_equal(checkpoint_commit(w, "checkpoint", &out, &e), E_INPUT);
    assert_says(e, "'scale' is missing");
    assert_null(out);
    w = writer(s, &x, ARTIFACT_KIND__CHECKPOINT);
    assert_ok(checkpoint_put(w, x.values, 6, &e), e);
    assert_ok(checkpoint_put(w, x.values, 1, &e), e);
    assert_ok(checkpoint_put(w, x.values, 20, &e), e);
    assert_int_equal(checkpoint_put(w, x.values, 1, &e), E_INPUT);
    checkpoint_abort(w);
    checkpoint_abort(NULL);
    store_close(s);
}

static void impossible_tensors_are_refused_when_written(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct checkpoint_writer *w = NULL;
    struct sample x;

    sample_make(&x);
    x.shapes[0][0] = 0;
    assert_int_equal(checkpoint_create(&w, s, ARTIFACT_KIND__CHECKPOINT, &x.h, &e), E_INPUT);
    sample_make(&x);
    x.shapes[0][0] = x.shapes[0][1] = (uint64_t)1 << 32;
    assert_int_equal(checkpoint_create(&w, s, ARTIFACT_KIND__CHECKPOINT, &x.h, &e), E_INPUT);
    sample_make(&x);
    x.t[2].name = x.t[0].name;
    assert_int_equal(checkpoint_create(&w, s, ARTIFACT_KIND__CHECKPOINT, &x.h, &e), E_INPUT);
    assert_says(e, "two tensors are called 'embedding'");
    assert_null(w);
    store_close(s);
}

static void another_kind_of_artifact_is_no_checkpoint(void **state)
{
    const uint8_t one_byte[64] = { 1, [8] = 0xff };
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct checkpoint_reader *r = NULL;
    struct id id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);

    assert_int_equal(checkpoint_open(&r, s, &id, &e), E_INPUT);
    assert_says(e, "tokens");
    id = artifact_of(s, ARTIFACT_KIND__CHECKPOINT, "abc", 3);
    assert_int_equal(checkpoint_open(&r, s, &id, &e), E_CORRUPT);
    id = artifact_of(s, ARTIFACT_KIND__CHECKPOINT, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    assert_int_equal(checkpoint_open(&r, s, &id, &e), E_CORRUPT);
    id = artifact_of(s, ARTIFACT_KIND__CHECKPOINT, one_byte, sizeof one_byte);
    assert_int_equal(checkpoint_open(&r, s, &id, &e), E_CORRUPT);
    assert_null(r);
    store_close(s);
}

/* ---- hostile headers: right in all but one thing ---- */

#define DATA_SIZE 208

static void place(struct sample *s)
{
    const uint64_t offsets[] = { 0, 64, 128 }, sizes[] = { 24, 4, 80 };

    sample_make(s);
    for (size_t i = 0; i < 3; i++) {
        s->t[i].has_offset = s->t[i].has_size = true;
        s->t[i].offset = offsets[i];
        s->t[i].size = sizes[i];
    }
}

static int parse(const struct sample *s, uint64_t data_size, struct err *e)
{
    CheckpointHeader *h = NULL;
    struct buf b = { 0 };
    int rc;

    assert_int_equal(message_pack(&b, &s->h.base), OK);
    rc = checkpoint_header_parse(&h, b.p, b.n, data_size, e);
    message_free(h);
    buf_free(&b);
    return rc;
}

static void spoil_shape(struct sample *s)
{
    s->shapes[2][0] = 21;
}

static void spoil_product(struct sample *s)
{
    s->shapes[0][0] = (uint64_t)1 << 62; /* x 3 x 4 wraps */
}

static void spoil_zero(struct sample *s)
{
    s->shapes[2][0] = 0;
    s->t[2].size = 0;
}

static void spoil_alignment(struct sample *s)
{
    s->t[1].offset = 68;
}

static void spoil_overlap(struct sample *s)
{
    s->t[2].offset = 64;
}

static void spoil_end(struct sample *s)
{
    s->t[2].offset = 192;
}

static void spoil_wrap(struct sample *s)
{
    s->t[2].offset = UINT64_MAX - 63;
}

static void spoil_name(struct sample *s)
{
    s->t[1].name = "norm";
}

static void spoil_nameless(struct sample *s)
{
    s->t[1].name = NULL;
}

static void spoil_rest(struct sample *s)
{
    s->h.n_tensors = 2;
}

static void hostile_headers_are_corrupt(void **state)
{
    static const struct {
        void (*spoil)(struct sample *s);
        const char *says;
    } cases[] = {
        { spoil_shape, "not that of its shape" },
        { spoil_product, "not that of its shape" },
        { spoil_zero, "not that of its shape" },
        { spoil_alignment, "not aligned" },
        { spoil_overlap, "overlaps" },
        { spoil_end, "beyond the end" },
        { spoil_wrap, "beyond the end" },
        { spoil_name, "two tensors are called 'norm'" },
        { spoil_nameless, "no name" },
        { spoil_rest, "behind the last tensor" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_INIT;
        struct sample s;
        place(&s);
        assert_ok(parse(&s, DATA_SIZE, &e), e);
        cases[i].spoil(&s);
        assert_int_equal(parse(&s, DATA_SIZE, &e), E_CORRUPT);
        assert_says(e, cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(tensors_read_back_by_name),
        home_test(a_training_state_tells_its_counters),
        home_test(the_layout_is_length_header_zeros_and_aligned_tensors),
        home_test(a_checkpoint_is_complete_or_nothing),
        home_test(impossible_tensors_are_refused_when_written),
        home_test(another_kind_of_artifact_is_no_checkpoint),
        cmocka_unit_test(hostile_headers_are_corrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
