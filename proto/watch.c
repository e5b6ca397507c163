#include "proto/watch.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <zmq.h>

#include "proto/clock.h"
#include "proto/log.h"
#include "proto/refusals.h"

#define FDS 65536     /* connections with a higher descriptor are not judged */
#define ENDED_MAX 256 /* that wait to be judged */
#define JUDGED_MS 200 /* after its end: by then its messages have been received */
#define EVENTS                                                                       \
    (ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_MONITOR_STOPPED |       \
        ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | \
        ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

/* A failed handshake and the end of its connection follow each other, as there is one I/O thread;
 * only after a refusal by the guard the peer leaves when it likes. Other connections of which no
 * message came are known by counting, as descriptors come again: of those with one number, so many
 * have ended, and so many have spoken. */

struct event {
    uint16_t kind;
    uint32_t value;
};

struct line {         /* a descriptor, and the connections that it has been */
    uint64_t speaker; /* routing id of the last one that spoke; the socket's thread's */
    atomic_uint spoken;
    unsigned left; /* of those that had spoken */
    char address[REFUSAL_WHO];
};

struct ended {
    int fd;
    int64_t due;
    char address[REFUSAL_WHO];
};

struct watch {
    void *socket, *events; /* the socket is its owner's, `events` the thread's */
    pthread_t thread;
    struct refusals refusals;
    enum refusal failed; /* the handshake of the connection that ends next; REFUSALS: none */
    unsigned guarded;    /* that the guard has refused, and that have not ended yet */
    struct ended ended[ENDED_MAX];
    size_t n_ended;
    struct line lines[FDS];
};

/* ---- events ---- */

/* An event is two frames: its number and value, and an address that we do not need. */
static bool receive(struct watch *w, struct event *v, int flags)
{
    uint8_t frame[6], rest[1];
    int n;

    do
        n = zmq_recv(w->events, frame, sizeof frame, flags);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return false;
    while (zmq_recv(w->events, rest, sizeof rest, 0) < 0 && errno == EINTR)
        ;
    memcpy(&v->kind, frame, sizeof v->kind);
    memcpy(&v->value, frame + 2, sizeof v->value);
    return n == (int)sizeof frame;
}

/* False when nothing comes in time, and when the context ends (*over). */
static bool next_event(struct watch *w, struct event *v, bool *over)
{
    int64_t now = clock_ms(), wait = refusals_wait_ms(&w->refusals, now);
    zmq_pollitem_t item = { .socket = w->events, .events = ZMQ_POLLIN };

    if (w->n_ended > 0) {
        int64_t left = w->ended[0].due > now ? w->ended[0].due - now : 0;
        wait = wait < 0 || left < wait ? left : wait;
    }
    if (zmq_poll(&item, 1, (long)wait) < 0)
        *over = errno != EINTR;
    return item.revents && receive(w, v, ZMQ_DONTWAIT);
}

/* ---- connections ---- */

void watch_heard(struct watch *w, int fd, const void *routing_id, size_t n)
{
    uint64_t speaker = 0;

    if (!w || fd < 0 || fd >= FDS)
        return;
    memcpy(&speaker, routing_id, n < sizeof speaker ? n : sizeof speaker);
    if (w->lines[fd].speaker == speaker)
        return;
    w->lines[fd].speaker = speaker;
    atomic_fetch_add(&w->lines[fd].spoken, 1);
}

/* It may be gone already. */
static void accepted(struct watch *w, int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    char host[NI_MAXHOST], port[NI_MAXSERV], *out = fd < FDS ? w->lines[fd].address : NULL;

    if (!out)
        return;
    if (getpeername(fd, (struct sockaddr *)&a, &n) == 0 &&
        getnameinfo((struct sockaddr *)&a, n, host, sizeof host, port, sizeof port,
            NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(out, REFUSAL_WHO, "%.70s:%.8s", host, port);
    else
        snprintf(out, REFUSAL_WHO, "somebody");
}

static void judge_first(struct watch *w)
{
    struct ended d = w->ended[0];
    struct line *l = &w->lines[d.fd];

    memmove(w->ended, w->ended + 1, --w->n_ended * sizeof *w->ended);
    if (atomic_load(&l->spoken) != l->left)
        l->left++;
    else if (w->guarded > 0)
        w->guarded--;
    else
        refusals_add(&w->refusals, REFUSED_FRAME, d.address, clock_ms());
}

static void ended(struct watch *w, int fd)
{
    const char *address = fd < FDS ? w->lines[fd].address : "somebody";
    int64_t now = clock_ms();

    if (w->failed != REFUSALS) {
        refusals_add(&w->refusals, w->failed, address, now);
        w->failed = REFUSALS;
        return;
    }
    if (fd >= FDS)
        return;
    if (w->n_ended == ENDED_MAX)
        judge_first(w);
    struct ended *d = &w->ended[w->n_ended++];
    *d = (struct ended){ .fd = fd, .due = now + JUDGED_MS };
    memcpy(d->address, address, sizeof d->address);
}

/* ZeroMQ's errno is of its last call: it does not tell who was silent from who has left. */
static enum refusal failure(const struct event *v)
{
    if (v->kind == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
        return REFUSED_SILENT;
    switch (v->value) {
    case ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
        return REFUSED_WITHOUT_KEY;
    case ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
    case ZMQ_PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE:
        return REFUSED_OTHER_KEY;
    }
    return REFUSED_PROTOCOL;
}

/* ---- the thread ---- */

/* False: it was the last one. */
static bool take(struct watch *w, const struct event *v)
{
    switch (v->kind) {
    case ZMQ_EVENT_ACCEPTED:
        accepted(w, (int)v->value);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        ended(w, (int)v->value);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        w->guarded++;
        break;
    case ZMQ_EVENT_MONITOR_STOPPED:
        return false;
    default:
        w->failed = failure(v);
    }
    return true;
}

static void tell(struct watch *w, int64_t now)
{
    char line[REFUSAL_LINE];

    while (w->n_ended > 0 && w->ended[0].due <= now)
        judge_first(w);
    while (refusals_line(&w->refusals, now, line))
        log_warn("%s", line);
}

static void *work(void *arg)
{
    struct watch *w = arg;
    bool over = false;

    while (!over) {
        struct event v;
        if (next_event(w, &v, &over))
            over = !take(w, &v);
        tell(w, over ? INT64_MAX : clock_ms());
    }
    zmq_close(w->events);
    return NULL;
}

static int start_thread(struct watch *w, struct err *e)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? err_set(e, E_NOMEM, "cannot start a thread: %s", strerror(failed)) : OK;
}

int watch_start(struct watch **out, void *zmq_context, void *watched, struct err *e)
{
    struct watch *w = calloc(1, sizeof *w);
    char url[64];
    int rc = OK;

    if (!w)
        return err_set(e, E_NOMEM, "out of memory");
    w->socket = watched;
    w->failed = REFUSALS;
    snprintf(url, sizeof url, "inproc://watch-%p", watched);
    w->events =
        zmq_socket_monitor(watched, url, EVENTS) == 0 ? zmq_socket(zmq_context, ZMQ_PAIR) : NULL;
    if (!w->events || zmq_connect(w->events, url) != 0)
        rc = err_set(e, E_IO, "cannot watch a socket: %s", zmq_strerror(errno));
    if (rc == OK)
        rc = start_thread(w, e);
    if (rc != OK) {
        zmq_socket_monitor(watched, NULL, 0);
        if (w->events)
            zmq_close(w->events);
        free(w);
        return rc;
    }
    *out = w;
    return OK;
}

void watch_end(struct watch *w)
{
    if (!w)
        return;
    zmq_socket_monitor(w->socket, NULL, 0);
    pthread_join(w->thread, NULL);
    free(w);
}
