#include "tests/unit/store/home.h"

#include <signal.h>
#include <sys/resource.h>

#include "proto/task.h"

/* The ids were computed apart, from the wire format of protobuf. */
static void an_artifact_is_named_by_its_manifest(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct artifact_writer *w = NULL;
    struct id known;
    Output *out = NULL;

    known = id_of("be99ceb9c613332965772302d6e57d93f2f2f2d2c8ed6dfcd77a0f4a01682ec7");
    struct id plain = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);
    assert_true(id_equal(&plain, &known));

    known = id_of("8352ed23eaa5c48e5397f9c210bdc3163fcb925cf972ce2bfa2e389e2e7094c0");
    assert_ok(artifact_create(&w, s, ARTIFACT_KIND__TOKENS, &e), e);
    assert_ok(artifact_fact(w, "beta", 2, &e), e);
    assert_ok(artifact_write(w, "ab", 2, &e), e);
    assert_ok(artifact_fact(w, "alpha", 7, &e), e);
    assert_ok(artifact_write(w, "c", 1, &e), e);
    assert_ok(artifact_fact(w, "alpha", 1, &e), e);
    assert_ok(artifact_commit(w, "letters", &out, &e), e);
    assert_string_equal(out->name, "letters");
    assert_memory_equal(out->id.data, known.b, sizeof known.b);
    assert_int_equal(out->kind, ARTIFACT_KIND__TOKENS);
    assert_int_equal(out->n_facts, 2);
    assert_string_equal(out->facts[0]->name, "alpha");
    assert_int_equal(fact_value(out->facts, out->n_facts, "alpha", -1), 1);
    assert_string_equal(out->facts[1]->name, "beta");
    message_free(out);
    store_close(s);
}

static void an_empty_artifact_is_one(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct artifact_reader *r = NULL;
    struct id known = id_of("51443dd6ab7f1e4399f1cb68acaa1d87d31534c3fe1453b10227ffc16d6c61c6");
    struct id id = artifact_of(s, ARTIFACT_KIND__TOKENS, NULL, 0);

    assert_true(id_equal(&id, &known));
    assert_ok(artifact_open(&r, s, &id, 0, &e), e);
    assert_int_equal(artifact_manifest(r)->size, 0);
    assert_ok(artifact_read(r, 0, NULL, 0, &e), e);
    assert_int_equal(artifact_read(r, 0, &id, 1, &e), E_INPUT);
    artifact_close(r);
    assert_intact(s);
    store_close(s);
}

#define LARGE ((size_t)20 * 1024 * 1024 + 12345)

/* Written in pieces of odd sizes: how it was written must not show. */
static struct id write_in_pieces(struct store *s, const uint8_t *bytes, size_t n, size_t piece)
{
    struct err e = ERR_INIT;
    struct artifact_writer *w = NULL;
    Output *out = NULL;
    struct id id;

    assert_ok(artifact_create(&w, s, ARTIFACT_KIND__EXPERIENCE, &e), e);
    for (size_t at = 0; at < n; at += piece)
        assert_ok(artifact_write(w, bytes + at, piece < n - at ? piece : n - at, &e), e);
    assert_ok(artifact_commit(w, "pieces", &out, &e), e);
    assert_true(id_from_span(&id, out->id.data, out->id.len));
    message_free(out);
    return id;
}

static void a_large_artifact_reads_back_wherever_it_is_read(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct artifact_reader *r = NULL;
    uint8_t *bytes = malloc(LARGE), *back = malloc(LARGE);
    const size_t places[] = { 0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, 8u * CHUNK_SIZE - 3,
        LARGE - 100000 };
    struct id a, b, c;

    bytes_fill(bytes, LARGE, 5);
    a = write_in_pieces(s, bytes, LARGE, 777777);
    b = write_in_pieces(s, bytes, LARGE, LARGE);
    assert_true(id_equal(&a, &b));
    c = write_in_pieces(s, bytes, LARGE - 1, 4096);
    assert_false(id_equal(&a, &c));
    assert_ok(artifact_open(&r, s, &a, ARTIFACT_KIND__EXPERIENCE, &e), e);
    assert_int_equal(artifact_manifest(r)->size, LARGE);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_ok(artifact_read(r, places[i], back, 100000, &e), e);
        assert_memory_equal(back, bytes + places[i], 100000);
    }
    assert_ok(artifact_read(r, 0, back, LARGE, &e), e);
    assert_memory_equal(back, bytes, LARGE);
    assert_int_equal(artifact_read(r, LARGE - 1, back, 2, &e), E_INPUT);
    assert_int_equal(artifact_read(r, UINT64_MAX, back, 2, &e), E_INPUT);
    artifact_close(r);
    assert_intact(s);
    free(bytes);
    free(back);
    store_close(s);
}

static size_t chunks_in(struct store *s)
{
    struct err e = ERR_INIT;
    MDB_txn *t = NULL;
    MDB_stat st;

    assert_ok(env_begin(&t, &s->env, false, &e), e);
    assert_int_equal(mdb_stat(t, s->dbi[STORE_CHUNK], &st), 0);
    env_abort(&s->env, t);
    return st.ms_entries;
}

static void a_chunk_that_is_there_is_not_written_again(void **state)
{
    struct store *s = store_in(*state);
    uint8_t *bytes = calloc(3, CHUNK_SIZE);

    artifact_of(s, ARTIFACT_KIND__EXPERIENCE, bytes, 3u * CHUNK_SIZE);
    assert_int_equal(chunks_in(s), 1);
    artifact_of(s, ARTIFACT_KIND__ANSWERS, bytes, CHUNK_SIZE);
    assert_int_equal(chunks_in(s), 1);
    artifact_of(s, ARTIFACT_KIND__ANSWERS, bytes, CHUNK_SIZE + 1);
    assert_int_equal(chunks_in(s), 2);
    assert_intact(s);
    free(bytes);
    store_close(s);
}

static void an_artifact_of_another_kind_is_not_opened(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct artifact_reader *r = NULL;
    struct id id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);

    assert_int_equal(artifact_open(&r, s, &id, ARTIFACT_KIND__CHECKPOINT, &e), E_INPUT);
    assert_says(e, "is of kind 'tokens' and not 'checkpoint'");
    assert_null(r);
    assert_ok(artifact_open(&r, s, &id, 0, &e), e);
    artifact_close(r);
    artifact_close(NULL);
    store_close(s);
}

static void an_aborted_artifact_does_not_exist(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct artifact_writer *w = NULL;
    uint8_t *bytes = malloc(LARGE);
    struct id id;

    bytes_fill(bytes, LARGE, 6);
    assert_ok(artifact_create(&w, s, ARTIFACT_KIND__TOKENS, &e), e);
    assert_ok(artifact_write(w, bytes, LARGE, &e), e);
    assert_ok(artifact_fact(w, "tokens", 1, &e), e);
    artifact_abort(w);
    artifact_abort(NULL);
    assert_intact(s);
    id = write_in_pieces(s, bytes, LARGE, LARGE);
    assert_true(store_has(s, &id));
    free(bytes);
    store_close(s);
}

static void a_flipped_bit_is_found_by_the_first_read_that_touches_its_chunk(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct artifact_reader *r = NULL;
    uint8_t *bytes = malloc(3u * CHUNK_SIZE);
    struct id id, second;
    char hex[ID_HEX];

    bytes_fill(bytes, 3u * CHUNK_SIZE, 7);
    id = artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, 3u * CHUNK_SIZE);
    store_close(s);
    sha256(&second, bytes + CHUNK_SIZE, CHUNK_SIZE);
    lmdb_change(*state, STORE_FOLDER, DB_CHUNK, second.b, sizeof second.b, CHUNK_SIZE - 1, 0x80);
    s = store_in(*state);
    assert_ok(artifact_open(&r, s, &id, ARTIFACT_KIND__TOKENS, &e), e);
    assert_ok(artifact_read(r, 0, bytes, CHUNK_SIZE, &e), e);
    assert_ok(artifact_read(r, 2u * CHUNK_SIZE, bytes, CHUNK_SIZE, &e), e);
    assert_int_equal(artifact_read(r, CHUNK_SIZE, bytes, 4, &e), E_CORRUPT);
    id_hex(hex, &second);
    assert_says(e, hex);
    assert_says(e, "chunk 1");
    artifact_close(r);
    free(bytes);
    store_close(s);
}

static void a_chunk_that_is_gone_is_corruption(void **state)
{
    struct err e = ERR_INIT;
    struct store *s = store_in(*state);
    struct artifact_reader *r = NULL;
    struct id chunk, id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);
    char bytes[3];

    store_close(s);
    sha256(&chunk, "abc", 3);
    lmdb_delete(*state, STORE_FOLDER, DB_CHUNK, chunk.b, sizeof chunk.b);
    s = store_in(*state);
    assert_ok(artifact_open(&r, s, &id, ARTIFACT_KIND__TOKENS, &e), e);
    assert_int_equal(artifact_read(r, 0, bytes, 3, &e), E_CORRUPT);
    artifact_close(r);
    store_close(s);
}

/* ---- several processes, and their ends ---- */

static int write_a_dozen(const char *home)
{
    struct err e = ERR_INIT;
    struct store *s = NULL;
    uint8_t *bytes = malloc(300000);

    if (store_open(&s, home, true, &e) != OK)
        return 1;
    for (uint32_t i = 0; i < 12; i++) {
        bytes_fill(bytes, 300000, i);
        artifact_of(s, ARTIFACT_KIND__TOKENS, bytes, 300000);
    }
    store_close(s);
    free(bytes);
    return 0;
}

static void two_processes_may_write_the_same_at_once(void **state)
{
    struct store *s;
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(write_a_dozen(*state));
    assert_int_equal(write_a_dozen(*state), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    s = store_in(*state);
    assert_int_equal(chunks_in(s), 12);
    assert_intact(s);
    store_close(s);
}

#define REPORT 64 /* bytes for each message of the child: its sort and an id */

/* Writes artifacts without end and says after each piece, and after each commit with the
 * artifact's name, how far it is. */
static void write_for_ever(const char *home, int to, uint32_t seed)
{
    static uint8_t bytes[10 << 20];
    struct err e = ERR_INIT;
    struct store *s = NULL;

    if (store_open(&s, home, true, &e) != OK)
        _exit(1);
    for (;; seed++) {
        size_t n = seed % 3 == 0 ? sizeof bytes : 1000 + seed % 7 * CHUNK_SIZE / 4;
        struct artifact_writer *w = NULL;
        char report[REPORT] = { 'w' };
        Output *out = NULL;
        bytes_fill(bytes, n, seed);
        if (artifact_create(&w, s, ARTIFACT_KIND__TOKENS, &e) != OK)
            _exit(1);
        for (size_t at = 0; at < n; at += 500000) {
            if (artifact_write(w, bytes + at, n - at < 500000 ? n - at : 500000, &e) != OK ||
                write(to, report, REPORT) != REPORT)
                _exit(1);
        }
        if (artifact_commit(w, "x", &out, &e) != OK)
            _exit(1);
        report[0] = 'c';
        memcpy(report + 1, out->id.data, out->id.len);
        message_free(out);
        if (write(to, report, REPORT) != REPORT)
            _exit(1);
    }
}

/* Kills the child after so many reports; adds the ids it had committed. */
static void kill_after(const char *home, int reports, uint32_t seed, struct buf *committed)
{
    char report[REPORT];
    int ends[2], status;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        write_for_ever(home, ends[1], seed);
    }
    close(ends[1]);
    for (int i = 0; read(ends[0], report, REPORT) == REPORT; i++) {
        if (report[0] == 'c')
            assert_int_equal(buf_add(committed, report + 1, sizeof(struct id)), OK);
        if (i == reports)
            assert_int_equal(kill(pid, SIGKILL), 0);
    }
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void nothing_committed_is_lost_when_a_writer_is_killed(void **state)
{
    const int reports[] = { 0, 1, 3, 18, 22, 40, 61, 7 };
    struct buf committed = { 0 };
    struct store *s;

    for (uint32_t i = 0; i < sizeof reports / sizeof *reports; i++) {
        kill_after(*state, reports[i], 100 * i, &committed);
        s = store_in(*state);
        assert_intact(s);
        for (size_t at = 0; at < committed.n; at += sizeof(struct id)) {
            struct id id;
            assert_true(id_from_span(&id, committed.p + at, sizeof id.b));
            assert_true(store_has(s, &id));
        }
        artifact_of(s, ARTIFACT_KIND__ANSWERS, &i, sizeof i);
        store_close(s);
    }
    assert_true(committed.n > 0);
    buf_free(&committed);
}

/* The parent keeps the store closed; 3 MiB is the largest file that the child may have. */
static int write_until_refused(const char *home)
{
    struct rlimit limit = { 3 << 20, 3 << 20 };
    struct err e = ERR_INIT;
    struct artifact_writer *w = NULL;
    struct store *s = NULL;
    Output *out = NULL;
    uint8_t *bytes = malloc(LARGE);
    int rc;

    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || store_open(&s, home, true, &e) != OK)
        return 100;
    artifact_of(s, ARTIFACT_KIND__TOKENS, "abc", 3);
    bytes_fill(bytes, LARGE, 9);
    if (artifact_create(&w, s, ARTIFACT_KIND__TOKENS, &e) != OK)
        return 101;
    rc = artifact_write(w, bytes, LARGE, &e);
    if (artifact_commit(w, "large", &out, &e) == OK || (rc != OK && rc != e.code))
        return 102;
    rc = e.code;
    artifact_of(s, ARTIFACT_KIND__TOKENS, "abcd", 4);
    store_close(s);
    free(bytes);
    return -rc;
}

static void a_write_that_the_disk_refuses_is_an_error_and_nothing_is_lost(void **state)
{
    struct store *s;
    struct id id;

    assert_int_equal(in_child(write_until_refused, *state), -E_IO);
    s = store_in(*state);
    assert_intact(s);
    id = artifact_of(s, ARTIFACT_KIND__TOKENS, "abcd", 4);
    assert_true(store_has(s, &id));
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(an_artifact_is_named_by_its_manifest),
        home_test(an_empty_artifact_is_one),
        home_test(a_large_artifact_reads_back_wherever_it_is_read),
        home_test(a_chunk_that_is_there_is_not_written_again),
        home_test(an_artifact_of_another_kind_is_not_opened),
        home_test(an_aborted_artifact_does_not_exist),
        home_test(a_flipped_bit_is_found_by_the_first_read_that_touches_its_chunk),
        home_test(a_chunk_that_is_gone_is_corruption),
        home_test(two_processes_may_write_the_same_at_once),
        home_test(nothing_committed_is_lost_when_a_writer_is_killed),
        home_test(a_write_that_the_disk_refuses_is_an_error_and_nothing_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
