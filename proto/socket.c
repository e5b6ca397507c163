#include "proto/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <zmq.h>

#include "proto/guard.h"
#include "proto/watch.h"

/* Debian's zmq.h declares it as a draft only; the library has it since 4.3.1. */
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

#define LINGER_MS 1000 /* of what is unsent when a socket is closed */
#define BACKLOG 4096   /* connections that wait to be accepted: a flood shall not shut out others */
#define HANDSHAKE_MS 10000  /* a peer that says nothing is dropped */
#define QUEUE_MESSAGES 1000 /* for each peer, each way */
#define RECONNECT_MS 100
#define RECONNECT_MOST_MS 2000
#define ENCRYPTED 64 /* bytes that CURVE adds to a frame, at most: the limit is on what travels */
#define FILES_WANTED 65536 /* libzmq aborts when it runs out of descriptors */

struct net {
    void *context;
    struct guard *guard; /* NULL: nobody with a key is let in */
};

struct socket {
    void *zmq;
    struct watch *watch; /* NULL: nobody from elsewhere comes in here */
    bool router;
    char url[512];
    uint64_t sent, received; /* bytes of second frames */
};

static int zmq_failed(struct err *e, const char *what)
{
    return err_set(e, errno == ENOMEM ? E_NOMEM : E_IO, "%s: %s", what, zmq_strerror(errno));
}

/* Failing is no error: the limit that is left may be enough. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= FILES_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int net_new(struct net **out, struct err *e)
{
    struct net *n = malloc(sizeof *n);

    if (!n)
        return err_set(e, E_NOMEM, "out of memory");
    raise_file_limit();
    n->guard = NULL;
    n->context = zmq_ctx_new();
    if (!n->context) {
        free(n);
        return zmq_failed(e, "cannot start the network");
    }
    *out = n;
    return OK;
}

void net_free(struct net *n)
{
    if (!n)
        return;
    if (n->guard)
        zmq_ctx_shutdown(n->context); /* its socket ends with its thread */
    guard_free(n->guard);
    while (zmq_ctx_term(n->context) != 0 && errno == EINTR)
        ;
    free(n);
}

int net_guard(struct net *n, const char *home, struct err *e)
{
    return guard_start(&n->guard, n->context, home, e);
}

static int set_options(struct socket *s, struct err *e)
{
    static const struct {
        int option, value;
    } options[] = {
        { ZMQ_LINGER, LINGER_MS },
        { ZMQ_BACKLOG, BACKLOG },
        { ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS },
        { ZMQ_SNDHWM, QUEUE_MESSAGES },
        { ZMQ_RCVHWM, QUEUE_MESSAGES },
        { ZMQ_RECONNECT_IVL, RECONNECT_MS },
        { ZMQ_RECONNECT_IVL_MAX, RECONNECT_MOST_MS },
    };
    int64_t most = FRAME_MAX + ENCRYPTED;
    int on = 1;

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (zmq_setsockopt(s->zmq, options[i].option, &options[i].value, sizeof(int)) != 0)
            return zmq_failed(e, "cannot set up a socket");
    if (zmq_setsockopt(s->zmq, ZMQ_MAXMSGSIZE, &most, sizeof most) != 0 ||
        (s->router && zmq_setsockopt(s->zmq, ZMQ_ROUTER_MANDATORY, &on, sizeof on) != 0))
        return zmq_failed(e, "cannot set up a socket");
    return OK;
}

static bool set_text(struct socket *s, int option, const char *text)
{
    return zmq_setsockopt(s->zmq, option, text, strlen(text)) == 0;
}

static int set_keys(struct socket *s, const struct keys *k, struct err *e)
{
    int on = 1;
    bool set = s->router ? zmq_setsockopt(s->zmq, ZMQ_CURVE_SERVER, &on, sizeof on) == 0 &&
                               set_text(s, ZMQ_ZAP_DOMAIN, GUARD_DOMAIN) &&
                               zmq_setsockopt(s->zmq, ZMQ_ZAP_ENFORCE_DOMAIN, &on, sizeof on) == 0
                         : set_text(s, ZMQ_CURVE_SERVERKEY, k->orchestrator) &&
                               set_text(s, ZMQ_CURVE_PUBLICKEY, k->public);

    return set && set_text(s, ZMQ_CURVE_SECRETKEY, k->secret) ? OK
                                                              : zmq_failed(e, "cannot set keys");
}

static int socket_open(
    struct socket **out, struct net *n, bool router, const struct keys *k, struct err *e)
{
    struct socket *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return err_set(e, E_NOMEM, "out of memory");
    s->router = router;
    s->zmq = zmq_socket(n->context, router ? ZMQ_ROUTER : ZMQ_DEALER);
    rc = s->zmq ? set_options(s, e) : zmq_failed(e, "cannot open a socket");
    if (rc == OK && k)
        rc = set_keys(s, k, e);
    if (rc != OK) {
        socket_free(s);
        return rc;
    }
    *out = s;
    return OK;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

bool socket_is_local(const char *url)
{
    return begins(url, "ipc://") || begins(url, "inproc://") || begins(url, "tcp://127.") ||
           begins(url, "tcp://localhost:") || begins(url, "tcp://[::1]:");
}

int socket_listen(
    struct socket **out, struct net *n, const char *url, const struct keys *keys, struct err *e)
{
    struct socket *s;
    size_t size = sizeof s->url;
    int rc;

    if (!keys && !socket_is_local(url))
        return err_set(e, E_INPUT, "'%s' is not on this host (ipc:// or tcp://127.0.0.1)", url);
    rc = socket_open(&s, n, true, keys, e);
    if (rc != OK)
        return rc;
    if (begins(url, "tcp://"))
        rc = watch_start(&s->watch, n->context, s->zmq, e);
    if (rc == OK && (zmq_bind(s->zmq, url) != 0 ||
                        zmq_getsockopt(s->zmq, ZMQ_LAST_ENDPOINT, s->url, &size) != 0))
        rc = zmq_failed(e, "cannot listen");
    if (rc != OK) {
        socket_free(s);
        return err_wrap(e, "'%s'", url);
    }
    *out = s;
    return OK;
}

int socket_connect(
    struct socket **out, struct net *n, const char *url, const struct keys *keys, struct err *e)
{
    struct socket *s;
    int rc = socket_open(&s, n, false, keys, e);

    if (rc != OK)
        return rc;
    if (strlen(url) >= sizeof s->url)
        rc = err_set(e, E_INPUT, "too long an address");
    else if (zmq_connect(s->zmq, url) != 0)
        rc = zmq_failed(e, "cannot connect");
    if (rc != OK) {
        socket_free(s);
        return err_wrap(e, "'%s'", url);
    }
    memcpy(s->url, url, strlen(url) + 1);
    *out = s;
    return OK;
}

void socket_free(struct socket *s)
{
    if (!s)
        return;
    watch_end(s->watch);
    if (s->zmq)
        zmq_close(s->zmq);
    free(s);
}

const char *socket_url(const struct socket *s)
{
    return s->url;
}

static int send_frame(struct socket *s, const void *p, size_t n, int flags, struct err *e)
{
    while (zmq_send(s->zmq, p, n, ZMQ_DONTWAIT | flags) < 0) {
        if (errno == EINTR)
            continue;
        if (errno == EHOSTUNREACH)
            return err_set(e, E_MISSING, "the peer is gone");
        if (errno == EAGAIN)
            return err_set(e, E_MISSING, "the peer does not keep up");
        return zmq_failed(e, "cannot send");
    }
    return OK;
}

int socket_send(struct socket *s, const struct peer *peer, Envelope *m, struct err *e)
{
    return socket_send_bytes(s, peer, m, (struct span){ NULL, 0 }, e);
}

int socket_send_bytes(
    struct socket *s, const struct peer *peer, Envelope *m, struct span bytes, struct err *e)
{
    struct buf b = { 0 };
    int rc = wire_encode(&b, m, e);

    if (rc == OK && s->router)
        rc = send_frame(s, peer->b, peer->n, ZMQ_SNDMORE, e);
    if (rc == OK)
        rc = send_frame(s, b.p, b.n, bytes.n ? ZMQ_SNDMORE : 0, e);
    if (rc == OK && bytes.n)
        rc = send_frame(s, bytes.p, bytes.n, 0, e);
    if (rc == OK)
        s->sent += bytes.n;
    buf_free(&b);
    return rc;
}

/* Takes one frame, if there is one. */
static int receive_frame(struct socket *s, zmq_msg_t *frame, bool *there, struct err *e)
{
    *there = true;
    while (zmq_msg_recv(frame, s->zmq, ZMQ_DONTWAIT) < 0) {
        if (errno == EINTR)
            continue;
        *there = false;
        return errno == EAGAIN ? OK : zmq_failed(e, "cannot receive");
    }
    return OK;
}

/* Takes the rest of a message, so that the next call begins with a new one. */
static int drop_rest(struct socket *s, const zmq_msg_t *last, size_t *dropped, struct err *e)
{
    bool more = zmq_msg_more(last);
    int rc = OK;

    *dropped = 0;
    while (more && rc == OK) {
        zmq_msg_t frame;
        bool there;
        zmq_msg_init(&frame);
        rc = receive_frame(s, &frame, &there, e);
        more = rc == OK && there && zmq_msg_more(&frame);
        zmq_msg_close(&frame);
        ++*dropped;
    }
    return rc;
}

/* The frame behind `first`, if there is one, and what follows it. */
static int receive_second(
    struct socket *s, const zmq_msg_t *first, struct buf *bytes, size_t *dropped, struct err *e)
{
    zmq_msg_t frame;
    bool there;
    int rc;

    bytes->n = 0;
    *dropped = 0;
    if (!zmq_msg_more(first))
        return OK;
    zmq_msg_init(&frame);
    rc = receive_frame(s, &frame, &there, e);
    if (rc == OK && there && buf_add(bytes, zmq_msg_data(&frame), zmq_msg_size(&frame)) != OK)
        rc = err_set(e, E_NOMEM, "out of memory");
    if (rc == OK && there)
        rc = drop_rest(s, &frame, dropped, e);
    s->received += bytes->n;
    zmq_msg_close(&frame);
    return rc;
}

static int receive_payload(
    struct socket *s, const struct peer *peer, Envelope **out, struct buf *bytes, struct err *e)
{
    zmq_msg_t frame;
    size_t dropped;
    bool there;
    int rc;

    zmq_msg_init(&frame);
    rc = receive_frame(s, &frame, &there, e);
    if (rc == OK && !there && s->router)
        rc = err_set(e, E_PROTOCOL, "an empty message");
    else if (rc == OK && there)
        rc = bytes ? receive_second(s, &frame, bytes, &dropped, e)
                   : drop_rest(s, &frame, &dropped, e);
    else
        dropped = 0;
    if (rc == OK && there && dropped > 0)
        rc = err_set(e, E_PROTOCOL, "a message of %zu frames", dropped + 1 + (bytes != NULL));
    if (rc == OK && there)
        rc = wire_decode(out, zmq_msg_data(&frame), zmq_msg_size(&frame), e);
    if (there && s->watch) /* after a poll the frame before this one has no descriptor */
        watch_heard(s->watch, zmq_msg_get(&frame, ZMQ_SRCFD), peer->b, peer->n);
    zmq_msg_close(&frame);
    return rc;
}

/* A ROUTER's first frame says who sent it. *more: a payload follows. */
static int receive_peer(struct socket *s, struct peer *peer, bool *more, struct err *e)
{
    zmq_msg_t frame;
    size_t n, dropped;
    bool there;
    int rc;

    *peer = (struct peer){ 0 };
    *more = false;
    zmq_msg_init(&frame);
    rc = receive_frame(s, &frame, &there, e);
    n = there ? zmq_msg_size(&frame) : 0;
    if (rc == OK && there && (n == 0 || n > sizeof peer->b)) {
        rc = drop_rest(s, &frame, &dropped, e);
        if (rc == OK)
            rc = err_set(e, E_PROTOCOL, "a peer's routing id has %zu bytes", n);
    } else if (rc == OK && there) {
        memcpy(peer->b, zmq_msg_data(&frame), n);
        peer->n = (uint8_t)n;
        *more = zmq_msg_more(&frame);
        if (!*more)
            rc = err_set(e, E_PROTOCOL, "an empty message");
    }
    zmq_msg_close(&frame);
    return rc;
}

int socket_receive(struct socket *s, struct peer *peer, Envelope **out, struct err *e)
{
    return socket_receive_bytes(s, peer, out, NULL, e);
}

int socket_receive_bytes(
    struct socket *s, struct peer *peer, Envelope **out, struct buf *bytes, struct err *e)
{
    bool more = true;
    int rc = OK;

    *out = NULL;
    if (s->router)
        rc = receive_peer(s, peer, &more, e);
    return rc == OK && more ? receive_payload(s, peer, out, bytes, e) : rc;
}

int socket_poll(struct socket *const *sockets, size_t n_sockets, const int *fds, size_t n_fds,
    bool *ready, int64_t timeout_ms, struct err *e)
{
    size_t n = n_sockets + n_fds;
    zmq_pollitem_t *items = calloc(n ? n : 1, sizeof *items);
    int rc = OK, found;

    if (!items)
        return err_set(e, E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        items[i].events = ZMQ_POLLIN;
        if (i < n_sockets)
            items[i].socket = sockets[i]->zmq;
        else
            items[i].fd = fds[i - n_sockets];
    }
    found = zmq_poll(items, (int)n, timeout_ms < 0 ? -1 : (long)timeout_ms);
    if (found < 0 && errno != EINTR)
        rc = zmq_failed(e, "cannot wait for messages");
    for (size_t i = 0; i < n && rc == OK; i++)
        ready[i] = found > 0 && (items[i].revents & (ZMQ_POLLIN | ZMQ_POLLERR)) != 0;
    free(items);
    return rc;
}

void socket_traffic(const struct socket *s, uint64_t *received, uint64_t *sent)
{
    *received = s->received;
    *sent = s->sent;
}
