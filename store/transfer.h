#ifndef STORE_TRANSFER_H
#define STORE_TRANSFER_H

#include <stdatomic.h>

#include "proto/socket.h"
#include "store/store.h"

/* Artifacts between two stores, over a socket of their own.
 *
 * INVARIANTS
 * (1) Credit: at most TRANSFER_WINDOW chunks are asked for, or sent, and not yet answered.
 * (2) What the other side has is not sent again: a transfer that was cut off goes on where it was.
 * (3) Whoever takes bytes checks them by their hash before they are stored; the manifest is last.
 */
#define TRANSFER_WINDOW 8

/* Chunks that peers give share transactions: each is checked when it comes, and answered when it
 * is durable. */
struct deposit;
int deposit_new(struct deposit **out, struct store *s, struct err *e); /* borrows s */
void deposit_free(struct deposit *in);                                 /* NULL is fine */
int deposit_put(struct deposit *in, struct socket *socket, const struct peer *from,
    const struct id *id, struct span bytes, struct err *e);
/* Stores and answers what waits: to be called when nothing more has come. */
int deposit_settle(struct deposit *in, struct socket *socket, struct err *e);

/* The answering side: does what m asks and sends the reply. E_PROTOCOL: m asks for nothing. */
int transfer_answer(struct store *s, struct deposit *in, struct socket *socket,
    const struct peer *from, const Envelope *m, struct span bytes, struct err *e);

/* The asking side; blocks. */
struct transfer {
    struct store *store;
    struct socket *socket;
    atomic_bool *stop; /* becomes true: E_CANCELLED soon */
};

/* Brings an artifact into t->store unless it is there. E_MISSING: the other side has it not;
 * E_IO: no word from there for a minute. */
int transfer_fetch(struct transfer *t, const struct id *artifact, struct err *e);
/* Gives an artifact of t->store to the other side. */
int transfer_push(struct transfer *t, const struct id *artifact, struct err *e);

#endif
