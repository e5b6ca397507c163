#ifndef ORCHESTRATOR_WEB_HTTP_H
#define ORCHESTRATOR_WEB_HTTP_H

#include <stddef.h>

#include "proto/bytes.h"

/* A small HTTP server for pages that are only read: GET and HEAD of a few fixed paths, one thread,
 * one answer at a time. What a stranger may cost is bounded: connections, their memory, their
 * silence. Bodies of requests are thrown away. */
struct http;

struct http_answer {
    int status;       /* 200, 503 */
    const char *type; /* of the content; static */
    struct buf body;
};

/* Fills in *out; what goes wrong is said in an answer, too. */
typedef void http_get(void *ctx, struct http_answer *out);
struct http_route {
    const char *path;
    http_get *get;
};

/* listen: HOST:PORT, numbers only, [::1]:PORT for IPv6; port 0: any. Off this host's loopback
 * everybody who can connect can read. On it, requests must name this host (a page elsewhere cannot
 * make a browser read for it). routes, ctx: borrowed. E_INPUT: no such address. E_IO: it is taken.
 */
int http_open(struct http **out, const char *listen, const struct http_route *routes, size_t n,
    void *ctx, struct err *e);
const char *http_url(const struct http *h); /* "http://127.0.0.1:8080/" */
bool http_is_local(const struct http *h);
/* Answers until stop_fd is readable. */
int http_run(struct http *h, int stop_fd, struct err *e);
void http_close(struct http *h); /* NULL is fine */

#endif
