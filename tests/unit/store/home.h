#ifndef TESTS_UNIT_STORE_HOME_H
#define TESTS_UNIT_STORE_HOME_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store_int.h"

/* A home folder for one test; gone after it. */

static inline char *home_make(void)
{
    const char *tmp = getenv("TMPDIR");
    char *home = NULL;

    assert_true(asprintf(&home, "%s/jielong-store-XXXXXX", tmp ? tmp : "/tmp") > 0);
    assert_non_null(mkdtemp(home));
    return home;
}

static inline int home_remove_entry(
    const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void home_remove(char *home)
{
    assert_int_equal(nftw(home, home_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(home);
}

static inline int with_home(void **state)
{
    *state = home_make();
    return 0;
}

static inline int without_home(void **state)
{
    home_remove(*state);
    return 0;
}

#define home_test(f) cmocka_unit_test_setup_teardown(f, with_home, without_home)

/* Says the message when a call that should have worked did not. */
#define assert_ok(call, e)           \
    do {                             \
        if ((call) != OK)            \
            fail_msg("%s", (e).msg); \
    } while (0)

#define assert_says(e, text)                                   \
    do {                                                       \
        if (!strstr((e).msg, text))                            \
            fail_msg("'%s' does not say '%s'", (e).msg, text); \
    } while (0)

static inline struct store *store_in(const char *home)
{
    struct err e = ERR_INIT;
    struct store *s = NULL;

    assert_ok(store_open(&s, home, true, &e), e);
    return s;
}

/* Bytes that differ at every place and from seed to seed. */
static inline void bytes_fill(uint8_t *p, size_t n, uint32_t seed)
{
    uint32_t x = seed * 2654435761u + 1;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = (uint8_t)(x >> 24);
    }
}

static inline struct id artifact_of(struct store *s, ArtifactKind kind, const void *p, size_t n)
{
    struct err e = ERR_INIT;
    struct artifact_writer *w = NULL;
    Output *out = NULL;
    struct id id;

    assert_ok(artifact_create(&w, s, kind, &e), e);
    assert_ok(artifact_write(w, p, n, &e), e);
    assert_ok(artifact_commit(w, "x", &out, &e), e);
    assert_true(id_from_span(&id, out->id.data, out->id.len));
    message_free(out);
    return id;
}

static inline struct id id_of(const char *hex)
{
    struct id id;

    assert_true(id_parse(&id, hex));
    return id;
}

/* The one way to change what was committed: past the store, while nobody has it open. */
static inline void lmdb_change(const char *home, const char *folder, const char *database,
    const void *key, size_t n_key, size_t at, uint8_t flip)
{
    char path[512];
    MDB_env *env;
    MDB_txn *t;
    MDB_dbi dbi;
    MDB_val k = { n_key, (void *)(uintptr_t)key }, v;
    uint8_t *copy;

    snprintf(path, sizeof path, "%s/%s", home, folder);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
    assert_int_equal(mdb_env_set_mapsize(env, (size_t)1 << 30), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &t), 0);
    assert_int_equal(mdb_dbi_open(t, database, 0, &dbi), 0);
    assert_int_equal(mdb_get(t, dbi, &k, &v), 0);
    assert_true(at < v.mv_size);
    copy = malloc(v.mv_size);
    memcpy(copy, v.mv_data, v.mv_size);
    copy[at] ^= flip;
    v.mv_data = copy;
    assert_int_equal(mdb_put(t, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(t), 0);
    mdb_env_close(env);
    free(copy);
}

static inline void lmdb_delete(
    const char *home, const char *folder, const char *database, const void *key, size_t n_key)
{
    char path[512];
    MDB_env *env;
    MDB_txn *t;
    MDB_dbi dbi;
    MDB_val k = { n_key, (void *)(uintptr_t)key };

    snprintf(path, sizeof path, "%s/%s", home, folder);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
    assert_int_equal(mdb_env_set_mapsize(env, (size_t)1 << 30), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &t), 0);
    assert_int_equal(mdb_dbi_open(t, database, 0, &dbi), 0);
    assert_int_equal(mdb_del(t, dbi, &k, NULL), 0);
    assert_int_equal(mdb_txn_commit(t), 0);
    mdb_env_close(env);
}

/* Runs f in a process of its own; its result is the exit status, 0 when all went well. */
static inline int in_child(int (*f)(const char *home), const char *home)
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(f(home));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What store_verify finds, joined by newlines; freed by the caller. */
static inline void verify_note(void *ctx, const char *what)
{
    assert_int_equal(buf_printf(ctx, "%s\n", what), OK);
}

static inline char *verify_all(struct store *s)
{
    struct err e = ERR_INIT;
    struct buf found = { 0 };

    assert_int_equal(buf_add(&found, NULL, 0), OK);
    assert_ok(store_verify(s, verify_note, &found, &e), e);
    return found.p;
}

static inline void assert_intact(struct store *s)
{
    char *found = verify_all(s);

    assert_string_equal(found, "");
    free(found);
}

#endif
