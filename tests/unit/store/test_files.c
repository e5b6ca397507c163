#include "tests/unit/store/home.h"

#include <sys/stat.h>

#include "proto/task.h"
#include "store/records.h"

/* A folder beside the store in the test's home. */

static char *path_in(const char *home, const char *name)
{
    char *path = NULL;

    assert_true(asprintf(&path, "%s/%s", home, name) > 0);
    return path;
}

static void folder(const char *home, const char *name)
{
    char *path = path_in(home, name);

    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

static void file(const char *home, const char *name, const void *p, size_t n)
{
    char *path = path_in(home, name);
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    free(path);
}

static void link_to(const char *home, const char *name, const char *target)
{
    char *path = path_in(home, name);

    assert_int_equal(symlink(target, path), 0);
    free(path);
}

static Output *take_counting(
    struct store *s, const char *home, const char *name, struct files_left *left)
{
    struct err e = ERR_INIT;
    char *path = path_in(home, name);
    Output *out = NULL;

    assert_ok(files_take(&out, s, path, NULL, left, &e), e);
    free(path);
    return out;
}

static Output *take(struct store *s, const char *home, const char *name)
{
    return take_counting(s, home, name, NULL);
}

static int note(void *ctx, const char *path, struct span bytes, struct err *e)
{
    (void)e;
    return buf_printf(ctx, "%s=%.*s;", path, bytes.n < 20 ? (int)bytes.n : 20,
        bytes.p ? (const char *)bytes.p : "");
}

/* "path=bytes;" for each file; freed by the caller. */
static char *contents(struct store *s, const Output *o)
{
    struct err e = ERR_INIT;
    struct buf b = { 0 };
    struct id id;

    assert_true(id_from_span(&id, o->id.data, o->id.len));
    assert_ok(files_each(s, &id, o->kind, note, &b, &e), e);
    return b.p;
}

/* The id was computed apart, from the wire format of protobuf. */
static void a_file_is_taken_under_its_base_name(void **state)
{
    struct id known = id_of("0dc048592967e1fc4036383e0cacdaefb09775130bf2196fb0a5fb2431ff85d7");
    struct store *s = store_in(*state);
    char *found;
    Output *o;

    file(*state, "a.txt", "hi", 2);
    o = take(s, *state, "a.txt");
    assert_memory_equal(o->id.data, known.b, sizeof known.b);
    assert_int_equal(o->kind, ARTIFACT_KIND__FILES);
    assert_int_equal(fact_value(o->facts, o->n_facts, "files", -1), 1);
    assert_int_equal(fact_value(o->facts, o->n_facts, "bytes", -1), 2);
    assert_int_equal(fact_value(o->facts, o->n_facts, "split", -1), SPLIT__FILE);
    found = contents(s, o);
    assert_string_equal(found, "a.txt=hi;");
    free(found);
    message_free(o);
    store_close(s);
}

static void a_folder_is_taken_in_the_byte_order_of_its_paths(void **state)
{
    struct store *s = store_in(*state);
    char *found;
    struct files_left left;
    char said[160];
    Output *o;

    folder(*state, "in");
    file(*state, "in/b", "2", 1);
    folder(*state, "in/a");
    folder(*state, "in/a/deep");
    file(*state, "in/a/deep/x", "3", 1);
    file(*state, "in/a/x", "4", 1);
    file(*state, "in/a.txt", "5", 1); /* '.' is below '/' */
    file(*state, "in/a0", "6", 1);    /* '0' is above '/' */
    file(*state, "in/B", "7", 1);
    file(*state, "in/\xe4\xb8\xad", "8", 1);
    file(*state, "in/empty", "", 0);
    file(*state, "in/.hidden", "9", 1);
    folder(*state, "in/.git");
    file(*state, "in/.git/config", "9", 1);
    o = take_counting(s, *state, "in", &left);
    found = contents(s, o);
    assert_string_equal(found, "B=7;a.txt=5;a/deep/x=3;a/x=4;a0=6;b=2;empty=;\xe4\xb8\xad=8;");
    assert_int_equal(fact_value(o->facts, o->n_facts, "files", -1), 8);
    assert_int_equal(fact_value(o->facts, o->n_facts, "bytes", -1), 7);
    assert_int_equal(left.hidden, 2); /* .hidden, .git */
    assert_int_equal(left.links + left.others, 0);
    assert_true(files_left_say(said, sizeof said, &left));
    assert_string_equal(said, "left out: 2 hidden files and folders");
    free(found);
    message_free(o);
    store_close(s);
}

static void links_to_files_are_read_and_links_to_folders_are_not_followed(void **state)
{
    struct store *s = store_in(*state);
    char *found, *pipe;
    struct files_left left;
    char said[160];
    Output *o;

    folder(*state, "in");
    folder(*state, "out");
    file(*state, "out/secret", "no", 2);
    file(*state, "in/a", "yes", 3);
    link_to(*state, "in/b", "a");
    link_to(*state, "in/c", "../out");
    link_to(*state, "in/d", "nowhere");
    link_to(*state, "in/e", "."); /* a circle */
    pipe = path_in(*state, "in/f");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    o = take_counting(s, *state, "in", &left);
    found = contents(s, o);
    assert_string_equal(found, "a=yes;b=yes;");
    assert_true(files_left_say(said, sizeof said, &left));
    assert_string_equal(
        said, "left out: 3 links to folders or to nothing, 1 that is neither file nor folder");
    assert_false(files_left_say(said, sizeof said, &(struct files_left){ 0 }));
    free(found);
    free(pipe);
    message_free(o);
    store_close(s);
}

struct whole {
    const uint8_t *bytes;
    size_t n, files;
};

static int compare(void *ctx, const char *path, struct span bytes, struct err *e)
{
    struct whole *w = ctx;

    (void)path;
    (void)e;
    assert_int_equal(bytes.n, w->n);
    assert_memory_equal(bytes.p, w->bytes, w->n);
    w->files++;
    return OK;
}

static void a_large_file_is_cut_into_parts_and_comes_back_whole(void **state)
{
    const size_t sizes[] = { FILE_PART - 1, FILE_PART, FILE_PART + 1, 9 * FILE_PART + 77 };
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    uint8_t *bytes = malloc(10 * FILE_PART);

    bytes_fill(bytes, 10 * FILE_PART, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct whole w = { .bytes = bytes, .n = sizes[i] };
        struct id id;
        Output *o;
        file(*state, "large", bytes, sizes[i]);
        o = take(s, *state, "large");
        assert_int_equal(fact_value(o->facts, o->n_facts, "records", -1),
            (sizes[i] + FILE_PART - 1) / FILE_PART);
        assert_true(id_from_span(&id, o->id.data, o->id.len));
        assert_ok(files_each(s, &id, ARTIFACT_KIND__FILES, compare, &w, &e), e);
        assert_int_equal(w.files, 1);
        message_free(o);
    }
    free(bytes);
    store_close(s);
}

/* What a stage writes and what is taken from disk have the same bytes. */
static void a_file_that_is_added_is_like_one_that_is_taken(void **state)
{
    const size_t sizes[] = { 0, 5, FILE_PART, 2 * FILE_PART + 1 };
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    uint8_t *bytes = calloc(3, FILE_PART);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct records_writer *w = NULL;
        Output *added = NULL, *taken;
        file(*state, "x", bytes, sizes[i]);
        taken = take(s, *state, "x");
        assert_ok(records_create(&w, s, ARTIFACT_KIND__FILES, &e), e);
        assert_ok(files_add(w, "x", bytes, sizes[i], &e), e);
        assert_ok(records_fact(w, "files", 1, &e), e);
        assert_ok(records_fact(w, "bytes", (int64_t)sizes[i], &e), e);
        assert_ok(records_fact(w, "split", SPLIT__FILE, &e), e);
        assert_ok(records_commit(w, "x", &added, &e), e);
        assert_memory_equal(added->id.data, taken->id.data, sizeof(struct id));
        message_free(added);
        message_free(taken);
    }
    free(bytes);
    store_close(s);
}

static void what_cannot_be_read_is_a_mistake_of_the_input(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    char *path = path_in(*state, "nothing"), *empty = path_in(*state, "empty");
    Output *out = NULL;

    folder(*state, "empty");
    assert_int_equal(files_take(&out, s, path, NULL, NULL, &e), E_INPUT);
    assert_says(e, "nothing");
    assert_int_equal(files_take(&out, s, empty, NULL, NULL, &e), E_INPUT);
    assert_says(e, "there are no files");
    assert_int_equal(files_take(&out, s, "/dev/null", NULL, NULL, &e), E_INPUT);
    assert_says(e, "neither a file nor a folder");
    assert_null(out);
    free(path);
    free(empty);
    store_close(s);
}

static int stop(void *ctx, const char *path, struct span bytes, struct err *e)
{
    (void)path;
    (void)bytes;
    ++*(int *)ctx;
    return err_set(e, E_CANCELLED, "enough");
}

static void reading_stops_at_the_first_error(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct id id;
    int calls = 0;
    Output *o;

    folder(*state, "in");
    file(*state, "in/a", "1", 1);
    file(*state, "in/b", "2", 1);
    o = take(s, *state, "in");
    assert_true(id_from_span(&id, o->id.data, o->id.len));
    assert_int_equal(files_each(s, &id, ARTIFACT_KIND__FILES, stop, &calls, &e), E_CANCELLED);
    assert_int_equal(calls, 1);
    message_free(o);
    store_close(s);
}

static void a_part_of_no_file_is_corrupt(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct records_writer *w = NULL;
    FilePart part = FILE_PART__INIT;
    struct buf b = { 0 };
    Output *out = NULL;
    struct id id;

    part.has_data = true;
    part.data = (ProtobufCBinaryData){ 1, (uint8_t *)"x" };
    assert_ok(records_create(&w, s, ARTIFACT_KIND__REPORT, &e), e);
    assert_ok(records_add(w, &part.base, &e), e);
    assert_ok(records_commit(w, "report", &out, &e), e);
    assert_true(id_from_span(&id, out->id.data, out->id.len));
    assert_int_equal(files_each(s, &id, ARTIFACT_KIND__REPORT, note, &b, &e), E_CORRUPT);
    message_free(out);
    buf_free(&b);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(a_file_is_taken_under_its_base_name),
        home_test(a_folder_is_taken_in_the_byte_order_of_its_paths),
        home_test(links_to_files_are_read_and_links_to_folders_are_not_followed),
        home_test(a_large_file_is_cut_into_parts_and_comes_back_whole),
        home_test(a_file_that_is_added_is_like_one_that_is_taken),
        home_test(what_cannot_be_read_is_a_mistake_of_the_input),
        home_test(reading_stops_at_the_first_error),
        home_test(a_part_of_no_file_is_corrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
