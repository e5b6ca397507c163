#ifndef PROTO_KEYS_H
#define PROTO_KEYS_H

#include "proto/bytes.h"

/* CURVE keys (RFC 25 of ZeroMQ): 32 bytes, written in Z85. A key file has a line for each of
 * `orchestrator`, `public` and `secret` that its owner needs, and mode 0600. */
#define KEY_TEXT 41 /* with the NUL */

struct keys {
    char orchestrator[KEY_TEXT]; /* public key of the one to connect to; "": this is its own file */
    char public[KEY_TEXT], secret[KEY_TEXT];
};

int keys_make(struct keys *out, struct err *e);
/* E_INPUT says which line is wrong, E_MISSING: there is no such file. */
int keys_read(struct keys *out, const char *path, struct err *e);
/* Writes nothing over: E_BUSY when path is there. */
int keys_write(const struct keys *k, const char *path, struct err *e);
bool keys_valid(const char *public); /* 40 characters of Z85 */

/* HOME/keys: orchestrator.key, and `allowed`, a line PUBLIC NAME for each that may connect. */
#define KEYS_FOLDER "keys"
int keys_path(char *out, size_t size, const char *home, const char *file, struct err *e);
/* The orchestrator's own; made at the first call. */
int keys_own(struct keys *out, const char *home, struct err *e);

/* Read anew at each call: who is let in follows the file. Calls each() for each line. */
int keys_allowed(const char *home,
    int (*each)(void *ctx, const char *public, const char *name, struct err *e), void *ctx,
    struct err *e);
/* E_BUSY: the name is taken. */
int keys_allow(const char *home, const char *public, const char *name, struct err *e);
int keys_revoke(const char *home, const char *name, struct err *e); /* E_MISSING */

#endif
