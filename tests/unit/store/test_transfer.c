#include "store/transfer.h"

#include <pthread.h>

#include "tests/unit/store/home.h"

/* Two stores, and a thread that answers for the far one. */

static struct {
    struct net *net;
    struct socket *router, *dealer;
    struct store *far, *near;
    struct deposit *deposit; /* of the far one */
    pthread_t thread;
    atomic_bool stop, cancel;
    atomic_int questions, mute; /* mute: so many questions get no answer */
} scene;

static void *answer(void *unused)
{
    struct buf bytes = { 0 };

    while (!atomic_load(&scene.stop)) {
        struct err e = ERR_INIT;
        struct peer from;
        Envelope *m = NULL;
        bool ready = false;
        socket_poll(&scene.router, 1, NULL, 0, &ready, 20, &e);
        if (socket_receive_bytes(scene.router, &from, &m, &bytes, &e) != OK || !m) {
            deposit_settle(scene.deposit, scene.router, &e);
            continue;
        }
        if (atomic_load(&scene.mute) > 0) {
            atomic_fetch_sub(&scene.mute, 1);
        } else { /* counted first: whoever has an answer finds it counted */
            atomic_fetch_add(&scene.questions, 1);
            (void)transfer_answer(scene.far, scene.deposit, scene.router, &from, m,
                (struct span){ bytes.p, bytes.n }, &e);
        }
        message_free(m);
    }
    buf_free(&bytes);
    return unused;
}

static int set_up(void **state)
{
    struct err e = ERR_INIT;
    char **homes = calloc(2, sizeof *homes);

    homes[0] = home_make();
    homes[1] = home_make();
    *state = homes;
    memset(&scene, 0, sizeof scene);
    scene.far = store_in(homes[0]);
    scene.near = store_in(homes[1]);
    if (deposit_new(&scene.deposit, scene.far, &e) != OK || net_new(&scene.net, &e) != OK ||
        socket_listen(&scene.router, scene.net, "tcp://127.0.0.1:*", NULL, &e) != OK ||
        socket_connect(&scene.dealer, scene.net, socket_url(scene.router), NULL, &e) != OK)
        return -1;
    return pthread_create(&scene.thread, NULL, answer, NULL);
}

static int tear_down(void **state)
{
    char **homes = *state;

    atomic_store(&scene.stop, true);
    pthread_join(scene.thread, NULL);
    socket_free(scene.dealer);
    socket_free(scene.router);
    net_free(scene.net);
    deposit_free(scene.deposit);
    store_close(scene.far);
    store_close(scene.near);
    home_remove(homes[0]);
    home_remove(homes[1]);
    free(homes);
    return 0;
}

static struct transfer transfer(void)
{
    return (struct transfer){ scene.near, scene.dealer, &scene.cancel };
}

static struct id large_in(struct store *s, uint32_t seed)
{
    size_t n = 20 * (size_t)CHUNK_SIZE + 77; /* more than a window */
    uint8_t *p = malloc(n);
    struct id id;

    bytes_fill(p, n, seed);
    id = artifact_of(s, ARTIFACT_KIND__TOKENS, p, n);
    free(p);
    return id;
}

static void what_is_fetched_is_there_whole(void **state)
{
    struct transfer t = transfer();
    struct err e = ERR_INIT;
    struct id id = large_in(scene.far, 3);

    (void)state;
    assert_ok(transfer_fetch(&t, &id, &e), e);
    assert_true(store_has(scene.near, &id));
    assert_intact(scene.near);
    int asked = atomic_load(&scene.questions);
    assert_ok(transfer_fetch(&t, &id, &e), e); /* there already: nothing is asked */
    assert_int_equal(atomic_load(&scene.questions), asked);
}

static void what_is_pushed_is_there_whole_and_sent_once(void **state)
{
    struct transfer t = transfer();
    struct err e = ERR_INIT;
    struct id id = large_in(scene.near, 4);

    (void)state;
    assert_ok(transfer_push(&t, &id, &e), e);
    assert_true(store_has(scene.far, &id));
    assert_intact(scene.far);
    int asked = atomic_load(&scene.questions);
    assert_ok(transfer_push(&t, &id, &e), e);
    assert_int_equal(
        atomic_load(&scene.questions), asked + 2); /* which are lacking; the manifest */
}

static void answers_that_are_lost_are_asked_for_again(void **state)
{
    struct transfer t = transfer();
    struct err e = ERR_INIT;
    struct id id = large_in(scene.far, 5);

    (void)state;
    atomic_store(&scene.mute, 1);
    assert_ok(transfer_fetch(&t, &id, &e), e);
    assert_true(store_has(scene.near, &id));
}

static void an_artifact_that_is_nowhere_is_missing(void **state)
{
    struct transfer t = transfer();
    struct err e = ERR_INIT;
    struct id none = { { 1 } };

    (void)state;
    assert_int_equal(transfer_fetch(&t, &none, &e), E_MISSING);
    assert_says(e, "the orchestrator's store has no artifact");
}

static void a_stopped_errand_ends(void **state)
{
    struct transfer t = transfer();
    struct err e = ERR_INIT;
    struct id id = large_in(scene.far, 6);

    (void)state;
    atomic_store(&scene.cancel, true);
    assert_int_equal(transfer_fetch(&t, &id, &e), E_CANCELLED);
    assert_false(store_has(scene.near, &id));
}

/* In the file, while the store is open: as a disk does it. */
static void flip_on_disk(const char *home, const uint8_t *bytes, size_t n)
{
    char path[512], *text = NULL;
    struct err e = ERR_INIT;
    size_t size;
    FILE *f;

    snprintf(path, sizeof path, "%s/store/data.mdb", home);
    assert_ok(file_read(&text, &size, path, 1 << 28, &e), e);
    char *at = memmem(text, size, bytes, n);
    assert_non_null(at);
    f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at - text, SEEK_SET), 0);
    assert_int_equal(fputc(bytes[0] ^ 1, f), bytes[0] ^ 1);
    assert_int_equal(fclose(f), 0);
    free(text);
}

/* Else what is computed again would find its chunk there, and fail for ever. */
static void what_is_damaged_where_it_was_made_is_not_taken_and_made_again(void **state)
{
    char **homes = *state;
    struct transfer t = transfer();
    struct err e = ERR_INIT;
    struct id id = large_in(scene.near, 8);
    uint8_t *first = malloc(CHUNK_SIZE);

    bytes_fill(first, CHUNK_SIZE, 8);
    flip_on_disk(homes[1], first, 4096 - 64);
    assert_int_equal(transfer_push(&t, &id, &e), E_IO);
    assert_says(e, "another hash");
    assert_false(store_has(scene.far, &id));
    assert_false(store_has(scene.near, &id));
    assert_intact(scene.near);
    large_in(scene.near, 8);
    assert_ok(transfer_push(&t, &id, &e), e);
    assert_true(store_has(scene.far, &id));
    assert_intact(scene.far);
    free(first);
}

/* A liar: bytes that are not those of the name. */
static void bytes_of_another_hash_are_not_stored(void **state)
{
    struct err e = ERR_INIT;
    struct id id = { { 9 } };
    Envelope m = ENVELOPE__INIT, *reply = NULL;
    ChunkPut q = CHUNK_PUT__INIT;
    struct buf none = { 0 };
    struct peer peer;
    bool ready = false;

    (void)state;
    q.has_id = q.has_of = true;
    q.id = (ProtobufCBinaryData){ sizeof id.b, id.b };
    q.of = CHUNK_OF__DATA;
    m.kind_case = ENVELOPE__KIND_CHUNK_PUT;
    m.chunk_put = &q;
    assert_ok(socket_send_bytes(scene.dealer, NULL, &m, (struct span){ "false", 5 }, &e), e);
    assert_ok(socket_poll(&scene.dealer, 1, NULL, 0, &ready, 20000, &e), e);
    assert_ok(socket_receive_bytes(scene.dealer, &peer, &reply, &none, &e), e);
    assert_non_null(reply);
    assert_int_equal(reply->kind_case, ENVELOPE__KIND_CHUNK_STORED);
    assert_non_null(strstr(reply->chunk_stored->error, "another hash"));
    message_free(reply);
    buf_free(&none);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_fetched_is_there_whole),
        TEST(what_is_pushed_is_there_whole_and_sent_once),
        TEST(answers_that_are_lost_are_asked_for_again),
        TEST(what_is_damaged_where_it_was_made_is_not_taken_and_made_again),
        TEST(an_artifact_that_is_nowhere_is_missing),
        TEST(a_stopped_errand_ends),
        TEST(bytes_of_another_hash_are_not_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
