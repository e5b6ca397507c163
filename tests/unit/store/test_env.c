#include "tests/unit/store/home.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void a_store_is_made_for_its_owner_alone(void **state)
{
    const char *const made[] = { "", "/store", "/store/data.mdb", "/store/lock.mdb" };
    struct store *s;
    char home[512], path[600];
    struct stat st;

    snprintf(home, sizeof home, "%s/new", (char *)*state);
    s = store_in(home);
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        snprintf(path, sizeof path, "%s%s", home, made[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 077, 0);
    }
    store_close(s);
}

static void a_store_that_is_not_there_is_missing(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = NULL;
    char path[512];

    assert_int_equal(store_open(&s, *state, false, &e), E_MISSING);
    assert_says(e, "there is no store in");
    assert_null(s);
    snprintf(path, sizeof path, "%s/store", (char *)*state);
    assert_int_equal(access(path, F_OK), -1);
}

/* What a process leaves that was killed before its first commit. */
static void a_store_that_was_never_finished_is_missing_and_can_be_made(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = NULL;
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/store", (char *)*state);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/store/data.mdb", (char *)*state);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(store_open(&s, *state, false, &e), E_MISSING);
    store_close(store_in(*state));
    assert_ok(store_open(&s, *state, false, &e), e);
    store_close(s);
}

static void a_store_opened_without_making_it_can_be_written(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = NULL;

    store_close(store_in(*state));
    assert_ok(store_open(&s, *state, false, &e), e);
    artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);
    store_close(s);
}

static void a_process_has_a_store_open_once(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state), *again = NULL;
    char same[512];

    assert_int_equal(store_open(&again, *state, true, &e), E_BUSY);
    snprintf(same, sizeof same, "%s/.", (char *)*state);
    assert_int_equal(store_open(&again, same, false, &e), E_BUSY);
    store_close(s);
    assert_ok(store_open(&again, same, false, &e), e);
    store_close(again);
    store_close(NULL);
}

static int open_and_write(const char *home)
{
    struct err e = ERR_INIT;
    struct store *s = NULL;

    if (store_open(&s, home, false, &e) != OK)
        return 1;
    artifact_of(s, ARTIFACT_KIND__TOKENS, "from the child", 14);
    store_close(s);
    return 0;
}

static void several_processes_have_it_open(void **state)
{
    struct store *s = store_in(*state);

    assert_int_equal(in_child(open_and_write, *state), 0);
    assert_intact(s);
    store_close(s);
}

static void a_store_keeps_its_own_id(void **state)
{
    char other[512];
    struct id a, b, c;
    struct store *s = store_in(*state), *o;

    store_uuid(s, &a);
    store_close(s);
    snprintf(other, sizeof other, "%s/other", (char *)*state);
    s = store_in(*state);
    o = store_in(other);
    store_uuid(s, &b);
    store_uuid(o, &c);
    assert_true(id_equal(&a, &b));
    assert_false(id_equal(&a, &c));
    store_close(s);
    store_close(o);
}

static void a_store_of_another_schema_is_refused(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);

    store_close(s);
    lmdb_change(
        *state, STORE_FOLDER, DB_ABOUT, KEY_SCHEMA, strlen(KEY_SCHEMA), 3, STORE_SCHEMA ^ 77);
    assert_int_equal(store_open(&s, *state, true, &e), E_INPUT);
    assert_says(e, "schema 77");
}

static void a_file_that_is_no_store_is_damaged(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    char path[512], noise[8192];
    FILE *f;

    store_close(s);
    memset(noise, 0x5a, sizeof noise);
    snprintf(path, sizeof path, "%s/store/data.mdb", (char *)*state);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(noise, 1, sizeof noise, f), sizeof noise);
    fclose(f);
    assert_int_equal(store_open(&s, *state, true, &e), E_CORRUPT);
    assert_says(e, "damaged");
}

static void no_descriptor_reaches_a_program_that_is_started(void **state)
{
    bool before[64] = { 0 };
    struct store *s;

    for (int fd = 0; fd < 64; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    s = store_in(*state);
    for (int fd = 0; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (!before[fd] && flags >= 0)
            assert_true(flags & FD_CLOEXEC);
    }
    store_close(s);
}

static int write_4_mib(const char *home)
{
    static uint8_t bytes[4 << 20];
    struct err e = ERR_INIT;
    struct store *s = NULL;

    if (store_open(&s, home, false, &e) != OK)
        return 1;
    bytes_fill(bytes, sizeof bytes, 1);
    artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, sizeof bytes);
    store_close(s);
    return 0;
}

static void a_map_follows_a_file_that_another_process_has_grown(void **state)
{
    static uint8_t bytes[4 << 20];
    struct err e = ERR_INIT;
    struct store *s = NULL;
    struct id id;

    assert_ok(store_open_sized(&s, *state, true, (size_t)1 << 20, &e), e);
    assert_int_equal(in_child(write_4_mib, *state), 0);
    assert_intact(s);
    bytes_fill(bytes, sizeof bytes, 1);
    id = artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, sizeof bytes);
    assert_true(store_has(s, &id));
    store_close(s);
}

static void a_full_map_is_said_and_nothing_is_lost(void **state)
{
    static uint8_t bytes[4 << 20];
    struct err e = ERR_INIT;
    struct artifact_writer *w = NULL;
    struct store *s = NULL;
    Output *out = NULL;
    struct id id;

    assert_ok(store_open_sized(&s, *state, true, (size_t)2 << 20, &e), e);
    id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);
    bytes_fill(bytes, sizeof bytes, 1);
    assert_ok(artifact_create(&w, s, ARTIFACT_KIND__TOKENS, &e), e);
    assert_ok(artifact_write(w, bytes, sizeof bytes, &e), e);
    assert_int_equal(artifact_commit(w, "large", &out, &e), E_IO);
    assert_says(e, "is full");
    assert_true(store_has(s, &id));
    assert_intact(s);
    artifact_of(s, ARTIFACT_KIND__TOKENS, "abcd", 4);
    store_close(s);
}

#define SKIPPED 77

/* A disk of 6 MiB: full, said so, all that was committed is there; with room again it goes on. */
static int fill_a_disk(const char *home)
{
    static uint8_t bytes[8 << 20];
    struct err e = ERR_INIT;
    struct artifact_writer *w = NULL;
    struct store *s;
    Output *out = NULL;
    struct id first, second;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("jielong", home, "tmpfs", 0, "size=6m") != 0)
        return SKIPPED;
    s = store_in(home);
    bytes_fill(bytes, sizeof bytes, 1);
    first = artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, 2 << 20);
    assert_ok(artifact_create(&w, s, ARTIFACT_KIND__TOKENS, &e), e);
    (void)artifact_write(w, bytes, sizeof bytes, &e);
    assert_int_equal(artifact_commit(w, "large", &out, &e), E_IO);
    assert_says(e, "the disk is full");
    assert_true(store_has(s, &first));
    assert_intact(s);
    store_close(s);
    s = store_in(home);
    assert_true(store_has(s, &first));
    assert_intact(s);
    assert_int_equal(mount("jielong", home, "tmpfs", MS_REMOUNT, "size=64m"), 0);
    second = artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, sizeof bytes);
    assert_true(store_has(s, &second));
    assert_intact(s);
    store_close(s);
    return 0;
}

static void a_full_disk_is_said_and_nothing_is_lost(void **state)
{
    int status = in_child(fill_a_disk, *state);

    if (status == SKIPPED)
        skip(); /* not everybody may mount */
    assert_int_equal(status, 0);
}

#ifndef __SANITIZE_ADDRESS__
static int open_in_8_gib(const char *home)
{
    struct rlimit limit = { (rlim_t)8 << 30, (rlim_t)8 << 30 };

    return setrlimit(RLIMIT_AS, &limit) == 0 ? open_and_write(home) : 1;
}
#endif

static void where_address_space_is_limited_the_map_is_smaller(void **state)
{
#ifdef __SANITIZE_ADDRESS__
    (void)state;
    skip(); /* needs the address space itself */
#else
    store_close(store_in(*state));
    assert_int_equal(in_child(open_in_8_gib, *state), 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(a_store_is_made_for_its_owner_alone),
        home_test(a_store_that_is_not_there_is_missing),
        home_test(a_store_that_was_never_finished_is_missing_and_can_be_made),
        home_test(a_store_opened_without_making_it_can_be_written),
        home_test(a_process_has_a_store_open_once),
        home_test(several_processes_have_it_open),
        home_test(a_store_keeps_its_own_id),
        home_test(a_store_of_another_schema_is_refused),
        home_test(a_file_that_is_no_store_is_damaged),
        home_test(no_descriptor_reaches_a_program_that_is_started),
        home_test(a_map_follows_a_file_that_another_process_has_grown),
        home_test(a_full_map_is_said_and_nothing_is_lost),
        home_test(a_full_disk_is_said_and_nothing_is_lost),
        home_test(where_address_space_is_limited_the_map_is_smaller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
