#include "store/transfer.h"

#include "tests/unit/store/home.h"

/* Whoever gives a chunk hears of it when it is durable; a liar harms nobody else. */

struct ends {
    struct net *net;
    struct socket *router, *dealer;
    struct peer peer;
};

static void connect_ends(struct ends *s)
{
    Envelope hello = ENVELOPE__INIT, *m = NULL;
    Goodbye bye = GOODBYE__INIT;
    struct err e = ERR_INIT;
    bool ready;

    assert_int_equal(net_new(&s->net, &e), OK);
    assert_int_equal(socket_listen(&s->router, s->net, "tcp://127.0.0.1:*", NULL, &e), OK);
    assert_int_equal(socket_connect(&s->dealer, s->net, socket_url(s->router), NULL, &e), OK);
    hello.kind_case = ENVELOPE__KIND_GOODBYE;
    hello.goodbye = &bye;
    assert_int_equal(socket_send(s->dealer, NULL, &hello, &e), OK);
    while (!m) {
        assert_int_equal(socket_poll(&s->router, 1, NULL, 0, &ready, 1000, &e), OK);
        assert_int_equal(socket_receive(s->router, &s->peer, &m, &e), OK);
    }
    message_free(m);
}

static bool next_is_stored(struct ends *s)
{
    Envelope *m = NULL;
    struct err e = ERR_INIT;
    struct peer none;
    bool ready;

    while (!m) {
        assert_int_equal(socket_poll(&s->dealer, 1, NULL, 0, &ready, 1000, &e), OK);
        assert_int_equal(socket_receive(s->dealer, &none, &m, &e), OK);
    }
    bool stored = m->kind_case == ENVELOPE__KIND_CHUNK_STORED && !m->chunk_stored->error;
    message_free(m);
    return stored;
}

static void liar_is_refused_and_the_others_chunks_are_stored(void **state)
{
    struct store *s = store_in(*state);
    struct ends ends = { 0 };
    struct deposit *in = NULL;
    struct err e = ERR_INIT;
    struct buf got = { 0 };
    struct id a, b;

    connect_ends(&ends);
    sha256(&a, "abc", 3);
    sha256(&b, "xyz", 3);
    assert_int_equal(deposit_new(&in, s, &e), OK);
    assert_int_equal(
        deposit_put(in, ends.router, &ends.peer, &a, (struct span){ "abc", 3 }, &e), OK);
    assert_int_equal(
        deposit_put(in, ends.router, &ends.peer, &b, (struct span){ "abc", 3 }, &e), OK);
    assert_false(next_is_stored(&ends)); /* at once; the first still waits */
    assert_int_equal(store_chunk_get(s, &a, &got, &e), E_MISSING);
    assert_int_equal(deposit_settle(in, ends.router, &e), OK);
    assert_true(next_is_stored(&ends));
    assert_int_equal(store_chunk_get(s, &a, &got, &e), OK);
    assert_int_equal(store_chunk_get(s, &b, &got, &e), E_MISSING);
    buf_free(&got);
    deposit_free(in);
    socket_free(ends.dealer);
    socket_free(ends.router);
    net_free(ends.net);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        home_test(liar_is_refused_and_the_others_chunks_are_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
