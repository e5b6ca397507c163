#ifndef PROTO_SOCKET_H
#define PROTO_SOCKET_H

#include "proto/keys.h"
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
/* From here on who connects to a socket with keys is let in by HOME/keys/allowed. */
int net_guard(struct net *n, const char *home, struct err *e);

/* keys NULL: nothing is encrypted and nobody asked who they are; to listen so off this host is
 * E_INPUT. Else CURVE: a listener shows keys->public, one that connects expects
 * keys->orchestrator. */
int socket_listen(
    struct socket **out, struct net *n, const char *url, const struct keys *keys, struct err *e);
int socket_connect(
    struct socket **out, struct net *n, const char *url, const struct keys *keys, struct err *e);
bool socket_is_local(const char *url); /* of this host alone */
/* Nobody listens there: the host itself answers so, asked by a connection of its own. False where
 * somebody listens, and where no answer comes within half a second: the way may be cut. */
bool socket_refused(const char *url);
void socket_free(struct socket *s);

/* The url it really listens on (a tcp port of 0 or * is replaced). */
const char *socket_url(const struct socket *s);

/* Sends without blocking. peer: for a ROUTER; NULL on a DEALER. A peer that is gone or whose
 * queue is full: E_MISSING, nothing sent. Does not take m. */
int socket_send(struct socket *s, const struct peer *peer, Envelope *m, struct err *e);

/* One message if there is one, else *out = NULL with OK. E_PROTOCOL: a frame was refused (peer
 * is set; the socket is fine). *out is freed by message_free. */
int socket_receive(struct socket *s, struct peer *peer, Envelope **out, struct err *e);

/* The same with a second frame of raw bytes, at most FRAME_MAX; copies. Received ones are put in
 * place of what `bytes` had; none: it is empty. */
int socket_send_bytes(
    struct socket *s, const struct peer *peer, Envelope *m, struct span bytes, struct err *e);
int socket_receive_bytes(
    struct socket *s, struct peer *peer, Envelope **out, struct buf *bytes, struct err *e);

/* Bytes of second frames that have come and gone. */
void socket_traffic(const struct socket *s, uint64_t *received, uint64_t *sent);

/* Waits until one of the sockets or file descriptors is readable or timeout_ms has passed
 * (negative: no limit). ready[i] says which: first the sockets, then the descriptors. */
int socket_poll(struct socket *const *sockets, size_t n_sockets, const int *fds, size_t n_fds,
    bool *ready, int64_t timeout_ms, struct err *e);

#endif
