#include "orchestrator/web/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 64
#define CONNECTION_MEMORY ((size_t)32 << 10) /* a request's head fits, or is refused */
#define SILENCE_S 10

struct http {
    struct MHD_Daemon *daemon;
    const struct http_route *routes;
    size_t n_routes;
    void *ctx;
    bool local;
    char url[96];
};

/* ---- addresses ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int bad_address(const char *listen, struct err *e)
{
    return err_set(e, E_INPUT, "'%s' is no HOST:PORT, e.g. 127.0.0.1:8080 or [::1]:8080", listen);
}

static int read_address(union address *out, const char *listen, struct err *e)
{
    const char *colon = strrchr(listen, ':');
    char host[64], *end = NULL;
    bool v6 = listen[0] == '[';
    size_t n = colon ? (size_t)(colon - listen) : 0;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

    *out = (union address){ 0 };
    if (!colon || end == colon + 1 || *end || port > 65535 || n < 2 || n >= sizeof host)
        return bad_address(listen, e);
    if (v6 && listen[n - 1] != ']')
        return bad_address(listen, e);
    snprintf(host, sizeof host, "%.*s", (int)(n - 2 * v6), listen + v6);
    if (strcmp(host, "localhost") == 0)
        strcpy(host, "127.0.0.1");
    out->any.sa_family = v6 ? AF_INET6 : AF_INET;
    out->v4.sin_port = htons((uint16_t)port); /* it lies at the same place in both */
    if (inet_pton(out->any.sa_family, host, v6 ? (void *)&out->v6.sin6_addr : &out->v4.sin_addr) !=
        1)
        return bad_address(listen, e);
    return OK;
}

static bool is_loopback(const union address *a)
{
    if (a->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
    return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
}

static void write_url(struct http *h, const union address *a)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    unsigned port = info ? info->port : 0;
    char host[INET6_ADDRSTRLEN] = "";
    bool v6 = a->any.sa_family == AF_INET6;

    inet_ntop(
        a->any.sa_family, v6 ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr, host, sizeof host);
    snprintf(h->url, sizeof h->url, v6 ? "http://[%s]:%u/" : "http://%s:%u/", host, port);
}

/* ---- answers ---- */

static enum MHD_Result send_answer(struct MHD_Connection *c, struct http_answer *a)
{
    static const char *const heads[][2] = {
        { "Cache-Control", "no-store" },
        { "X-Content-Type-Options", "nosniff" },
        { "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; "
                                     "frame-ancestors 'none'" },
        { "Referrer-Policy", "no-referrer" },
    };
    struct MHD_Response *r =
        MHD_create_response_from_buffer(a->body.n, a->body.p, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result rc = MHD_NO;

    if (r) {
        MHD_add_response_header(r, "Content-Type", a->type);
        for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
            MHD_add_response_header(r, heads[i][0], heads[i][1]);
        if (a->status == MHD_HTTP_METHOD_NOT_ALLOWED)
            MHD_add_response_header(r, "Allow", "GET, HEAD");
        rc = MHD_queue_response(c, (unsigned)a->status, r);
        MHD_destroy_response(r);
    }
    buf_free(&a->body);
    return rc;
}

static enum MHD_Result refuse(struct MHD_Connection *c, int status, const char *why)
{
    struct http_answer a = { .status = status, .type = "text/plain; charset=utf-8" };

    if (buf_printf(&a.body, "%s\n", why) != OK)
        return MHD_NO;
    return send_answer(c, &a);
}

/* A name of this host, with or without a port: a page elsewhere that has its own name point here
 * would name itself. */
static bool names_this_host(const char *host)
{
    static const char *const names[] = { "localhost", "127.", "[::1]" };

    for (size_t i = 0; host && i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i]);
        if (strncmp(host, names[i], n) != 0)
            continue;
        host += n;
        host += i == 1 ? strspn(host, "0123456789.") : 0;
        return *host == '\0' ||
               (*host == ':' && strspn(host + 1, "0123456789") == strlen(host + 1));
    }
    return false;
}

static enum MHD_Result answer(void *ctx, struct MHD_Connection *c, const char *path,
    const char *method, const char *version, const char *upload, size_t *upload_size, void **state)
{
    static int begun;
    const struct http *h = ctx;

    (void)version;
    (void)upload;
    if (!*state) { /* the head has come; the answer is queued when all has */
        *state = &begun;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0;
        return MHD_YES;
    }
    if (h->local &&
        !names_this_host(MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST)))
        return refuse(c, MHD_HTTP_MISDIRECTED_REQUEST, "this is not that host");
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "these pages can only be read");
    for (size_t i = 0; i < h->n_routes; i++) {
        struct http_answer a = { .status = MHD_HTTP_OK, .type = "text/plain; charset=utf-8" };
        if (strcmp(h->routes[i].path, path) != 0)
            continue;
        h->routes[i].get(h->ctx, &a);
        return send_answer(c, &a);
    }
    return refuse(c, MHD_HTTP_NOT_FOUND, "there is no such page");
}

/* What it has to say about strangers' requests is not worth a line each. */
static void say_nothing(void *ctx, const char *fmt, va_list ap)
{
    (void)ctx;
    (void)fmt;
    (void)ap;
}

/* ---- the server ---- */

int http_open(struct http **out, const char *listen, const struct http_route *routes, size_t n,
    void *ctx, struct err *e)
{
    struct http *h = calloc(1, sizeof *h);
    unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG;
    union address a;
    int rc = h ? read_address(&a, listen, e) : err_set(e, E_NOMEM, "out of memory");

    if (rc == OK) {
        h->routes = routes;
        h->n_routes = n;
        h->ctx = ctx;
        h->local = is_loopback(&a);
        if (a.any.sa_family == AF_INET6)
            flags |= MHD_USE_IPv6;
        errno = 0;
        h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, answer, h, MHD_OPTION_EXTERNAL_LOGGER,
            say_nothing, NULL, MHD_OPTION_SOCK_ADDR, &a.any, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_S, MHD_OPTION_LISTENING_ADDRESS_REUSE,
            1u, MHD_OPTION_END);
        if (!h->daemon)
            rc = err_set(e, E_IO, "cannot listen on %s: %s", listen,
                errno ? strerror(errno) : "the address may be in use");
    }
    if (rc != OK) {
        http_close(h);
        return rc;
    }
    write_url(h, &a);
    *out = h;
    return OK;
}

const char *http_url(const struct http *h)
{
    return h->url;
}

bool http_is_local(const struct http *h)
{
    return h->local;
}

static unsigned connections(const struct http *h)
{
    return MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

/* Until something happens, or a silent connection has been so for too long. A connection that has
 * ended makes room for one that waits, of which only another run takes notice. */
static int wait_ms(const struct http *h, bool room)
{
    MHD_UNSIGNED_LONG_LONG wait;

    if (room)
        return 0;
    return MHD_get_timeout(h->daemon, &wait) == MHD_YES ? (int)(wait < INT_MAX ? wait : INT_MAX)
                                                        : -1;
}

int http_run(struct http *h, int stop_fd, struct err *e)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[] = { { .fd = info->epoll_fd, .events = POLLIN },
        { .fd = stop_fd, .events = POLLIN } };
    bool room = false;

    while (fds[1].revents == 0) {
        unsigned before = connections(h);
        if (poll(fds, 2, wait_ms(h, room)) < 0 && errno != EINTR)
            return err_errno(e, "waiting for requests");
        if (MHD_run(h->daemon) != MHD_YES)
            return err_set(e, E_IO, "the web server has failed");
        room = connections(h) < before;
    }
    return OK;
}

void http_close(struct http *h)
{
    if (!h)
        return;
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    free(h);
}
