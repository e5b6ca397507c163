#include "store/parcel.h"

#include "tests/unit/store/home.h"

/* Artifacts go from one store to another by way of bytes in memory. */
struct scene {
    char *from_home, *to_home;
    struct store *from, *to;
    struct id small, large;
    uint8_t *data;
    size_t size;
    struct buf file;
};

#define LARGE (2 * (size_t)CHUNK_SIZE + 777)

static void add_item(Parcel *p, const struct id *id, ArtifactKind kind, const char *name)
{
    ParcelItem *item = malloc(sizeof *item);

    parcel_item__init(item);
    item->has_id = item->has_kind = true;
    item->id.len = sizeof id->b;
    item->id.data = malloc(sizeof id->b);
    memcpy(item->id.data, id->b, sizeof id->b);
    item->kind = kind;
    item->name = strdup(name);
    p->items = realloc(p->items, (p->n_items + 1) * sizeof *p->items);
    p->items[p->n_items++] = item;
}

static Parcel *parcel_new(void)
{
    Parcel *p = malloc(sizeof *p);

    parcel__init(p);
    return p;
}

static int write_to(struct buf *out, struct store *s, Parcel *p, struct err *e)
{
    char *bytes = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&bytes, &n);
    int rc = parcel_write(f, s, p, e);

    fclose(f);
    assert_int_equal(buf_add(out, bytes, n), OK);
    free(bytes);
    return rc;
}

static int read_from(Parcel **out, const void *p, size_t n, struct store *s, struct err *e)
{
    FILE *f = n > 0 ? fmemopen((void *)(uintptr_t)p, n, "rb") : fopen("/dev/null", "rb");
    int rc = parcel_read(out, f, s, e);

    fclose(f);
    return rc;
}

static int set_up(void **at)
{
    struct scene *c = calloc(1, sizeof *c);
    Parcel *p = parcel_new();
    struct err e = ERR_INIT;

    c->from_home = home_make();
    c->to_home = home_make();
    c->from = store_in(c->from_home);
    c->to = store_in(c->to_home);
    c->size = LARGE;
    c->data = malloc(c->size);
    bytes_fill(c->data, c->size, 3);
    c->small = artifact_of(c->from, ARTIFACT_KIND__TOKENS, "abc", 3);
    c->large = artifact_of(c->from, ARTIFACT_KIND__CHECKPOINT, c->data, c->size);
    add_item(p, &c->small, ARTIFACT_KIND__TOKENS, "tiny-1/base.tokens");
    add_item(p, &c->large, ARTIFACT_KIND__CHECKPOINT, "tiny-1/base.checkpoint");
    assert_ok(write_to(&c->file, c->from, p, &e), e);
    message_free(p);
    *at = c;
    return 0;
}

static int tear_down(void **at)
{
    struct scene *c = *at;

    store_close(c->from);
    store_close(c->to);
    home_remove(c->from_home);
    home_remove(c->to_home);
    buf_free(&c->file);
    free(c->data);
    free(c);
    return 0;
}

static void assert_nothing_came(struct scene *c)
{
    assert_false(store_has(c->to, &c->small));
    assert_false(store_has(c->to, &c->large));
}

static void what_was_written_is_there_again(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    struct artifact_reader *r = NULL;
    Parcel *p = NULL;
    uint8_t *copy = malloc(c->size);

    assert_ok(read_from(&p, c->file.p, c->file.n, c->to, &e), e);
    assert_int_equal(p->n_items, 2);
    assert_string_equal(p->items[1]->name, "tiny-1/base.checkpoint");
    message_free(p);
    assert_true(store_has(c->to, &c->small));
    assert_ok(artifact_open(&r, c->to, &c->large, ARTIFACT_KIND__CHECKPOINT, &e), e);
    assert_ok(artifact_read(r, 0, copy, c->size, &e), e);
    assert_memory_equal(copy, c->data, c->size);
    artifact_close(r);
    free(copy);
    assert_intact(c->to);
}

static void a_second_time_changes_nothing(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    uint64_t before, after, unused;

    for (int i = 0; i < 2; i++) {
        Parcel *p = NULL;
        assert_ok(read_from(&p, c->file.p, c->file.n, c->to, &e), e);
        message_free(p);
        assert_ok(store_size(c->to, i ? &after : &before, &unused, &e), e);
    }
    assert_true(after <= before + 65536); /* no chunk again */
    assert_intact(c->to);
}

/* At every byte of what is no chunk, and at some of the chunks. */
static size_t next_place(const struct scene *c, size_t at)
{
    size_t chunks = c->file.n - LARGE;

    return at < chunks + 64 || at > c->file.n - 64 ? at + 1 : at + 99991;
}

static void a_cut_file_is_refused(void **at)
{
    struct scene *c = *at;

    for (size_t n = 0; n < c->file.n; n = next_place(c, n)) {
        struct err e = ERR_INIT;
        Parcel *p = NULL;
        assert_int_equal(read_from(&p, c->file.p, n, c->to, &e), E_INPUT);
        assert_null(p);
        if (n > 0)
            assert_says(e, "ends too early");
    }
    assert_nothing_came(c);
}

static void a_changed_byte_is_found(void **at)
{
    struct scene *c = *at;

    for (size_t i = 0; i < c->file.n; i = next_place(c, i)) {
        struct err e = ERR_INIT;
        Parcel *p = NULL;
        c->file.p[i] ^= 0x10;
        assert_int_equal(read_from(&p, c->file.p, c->file.n, c->to, &e), E_INPUT);
        c->file.p[i] ^= 0x10;
    }
    assert_nothing_came(c);
}

static void it_says_where(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    Parcel *p = NULL;
    char where[64];

    c->file.p[c->file.n - 1] ^= 1;
    assert_int_equal(read_from(&p, c->file.p, c->file.n, c->to, &e), E_INPUT);
    snprintf(where, sizeof where, "chunk 3 of 3: at byte %zu:", c->file.n);
    assert_says(e, where);
    assert_nothing_came(c);
}

static void what_follows_the_end_is_refused(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    Parcel *p = NULL;

    assert_int_equal(buf_add(&c->file, "x", 1), OK);
    assert_int_equal(read_from(&p, c->file.p, c->file.n, c->to, &e), E_INPUT);
    assert_says(e, "more bytes follow its end");
    assert_nothing_came(c);
}

static void other_files_are_refused(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    Parcel *p = NULL;

    assert_int_equal(read_from(&p, "name: small\nstages: {}\n", 23, c->to, &e), E_INPUT);
    assert_says(e, "was not written by `jielong artifacts export`");
    assert_int_equal(read_from(&p, "jielong parcel 2\nwhatever", 25, c->to, &e), E_INPUT);
    assert_says(e, "another version");
    assert_nothing_came(c);
}

static void it_can_be_checked_without_a_store(void **at)
{
    struct scene *c = *at;
    struct err e = ERR_INIT;
    Parcel *p = NULL;

    assert_ok(read_from(&p, c->file.p, c->file.n, NULL, &e), e);
    message_free(p);
}

static void what_the_store_has_not_cannot_be_written(void **at)
{
    struct scene *c = *at;
    struct id none = { { 1, 2, 3 } };
    struct err e = ERR_INIT;
    struct buf out = { 0 };
    Parcel *p = parcel_new();

    add_item(p, &none, ARTIFACT_KIND__TOKENS, "nothing");
    assert_int_equal(write_to(&out, c->from, p, &e), E_MISSING);
    buf_free(&out);
    message_free(p);
}

#define PARCEL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PARCEL_TEST(what_was_written_is_there_again),
        PARCEL_TEST(a_second_time_changes_nothing),
        PARCEL_TEST(a_cut_file_is_refused),
        PARCEL_TEST(a_changed_byte_is_found),
        PARCEL_TEST(it_says_where),
        PARCEL_TEST(what_follows_the_end_is_refused),
        PARCEL_TEST(other_files_are_refused),
        PARCEL_TEST(it_can_be_checked_without_a_store),
        PARCEL_TEST(what_the_store_has_not_cannot_be_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
