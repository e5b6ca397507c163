#include "proto/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/socket.h"
#include "proto/wire.h"

static char home[256];

static int set_up(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(home, sizeof home, "%s/jielong-keys-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(home) ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const files[] = { "/keys/orchestrator.key", "/keys/allowed", "/keys", "" };
    char path[512];

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s%s", home, files[i]);
        remove(path);
    }
    return 0;
}

static void own_keys_are_made_once_and_are_ours_alone(void **state)
{
    struct keys first, again;
    struct err e = ERR_INIT;
    struct stat st;
    char path[512];

    (void)state;
    assert_int_equal(keys_own(&first, home, &e), OK);
    assert_int_equal(keys_own(&again, home, &e), OK);
    assert_string_equal(first.secret, again.secret);
    assert_true(keys_valid(first.public));
    assert_int_equal(keys_path(path, sizeof path, home, "orchestrator.key", &e), OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(keys_write(&first, path, &e), E_BUSY);
}

static int count(void *ctx, const char *public, const char *name, struct err *e)
{
    (void)public;
    (void)name;
    (void)e;
    ++*(int *)ctx;
    return OK;
}

static int allowed(void)
{
    struct err e = ERR_INIT;
    int n = 0;

    assert_int_equal(keys_allowed(home, count, &n, &e), OK);
    return n;
}

static void the_list_grows_and_shrinks_by_name(void **state)
{
    struct keys k;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(keys_make(&k, &e), OK);
    assert_int_equal(allowed(), 0);
    assert_int_equal(keys_allow(home, k.public, "ann", &e), OK);
    assert_int_equal(keys_allow(home, k.public, "ann", &e), E_BUSY);
    assert_int_equal(keys_allow(home, "short", "bob", &e), E_INPUT);
    assert_int_equal(keys_allow(home, k.public, "../bob", &e), E_INPUT);
    assert_int_equal(keys_allow(home, k.public, "bob", &e), OK);
    assert_int_equal(allowed(), 2);
    assert_int_equal(keys_revoke(home, "ann", &e), OK);
    assert_int_equal(keys_revoke(home, "ann", &e), E_MISSING);
    assert_int_equal(allowed(), 1);
}

static void a_wrong_line_is_named(void **state)
{
    struct keys k;
    struct err e = ERR_INIT;
    char path[512];

    (void)state;
    assert_int_equal(keys_path(path, sizeof path, home, "allowed", &e), OK);
    assert_int_equal(file_write(path, "x y\n", 4, &e), OK);
    int n = 0;
    assert_int_equal(keys_allowed(home, count, &n, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "allowed:1"));
    assert_int_equal(keys_read(&k, path, &e), E_INPUT);
    assert_non_null(strstr(e.msg, "unknown word 'x'"));
}

/* Says something to a guarded socket; whether it was heard. */
static bool is_let_in(struct net *net, struct socket *server, const struct keys *k, int wait_ms)
{
    Shutdown inner = SHUTDOWN__INIT;
    Envelope m = ENVELOPE__INIT, *got = NULL;
    struct socket *client = NULL;
    struct err e = ERR_INIT;
    struct peer peer;
    bool ready = false;

    m.kind_case = ENVELOPE__KIND_SHUTDOWN;
    m.shutdown = &inner;
    assert_int_equal(socket_connect(&client, net, socket_url(server), k, &e), OK);
    socket_send(client, NULL, &m, &e);
    assert_int_equal(socket_poll(&server, 1, NULL, 0, &ready, wait_ms, &e), OK);
    if (ready)
        assert_int_equal(socket_receive(server, &peer, &got, &e), OK);
    bool heard = got != NULL;
    message_free(got);
    socket_free(client);
    return heard;
}

#define HEARD_MS 20000
#define UNHEARD_MS 300

static void only_allowed_keys_are_let_in(void **state)
{
    struct keys own, ann, eve;
    struct err e = ERR_INIT;
    struct net *net = NULL, *other = NULL;
    struct socket *server = NULL;

    (void)state;
    assert_int_equal(keys_own(&own, home, &e), OK);
    assert_int_equal(keys_make(&ann, &e), OK);
    assert_int_equal(keys_make(&eve, &e), OK);
    strcpy(ann.orchestrator, own.public);
    strcpy(eve.orchestrator, own.public);
    assert_int_equal(keys_allow(home, ann.public, "ann", &e), OK);
    assert_int_equal(net_new(&net, &e), OK);
    assert_int_equal(net_new(&other, &e), OK);
    assert_int_equal(net_guard(net, home, &e), OK);
    assert_int_equal(socket_listen(&server, net, "tcp://0.0.0.0:*", &own, &e), OK);
    char *colon = strrchr(socket_url(server), ':');
    assert_non_null(colon);
    assert_false(is_let_in(other, server, &eve, UNHEARD_MS));
    assert_false(is_let_in(other, server, NULL, UNHEARD_MS));
    assert_true(is_let_in(other, server, &ann, HEARD_MS));
    assert_int_equal(keys_revoke(home, "ann", &e), OK);
    assert_false(is_let_in(other, server, &ann, UNHEARD_MS));
    socket_free(server);
    net_free(net);
    net_free(other);
}

/* CURVE alone admits any key: without a handler nobody may come in. */
static void no_guard_no_entry(void **state)
{
    struct keys own, ann;
    struct err e = ERR_INIT;
    struct net *net = NULL, *other = NULL;
    struct socket *server = NULL;

    (void)state;
    assert_int_equal(keys_make(&own, &e), OK);
    assert_int_equal(keys_make(&ann, &e), OK);
    strcpy(ann.orchestrator, own.public);
    assert_int_equal(net_new(&net, &e), OK);
    assert_int_equal(net_new(&other, &e), OK);
    assert_int_equal(socket_listen(&server, net, "tcp://127.0.0.1:*", &own, &e), OK);
    assert_false(is_let_in(other, server, &ann, UNHEARD_MS));
    socket_free(server);
    net_free(net);
    net_free(other);
}

/* What encryption adds must not push a whole chunk over the limit on frames. */
static void longest_frame_fits_when_it_is_encrypted(void **state)
{
    struct keys own, ann;
    struct err e = ERR_INIT;
    struct net *net = NULL, *other = NULL;
    struct socket *server = NULL, *client = NULL;
    Envelope m = ENVELOPE__INIT, *got = NULL;
    ChunkPut put = CHUNK_PUT__INIT;
    struct id id = { { 1 } };
    struct buf bytes = { 0 };
    struct peer from;
    char *longest = calloc(1, FRAME_MAX), url[64];

    (void)state;
    assert_int_equal(keys_own(&own, home, &e), OK);
    assert_int_equal(keys_make(&ann, &e), OK);
    strcpy(ann.orchestrator, own.public);
    assert_int_equal(keys_allow(home, ann.public, "ann", &e), OK);
    assert_int_equal(net_new(&net, &e), OK);
    assert_int_equal(net_new(&other, &e), OK);
    assert_int_equal(net_guard(net, home, &e), OK);
    assert_int_equal(socket_listen(&server, net, "tcp://127.0.0.1:*", &own, &e), OK);
    snprintf(url, sizeof url, "%s", socket_url(server));
    assert_int_equal(socket_connect(&client, other, url, &ann, &e), OK);
    put.has_id = put.has_of = true;
    put.id = (ProtobufCBinaryData){ sizeof id.b, id.b };
    put.of = CHUNK_OF__DATA;
    m.kind_case = ENVELOPE__KIND_CHUNK_PUT;
    m.chunk_put = &put;
    assert_int_equal(
        socket_send_bytes(client, NULL, &m, (struct span){ longest, FRAME_MAX }, &e), OK);
    for (int i = 0; i < 100 && !got; i++) {
        bool ready;
        assert_int_equal(socket_poll(&server, 1, NULL, 0, &ready, 100, &e), OK);
        assert_int_equal(socket_receive_bytes(server, &from, &got, &bytes, &e), OK);
    }
    assert_non_null(got);
    assert_int_equal(bytes.n, FRAME_MAX);
    message_free(got);
    buf_free(&bytes);
    free(longest);
    socket_free(client);
    socket_free(server);
    net_free(net);
    net_free(other);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(own_keys_are_made_once_and_are_ours_alone),
        TEST(the_list_grows_and_shrinks_by_name),
        TEST(a_wrong_line_is_named),
        TEST(only_allowed_keys_are_let_in),
        TEST(no_guard_no_entry),
        TEST(longest_frame_fits_when_it_is_encrypted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
