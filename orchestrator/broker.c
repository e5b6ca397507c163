#include "orchestrator/broker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/daemon.h"
#include "proto/log.h"

#define DRAIN_MAX 2048
#define SOCKETS 2
#define FDS_MAX 8
#define IGNORED_MS 1000 /* between two lines about messages that were ignored */

struct broker {
    struct net *net;
    struct socket *sockets[SOCKETS]; /* ipc, tcp */
    size_t n;
    int64_t ignored_ms; /* when people were told */
    uint64_t ignored;   /* since then */
};

int broker_open(struct broker **out, const char *home, const char *listen, const struct keys *keys,
    struct err *e)
{
    struct broker *b = calloc(1, sizeof *b);
    char url[HOME_URL];
    int rc = b ? home_url(url, home, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK)
        b->ignored_ms = -IGNORED_MS;
    if (rc == OK && listen && !keys && !socket_is_local(listen))
        rc = err_set(e, E_INPUT,
            "will not listen on %s without keys: `jielong keys new NAME` makes some", listen);
    if (rc == OK)
        rc = net_new(&b->net, e);
    if (rc == OK && keys)
        rc = net_guard(b->net, home, e);
    if (rc == OK)
        rc = socket_listen(&b->sockets[b->n], b->net, url, NULL, e);
    if (rc == OK && listen) {
        b->n++;
        rc = socket_listen(&b->sockets[b->n], b->net, listen, keys, e);
    }
    if (rc != OK) {
        broker_close(b);
        return rc;
    }
    b->n++;
    *out = b;
    return OK;
}

const char *broker_url(const struct broker *b)
{
    return b->n > 1 ? socket_url(b->sockets[1]) : NULL;
}

void broker_close(struct broker *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < SOCKETS; i++)
        if (b->sockets[i])
            socket_free(b->sockets[i]);
    if (b->net)
        net_free(b->net);
    free(b);
}

int broker_wait(
    struct broker *b, const int *fds, size_t n_fds, int64_t timeout_ms, bool *stop, struct err *e)
{
    bool ready[SOCKETS + FDS_MAX] = { false };
    int open[FDS_MAX] = { 0 };
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < n_fds && n < FDS_MAX; i++)
        if (fds[i] >= 0)
            open[n++] = fds[i];
    rc = socket_poll(b->sockets, b->n, open, n, ready, timeout_ms, e);
    for (size_t i = 0; i < n && rc == OK; i++)
        *stop = *stop || ready[b->n + i];
    return rc;
}

/* A connection is known by its socket and the socket's own name for it. */
static void mark(struct peer *p, size_t socket)
{
    if (p->n < sizeof p->b)
        p->b[p->n++] = (uint8_t)socket;
}

static size_t unmark(struct peer *p)
{
    return p->n > 0 ? p->b[--p->n] : 0;
}

/* One is told at once; of a flood there is one line in a second. */
static void ignore(struct broker *b, struct outbox *out, const char *why, int64_t now)
{
    if (now - b->ignored_ms < IGNORED_MS) {
        b->ignored++;
        return;
    }
    b->ignored_ms = now;
    outbox_notice(out, LOG_WARN, "ignored a message: %s", why);
}

static void tell_ignored(struct broker *b, struct outbox *out, int64_t now)
{
    if (b->ignored == 0 || now - b->ignored_ms < IGNORED_MS)
        return;
    outbox_notice(out, LOG_WARN, "ignored %" PRIu64 " more messages", b->ignored);
    b->ignored = 0;
    b->ignored_ms = now;
}

static int drain_socket(
    struct broker *b, size_t i, struct orchestrator *o, struct now now, struct err *e)
{
    struct outbox *out = orchestrator_outbox(o);
    int rc = OK;

    for (int n = 0; n < DRAIN_MAX && rc == OK; n++) {
        struct err bad = ERR_INIT;
        struct peer from = { .n = 0 };
        Envelope *m = NULL;
        rc = socket_receive(b->sockets[i], &from, &m, &bad);
        if (rc == E_PROTOCOL) {
            ignore(b, out, bad.msg, now.ms);
            rc = OK;
            continue;
        }
        if (rc != OK)
            *e = bad;
        if (rc != OK || !m)
            break;
        mark(&from, i);
        rc = orchestrator_receive(o, &from, m, now, e);
        message_free(m);
    }
    return rc;
}

int broker_drain(struct broker *b, struct orchestrator *o, struct now now, struct err *e)
{
    int rc = OK;

    for (size_t i = 0; i < b->n && rc == OK; i++)
        rc = drain_socket(b, i, o, now, e);
    tell_ignored(b, orchestrator_outbox(o), now.ms);
    return rc;
}

static void tell(const struct notice *n)
{
    struct log_about about;

    notice_about(n, &about);
    log_event(n->level, &about, "%s", n->text);
}

void broker_flush(struct broker *b, struct outbox *out)
{
    for (size_t i = 0; i < out->n_letters; i++) {
        struct err e = ERR_INIT;
        struct peer to = out->letters[i].to;
        size_t socket = unmark(&to);
        if (socket >= b->n || socket_send(b->sockets[socket], &to, out->letters[i].m, &e) == OK)
            continue;
        if (e.code != E_MISSING)
            outbox_notice(out, LOG_WARN, "a message could not be sent: %s", e.msg);
    }
    for (size_t i = 0; i < out->n_notices; i++)
        tell(&out->notices[i]);
    outbox_clear(out);
}
