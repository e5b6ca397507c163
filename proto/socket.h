#ifndef PROTO_SOCKET_H
#define PROTO_SOCKET_H

#include "proto/wire.h"

/* ZeroMQ behind one door. Every socket has MAXMSGSIZE, LINGER, HANDSHAKE_IVL, high-water marks;
 * a ROUTER has ROUTER_MANDATORY. One thread for each socket. */
struct net;    /* the ZeroMQ context */
struct socket; /* a ROUTER (bound, many peers) or a DEALER (connected, one peer) */

/* A connection to a ROUTER, as long as it lasts; not a worker's durable identity. */
struct peer {
    uint8_t b[16];
    uint8_t n;
};

int net_new(struct net **out, struct err *e);
void net_free(struct net *n); /* after all its sockets; bounded linger */

int socket_listen(struct socket **out, struct net *n, const char *url, struct err *e);
int socket_connect(struct socket **out, struct net *n, const char *url, struct err *e);
void socket_free(struct socket *s);

/* The url it really listens on (a tcp port of 0 or * is replaced). */
const char *socket_url(const struct socket *s);

/* Sends without blocking. peer: for a ROUTER; NULL on a DEALER. A peer that is gone or whose
 * queue is full: E_MISSING, nothing sent. Does not take m. */
int socket_send(struct socket *s, const struct peer *peer, Envelope *m, struct err *e);

/* One message if there is one, else *out = NULL with OK. E_PROTOCOL: a frame was refused (peer
 * is set; the socket is fine). *out is freed by message_free. */
int socket_receive(struct socket *s, struct peer *peer, Envelope **out, struct err *e);

/* Waits until one of the sockets or file descriptors is readable or timeout_ms has passed
 * (negative: no limit). ready[i] says which: first the sockets, then the descriptors. */
int socket_poll(struct socket *const *sockets, size_t n_sockets, const int *fds, size_t n_fds,
    bool *ready, int64_t timeout_ms, struct err *e);

#endif
