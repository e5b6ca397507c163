#include "proto/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "proto/clock.h"
#include "proto/keys.h"
#include "proto/log.h"
#include "proto/refusals.h"

#define ENDPOINT "inproc://zeromq.zap.01"
#define FRAMES 7 /* version, request, domain, address, identity, mechanism, key */
#define FRAME_BYTES 256

struct guard {
    char *home;
    void *socket;
    pthread_t thread;
    struct refusals refusals;
};

struct frame {
    char bytes[FRAME_BYTES];
    int n;
};

enum { VERSION, REQUEST, DOMAIN_NAME, ADDRESS, IDENTITY, MECHANISM, KEY };

static void tell(struct guard *g, int64_t now)
{
    char line[REFUSAL_LINE];

    while (refusals_line(&g->refusals, now, line))
        log_warn("%s", line);
}

/* Tells what is due meanwhile. False when the context ends. */
static bool wait_request(struct guard *g)
{
    zmq_pollitem_t item = { .socket = g->socket, .events = ZMQ_POLLIN };

    while (!item.revents) {
        int64_t now = clock_ms();
        tell(g, now);
        if (zmq_poll(&item, 1, (long)refusals_wait_ms(&g->refusals, now)) < 0 && errno != EINTR)
            return false;
    }
    return true;
}

/* False when the context ends. Frames beyond FRAMES are dropped, long ones are cut. */
static bool receive(struct guard *g, struct frame f[FRAMES], int *n)
{
    int more = 1;

    *n = 0;
    while (more) {
        struct frame rest, *to = *n < FRAMES ? &f[*n] : &rest;
        size_t size = sizeof more;
        to->n = zmq_recv(g->socket, to->bytes, FRAME_BYTES - 1, 0);
        if (to->n < 0 && errno == EINTR)
            continue;
        if (to->n < 0)
            return false;
        to->n = to->n < FRAME_BYTES - 1 ? to->n : FRAME_BYTES - 1;
        to->bytes[to->n] = '\0';
        ++*n;
        if (zmq_getsockopt(g->socket, ZMQ_RCVMORE, &more, &size) != 0)
            return false;
    }
    return true;
}

struct asked {
    const char *public;
    char name[65];
};

static int compare(void *ctx, const char *public, const char *name, struct err *e)
{
    struct asked *a = ctx;

    (void)e;
    if (strcmp(public, a->public) == 0)
        strncpy(a->name, name, sizeof a->name - 1);
    return OK;
}

/* The name that the key is allowed under; "": nobody's. */
static void identify(
    struct guard *g, const struct frame f[FRAMES], int n, struct asked *a, char public[KEY_TEXT])
{
    struct err e = ERR_INIT;

    *a = (struct asked){ .public = public };
    strcpy(public, "none");
    if (n != FRAMES || strcmp(f[MECHANISM].bytes, "CURVE") != 0 || f[KEY].n != 32)
        return;
    zmq_z85_encode(public, (const uint8_t *)f[KEY].bytes, 32);
    if (keys_allowed(g->home, compare, a, &e) != OK) {
        log_warn("nobody is let in: %s", e.msg);
        *a->name = '\0';
    }
}

static bool reply(struct guard *g, const struct frame f[FRAMES], const struct asked *a)
{
    const char *frames[] = { "1.0", f[REQUEST].bytes, *a->name ? "200" : "400",
        *a->name ? "OK" : "not on the list", a->name, "" };
    size_t last = sizeof frames / sizeof *frames - 1;

    for (size_t i = 0; i <= last; i++) {
        size_t n = i == 1 ? (size_t)f[REQUEST].n : strlen(frames[i]);
        if (zmq_send(g->socket, frames[i], n, i < last ? ZMQ_SNDMORE : 0) < 0)
            return false;
    }
    return true;
}

static void *work(void *arg)
{
    struct guard *g = arg;
    struct frame f[FRAMES];
    struct asked a;
    char public[KEY_TEXT];
    int n;

    while (wait_request(g) && receive(g, f, &n)) {
        for (int i = n; i < FRAMES; i++)
            f[i] = (struct frame){ .n = 0 };
        identify(g, f, n, &a, public);
        if (!*a.name) {
            char who[REFUSAL_WHO];
            snprintf(who, sizeof who, "%.40s with the key %s", f[ADDRESS].bytes, public);
            refusals_add(&g->refusals, REFUSED_KEY, who, clock_ms());
        }
        if (!reply(g, f, &a))
            break;
    }
    tell(g, INT64_MAX);
    zmq_close(g->socket);
    return NULL;
}

int guard_start(struct guard **out, void *zmq_context, const char *home, struct err *e)
{
    struct guard *g = calloc(1, sizeof *g);
    sigset_t all, before;
    int failed;

    if (!g || !(g->home = strdup(home))) {
        free(g);
        return err_set(e, E_NOMEM, "out of memory");
    }
    g->socket = zmq_socket(zmq_context, ZMQ_REP);
    if (!g->socket || zmq_bind(g->socket, ENDPOINT) != 0) {
        err_set(e, E_IO, "cannot guard the sockets: %s", zmq_strerror(errno));
        if (g->socket)
            zmq_close(g->socket);
        free(g->home);
        free(g);
        return E_IO;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&g->thread, NULL, work, g); /* the socket is that thread's from here */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        zmq_close(g->socket);
        free(g->home);
        free(g);
        return err_set(e, E_NOMEM, "cannot start a thread: %s", strerror(failed));
    }
    *out = g;
    return OK;
}

void guard_free(struct guard *g)
{
    if (!g)
        return;
    pthread_join(g->thread, NULL);
    free(g->home);
    free(g);
}
