#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <zmq.h>

#include "proto/socket.h"

static struct net *net;
static struct socket *router, *dealer;
static const char *const any_port = "tcp://127.0.0.1:*";

#define LONG_MS 20000 /* far more than any step here takes */

static int open_pair(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    if (net_new(&net, &e) != OK || socket_listen(&router, net, any_port, NULL, &e) != OK ||
        socket_connect(&dealer, net, socket_url(router), NULL, &e) != OK) {
        fprintf(stderr, "%s\n", e.msg);
        return -1;
    }
    return 0;
}

static int close_pair(void **state)
{
    (void)state;
    socket_free(dealer);
    socket_free(router);
    net_free(net);
    net_free(NULL);
    socket_free(NULL);
    return 0;
}

static void wait_readable(struct socket *s)
{
    struct err e = ERR_INIT;
    bool ready = false;

    assert_int_equal(socket_poll(&s, 1, NULL, 0, &ready, LONG_MS, &e), OK);
    assert_true(ready);
}

static Envelope shutdown_request(uint64_t number)
{
    static Shutdown inner = SHUTDOWN__INIT;
    Envelope m = ENVELOPE__INIT;

    m.kind_case = ENVELOPE__KIND_SHUTDOWN;
    m.shutdown = &inner;
    m.has_request = 1;
    m.request = number;
    return m;
}

static void a_request_is_answered(void **state)
{
    Envelope request = shutdown_request(42), *got = NULL;
    struct err e = ERR_INIT;
    struct peer peer;

    (void)state;
    assert_int_equal(socket_send(dealer, NULL, &request, &e), OK);
    wait_readable(router);
    assert_int_equal(socket_receive(router, &peer, &got, &e), OK);
    assert_non_null(got);
    assert_int_equal(got->request, 42);
    assert_true(peer.n > 0);
    assert_int_equal(socket_send(router, &peer, got, &e), OK);
    message_free(got);
    wait_readable(dealer);
    assert_int_equal(socket_receive(dealer, NULL, &got, &e), OK);
    assert_int_equal(got->kind_case, ENVELOPE__KIND_SHUTDOWN);
    message_free(got);
    assert_int_equal(socket_receive(dealer, NULL, &got, &e), OK);
    assert_null(got);
    assert_int_equal(socket_receive(router, &peer, &got, &e), OK);
    assert_null(got);
}

static void a_peer_that_is_not_there_is_missing(void **state)
{
    Envelope m = shutdown_request(1);
    struct peer stranger = { { 0, 1, 2, 3, 4 }, 5 };
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(socket_send(router, &stranger, &m, &e), E_MISSING);
    assert_string_equal(e.msg, "the peer is gone");
}

/* Sends frames as they are, from a socket of the test's own. */
static void send_raw(const char *const *frames, size_t n)
{
    void *context = zmq_ctx_new(), *raw = zmq_socket(context, ZMQ_DEALER);

    assert_int_equal(zmq_connect(raw, socket_url(router)), 0);
    for (size_t i = 0; i < n; i++)
        assert_true(zmq_send(raw, frames[i], strlen(frames[i]), i + 1 < n ? ZMQ_SNDMORE : 0) >= 0);
    wait_readable(router);
    zmq_close(raw);
    zmq_ctx_term(context);
}

static void malformed_messages_are_refused_and_the_socket_lives_on(void **state)
{
    static const char *const garbage[] = { "garbage" };
    static const char *const many[] = { "a", "b", "c" };
    Envelope request = shutdown_request(7), *got = NULL;
    struct err e = ERR_INIT;
    struct peer peer = { 0 };

    (void)state;
    send_raw(garbage, 1);
    assert_int_equal(socket_receive(router, &peer, &got, &e), E_PROTOCOL);
    assert_null(got);
    assert_true(peer.n > 0);
    send_raw(many, 3);
    assert_int_equal(socket_receive(router, &peer, &got, &e), E_PROTOCOL);
    assert_string_equal(e.msg, "a message of 3 frames");
    assert_int_equal(socket_receive(router, &peer, &got, &e), OK);
    assert_null(got);
    assert_int_equal(socket_send(dealer, NULL, &request, &e), OK);
    wait_readable(router);
    assert_int_equal(socket_receive(router, &peer, &got, &e), OK);
    assert_int_equal(got->request, 7);
    message_free(got);
}

static void descriptors_are_waited_for_beside_sockets(void **state)
{
    struct socket *sockets[] = { router, dealer };
    bool ready[3] = { true, true, true };
    struct err e = ERR_INIT;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(socket_poll(sockets, 2, ends, 1, ready, 0, &e), OK);
    assert_false(ready[0] || ready[1] || ready[2]);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(socket_poll(sockets, 2, ends, 1, ready, -1, &e), OK);
    assert_false(ready[0] || ready[1]);
    assert_true(ready[2]);
    close(ends[0]);
    close(ends[1]);
}

static void only_this_host_may_come_in(void **state)
{
    struct socket *s = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(socket_listen(&s, net, "tcp://0.0.0.0:*", NULL, &e), E_INPUT);
    assert_int_equal(socket_listen(&s, net, "tcp://*:5555", NULL, &e), E_INPUT);
    assert_int_equal(socket_listen(&s, net, socket_url(router), NULL, &e), E_IO);
    assert_non_null(strstr(e.msg, "cannot listen: Address already in use"));
    assert_int_equal(socket_connect(&s, net, "nonsense", NULL, &e), E_IO);
    assert_null(s);
}

static void ipc_works_like_tcp(void **state)
{
    const char *base = getenv("TMPDIR");
    struct socket *server = NULL, *client = NULL;
    Envelope request = shutdown_request(3), *got = NULL;
    char folder[200], url[256];
    struct err e = ERR_INIT;
    struct peer peer;

    (void)state;
    snprintf(folder, sizeof folder, "%s/proto-ipc-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    snprintf(url, sizeof url, "ipc://%s/s", folder);
    assert_int_equal(socket_listen(&server, net, url, NULL, &e), OK);
    assert_string_equal(socket_url(server), url);
    assert_int_equal(socket_connect(&client, net, url, NULL, &e), OK);
    assert_int_equal(socket_send(client, NULL, &request, &e), OK);
    wait_readable(server);
    assert_int_equal(socket_receive(server, &peer, &got, &e), OK);
    assert_int_equal(got->request, 3);
    message_free(got);
    socket_free(client);
    socket_free(server);
    unlink(url + strlen("ipc://"));
    rmdir(folder);
}

static int listener(int family, struct sockaddr *address, socklen_t size)
{
    int fd = socket(family, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void an_address_refuses_when_nobody_listens_there_any_more(void **state)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    socklen_t size = sizeof in;
    char folder[] = "/tmp/proto-refused-XXXXXX", url[256];

    (void)state;
    int fd = listener(AF_INET, (struct sockaddr *)&in, sizeof in);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", ntohs(in.sin_port));
    assert_false(socket_refused(url));
    close(fd);
    assert_true(socket_refused(url));

    assert_non_null(mkdtemp(folder));
    snprintf(un.sun_path, sizeof un.sun_path, "%s/s", folder);
    snprintf(url, sizeof url, "ipc://%s", un.sun_path);
    fd = listener(AF_UNIX, (struct sockaddr *)&un, sizeof un);
    assert_false(socket_refused(url));
    close(fd);
    assert_true(socket_refused(url)); /* as after kill -9: the path is still there */
    unlink(un.sun_path);
    assert_true(socket_refused(url));
    rmdir(folder);
    assert_false(socket_refused("tcp://127.0.0.1"));
    assert_false(socket_refused("inproc://here"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_is_answered, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(a_peer_that_is_not_there_is_missing, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(
            malformed_messages_are_refused_and_the_socket_lives_on, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(
            descriptors_are_waited_for_beside_sockets, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(only_this_host_may_come_in, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(ipc_works_like_tcp, open_pair, close_pair),
        cmocka_unit_test(an_address_refuses_when_nobody_listens_there_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
