#include "orchestrator/bulk.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "store/transfer.h"

#define TOLD_MS 1000 /* between two lines about messages that were ignored */

struct bulk {
    struct net *net;
    struct socket *socket;
    struct store *store; /* borrowed */
    struct deposit *deposit;
    pthread_t thread;
    struct bulk_traffic traffic;
    int stop_fd;
    bool started;
    int64_t told_ms; /* of what was ignored; 0: never */
    uint64_t untold; /* since then */
};

/* One is told at once, of a flood one in a second with the number of those before it. */
static void complain(struct bulk *b, const char *why)
{
    int64_t now = clock_ms();

    if (b->told_ms > 0 && now - b->told_ms < TOLD_MS) {
        b->untold++;
        return;
    }
    b->told_ms = now;
    if (b->untold == 0)
        log_warn("bulk: %s", why);
    else
        log_warn("bulk: %s; and %" PRIu64 " messages before were ignored", why, b->untold);
    b->untold = 0;
}

/* A stranger's nonsense is told, and no more. */
static int answer(struct bulk *b, struct buf *bytes, struct err *e)
{
    for (;;) {
        struct err bad = ERR_INIT;
        struct peer from;
        Envelope *m = NULL;
        int rc = socket_receive_bytes(b->socket, &from, &m, bytes, &bad);
        if (rc == OK && !m)
            return deposit_settle(b->deposit, b->socket, e);
        if (rc == OK)
            rc = transfer_answer(b->store, b->deposit, b->socket, &from, m,
                (struct span){ bytes->p, bytes->n }, &bad);
        message_free(m);
        if (rc == E_PROTOCOL)
            complain(b, bad.msg);
        else if (rc != OK && rc != E_MISSING) { /* E_MISSING: the peer is gone */
            *e = bad;
            return rc;
        }
    }
}

static void count_traffic(struct bulk *b)
{
    uint64_t received, sent;

    socket_traffic(b->socket, &received, &sent);
    atomic_store(&b->traffic.received, received);
    atomic_store(&b->traffic.sent, sent);
}

static void *work(void *arg)
{
    struct bulk *b = arg;
    struct buf bytes = { 0 };
    struct err e = ERR_INIT;
    int rc = OK;

    while (rc == OK) {
        bool ready[2] = { false };
        rc = socket_poll(&b->socket, 1, &b->stop_fd, 1, ready, -1, &e);
        if (rc == OK && ready[1])
            break;
        if (rc == OK && ready[0])
            rc = answer(b, &bytes, &e);
        count_traffic(b);
    }
    if (rc != OK)
        log_error("chunks are served no more: %s", e.msg);
    buf_free(&bytes);
    return NULL;
}

/* tcp://HOST:PORT → tcp://HOST:PORT+1 */
static int next_url(char out[256], const char *listen, struct err *e)
{
    const char *colon = strrchr(listen, ':');
    unsigned port;

    if (!colon || strncmp(listen, "tcp://", 6) != 0 || strlen(listen) > 200)
        return err_set(e, E_INPUT, "'%s' is no tcp://HOST:PORT", listen);
    if (strcmp(colon, ":*") == 0 || strcmp(colon, ":0") == 0) {
        snprintf(out, 256, "%.*s:*", (int)(colon - listen), listen);
        return OK;
    }
    if (sscanf(colon + 1, "%u", &port) != 1 || port < 1 || port > 65534)
        return err_set(e, E_INPUT, "'%s': a port from 1 to 65534", listen);
    snprintf(out, 256, "%.*s:%u", (int)(colon - listen), listen, port + 1);
    return OK;
}

static int start_thread(struct bulk *b, struct err *e)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&b->thread, NULL, work, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    b->started = !failed;
    return failed ? err_set(e, E_NOMEM, "cannot start a thread: %s", strerror(failed)) : OK;
}

int bulk_start(struct bulk **out, struct store *s, const char *home, const char *listen,
    const struct keys *keys, struct err *e)
{
    struct bulk *b = calloc(1, sizeof *b);
    char url[256];
    int rc = b ? next_url(url, listen, e) : err_set(e, E_NOMEM, "out of memory");

    if (!b)
        return rc;
    b->store = s;
    b->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rc == OK && b->stop_fd < 0)
        rc = err_errno(e, "bulk");
    if (rc == OK)
        rc = deposit_new(&b->deposit, s, e);
    if (rc == OK)
        rc = net_new(&b->net, e);
    if (rc == OK && keys)
        rc = net_guard(b->net, home, e);
    if (rc == OK)
        rc = socket_listen(&b->socket, b->net, url, keys, e);
    if (rc == OK)
        rc = start_thread(b, e);
    if (rc != OK) {
        bulk_stop(b);
        return rc;
    }
    *out = b;
    return OK;
}

void bulk_stop(struct bulk *b)
{
    uint64_t one = 1;

    if (!b)
        return;
    if (b->started && write(b->stop_fd, &one, sizeof one) == (ssize_t)sizeof one)
        pthread_join(b->thread, NULL);
    if (b->socket)
        socket_free(b->socket);
    if (b->net)
        net_free(b->net);
    if (b->stop_fd >= 0)
        close(b->stop_fd);
    deposit_free(b->deposit);
    free(b);
}

unsigned bulk_port(const struct bulk *b)
{
    const char *colon = strrchr(socket_url(b->socket), ':');
    unsigned port = 0;

    return colon && sscanf(colon + 1, "%u", &port) == 1 ? port : 0;
}

const struct bulk_traffic *bulk_traffic(const struct bulk *b)
{
    return &b->traffic;
}
