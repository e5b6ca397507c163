#include "tests/unit/store/home.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#define PART CHUNK_SIZE

/* Chunks by number: equal numbers, equal bytes. */
static struct id made_of(struct store *s, const uint32_t *chunks, size_t n)
{
    uint8_t *p = malloc(n * PART);
    struct id id;

    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        bytes_fill(p + i * PART, PART, chunks[i]);
    id = artifact_of(s, ARTIFACT_KIND__TOKENS, p, n * PART);
    free(p);
    return id;
}

static void assert_readable(struct store *s, const struct id *id, const uint32_t *chunks, size_t n)
{
    struct err e = ERR_INIT;
    struct artifact_reader *r = NULL;
    uint8_t *got = malloc(PART), *want = malloc(PART);

    assert_ok(artifact_open(&r, s, id, 0, &e), e);
    for (size_t i = 0; i < n; i++) {
        assert_ok(artifact_read(r, i * PART, got, PART, &e), e);
        bytes_fill(want, PART, chunks[i]);
        assert_memory_equal(got, want, PART);
    }
    artifact_close(r);
    free(got);
    free(want);
}

static void a_dropped_artifact_leaves_what_others_share(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct swept swept = { 0 };
    struct id first = made_of(s, (uint32_t[]){ 1, 2, 3 }, 3);
    struct id second = made_of(s, (uint32_t[]){ 2, 4 }, 2);
    struct id none = { { 7 } };

    assert_ok(store_drop(s, (struct id[]){ first, none }, 2, &swept, &e), e);
    assert_int_equal(swept.artifacts, 1);
    assert_int_equal(swept.chunks, 2); /* 2 is the second one's as well */
    assert_int_equal(swept.bytes, 2 * PART);
    assert_false(store_has(s, &first));
    assert_readable(s, &second, (uint32_t[]){ 2, 4 }, 2);
    assert_intact(s);
    store_close(s);
}

static bool keep_listed(void *ctx, const struct id *artifact)
{
    return id_equal(ctx, artifact);
}

static void collecting_keeps_what_is_wanted_and_takes_orphans(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct swept dry = { 0 }, swept = { 0 }, again = { 0 };
    struct id kept = made_of(s, (uint32_t[]){ 1, 2 }, 2), orphan;
    uint8_t odd[100] = { 5 };

    made_of(s, (uint32_t[]){ 2, 3 }, 2);
    made_of(s, (uint32_t[]){ 3, 4 }, 2);
    assert_ok(store_chunk_put(s, odd, sizeof odd, &orphan, &e), e);
    assert_ok(store_collect(s, keep_listed, &kept, true, &dry, &e), e);
    assert_int_equal(dry.artifacts, 2);
    assert_int_equal(dry.chunks, 3);
    assert_int_equal(dry.bytes, 2 * PART + sizeof odd);
    assert_ok(store_collect(s, keep_listed, &kept, false, &swept, &e), e);
    assert_memory_equal(&swept, &dry, sizeof dry);
    assert_readable(s, &kept, (uint32_t[]){ 1, 2 }, 2);
    assert_ok(store_collect(s, keep_listed, &kept, false, &again, &e), e);
    assert_int_equal(again.artifacts + again.chunks + again.bytes, 0);
    assert_intact(s);
    store_close(s);
}

/* What goes makes room for what comes: the file does not grow with the length of a chain. */
static void a_chain_whose_past_is_dropped_stays_bounded(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct swept swept = { 0 };
    uint64_t early = 0, late, unused;
    struct id before;

    for (uint32_t i = 0; i < 40; i++) {
        struct id id = made_of(s, (uint32_t[]){ 3 * i, 3 * i + 1, 3 * i + 2 }, 3);
        if (i > 0)
            assert_ok(store_drop(s, &before, 1, &swept, &e), e);
        before = id;
        if (i == 9)
            assert_ok(store_size(s, &early, &unused, &e), e);
    }
    assert_ok(store_size(s, &late, &unused, &e), e);
    assert_int_equal(swept.artifacts, 39);
    assert_true(late <= early + 2 * PART);
    assert_true(unused < late);
    assert_intact(s);
    store_close(s);
}

/* A chunk that a writer found there, and that went before its manifest came. */
static void a_writer_that_counted_on_a_chunk_is_told(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct swept swept = { 0 };
    struct id old = made_of(s, (uint32_t[]){ 1 }, 1), id;
    uint8_t *p = malloc(PART);
    Manifest m = MANIFEST__INIT, *copy = NULL;

    bytes_fill(p, PART, 1);
    assert_ok(store_chunk_put(s, p, PART, &id, &e), e);
    assert_ok(store_manifest(&copy, s, &old, &e), e);
    m.has_kind = m.has_size = true;
    m.kind = ARTIFACT_KIND__EXAMPLES;
    m.size = PART;
    m.n_chunks = 1;
    m.chunks = copy->chunks;
    assert_ok(store_drop(s, &old, 1, &swept, &e), e);
    assert_int_equal(store_manifest_put(s, &m, &id, &e), E_MISSING);
    message_free(copy);
    free(p);
    store_close(s);
}

/* ---- processes that were killed ---- */

static bool keep_all(void *ctx, const struct id *artifact)
{
    (void)ctx;
    (void)artifact;
    return true;
}

static size_t entries(struct store *s, int database)
{
    struct err e = ERR_INIT;
    MDB_txn *t = NULL;
    MDB_stat st;

    assert_ok(env_begin(&t, &s->env, false, &e), e);
    assert_int_equal(mdb_stat(t, s->dbi[database], &st), 0);
    env_abort(&s->env, t);
    return st.ms_entries;
}

/* Runs f, which does not return, in a process of its own. */
static pid_t start(void (*f)(const char *home), const char *home)
{
    fflush(NULL);
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        f(home);
        _exit(1);
    }
    return pid;
}

static void kill_it(pid_t pid)
{
    int status;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

#define UNFINISHED (24 * PART)

static void fill_unfinished(uint8_t *p)
{
    for (uint32_t i = 0; i < UNFINISHED / PART; i++)
        bytes_fill(p + i * PART, PART, 500 + i);
}

static void write_and_wait(const char *home)
{
    struct err e = ERR_INIT;
    struct artifact_writer *w = NULL;
    struct store *s = NULL;
    uint8_t *p = malloc(UNFINISHED);

    fill_unfinished(p);
    if (store_open(&s, home, true, &e) == OK &&
        artifact_create(&w, s, ARTIFACT_KIND__TOKENS, &e) == OK &&
        artifact_write(w, p, UNFINISHED, &e) == OK)
        for (;;)
            pause();
}

static void what_a_killed_writer_leaves_is_seen_by_nobody_and_collected(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct swept swept = { 0 };
    struct id kept = made_of(s, (uint32_t[]){ 1, 2 }, 2), id;
    uint8_t *p = malloc(UNFINISHED);
    pid_t writer = start(write_and_wait, *state);

    for (int ms = 0; entries(s, STORE_CHUNK) == 2; ms++) {
        assert_in_range(ms, 0, 60000);
        poll(NULL, 0, 1);
    }
    kill_it(writer);
    /* A commit of the dead may be whole and not yet seen: the next writer settles that. */
    id = made_of(s, (uint32_t[]){ 2 }, 1);
    size_t chunks = entries(s, STORE_CHUNK);
    assert_int_equal(entries(s, STORE_MANIFEST), 2);
    assert_intact(s);
    assert_ok(store_collect(s, keep_all, NULL, false, &swept, &e), e);
    assert_int_equal(swept.chunks, chunks - 2);
    assert_int_equal(swept.bytes, (chunks - 2) * PART);
    assert_int_equal(entries(s, STORE_CHUNK), 2);
    assert_readable(s, &kept, (uint32_t[]){ 1, 2 }, 2);
    fill_unfinished(p);
    id = artifact_of(s, ARTIFACT_KIND__TOKENS, p, UNFINISHED);
    assert_true(store_has(s, &id));
    assert_intact(s);
    free(p);
    store_close(s);
}

static int reading[2];

static void read_and_wait(const char *home)
{
    struct err e = ERR_INIT;
    struct store *s = NULL;
    MDB_txn *t = NULL;

    if (store_open(&s, home, false, &e) == OK && env_begin(&t, &s->env, false, &e) == OK &&
        write(reading[1], "r", 1) == 1)
        for (;;)
            pause();
}

/* A reader's snapshot keeps every page that is freed after it, also when the reader is dead. */
static void a_killed_reader_does_not_let_the_file_grow(void **state)
{
    struct err e = ERR_INIT;
    struct store *s;
    struct swept swept = { 0 };
    uint64_t early = 0, late, unused;
    struct id before;
    char byte;

    assert_int_equal(pipe(reading), 0);
    store_close(store_in(*state));
    pid_t reader = start(read_and_wait, *state);
    assert_int_equal(read(reading[0], &byte, 1), 1);
    s = store_in(*state);
    kill_it(reader);
    for (uint32_t i = 0; i < 30; i++) {
        struct id id = made_of(s, (uint32_t[]){ 3 * i, 3 * i + 1, 3 * i + 2 }, 3);
        if (i > 0)
            assert_ok(store_drop(s, &before, 1, &swept, &e), e);
        before = id;
        if (i == 9)
            assert_ok(store_size(s, &early, &unused, &e), e);
    }
    assert_ok(store_size(s, &late, &unused, &e), e);
    assert_true(late <= early + 2 * PART);
    store_close(s);
    close(reading[0]);
    close(reading[1]);
}

/* Kills itself as a writer that has written its commit and not yet counted it in the lock file:
 * there the count follows two numbers of 4 bytes and the readers' lock. */
static int commit_uncounted(const char *home)
{
    struct err e = ERR_INIT;
    struct store *s = NULL;
    MDB_txn *t = NULL;
    char path[512];
    size_t count = 0;

    snprintf(path, sizeof path, "%s/store/lock.mdb", home);
    int fd = open(path, O_RDWR);
    if (fd < 0 || store_open(&s, home, false, &e) != OK)
        return 1;
    artifact_of(s, ARTIFACT_KIND__TOKENS, "not counted", 11);
    if (env_begin(&t, &s->env, true, &e) != OK ||
        pread(fd, &count, sizeof count, 8 + sizeof(pthread_mutex_t)) != sizeof count ||
        count + 1 != mdb_txn_id(t))
        return 2;
    count--;
    if (pwrite(fd, &count, sizeof count, 8 + sizeof(pthread_mutex_t)) != sizeof count)
        return 3;
    return raise(SIGKILL);
}

static void a_commit_that_its_killed_writer_did_not_count_is_no_obstacle(void **state)
{
    struct err e = ERR_INIT;
    struct store *s;
    char byte;

    assert_int_equal(pipe(reading), 0);
    store_close(store_in(*state));
    pid_t reader = start(read_and_wait, *state); /* else whoever opens first counts anew */
    assert_int_equal(read(reading[0], &byte, 1), 1);
    assert_int_equal(in_child(commit_uncounted, *state), 128 + SIGKILL);
    assert_ok(store_open(&s, *state, false, &e), e);
    assert_int_equal(entries(s, STORE_MANIFEST), 1);
    assert_intact(s);
    store_close(s);
    kill_it(reader);
    close(reading[0]);
    close(reading[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(a_dropped_artifact_leaves_what_others_share),
        home_test(collecting_keeps_what_is_wanted_and_takes_orphans),
        home_test(a_chain_whose_past_is_dropped_stays_bounded),
        home_test(a_writer_that_counted_on_a_chunk_is_told),
        home_test(what_a_killed_writer_leaves_is_seen_by_nobody_and_collected),
        home_test(a_killed_reader_does_not_let_the_file_grow),
        home_test(a_commit_that_its_killed_writer_did_not_count_is_no_obstacle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
